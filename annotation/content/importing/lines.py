"""Prepares the lines of a file for storage: deduplicates responses, splits large tasks and hashes everything.

This module runs in a separate thread while the previous batch is being written, so it does not access the
database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from annotation.content.content_rows import Wanted
from annotation.content.drafts import BadDraft, ResponseDraft, TaskDraft, prepared
from annotation.content.importing.left_out import contents_of
from annotation.content.importing.report import Place
from annotation.models import RankingTask
from preferences.distinct import distinct
from preferences.formats.recognition import NumberedRecords
from preferences.quirks import (
    IDENTICAL_PAIR,
    NO_ORDER,
    ONE_RESPONSE,
    REPEATED_RESPONSE,
    TOO_MANY_RESPONSES,
    Quirk,
)
from preferences.records import RankingRecord, Record, Vote
from preferences.text import MAX_RESPONSES, MIN_RESPONSES

BATCH_LINES = 1000
BATCH_CHARACTERS = 8 * 2**20


class ImportedVotes(StrEnum):
    """How the rankings in an imported file are used."""

    CLOSE = "close"
    """A ranking with an order closes its task, unless annotators have started on the task."""
    KEEP = "keep"
    """A ranking is stored, and its new task stays open until annotators have ranked the task as many times
    as its overlap requires."""
    IGNORE = "ignore"
    """Rankings are not stored, and all new tasks are open."""


@dataclass(slots=True)
class Part:
    """One set of responses in a line, with its rankings. If the set does not form a task, `left_out` contains
    its rankings as JSON."""

    wanted: Wanted
    rankings: tuple[RankingRecord, ...] = ()
    task_optional: bool = False
    left_out: Sequence[dict[str, Any]] = ()


@dataclass(slots=True)
class Line:
    """The content of one line. `reason` explains why the line, or a part of it, can't be stored."""

    number: int
    parts: list[Part] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    quirks: list[Quirk] = field(default_factory=list)
    reason: str = ""
    characters: int = 0
    stays_open: bool = False
    file: str = ""

    @property
    def place(self) -> Place:
        return Place(self.number, self.file)


def full_batch() -> int:
    """The number of lines per batch if an import need not yield to annotators."""
    return BATCH_LINES


def batches_of(
    records: Iterable[NumberedRecords],
    votes: ImportedVotes = ImportedVotes.CLOSE,
    responses_per_task: int | None = None,
    lines_per_batch: Callable[[], int] = full_batch,
) -> Iterator[list[Line]]:
    """Yields batches of lines. The number of characters in a batch is limited too, because 1,000 lines of the
    maximum length would take gigabytes of memory.

    Responses without a ranking are divided among tasks of at most `responses_per_task` responses; the default
    is MAX_RESPONSES.
    """
    batch: list[Line] = []
    characters = 0
    for item in records:
        line = line_of(item, votes, responses_per_task)
        batch.append(line)
        characters += line.characters
        if len(batch) >= lines_per_batch() or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def line_of(
    item: NumberedRecords,
    votes: ImportedVotes = ImportedVotes.CLOSE,
    responses_per_task: int | None = None,
) -> Line:
    line = Line(item.line, reason=item.reason, stays_open=votes == ImportedVotes.KEEP, file=item.file)
    for record in item.records:
        if not isinstance(record, Vote):
            _add(line, record, votes, responses_per_task)
            continue
        line.quirks += record.quirks
        if votes != ImportedVotes.IGNORE:
            line.votes.append(record)
    return line


def _add(line: Line, given: Record, votes: ImportedVotes, responses_per_task: int | None) -> None:
    record, repeated = distinct(given)
    if votes == ImportedVotes.IGNORE:
        record = replace(record, rankings=())
    count = len(record.responses)
    as_task = record.rankable and count >= MIN_RESPONSES
    line.quirks += [quirk for quirk in given.quirks if as_task or quirk != NO_ORDER]
    if repeated:
        line.quirks.append(REPEATED_RESPONSE if count >= MIN_RESPONSES else ONE_RESPONSE)
    elif count == 1 and given.rankable and IDENTICAL_PAIR not in given.quirks:
        line.quirks.append(ONE_RESPONSE)
    left_out: list[dict[str, Any]] = []
    if not as_task and record.rankings:
        # The rankings before deduplication are kept, because repeated responses can have different ratings.
        left_out = contents_of(given.rankings)
        record = replace(record, rankings=())
    state = None
    if as_task:
        closed = votes == ImportedVotes.CLOSE and not RankingTask.Kind(record.task_kind).is_check
        answered = any(ranking.has_order for ranking in record.rankings)
        state = RankingTask.State.DONE if answered and closed else RankingTask.State.OPEN
    pieces = _pieces(record, responses_per_task)
    if len(pieces) > 1 and responses_per_task is None:
        line.quirks.append(TOO_MANY_RESPONSES)
    for piece in pieces:
        draft = _draft(piece)
        line.characters += sum(len(message["content"]) for message in draft.messages)
        line.characters += sum(len(response.text) for response in draft.responses)
        try:
            wanted = Wanted(prepared(draft, as_task=as_task), state)
        except BadDraft as error:
            line.reason = line.reason or str(error)
        else:
            line.parts.append(Part(wanted, piece.rankings, piece.task_optional, left_out))


def tasks_of(given: Record, votes: ImportedVotes, responses_per_task: int | None) -> list[Record]:
    """The tasks that an import would create from a record. A record without a task is returned unchanged."""
    record, _ = distinct(given)
    if votes == ImportedVotes.IGNORE:
        record = replace(record, rankings=())
    return _pieces(record, responses_per_task)


def _pieces(record: Record, responses_per_task: int | None) -> list[Record]:
    as_task = record.rankable and len(record.responses) >= MIN_RESPONSES
    # The known answer of a check covers all responses, so a check can't be divided.
    if not as_task or record.rankings or record.gold_tiers is not None:
        return [record]
    return _divided(record, responses_per_task or MAX_RESPONSES)


def _draft(record: Record) -> TaskDraft:
    return TaskDraft(
        record.messages,
        [ResponseDraft(item.text, item.model, item.sampling, item.metadata) for item in record.responses],
        record.metadata,
        record.gold_tiers,
        record.metadata if record.task_metadata is None else record.task_metadata,
        record.task_kind,
    )


def _divided(record: Record, most: int) -> list[Record]:
    """Splits a record into records of nearly equal size with at most `most` responses each, for example
    eleven responses into five and six. If a record would contain only one response, it also gets the
    neighbouring response: if `most` is 2, three responses become (1, 2) and (2, 3)."""
    count = len(record.responses)
    groups = -(-count // most)
    ends = [count * number // groups for number in range(groups + 1)]
    starts = [min(start, count - MIN_RESPONSES) for start in ends[:-1]]
    return [
        replace(record, responses=record.responses[start : max(end, start + MIN_RESPONSES)])
        for start, end in zip(starts, ends[1:], strict=True)
    ]
