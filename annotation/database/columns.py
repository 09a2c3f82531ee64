"""Reads many database rows as NumPy columns, without a Python loop over rows.

Postgres concatenates the binary form of all rows into one value, which NumPy reads as a structured array.
Reading 100,000 rankings in this way takes 0.02 s of processor time. psycopg's binary COPY takes 0.82 s if
psycopg builds Python objects for UUIDs, times and arrays, and 0.12 to 0.22 s if it returns only the bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Aggregate, BinaryField, Func, QuerySet, Value
from numpy.typing import NDArray

# Postgres's binary formats: big-endian, a UUID as 16 bytes, a timestamp as microseconds since 2000-01-01.
UUID, BIGINT, TIMESTAMP, INTEGER, SMALLINT = (">u8", (2,)), (">i8",), (">i8",), (">i4",), (">i2",)
EPOCH_2000_MICROSECONDS = 946_684_800_000_000


class Sent(Func):
    """Converts an expression to its binary form: Sent("id", function="uuid_send")."""

    output_field = BinaryField()


class Packed(Aggregate):
    """Concatenates all rows: Packed(Sent(…), Sent(…), …)."""

    function = "string_agg"
    template = "string_agg(%(expressions)s, ''::bytea)"
    arg_joiner = " || "
    output_field = BinaryField()
    allow_distinct = False


def packed(query: QuerySet[Any, Any], *columns: Packed) -> list[NDArray[np.uint8]]:
    """The rows of a query, as one array of bytes per column. All arrays list the rows in the same order.

    Uses COPY in binary format, because Django's cursors receive bytes as text, with two characters for each
    byte. The query groups by a constant. With a GROUP BY on varying columns, Postgres would sort the rows and
    spill them to disk.
    """
    names = [f"packed{number}" for number in range(len(columns))]
    whole = query.order_by().annotate(everything=Value(1)).values("everything")
    sql, params = (
        whole.annotate(**dict(zip(names, columns, strict=True))).values_list(*names).query.sql_with_params()
    )
    # COPY takes no parameters. Parameter values are therefore quoted into the SQL, as in psycopg's
    # client-side cursors.
    text = connection.ops.compose_sql(sql, params)  # type: ignore[attr-defined]  # exists for Postgres only
    with connection.cursor() as cursor, cursor.copy(f"COPY ({text}) TO STDOUT (FORMAT BINARY)") as copy:
        copy.set_types(["bytea"] * len(columns))
        (row,) = copy.rows()
    return [np.frombuffer(value or b"", dtype=np.uint8) for value in row]


def all_rows(query: QuerySet[Any, Any], row: list[Any], *sent: Sent) -> NDArray[Any]:
    """The rows of a query as a structured array of the dtype `row`. `sent` gives each field's expression, in
    the order of the fields.

    Raises ValueError if the result can't be divided into rows of the width of `row`. A row that contains a
    null would be missing from the result, so nullable columns need a Coalesce.
    """
    (wire,) = packed(query, Packed(*sent))
    if len(wire) % np.dtype(row).itemsize:
        raise ValueError("A column does not have the declared type.")
    return wire.view(row)


def keys_of(uuids: NDArray[Any]) -> NDArray[np.uint64]:
    """Maps each UUID to a 64-bit number. The input contains the two halves of each UUID and has shape (…, 2).
    The result has shape (…).

    For a million UUIDs, the probability that any two get the same number is 3 in 10⁸. The low half alone has
    62 random bits. Comparing whole UUIDs takes five times as long as comparing the numbers.
    """
    halves = uuids.astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = halves[..., 0] * np.uint64(0x9E3779B97F4A7C15) + halves[..., 1]
    return mixed
