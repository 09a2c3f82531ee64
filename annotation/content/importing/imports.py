"""Imports files of prompts, responses and existing rankings into a project.

Rows are stored in batches, each in its own transaction. Memory use therefore stays constant, and an invalid
row affects no other row. To complete an interrupted import, repeat the import. Existing rows are counted as
unchanged. `import_jobs` runs the imports of uploaded files in a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, Unpack

from django.db import connection, transaction

from annotation.content.adding import analyze_content
from annotation.content.importing.ahead import ahead
from annotation.content.importing.batches import store_batch
from annotation.content.importing.limits import ImportLimits, OutOfTime, import_limits
from annotation.content.importing.lines import ImportedVotes, batches_of, full_batch
from annotation.content.importing.options import ImportOptions, checked_options
from annotation.content.importing.remembered_mappings import remember_mapping
from annotation.content.importing.report import ImportProgress, ImportReport
from annotation.database.sql import Lock, acquire
from annotation.models import Project
from config.problems import FieldProblem, Problem
from preferences.formats.containers.limits import Expanded
from preferences.formats.preview import preview_of
from preferences.formats.readers.table.chosen_mapping import NO_VOTE
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import FormatError, ImportFormat

ANALYZE_AFTER_RANKINGS = 1000
CHECK_EVERY_ROWS = 100


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
    *,
    project: Project,
    file: Path | BinaryIO,
    so_far: ImportReport | None = None,
    stored: Callable[[ImportReport], None] | None = None,
    check: Callable[[], None] | None = None,
    began: float | None = None,
    lines_per_batch: Callable[[], int] = full_batch,
    **options: Unpack[ImportOptions],
) -> Generator[ImportProgress, None, ImportReport]:
    """Imports `file` (a path or a seekable binary stream). The format is detected unless it is given.

    Yields once when the format is known and then after each batch; returns the report. Closing the generator
    stops the import and keeps the batches stored so far. The generator must run in a single thread.

    By default, a task that is imported with a ranking is done and is not served to annotators. `dry_run`
    stores everything and rolls it back, so the report matches that of a real import. Raises Problem and
    writes nothing if the file can't be read or its format is unknown.

    The other arguments are for imports in a worker. `so_far` is the report of an interrupted import of the
    same file; the import continues after the rows in this report. `stored` is called with the report in each
    batch's transaction; an exception rolls the batch back. `check` is called while rows are read; an
    exception ends the import. The time limit is measured from `began`, a time on the monotonic clock.
    `lines_per_batch` gives the number of lines at which the current batch is complete.
    """
    placed = checked_options(project, options)
    dry_run = options.get("dry_run", False)
    mapping = options.get("mapping")
    limits = import_limits(dry_run=dry_run, began=began)
    expanded = Expanded()
    with _opened(file) as stream:
        size = _size(stream)
        columns = preview_of(stream).columns if mapping else {}
        found, records = recognised(stream, options.get("format"), mapping, expanded)
        report = so_far or ImportReport(found.name, dry_run)
        share = 0.0
        yield ImportProgress(share, report.read, report.failed)
        watched = _watched(records, limits, check)
        lines = batches_of(
            islice(watched, report.read, limits.rows),
            options.get("votes", ImportedVotes.CLOSE),
            options.get("responses_per_task"),
            lines_per_batch,
        )
        with (
            closing(ahead(lines)) as batches,
            transaction.atomic() if dry_run else nullcontext(),
        ):
            try:
                for batch in batches:
                    with transaction.atomic():
                        if not dry_run:
                            # Two imports with the same prompts in different orders could deadlock. The lock
                            # is therefore acquired before any row is written. A dry run doesn't acquire the
                            # lock, because changes to the project's form would then wait until the dry run
                            # ends.
                            acquire(Lock.CONTENT.of(project.pk))
                        store_batch(
                            project=project, batch=batch, report=report, options=placed, stored=stored
                        )
                    # A Parquet reader seeks in both directions, so progress is measured by the highest
                    # position reached.
                    share = max(share, min(1.0, stream.tell() / size))
                    yield ImportProgress(share, report.read, report.failed)
            except OutOfTime:
                report.stopped = limits.out_of_time
            if dry_run:
                transaction.set_rollback(True)
        if expanded.exceeded:
            report.stopped = limits.out_of_bytes(expanded)
        elif report.read >= limits.rows and next(records, None) is not None:
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
    stream: BinaryIO,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    expanded: Expanded | None = None,
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """The format and the records of the file. Reads only the beginning of most files. Raises Problem if the
    file can't be read or its format is unknown."""
    stream.seek(0)
    try:
        return read_records(stream, format, mapping, expanded)
    except FormatError as error:
        raise Problem(
            str(error), type="format-not-recognised", errors=[FieldProblem("file", str(error))]
        ) from error


def _watched(
    records: Iterable[NumberedRecords], limits: ImportLimits, check: Callable[[], None] | None
) -> Iterator[NumberedRecords]:
    """Yields the records. Every few rows, checks the time limit and calls `check`."""
    for number, item in enumerate(records):
        if number % CHECK_EVERY_ROWS == 0:
            limits.check_time()
            if check is not None:
                check()
        yield item


def _size(stream: BinaryIO) -> int:
    """The stream's size in bytes; at least 1, so that the progress can be divided by the size."""
    size = stream.seek(0, SEEK_END)
    stream.seek(0)
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
