"""The import report: counts, failed rows and quirks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from preferences.quirks import Quirk

# Limits the size of the report when every row has an error; `failed` still counts all rejected rows.
MAX_REPORTED_ERRORS = 1000
MAX_REPORTED_LINES = 20
MAX_REASONS = 100
OTHER_REASONS = "other reasons"
# The parts of a reason that vary from row to row: quoted values and numbers.
VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|\d[\d,.]*")


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
class ReasonCount:
    """The rows that failed for the same reason. `reason` is the text of the first such row; reasons that
    differ only in quoted values and numbers count as the same. `lines` are the first few line numbers."""

    reason: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        if self.count == 1:
            return f"line {self.lines[0]}: {self.reason}"
        more = " …" if self.count > len(self.lines) else ""
        where = ", ".join(map(str, self.lines))
        return f"{self.count:,} rows, first line {self.lines[0]}: {self.reason} (lines {where}{more})"


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
    `failed`. A row with several records can both add something and fail. `reasons` groups the failures;
    `errors` lists the first ones. `stopped` names the limit at which the import stopped, and is otherwise
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
        grouped = self._group_of(reason)
        grouped.count += 1
        if len(grouped.lines) < MAX_REPORTED_LINES:
            grouped.lines.append(line)

    def _group_of(self, reason: str) -> ReasonCount:
        key = VARYING.sub("…", reason)
        for known in self.reasons:
            if known.reason in {reason, OTHER_REASONS} or VARYING.sub("…", known.reason) == key:
                return known
        if len(self.reasons) + 1 == MAX_REASONS:
            reason = OTHER_REASONS
        self.reasons.append(grouped := ReasonCount(reason))
        return grouped

    def notice(self, line: int, quirk: Quirk) -> None:
        counted = next((known for known in self.quirks if known.name == quirk.name), None)
        if counted is None:
            self.quirks.append(counted := QuirkCount(quirk.name, quirk.text))
        counted.count += 1
        if len(counted.lines) < MAX_REPORTED_LINES:
            counted.lines.append(line)

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
    """The progress of an import. `share` is the share of the file's bytes read so far, from 0 to 1. `read`
    and `failed` are numbers of rows."""

    share: float
    read: int
    failed: int
