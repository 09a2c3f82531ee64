"""Read rankings from a frozen snapshot or from any other file that can be imported.

`preferences.formats` defines the formats that can be imported. Every row is read before training begins, with
the same readers and error messages as in an import. If rows are broken, a single error lists the first of
them. Some rows are valid but contain nothing that a loss can use. These rows are left out and counted by
reason:

- ``not_rankable``: the annotator marked the responses as not rankable.
- ``all_bad``: the annotator marked all responses as bad and gave no order.
- ``no_order``: the annotator rated, flagged or commented on the responses but did not order them.
- ``fewer_than_two_responses``: there is nothing to compare.
- ``no_ranking``: the row is a prompt or task without a ranking.
- ``answer_left_out``: the answer is a draft or was cancelled in another tool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from preferences.distinct import distinct
from preferences.formats import snapshot_parquet
from preferences.formats.containers.parquet_rows import damage
from preferences.formats.containers.reading import only_parquet_of
from preferences.formats.readers import native
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.formats.training_fields import training_fields
from preferences.quirks import ANSWER_LEFT_OUT, IDENTICAL_PAIR
from preferences.records import (
    FormatError,
    ImportFormat,
    RankingRecord,
    Record,
    RowError,
    Tiers,
    TrainingFields,
    Vote,
)
from preferences.text import MIN_RESPONSES
from training.rlhf.data.rankings import Ranking, RankingFileError, Rankings

ERRORS_SHOWN = 5  # maximum number of broken rows in an error message; the rest are counted
REASONS = (
    "not_rankable",
    "all_bad",
    "no_order",
    "fewer_than_two_responses",
    "no_ranking",
    "answer_left_out",
)


@dataclass(slots=True)
class Line:
    """The content of one line of a file: rankings, the number of omitted rows for each reason, or the reason
    why the line is broken."""

    number: int
    rankings: list[Ranking] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    reason: str = ""


def read_rankings(path: str | Path) -> Rankings:
    """Read and check all rankings in a file.

    If rows are broken, raises a RankingFileError that lists the first broken rows and gives their total
    number. If every row lacks a ranking or an order, raises a RankingFileError that names the detected
    format.
    """
    file = Path(path)
    title, lines = lines_of(file)
    rankings = Rankings(left_out=dict.fromkeys(REASONS, 0))
    errors: list[str] = []
    for line in lines:
        rankings += line.rankings
        for reason, count in line.left_out.items():
            rankings.left_out[reason] += count
        if line.reason:
            errors.append(f"line {line.number}: {line.reason}")
    if errors:
        more = f" (and {len(errors) - ERRORS_SHOWN} more)" if len(errors) > ERRORS_SHOWN else ""
        raise RankingFileError(
            f"{file.name} has broken rows ({len(errors)}): " + "; ".join(errors[:ERRORS_SHOWN]) + more
        )
    if not rankings and set(+Counter(rankings.left_out)) <= {"no_ranking", "no_order"}:
        raise RankingFileError(
            f"{file.name} contains no rankings to learn from. Detected file format: {title}"
        )
    return rankings


def lines_of(file: Path) -> tuple[str, Iterator[Line]]:
    """Return the title of the file's format, and an iterator over its lines. Raises RankingFileError if the
    file can't be read."""
    if not file.is_file():
        raise RankingFileError(f"{file}: there is no such file")
    if snapshot_parquet.is_snapshot(file):
        return "a snapshot", _snapshot_lines(file)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise RankingFileError(f"{file.name} can't be opened: {error}") from error
    zipped = only_parquet_of(stream)
    if zipped is not None:
        if snapshot_parquet.is_snapshot(zipped):
            stream.close()
            return "a snapshot", _zipped_snapshot_lines(zipped)
        zipped.close()
    stream.seek(0)
    try:
        known, records = read_records(stream)
    except FormatError as error:
        stream.close()
        raise RankingFileError(f"{file.name}: {error}") from error
    return known.title, _lines(stream, known, records)


def _lines(stream: BinaryIO, known: ImportFormat, records: Iterator[NumberedRecords]) -> Iterator[Line]:
    with stream:
        for item in records:
            yield _line(item, known)


def _line(item: NumberedRecords, known: ImportFormat) -> Line:
    line = Line(item.line)
    if item.too_few:
        line.left_out["fewer_than_two_responses"] += 1
    elif item.reason:
        line.reason = f"{item.file}: {item.reason}" if item.file else item.reason
    for record in item.records:
        if isinstance(record, Vote):
            line.reason = (
                f"this is a vote on responses in another file ({known.name}); import both files into a"
                " project and train on a snapshot of that project"
            )
        else:
            _add(line, record)
    return line


def _add(line: Line, given: Record) -> None:
    record, _ = distinct(given)
    if ANSWER_LEFT_OUT in given.quirks:
        line.left_out["answer_left_out"] += 1
    elif not record.rankings:
        same = IDENTICAL_PAIR in given.quirks
        line.left_out["fewer_than_two_responses" if same else "no_ranking"] += 1
    texts = tuple(response.text for response in record.responses)
    for ranking in record.rankings:
        if reason := _reason_to_leave_out(texts, ranking.tiers, ranking.not_rankable, ranking.all_bad):
            line.left_out[reason] += 1
        else:
            line.rankings.append(_ranking(record, texts, ranking))


def _reason_to_leave_out(texts: tuple[str, ...], tiers: Any, not_rankable: bool, all_bad: bool) -> str:
    if not_rankable:
        return "not_rankable"
    if not tiers:
        return "all_bad" if all_bad else "no_order"
    return "fewer_than_two_responses" if len(texts) < MIN_RESPONSES else ""


def _ranking(record: Record, texts: tuple[str, ...], ranking: RankingRecord) -> Ranking:
    return _made(
        messages=record.messages,
        texts=texts,
        tiers=ranking.tiers,
        strength=ranking.strength,
        annotator=ranking.annotator,
        ranking_id=ranking.external_id,
        training=ranking.training,
        all_bad=ranking.all_bad,
    )


def _made(
    *,
    messages: tuple[Mapping[str, str], ...],
    texts: tuple[str, ...],
    tiers: Tiers,
    strength: int | None,
    annotator: str,
    ranking_id: str,
    training: TrainingFields,
    all_bad: bool,
) -> Ranking:
    """Return a ranking in which the responses outside the given tiers form the last tier, which is marked as
    unranked."""
    rest = tuple(sorted(set(range(len(texts))) - {index for tier in tiers for index in tier}))
    return Ranking(
        messages=messages,
        responses=texts,
        tiers=(*tiers, rest) if rest else tiers,
        rest_unranked=bool(rest),
        strength=strength,
        annotator=annotator,
        ranking_id=ranking_id,
        in_shown_order=training.in_shown_order,
        weight=training.weight,
        split=training.split or "train",
        prompt_hash=training.prompt_hash,
        round=training.round,
        source=training.source,
        votes=training.votes,
        all_bad=all_bad,
    )


def _snapshot_lines(file: Path | BinaryIO) -> Iterator[Line]:
    """Yield the rows of a snapshot. The checks for other file formats are skipped, because Rankloop checked
    these rankings before it stored them. If a row is nevertheless broken, the reported reason is the same as
    in an import."""
    number = 0
    try:
        for row in snapshot_parquet.read_rankings(file, snapshot_parquet.TRAINING_COLUMNS):
            number += 1
            yield _snapshot_line(number, row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Line(number + 1, reason=damage(error))


def _zipped_snapshot_lines(file: BinaryIO) -> Iterator[Line]:
    with file:
        yield from _snapshot_lines(file)


def _snapshot_line(number: int, row: Mapping[str, Any]) -> Line:
    line = Line(number)
    try:
        texts = tuple(response["text"] for response in row["responses"])
        if reason := _reason_to_leave_out(texts, row["tiers"], row["not_rankable"], row["all_bad"]):
            line.left_out[reason] += 1
            return line
        ranking = _made(
            messages=tuple(row["messages"]),
            texts=texts,
            tiers=tuple(map(tuple, row["tiers"])),
            strength=row["strength"],
            annotator=row["annotator"] or "",
            ranking_id=row["ranking_id"] or "",
            training=training_fields(row, responses_as_shown=True),
            all_bad=bool(row["all_bad"]),
        )
        if row["unranked"] and (not ranking.rest_unranked or sorted(row["unranked"]) != [*ranking.tiers[-1]]):
            raise ValueError("`unranked` must list exactly the responses that are in no tier")
    except (RowError, ValueError, TypeError, AttributeError) as error:
        line.reason = _reason_of(row) or str(error)
    else:
        line.rankings.append(ranking)
    return line


def _reason_of(row: Mapping[str, Any]) -> str:
    try:
        native.parse(row)
    except RowError as error:
        return str(error)
    return ""
