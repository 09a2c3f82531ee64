"""Statements that Postgres parses and plans once per connection: the few for which every annotator waits.

Django inserts parameters into the text of a statement, so each statement is new to Postgres. For the two
statements of a claim, parsing and planning took more than half of the time: 0.7 instead of 0.2 ms for reading
the facts, and 1.3 instead of 0.7 ms for picking and leasing a task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection, models
from django.db.backends.postgresql.base import ServerBindingCursor  # type: ignore[attr-defined]
from django.db.backends.utils import CursorWrapper

Row = TypeVar("Row", bound=models.Model)


@contextmanager
def prepared_cursor() -> Iterator[CursorWrapper]:
    """A cursor inside a transaction. The cursor's statements are prepared after `prepare_threshold` runs on a
    connection (config.settings) and planned again when their tables are analysed or altered. Set the actor
    before a write (annotation/database/acting.py)."""
    with connection.wrap_database_errors:
        raw = ServerBindingCursor(connection.connection)
    with connection._prepare_cursor(raw) as cursor:  # type: ignore[attr-defined]  # wrapped and logged like other cursors
        yield cursor


def columns(model: type[models.Model], table: str) -> str:
    """The columns that :func:`instance` needs."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def instance(model: type[Row], row: tuple[Any, ...]) -> Row:
    """Returns a model instance from a row. `Model.objects.raw` takes 0.25 ms, mostly for looking up
    columns."""
    values = list(row)
    for place, field in enumerate(model._meta.concrete_fields):
        for convert in field.get_db_converters(connection):  # type: ignore[attr-defined]
            values[place] = convert(values[place], None, connection)
    return model.from_db(connection.alias, [field.attname for field in model._meta.concrete_fields], values)
