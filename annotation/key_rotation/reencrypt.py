"""Re-encrypts and re-signs all stored values with the current SECRET_KEY. Afterwards, the old key can be
removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from annotation.key_rotation.kinds import KINDS, Kind
from config.keys import Unreadable

BATCH_ROWS = 200
# Maximum number of attempts to re-encrypt a row. A row that has changed in the meantime is read again before
# the next attempt.
TRIES = 5


class _Outcome(Enum):
    RENEWED = auto()
    CURRENT = auto()
    UNREADABLE = auto()
    GONE = auto()
    BUSY = auto()


@dataclass
class Count:
    """The results for the values of one kind."""

    kind: Kind
    renewed: int = 0
    current: int = 0
    busy: int = 0
    """Rows that changed during every attempt. The command must be run again for these rows."""
    unreadable: int = 0
    owners: list[str] = field(default_factory=list)
    """The owners of unreadable values. Sessions have no named owner."""


def reencrypt(*, dry_run: bool = False) -> list[Count]:
    """Re-encrypts or re-signs each row that was written with an earlier key, and reports on all rows. With
    `dry_run`, nothing is written.

    Each row is written separately, and only if it has not changed since it was read. The service can
    therefore be stopped at any time and run again, and it can run while the site is in use.
    """
    return [_reencrypt_kind(kind(), dry_run=dry_run) for kind in KINDS]


def _reencrypt_kind(kind: Kind, *, dry_run: bool) -> Count:
    count = Count(kind)
    for row in _prepared(kind):
        match _renew(kind, row, dry_run=dry_run):
            case _Outcome.RENEWED:
                count.renewed += 1
            case _Outcome.CURRENT:
                count.current += 1
            case _Outcome.BUSY:
                count.busy += 1
            case _Outcome.UNREADABLE:
                count.unreadable += 1
                if owner := kind.owner(row):
                    count.owners.append(owner)
            case _Outcome.GONE:
                pass
    return count


def _prepared(kind: Kind) -> Iterator[Any]:
    """All rows, read in batches. No database cursor stays open while the rows of a batch are written."""
    rows = kind.rows().order_by("pk")
    batch = list(rows[:BATCH_ROWS])
    while batch:
        kind.prepare(batch)
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH_ROWS])


def _renew(kind: Kind, row: Any, *, dry_run: bool) -> _Outcome:
    for _ in range(TRIES):
        try:
            columns = kind.renewed(row)
        except Unreadable:
            return _Outcome.UNREADABLE
        old = {name: getattr(row, name) for name in columns}
        if old == columns:
            return _Outcome.CURRENT
        if dry_run or type(row).objects.filter(pk=row.pk, **old).update(**columns):
            return _Outcome.RENEWED
        row = kind.rows().filter(pk=row.pk).first()
        if row is None:
            return _Outcome.GONE
        kind.prepare([row])
    return _Outcome.BUSY
