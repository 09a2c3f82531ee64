"""The migrations build the schema that the models and SQL files describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.test import override_settings
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from annotation.models.sql import ApplySql, ApplySqlAgain, digest_of, sql_of
from tests.annotation.models.schema import differences, schema_of

APPS = ("annotation", "training")
FRESH = "fresh"


class NoMigrations:
    """A value for `MIGRATION_MODULES` that makes Django create every app's tables from its models."""

    def __contains__(self, app: str) -> bool:
        return True

    def __getitem__(self, app: str) -> None:
        return None


@pytest.fixture
def fresh(db: None, django_db_blocker: DjangoDbBlocker) -> Iterator[psycopg.Connection[Any]]:
    """A database built from the models and the SQL files, without any migration."""
    settings = connection.settings_dict
    name = f"{settings['NAME']}_{FRESH}"
    # Database access is unblocked here. Otherwise, the test could not connect to a database that is not in
    # the settings.
    with django_db_blocker.unblock(), connection._nodb_cursor() as server:  # type: ignore[attr-defined]
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connections.databases[FRESH] = {**settings, "NAME": name}
        try:
            with override_settings(MIGRATION_MODULES=NoMigrations()):
                call_command("migrate", database=FRESH, run_syncdb=True, verbosity=0)
            with connections[FRESH].cursor() as cursor:
                for app in APPS:
                    cursor.execute(sql_of(app))
            yield connections[FRESH].connection
        finally:
            connections[FRESH].close()
            connections[FRESH].close_pool()
            del connections[FRESH], connections.databases[FRESH]
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def _ours(schema: dict[str, str]) -> dict[str, str]:
    """The schema without the tables of other apps. The migrations of those apps create objects that no model
    declares."""
    marks = ("annotation_", "training_", "rankloop_")
    return {
        name: definition
        for name, definition in schema.items()
        if any(mark in name or mark in definition for mark in marks)
    }


def test_migrated_schema_equals_models_and_sql_files(fresh: psycopg.Connection[Any]) -> None:
    connection.ensure_connection()
    migrated = _ours(schema_of(connection.connection))

    assert {"trigger annotation_ranking.fits_task", "trigger mfa_authenticator.audit"} < migrated.keys()
    assert differences(migrated, _ours(schema_of(fresh))) == []


def test_applying_the_sql_files_again_changes_nothing(fresh: psycopg.Connection[Any]) -> None:
    before = schema_of(fresh)

    for app in APPS:
        fresh.execute(sql_of(app).encode())

    assert differences(before, schema_of(fresh)) == []


@pytest.mark.parametrize("app", APPS)
def test_newest_sql_files_are_applied_by_exactly_one_migration(app: str) -> None:
    applied = [
        (key, operation.digest)
        for key, migration in MigrationLoader(None).disk_migrations.items()
        for operation in migration.operations
        if key[0] == app and isinstance(operation, ApplySql)
    ]

    assert len(applied) == 1, f"{app} must apply its SQL files in exactly one migration: {applied}"
    assert applied[0][1] == digest_of(app), (
        f"The SQL files of {app} have changed. Apply them in a migration with the digest {digest_of(app)!r}:"
        " see annotation/models/sql/__init__.py."
    )


def test_sql_files_are_applied_again_to_an_existing_database(db: None) -> None:
    connection.ensure_connection()
    current = schema_of(connection.connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION rankloop_ranking_fits_task() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NULL; END $$"
        )
    assert differences(current, schema_of(connection.connection)) != []
    migrations = MigrationLoader(None).disk_migrations
    (again,) = [
        operation
        for key in sorted(migrations)
        for operation in migrations[key].operations
        if key[0] == "annotation" and type(operation) is ApplySqlAgain
    ][-1:]
    with connection.schema_editor() as editor:
        again.database_forwards("annotation", editor, ProjectState(), ProjectState())
    assert differences(current, schema_of(connection.connection)) == []
