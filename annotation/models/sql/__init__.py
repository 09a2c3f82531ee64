"""The `*.sql` files contain the current text of every trigger and function, and of every table without a
model.

An app keeps its files in `models/sql/`, one file per subject. Exactly one migration of each app applies these
files in a new database. To change a trigger:

1. Edit the trigger's file. Files must be safe to rerun, so they use `CREATE OR REPLACE` and `IF NOT EXISTS`.
2. Set the digest in the app's `ApplySql` operation to the new digest, which the failing test prints.
3. Add a migration with `ApplySqlAgain`, so that an existing database runs the files again. A new database
   runs them twice. If the files use columns that a later migration adds, move `ApplySql` to a place after
   that migration instead of adding `ApplySqlAgain`. Other apps' migrations that call the functions must then
   still run after `ApplySql`, and a dependency can't be added to a migration that has been applied.
4. In the same migration, drop objects that the files no longer contain: `RunSQL("DROP TRIGGER … ON …;")`.

A change that has no effect in the database, such as an edited comment, requires only the new digest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.apps import apps
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


def sql_of(app_label: str) -> str:
    """All SQL files of an app as one script, in alphabetical order.

    A trigger can be created only after its function. A function used by several files is therefore in a file
    that sorts before these files. Names in a function's body are resolved only when the function runs.
    """
    folder = Path(apps.get_app_config(app_label).path) / "models" / "sql"
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.sql")))


def digest_of(app_label: str) -> str:
    """SHA-256 of the app's SQL files, shortened to 16 characters."""
    return hashlib.sha256(sql_of(app_label).encode()).hexdigest()[:16]


class ApplySqlAgain(Operation):
    """Runs all SQL files of the migration's app, so that an existing database gets their current text."""

    reduces_to_sql = True
    # The previous text of the SQL files is not kept, so the migration can't be reversed.
    reversible = False

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        schema_editor.execute(sql_of(app_label), params=None)

    def describe(self) -> str:
        return "Create or replace all functions and triggers"


class ApplySql(ApplySqlAgain):
    """Runs all SQL files of the migration's app for the first time.

    `digest` identifies the SQL text for which the migration was written. A test compares the digest with the
    files, so that nobody changes a file and forgets the migration.
    """

    def __init__(self, digest: str) -> None:
        self.digest = digest
