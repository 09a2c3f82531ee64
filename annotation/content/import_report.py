"""The import report: counts, failed rows and quirks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from preferences.quirks import Quirk

# Limits the size of the report when every row has an error; `failed` still counts all rejected rows.
MAX_REPORTED_ERRORS = 1000
MAX_REPORTED_LINES = 20


@dataclass(frozen=True, slots=True)
class LineError:
    line: int
    reason: str


@dataclass(slots=True)
class QuirkCount:
    """The number of rows with the quirk, and the line numbers of the first few of them. `text` describes the
    quirk and how the import handled the quirk."""

    name: str
    text: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        more = " …" if self.count > len(self.lines) else ""
        where = "line" if self.count == 1 else "lines"
        return f"{self.count} × {self.text} ({where} {', '.join(map(str, self.lines))}{more})"


@dataclass(slots=True)
class BatchReport:
    """The results of one batch, added to the import's report once the batch is committed."""

    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    rankings: int = 0
    unchanged: int = 0
    failures: list[LineError] = field(default_factory=list)
    quirks: list[tuple[int, Quirk]] = field(default_factory=list)


@dataclass
class ImportReport:
    """The result of an import. Each of the `read` rows adds something or is counted in `unchanged` or
    `failed`. A row with several records can both add something and fail."""

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
    quirks: list[QuirkCount] = field(default_factory=list)

    def add(self, batch: BatchReport) -> None:
        self.prompts += batch.prompts
        self.responses += batch.responses
        self.tasks += batch.tasks
        self.rankings += batch.rankings
        self.unchanged += batch.unchanged
        for failure in batch.failures:
            self.fail(failure.line, failure.reason)
        for line, quirk in batch.quirks:
            self.notice(line, quirk)

    def fail(self, line: int, reason: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_REPORTED_ERRORS:
            self.errors.append(LineError(line, reason))

    def notice(self, line: int, quirk: Quirk) -> None:
        counted = next((known for known in self.quirks if known.name == quirk.name), None)
        if counted is None:
            self.quirks.append(counted := QuirkCount(quirk.name, quirk.text))
        counted.count += 1
        if len(counted.lines) < MAX_REPORTED_LINES:
            counted.lines.append(line)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """The progress of an import. `share` is the share of the file's bytes read so far, from 0 to 1. `read`
    and `failed` are numbers of rows."""

    share: float
    read: int
    failed: int
