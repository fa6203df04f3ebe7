"""What the commands for mailboxes, domains and aliases share."""

from collections.abc import Sequence

from django.db.models import QuerySet

from mailsuite.adminkit.command import SubcommandCommand
from mailsuite.directory.models import KEPT_REMOVED, Alias, Domain, Mailbox


class DirectoryCommand(SubcommandCommand):
    """What the commands for mailboxes, domains and aliases share."""

    def tell(self, lines: Sequence[str]) -> None:
        self.stdout.write("\n".join(lines))

    def removed(self, rows: "QuerySet[Mailbox] | QuerySet[Domain] | QuerySet[Alias]") -> None:
        """What can be restored, the latest removal first."""
        self.table(
            ("ID", "REMOVED", "REMOVED AT", "KEPT UNTIL"),
            [
                (row.pk, row, f"{row.removed_at:%Y-%m-%d %H:%M}", f"{row.removed_at + KEPT_REMOVED:%Y-%m-%d %H:%M}")
                for row in rows.iterator()
                if row.removed_at
            ],
        )
