"""Imports files of prompts, responses and existing rankings into a project.

Rows are stored in batches, each in its own transaction. Memory use therefore stays constant, and an invalid
row affects no other row. To complete an interrupted import, repeat the import. Existing rows are counted as
unchanged. `import_jobs` runs the imports of uploaded files in a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from os import SEEK_END
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, TypedDict, Unpack

from django.db import DataError, IntegrityError, connection, transaction

from annotation.content.adding import analyze_content, checked_overlap, misfit
from annotation.content.ahead import ahead
from annotation.content.content_rows import StoredContent, Wanted, insert_content
from annotation.content.import_limits import import_limits
from annotation.content.import_lines import ImportedVotes, Line, Part, batches_of
from annotation.content.import_rankings import Ranked, insert_rankings
from annotation.content.import_report import BatchReport, ImportProgress, ImportReport, LineError
from annotation.content.import_votes import VotesLookup
from annotation.content.mappings import remember_mapping
from annotation.database.sql import Lock, acquire
from annotation.forms.answer_form import Span
from annotation.forms.versions import current_form
from annotation.models import Project, RankingTask
from config.problems import FieldProblem, Problem
from preferences.formats.preview import preview_of
from preferences.formats.readers.table.choice import NO_VOTE
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.quirks import FORM_TAKES_OTHERS, SAME_ANNOTATOR_AGAIN
from preferences.records import FormatError, ImportFormat
from preferences.text import MAX_RESPONSES, MIN_RESPONSES

ANALYZE_AFTER_RANKINGS = 1000
MAX_INTEGER = 2**31 - 1


class ImportOptions(TypedDict, total=False):
    """Options of an import. `overlap`, `round` and `priority` apply to the new tasks. `mapping` chooses the
    columns of a table (see `preferences.formats.readers.table.choice`). `votes` decides whether the
    rankings in the file close their tasks (see `ImportedVotes`). Responses without a ranking
    are divided among tasks of at most `responses_per_task` responses.

    `so_far` is the report of an interrupted import of the same file, which continues after the rows in this
    report. `stored` is called with the report in each batch's transaction; an exception rolls the batch
    back."""

    format: str | None
    mapping: Mapping[str, str] | None
    overlap: int | None
    responses_per_task: int | None
    round: int
    priority: int
    dry_run: bool
    votes: ImportedVotes
    so_far: ImportReport | None
    stored: Callable[[ImportReport], None]


def import_file(*, project: Project, file: Path | BinaryIO, **options: Unpack[ImportOptions]) -> ImportReport:
    """Runs the generator `importing` to the end and returns the import's report."""
    steps = importing(project=project, file=file, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            report: ImportReport = end.value
            return report


def importing(
    *, project: Project, file: Path | BinaryIO, **options: Unpack[ImportOptions]
) -> Generator[ImportProgress, None, ImportReport]:
    """Imports `file` (a path or a seekable binary stream). The format is detected unless it is given.

    Yields once when the format is known and then after each batch; returns the report. Closing the generator
    stops the import and keeps the batches stored so far. The generator must run in a single thread.

    By default, a task that comes with a ranking is done and is not served to annotators. `dry_run` stores
    everything and rolls it back, so the report matches that of a real import. Raises Problem, with nothing
    written, when the file can't be read or its format is unknown.
    """
    placed = checked_options(project, options)
    dry_run = options.get("dry_run", False)
    mapping = options.get("mapping")
    limits = import_limits()
    began = monotonic()
    with _opened(file) as stream:
        size = _size(stream)
        columns = preview_of(stream).columns if mapping else {}
        found, records = recognised(stream, options.get("format"), mapping)
        report = options.get("so_far") or ImportReport(found.name, dry_run)
        share = 0.0
        yield ImportProgress(share, report.read, report.failed)
        new = islice(records, report.read, limits.rows)
        lines = batches_of(new, options.get("votes", ImportedVotes.CLOSE), options.get("responses_per_task"))
        with (
            closing(ahead(lines)) as batches,
            transaction.atomic() if dry_run else nullcontext(),
        ):
            for batch in batches:
                if monotonic() - began > limits.seconds:
                    report.stopped = limits.out_of_time
                    break
                with transaction.atomic():
                    _store_batch(project, batch, report, placed)
                    options.get("stored", _nothing)(report)
                # A Parquet reader seeks in both directions, so progress is measured by the highest position
                # reached.
                share = max(share, min(1.0, stream.tell() / size))
                yield ImportProgress(share, report.read, report.failed)
            if dry_run:
                transaction.set_rollback(True)
        if report.read >= limits.rows and next(records, None) is not None:
            report.stopped = limits.out_of_rows
    # A mapping that ignores the votes is not remembered, because it would silently ignore the votes in the
    # next file.
    if mapping and mapping.get("vote") != NO_VOTE and not dry_run:
        remember_mapping(project=project, columns=columns, mapping=mapping)
    if not dry_run and max(report.tasks, report.rankings) >= ANALYZE_AFTER_RANKINGS:
        analyze_content()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE annotation_ranking, annotation_comparison")
    return report


def recognised(
    stream: BinaryIO, format: str | None = None, mapping: Mapping[str, str] | None = None
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """The format and the records of the file. Reads only the beginning of most files. Raises Problem if the
    file can't be read or its format is unknown."""
    stream.seek(0)
    try:
        return read_records(stream, format, mapping)
    except FormatError as error:
        raise Problem(
            str(error), type="format-not-recognised", errors=[FieldProblem("file", str(error))]
        ) from error


def checked_options(project: Project, options: ImportOptions) -> dict[str, Any]:
    """The overlap, round and priority of new tasks. Raises Problem if one of them is out of bounds."""
    placed = {"round": options.get("round", 0), "priority": options.get("priority", 0)}
    per_task = options.get("responses_per_task")
    for name, what, value, low, high in (
        ("round", "round", placed["round"], 0, MAX_INTEGER),
        ("priority", "priority", placed["priority"], -MAX_INTEGER, MAX_INTEGER),
        ("responses_per_task", "number of responses per task", per_task, MIN_RESPONSES, MAX_RESPONSES),
    ):
        if value is not None and not low <= value <= high:
            reason = f"It must be from {low} to {high}."
            raise Problem(f"The {what} is out of bounds.", errors=[FieldProblem(name, reason)])
    return {"overlap": checked_overlap(project, options.get("overlap")), **placed}


def _nothing(report: ImportReport) -> None:
    """The default of the option `stored`."""


def _size(stream: BinaryIO) -> int:
    """The number of bytes left to read; at least 1."""
    at = stream.tell()
    size = stream.seek(0, SEEK_END)
    stream.seek(at)
    return max(1, size)


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(file, Path):
        yield file
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise Problem(f"{file} can't be read: {error.strerror}.", type="file-unreadable") from error
    with stream:
        yield stream


def _store_batch(project: Project, batch: list[Line], report: ImportReport, options: dict[str, Any]) -> None:
    for line in batch:
        report.read += 1
        if line.reason:
            report.fail(line.number, line.reason)
        for quirk in dict.fromkeys(line.quirks):
            report.notice(line.number, quirk)
    _store_or_single_out(project, [line for line in batch if line.parts or line.votes], report, options)


def _store_or_single_out(
    project: Project, batch: list[Line], report: ImportReport, options: dict[str, Any]
) -> None:
    """Stores a batch in one transaction. A row can pass every check and still be rejected by the database.
    Each row of the batch is then stored separately. The report names the rejected row, and the other rows are
    stored."""
    if not batch:
        return
    try:
        stored = _store(project, batch, options)
    except (DataError, IntegrityError) as error:
        if len(batch) == 1:
            report.fail(batch[0].number, f"the database refused the row: {str(error).splitlines()[0]}")
            return
        for line in batch:
            _store_or_single_out(project, [line], report, options)
    else:
        report.add(stored)


@transaction.atomic
def _store(project: Project, batch: Sequence[Line], options: dict[str, Any]) -> BatchReport:
    # Without a lock, two imports with the same prompts in different orders could deadlock. This lock is
    # therefore acquired before any row is written.
    acquire(Lock.CONTENT.of(project.pk))
    report = BatchReport()
    lookup = VotesLookup(project, [vote for line in batch for vote in line.votes])
    fits = current_form(project).responses
    parts: list[tuple[int, Part]] = []
    taskless: set[int] = set()
    for index, line in enumerate(batch):
        reasons: list[str] = []
        for part in [*line.parts, *_votes(lookup, line, reasons)]:
            reason = _reason_not_to_ask(part.wanted, fits)
            if reason is None:
                parts.append((index, part))
            elif part.task_optional:
                parts.append((index, Part(Wanted(part.wanted.prepared, None))))
                taskless.add(index)
            else:
                reasons.append(reason)
        # A line with an unreadable part has already been counted as failed.
        if reasons and not line.reason:
            report.failures.append(LineError(line.number, reasons[0]))
    stored = insert_content(
        project=project, wanted=[part.wanted for _, part in parts], known=lookup.known, **options
    )
    new = insert_rankings(project=project, ranked=list(_ranked(parts, stored)))
    report.quirks += [(batch[index].number, FORM_TAKES_OTHERS) for index in sorted(taskless)]
    report.quirks += [(batch[index].number, SAME_ANNOTATOR_AGAIN) for index in sorted(new.again)]
    report.prompts = len(stored.new_prompts)
    report.responses = len(stored.new_responses)
    report.tasks = len(stored.new_tasks)
    report.rankings = new.count
    report.unchanged = _unchanged(parts, stored, set(new.items))
    return report


def _unchanged(parts: Sequence[tuple[int, Part]], stored: StoredContent, changed: set[int]) -> int:
    """Counts the lines that added nothing; `changed` holds the lines that added a ranking."""
    seen: set[object] = set()
    for index, part in parts:
        # Of two identical lines, the first is new and the second is unchanged.
        key = (part.wanted.state is None, part.wanted.prepared.content_key)
        if key not in seen and stored.brings(part.wanted):
            changed.add(index)
        seen.add(key)
    return len({index for index, _ in parts} - changed)


def _votes(lookup: VotesLookup, line: Line, reasons: list[str]) -> Iterator[Part]:
    for vote in line.votes:
        found = lookup.prepared(vote)
        if isinstance(found, str):
            reasons.append(found)
        else:
            state = RankingTask.State.OPEN if line.stays_open else RankingTask.State.DONE
            yield Part(Wanted(found, state), (vote.ranking,))


def _reason_not_to_ask(wanted: Wanted, fits: Span) -> str | None:
    """Returns the reason why an open task doesn't fit the form, or None. Tasks that are already ranked are
    not checked."""
    count = len(wanted.prepared.response_hashes)
    return misfit(count, fits) if wanted.state == RankingTask.State.OPEN and not fits.takes(count) else None


def _ranked(parts: Sequence[tuple[int, Part]], stored: StoredContent) -> Iterator[Ranked]:
    for index, part in parts:
        if not part.rankings:
            continue
        prepared = part.wanted.prepared
        prompt_id = stored.prompts[prepared.prompt_hash]
        task_id = stored.tasks[prepared.content_key]
        ids = tuple([stored.responses[prompt_id, r_hash] for r_hash in prepared.response_hashes])
        for ranking in part.rankings:
            yield Ranked(index, task_id, prompt_id, ids, ranking, task_id in stored.new_tasks)
