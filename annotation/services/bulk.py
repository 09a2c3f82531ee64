"""Many rows in one statement, without a model instance for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection

NOW = "now"


def insert_rows(
    table: str,
    *,
    columns: Mapping[str, tuple[str, Sequence[Any]]],
    constants: Mapping[str, Any],
    skip_existing: bool = True,
    returning: bool = True,
) -> list[Any]:
    """INSERT of `columns` {name: (type, values)}, with `constants` in every row (NOW: the transaction's
    time). Gives the `id` of each new row (nothing unless `returning`: a million numbers nobody asks for take
    their time); a row that breaks a unique key is left out when `skip_existing`.

    Values travel as one JSON document: psycopg quotes arrays element by element, which took a quarter of an
    import's time. Table, names and types come from the code, never from data.
    """
    names = list(columns)
    rows = [
        dict(zip(names, values, strict=True))
        for values in zip(*(values for _, values in columns.values()), strict=True)
    ]
    if not rows:
        return []
    fixed = ["now()" if value is NOW else "%s" for value in constants.values()]
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    conflict = "ON CONFLICT DO NOTHING" if skip_existing else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join([*names, *constants])})"
            f" SELECT {', '.join([*names, *fixed])} FROM json_to_recordset(%s::json) AS new ({declared})"
            f" {conflict} {'RETURNING id' if returning else ''}",
            [
                *(value for value in constants.values() if value is not NOW),
                json.dumps(rows, ensure_ascii=False, separators=(",", ":"), default=_plain),
            ],
        )
        return [id for (id,) in cursor.fetchall()] if returning else []


def _plain(value: Any) -> Any:
    """Ids as text; a mapping of any kind as an object."""
    return dict(value) if isinstance(value, Mapping) else str(value)
