"""The import report: counts, failed rows and quirks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from preferences.quirks import Quirk

# Limits the size of the report when every row has an error; `failed` still counts all rejected rows.
MAX_REPORTED_ERRORS = 1000
MAX_REPORTED_LINES = 20
MAX_REASONS = 100
OTHER_REASONS = "other reasons"
# The parts of a reason that vary from row to row: quoted values and numbers.
VARYING = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|“[^”]*”|\d[\d,.]*")


class Place(NamedTuple):
    """A line in a file. `file` is the file's name in an archive of several files, and is otherwise empty."""

    line: int
    file: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else str(self.line)


@dataclass(frozen=True, slots=True)
class LineError:
    line: int
    reason: str
    file: str = ""


@dataclass(slots=True)
class _Count:
    """A number of rows, and the line numbers of the first few rows. `files` contains the file of each line if
    the rows come from an archive of several files, and is otherwise empty."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, place: Place) -> None:
        self.count += 1
        if len(self.lines) < MAX_REPORTED_LINES:
            self.lines.append(place.line)
            if place.file:
                self.files.append(place.file)

    @property
    def where(self) -> str:
        """The places of the first rows as text, for example `lines 3, 5, 9 …`."""
        places = map(Place, self.lines, self.files or [""] * len(self.lines))
        more = " …" if self.count > len(self.lines) else ""
        return f"{'line' if self.count == 1 else 'lines'} {', '.join(map(str, places))}{more}"


@dataclass(slots=True)
class QuirkCount(_Count):
    """The rows with a quirk. `text` describes the quirk and how the import handled it."""

    name: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.count} × {self.text} ({self.where})"


@dataclass(slots=True)
class ReasonCount(_Count):
    """The rows that failed for the same reason. `reason` is the text of the first such row; reasons that
    differ only in quoted values and numbers count as the same."""

    reason: str = ""

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.where}: {self.reason}"
        return f"{self.count:,} rows: {self.reason} ({self.where})"


@dataclass(slots=True)
class BatchReport:
    """The results of one batch, added to the import's report once the batch is stored."""

    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    rankings: int = 0
    unchanged: int = 0
    failures: list[LineError] = field(default_factory=list)
    quirks: list[tuple[Place, Quirk]] = field(default_factory=list)


@dataclass
class ImportReport:
    """The result of an import. Each of the `read` rows adds something or is counted in `unchanged` or
    `failed`. A row with several records can both add something and fail. `reasons` groups the failures;
    `errors` lists the first failures. `stopped` explains which limit stopped the import, and is otherwise
    empty."""

    format: str
    dry_run: bool = False
    read: int = 0
    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    rankings: int = 0
    unchanged: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)
    reasons: list[ReasonCount] = field(default_factory=list)
    quirks: list[QuirkCount] = field(default_factory=list)
    stopped: str = ""

    def __post_init__(self) -> None:
        self._groups = {VARYING.sub("…", group.reason): group for group in self.reasons}

    def add(self, batch: BatchReport) -> None:
        self.prompts += batch.prompts
        self.responses += batch.responses
        self.tasks += batch.tasks
        self.rankings += batch.rankings
        self.unchanged += batch.unchanged
        for failure in batch.failures:
            self.fail(Place(failure.line, failure.file), failure.reason)
        for place, quirk in batch.quirks:
            self.notice(place, quirk)

    def fail(self, place: Place, reason: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_REPORTED_ERRORS:
            self.errors.append(LineError(place.line, reason, place.file))
        self._group_of(reason).add(place)

    def _group_of(self, reason: str) -> ReasonCount:
        key = VARYING.sub("…", reason)
        if key not in self._groups:
            if len(self.reasons) + 1 >= MAX_REASONS:
                key = reason = OTHER_REASONS
            if key not in self._groups:
                self._groups[key] = ReasonCount(reason=reason)
                self.reasons.append(self._groups[key])
        return self._groups[key]

    def notice(self, place: Place, quirk: Quirk) -> None:
        counted = next((known for known in self.quirks if known.name == quirk.name), None)
        if counted is None:
            self.quirks.append(counted := QuirkCount(name=quirk.name, text=quirk.text))
        counted.add(place)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> ImportReport:
        return cls(
            **{
                **stored,
                "errors": [LineError(**error) for error in stored["errors"]],
                "reasons": [ReasonCount(**reason) for reason in stored["reasons"]],
                "quirks": [QuirkCount(**quirk) for quirk in stored["quirks"]],
            }
        )


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """The progress of an import. `share` is the fraction of the file read so far, from 0 to 1. `read`
    and `failed` count rows."""

    share: float
    read: int
    failed: int
