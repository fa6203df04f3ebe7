"""Which version of Mailsuite the tables of a database are of."""

from django.db.migrations.loader import MigrationLoader

NEWER = (
    "A newer version of Mailsuite has changed this database: use that version, or put back the copy from before, as "
    "deploy/guide/upgrade.md tells."
)


def is_newer(loader: MigrationLoader) -> bool:
    """Whether the database has migrations of our apps that this version does not know."""
    ours = {app for app, _ in loader.disk_migrations}
    return any(app in ours and (app, name) not in loader.disk_migrations for app, name in loader.applied_migrations)
