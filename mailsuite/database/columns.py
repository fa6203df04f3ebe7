"""Columns that large tables get in a migration without being written anew."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddField


class AddColumn(AddField):
    """AddField of a column with a constant `db_default`, which older rows have from then on, in a moment however many
    they are. On SQLite Django would copy the whole table; ALTER TABLE ADD COLUMN changes its definition alone, and a
    row that ends before the column reads as the default (https://www.sqlite.org/lang_altertable.html §4)."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            BaseDatabaseSchemaEditor.add_field(schema_editor, model, model._meta.get_field(self.name))
