"""Stores the batches of an import and reports on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import DataError, IntegrityError, connection, transaction

from annotation.content.adding import misfit
from annotation.content.content_rows import StoredContent, Wanted, insert_content
from annotation.content.importing.closing import close_ranked_tasks
from annotation.content.importing.left_out import keep_left_out
from annotation.content.importing.lines import Line, Part
from annotation.content.importing.rankings import Ranked, insert_rankings
from annotation.content.importing.report import BatchReport, ImportReport, LineError
from annotation.content.importing.votes import VotesLookup
from annotation.forms.answer_form import Span
from annotation.forms.versions import current_form
from annotation.models import Project, RankingTask
from preferences.quirks import FORM_TAKES_OTHERS, SAME_ANNOTATOR_AGAIN


@transaction.atomic
def store_batch(
    *,
    project: Project,
    batch: Sequence[Line],
    report: ImportReport,
    options: dict[str, Any],
    stored: Callable[[ImportReport], None] | None = None,
) -> None:
    """Stores a batch and adds it to the report, in one transaction. `stored` is then called with the report;
    an exception rolls the batch back."""
    for line in batch:
        report.read += 1
        if line.reason:
            report.fail(line.place, line.reason)
        for quirk in dict.fromkeys(line.quirks):
            report.notice(line.place, quirk)
    _store_or_single_out(project, [line for line in batch if line.parts or line.votes], report, options)
    if stored is not None:
        stored(report)
        # The commit does not wait for the disk. If Postgres crashes, the last batches and their part of the
        # report are lost together, and the import resumes at the first lost batch. The commit that ends the
        # import waits until all batches are on disk.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")


def _store_or_single_out(
    project: Project, batch: list[Line], report: ImportReport, options: dict[str, Any]
) -> None:
    """Stores a batch in one transaction. A row can pass every check and still be rejected by the database. In
    this case, each row of the batch is stored separately, so that the report names the rejected row and the
    other rows are stored."""
    if not batch:
        return
    try:
        stored = _store(project, batch, options)
    except (DataError, IntegrityError) as error:
        if len(batch) == 1:
            report.fail(batch[0].place, f"the database refused the row: {str(error).splitlines()[0]}")
            return
        for line in batch:
            _store_or_single_out(project, [line], report, options)
    else:
        report.add(stored)


@transaction.atomic
def _store(project: Project, batch: Sequence[Line], options: dict[str, Any]) -> BatchReport:
    report = BatchReport()
    lookup = VotesLookup(project, [vote for line in batch for vote in line.votes])
    fits = current_form(project).responses
    parts: list[tuple[int, Part]] = []
    unasked: set[int] = set()
    for index, line in enumerate(batch):
        reasons: list[str] = []
        for part in [*line.parts, *_votes(lookup, line, reasons)]:
            reason = _reason_not_to_ask(part.wanted, fits)
            if reason is None:
                parts.append((index, part))
            elif part.rankings and not part.wanted.is_check:
                # The task doesn't fit the form, so annotators could not answer it. The rankings don't need
                # the form, so they are stored with a closed task.
                closed = Wanted(part.wanted.prepared, RankingTask.State.DONE)
                parts.append((index, Part(closed, part.rankings)))
                unasked.add(index)
            elif part.task_optional:
                parts.append((index, Part(Wanted(part.wanted.prepared, None))))
                unasked.add(index)
            else:
                reasons.append(reason)
        # A line with an unreadable part has already been counted as failed.
        if reasons and not line.reason:
            report.failures.append(LineError(line.number, reasons[0], line.file))
    stored = insert_content(
        project=project, wanted=[part.wanted for _, part in parts], known=lookup.known, **options
    )
    kept = keep_left_out(
        left_out=[(index, part.wanted, part.left_out) for index, part in parts if part.left_out],
        stored=stored,
    )
    new = insert_rankings(project=project, ranked=list(_ranked(parts, stored)))
    closed_by = {
        stored.tasks[part.wanted.prepared.content_key]
        for index, part in parts
        if part.wanted.state == RankingTask.State.DONE and not batch[index].stays_open
    } - stored.new_tasks
    close_ranked_tasks(ranked={task: new.ordered[task] for task in closed_by & new.ordered.keys()})
    report.quirks += [(batch[index].place, FORM_TAKES_OTHERS) for index in sorted(unasked)]
    report.quirks += [(batch[index].place, SAME_ANNOTATOR_AGAIN) for index in sorted(new.again)]
    report.prompts = len(stored.new_prompts)
    report.responses = len(stored.new_responses)
    report.tasks = len(stored.new_tasks)
    report.rankings = new.count
    report.unchanged = _unchanged(parts, stored, new.items | kept)
    # Checks the foreign keys now. Postgres would otherwise check them at the end of the outer transaction,
    # when an invalid row could no longer be identified.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    return report


def _unchanged(parts: Sequence[tuple[int, Part]], stored: StoredContent, changed: set[int]) -> int:
    """Counts the lines that added nothing; `changed` contains the lines that added a ranking or metadata."""
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
    """Returns the reason why an open task doesn't fit the form, or None if it fits. Tasks that are already
    ranked are not checked."""
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
