"""Statements that Postgres parses and plans only once per connection. Only the few statements for which every
annotator waits are prepared in this way.

Django inserts parameters into the text of a statement, so each statement is new to Postgres. A claim runs two
statements. Without preparation, parsing and planning took more than half of their total time: reading the
facts for a claim took 0.7 ms instead of 0.2 ms, and picking and leasing a task took 1.3 ms instead of 0.7 ms.
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
    """A cursor for use inside a transaction. A statement is prepared after it has run `prepare_threshold`
    times on a connection (config.settings). A prepared statement is planned again when its tables are
    analysed or altered. The actor must be set before a write (annotation/database/acting.py)."""
    with connection.wrap_database_errors:
        raw = ServerBindingCursor(connection.connection)
    with connection._prepare_cursor(raw) as cursor:  # type: ignore[attr-defined]  # wrapped and logged like other cursors
        yield cursor


def columns(model: type[models.Model], table: str) -> str:
    """The SELECT list that :func:`instance` needs; `table` is the table's name or alias."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def instance(model: type[Row], row: tuple[Any, ...]) -> Row:
    """Returns a model instance for a row. `Model.objects.raw` is not used, because it takes 0.25 ms, mostly
    for looking up columns."""
    values = list(row)
    for place, field in enumerate(model._meta.concrete_fields):
        for convert in field.get_db_converters(connection):  # type: ignore[attr-defined]
            values[place] = convert(values[place], None, connection)
    return model.from_db(connection.alias, [field.attname for field in model._meta.concrete_fields], values)
