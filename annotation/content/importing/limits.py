"""Limits that apply to each import; an operator sets them with environment variables (docs/importing.md)."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from django.conf import settings

from preferences.formats.containers.limits import Expanded


class OutOfTime(Exception):
    """Raised when an import has taken longer than its limit."""


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """The limits that end an import, and the messages for an import that exceeds a limit."""

    rows: int
    seconds: int
    began: float
    dry_run: bool

    def check_time(self) -> None:
        """Raises OutOfTime if the import has taken longer than its limit."""
        if monotonic() - self.began > self.seconds:
            raise OutOfTime

    @property
    def out_of_rows(self) -> str:
        return self._stopped(f"limit of {self.rows:,} rows", "RANKLOOP_IMPORT_MAX_ROWS")

    @property
    def out_of_time(self) -> str:
        return self._stopped(f"time limit of {self.seconds:,} s", "RANKLOOP_IMPORT_MAX_SECONDS")

    def out_of_bytes(self, expanded: Expanded) -> str:
        limit = f"limit of {expanded.limit:,} unpacked bytes"
        return self._stopped(limit, "RANKLOOP_IMPORT_MAX_EXPANDED_BYTES")

    def _stopped(self, limit: str, variable: str) -> str:
        kept = "Nothing was imported" if self.dry_run else "The rows before the limit were imported"
        return (
            f"The import stopped at the {limit} ({variable}). {kept}. Split the file, or ask an operator to"
            " raise the limit."
        )


def import_limits(*, dry_run: bool, began: float | None = None) -> ImportLimits:
    """Returns the limits from the settings. `began` is the time on the monotonic clock at which the import
    began; the default is now."""
    return ImportLimits(
        settings.IMPORT_MAX_ROWS,
        settings.IMPORT_MAX_SECONDS,
        monotonic() if began is None else began,
        dry_run,
    )
