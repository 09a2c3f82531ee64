"""Prepares the lines of a file for storage: deduplicates responses, splits large tasks and hashes everything.

This module does not access the database, because it runs in a thread while the previous batch is being
written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from annotation.content.content_rows import Wanted
from annotation.content.drafts import BadDraft, ResponseDraft, TaskDraft, prepared
from annotation.models import RankingTask
from preferences.distinct import distinct
from preferences.formats.recognition import NumberedRecords
from preferences.quirks import (
    IDENTICAL_PAIR,
    ONE_RESPONSE,
    REPEATED_RESPONSE,
    TOO_MANY_RESPONSES,
    Quirk,
)
from preferences.records import RankingRecord, Record, Vote
from preferences.text import MAX_RESPONSES, MIN_RESPONSES

BATCH_LINES = 1000
BATCH_CHARACTERS = 8 * 2**20


@dataclass(slots=True)
class Part:
    """One set of responses in a line, with its rankings."""

    wanted: Wanted
    rankings: tuple[RankingRecord, ...] = ()
    task_optional: bool = False


@dataclass(slots=True)
class Line:
    """The content of one line. `reason` explains why some or all of the line can't be stored."""

    number: int
    parts: list[Part] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    quirks: list[Quirk] = field(default_factory=list)
    reason: str = ""
    characters: int = 0


def batches_of(records: Iterable[NumberedRecords]) -> Iterator[list[Line]]:
    """Yields batches with a limited number of lines and characters: 1,000 lines of maximum length would take
    gigabytes of memory."""
    batch: list[Line] = []
    characters = 0
    for item in records:
        line = line_of(item)
        batch.append(line)
        characters += line.characters
        if len(batch) >= BATCH_LINES or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def line_of(item: NumberedRecords) -> Line:
    line = Line(item.line, reason=item.reason)
    for record in item.records:
        line.quirks += record.quirks
        if isinstance(record, Vote):
            line.votes.append(record)
        else:
            _add(line, record)
    return line


def _add(line: Line, given: Record) -> None:
    record, repeated = distinct(given)
    count = len(record.responses)
    if repeated:
        line.quirks.append(REPEATED_RESPONSE if count >= MIN_RESPONSES else ONE_RESPONSE)
    elif count == 1 and given.rankable and IDENTICAL_PAIR not in given.quirks:
        line.quirks.append(ONE_RESPONSE)
    as_task = record.rankable and count >= MIN_RESPONSES
    state = None
    if as_task:
        ranked = record.rankings and not RankingTask.Kind(record.task_kind).is_check
        state = RankingTask.State.DONE if ranked else RankingTask.State.OPEN
    pieces = [record]
    if as_task and count > MAX_RESPONSES and not record.rankings:
        line.quirks.append(TOO_MANY_RESPONSES)
        pieces = _dealt_out(record)
    for piece in pieces:
        draft = _draft(piece)
        line.characters += sum(len(message["content"]) for message in draft.messages)
        line.characters += sum(len(response.text) for response in draft.responses)
        try:
            wanted = Wanted(prepared(draft, as_task=as_task), state)
        except BadDraft as error:
            line.reason = line.reason or str(error)
        else:
            line.parts.append(Part(wanted, piece.rankings if as_task else (), piece.task_optional))


def _draft(record: Record) -> TaskDraft:
    return TaskDraft(
        record.messages,
        [ResponseDraft(item.text, item.model, item.sampling, item.metadata) for item in record.responses],
        record.metadata,
        record.gold_tiers,
        record.metadata if record.task_metadata is None else record.task_metadata,
        record.task_kind,
    )


def _dealt_out(record: Record) -> list[Record]:
    """Splits a record into records of nearly equal size, for example eleven responses into six and five."""
    count = len(record.responses)
    groups = -(-count // MAX_RESPONSES)
    ends = [count * number // groups for number in range(groups + 1)]
    return [replace(record, responses=record.responses[start:end]) for start, end in pairwise(ends)]
