"""The limits of one import, which an operator sets with environment variables (see docs/importing.md)."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class ImportLimits:
    rows: int
    seconds: int

    @property
    def out_of_rows(self) -> str:
        return _stopped(f"limit of {self.rows:,} rows", "RANKLOOP_IMPORT_MAX_ROWS")

    @property
    def out_of_time(self) -> str:
        return _stopped(f"time limit of {self.seconds:,} s", "RANKLOOP_IMPORT_MAX_SECONDS")


def _stopped(limit: str, variable: str) -> str:
    return (
        f"The import stopped at the {limit} ({variable}). The rows before the limit were imported. Split the"
        " file, or ask an operator to raise the limit."
    )


def import_limits() -> ImportLimits:
    return ImportLimits(settings.IMPORT_MAX_ROWS, settings.IMPORT_MAX_SECONDS)
