"""Files of prompts, responses and existing rankings into a project.

Rows go in by batches, each in its own transaction, so memory stays flat, a bad row costs only itself, and an
import that was cut off is finished by running it again: what is there already is counted as unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from annotation.formats.catalog import NumberedRecord, read_records
from annotation.formats.records import MIN_RESPONSES, FormatError, RankingRecord, Record
from annotation.ids import uuid7
from annotation.models import Project, Ranking, RankingTask
from annotation.services.bulk import NOW, insert_rows
from annotation.services.comparisons import RankedTask, insert_comparisons
from annotation.services.content import (
    Counts,
    ResponseDraft,
    StoredTask,
    TaskDraft,
    add_prompts,
    analyze_content,
    store_tasks,
)
from annotation.services.forms import lock_content
from config.problems import FieldProblem, Problem

BATCH_RECORDS = 1000
BATCH_CHARACTERS = 16 * 2**20
# A file that is wrong throughout would make a report as long as itself; `failed` counts them all.
MAX_REPORTED_ERRORS = 1000
LINES_PER_NOTICE = 5
ANALYZE_AFTER_RANKINGS = 1000
MAX_INTEGER = 2**31 - 1
_canonical = json.JSONEncoder(sort_keys=True).encode

ONE_DISTINCT = "there is only one distinct response, so only its prompt was taken"
REPEATED = "a response stands there twice; it was taken once, at its best place"


@dataclass(frozen=True, slots=True)
class LineError:
    line: int
    reason: str


@dataclass
class ImportReport:
    """What became of a file. Each of the `read` rows is new in some part, or `unchanged`, or `failed`."""

    format: str
    read: int = 0
    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    rankings: int = 0
    unchanged: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def fail(self, line: int, reason: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_REPORTED_ERRORS:
            self.errors.append(LineError(line, reason))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Numbered:
    line: int
    record: Record


@dataclass(frozen=True, slots=True)
class _NewRanking:
    id: UUID
    stored: StoredTask
    ranking: RankingRecord
    import_key: str


def import_file(
    *,
    project: Project,
    file: Path | BinaryIO,
    format: str | None = None,
    overlap: int | None = None,
    round: int = 0,
    priority: int = 0,
) -> ImportReport:
    """Takes in what `file` holds (a path or a seekable binary stream); the format is recognised unless named.

    A task that comes with a ranking is done: annotators are not asked again. Raises Problem, with nothing
    written, when the file can't be read or is in no known format.
    """
    if isinstance(file, Path):
        try:
            with file.open("rb") as stream:
                return import_file(
                    project=project,
                    file=stream,
                    format=format,
                    overlap=overlap,
                    round=round,
                    priority=priority,
                )
        except OSError as error:
            raise Problem(f"{file} can't be read: {error.strerror}.", type="file-unreadable") from error
    try:
        found, records = read_records(file, format)
    except FormatError as error:
        raise Problem(
            str(error), type="format-not-recognised", errors=[FieldProblem("file", str(error))]
        ) from error
    for name, value, low in (("round", round, 0), ("priority", priority, -MAX_INTEGER)):
        if not low <= value <= MAX_INTEGER:
            reason = f"It is {low} to {MAX_INTEGER}."
            raise Problem(f"The {name} is out of bounds.", errors=[FieldProblem(name, reason)])
    report = ImportReport(found.name)
    seen_notices: dict[str, list[int]] = {}
    options = {"overlap": overlap, "round": round, "priority": priority}
    for batch in _batches(_good(records, report, seen_notices)):
        _store_or_single_out(project, batch, report, options)
    report.notices = [_notice(text, lines) for text, lines in seen_notices.items()]
    if report.tasks >= ANALYZE_AFTER_RANKINGS or report.rankings >= ANALYZE_AFTER_RANKINGS:
        analyze_content()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE annotation_ranking, annotation_comparison")
    return report


def _good(
    records: Iterable[NumberedRecord], report: ImportReport, notices: dict[str, list[int]]
) -> Iterator[_Numbered]:
    """The rows that are records, each response in them once; the others go into the report."""
    for item in records:
        report.read += 1
        if item.record is None:
            report.fail(item.line, item.reason)
            continue
        record, repeated = _distinct(item.record)
        found = list(item.record.notices)
        if repeated:
            found.append(REPEATED if len(record.responses) >= MIN_RESPONSES else ONE_DISTINCT)
        for notice in found:
            counted = notices.setdefault(notice, [0])
            counted[0] += 1
            if len(counted) <= LINES_PER_NOTICE:
                counted.append(item.line)
        yield _Numbered(item.line, record)


def _notice(text: str, counted: list[int]) -> str:
    count, *lines = counted
    more = " …" if count > len(lines) else ""
    return f"{count} × {text} ({'line' if count == 1 else 'lines'} {', '.join(map(str, lines))}{more})"


def _distinct(record: Record) -> tuple[Record, bool]:
    """The record with each response once, and whether one stood there twice.

    A response is its text and its model, as in the database. In a ranking the first place of several counts.
    """
    given = [(response.text, response.model) for response in record.responses]
    if len(set(given)) == len(given):
        return record, False
    kept = {response: index for index, response in reversed(list(enumerate(given)))}
    indices = sorted(kept.values())
    renumbered = {index: indices.index(kept[response]) for index, response in enumerate(given)}
    ranking = record.ranking
    if ranking is not None:
        ranking = replace(
            ranking,
            tiers=_merged(ranking.tiers, renumbered),
            ratings={renumbered[index]: value for index, value in reversed(ranking.ratings.items())},
            flags={renumbered[index]: value for index, value in reversed(ranking.flags.items())},
        )
    return replace(
        record,
        responses=tuple(record.responses[index] for index in indices),
        ranking=ranking,
        gold_tiers=None if record.gold_tiers is None else _merged(record.gold_tiers, renumbered),
    ), True


def _merged(tiers: Sequence[Sequence[int]], renumbered: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    seen: set[int] = set()
    merged = []
    for tier in tiers:
        members = {renumbered[index] for index in tier} - seen
        seen |= members
        merged.append(tuple(sorted(members)))
    return tuple(tier for tier in merged if tier)


def _batches(items: Iterable[_Numbered]) -> Iterator[list[_Numbered]]:
    """Batches bounded by number and by text: 1,000 of the longest rows allowed would be gigabytes."""
    batch: list[_Numbered] = []
    characters = 0
    for item in items:
        texts = [message["content"] for message in item.record.messages]
        texts += [response.text for response in item.record.responses]
        batch.append(item)
        characters += sum(map(len, texts))
        if len(batch) >= BATCH_RECORDS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _store_or_single_out(
    project: Project, batch: list[_Numbered], report: ImportReport, options: dict[str, Any]
) -> None:
    """One batch in one transaction. If the database refuses a row that every check let pass, each row goes in
    alone, so that the refused one is named and its neighbours land."""
    before = replace(report, errors=list(report.errors))
    try:
        _store(project, batch, report, options)
    except (DataError, IntegrityError) as error:
        vars(report).update(vars(before))
        if len(batch) == 1:
            report.fail(batch[0].line, f"the database refused it: {str(error).splitlines()[0]}")
            return
        for item in batch:
            _store_or_single_out(project, [item], report, options)


@transaction.atomic
def _store(project: Project, batch: list[_Numbered], report: ImportReport, options: dict[str, Any]) -> None:
    # Before any row: two imports of the same prompts, met in unlike order, would wait for each other.
    lock_content(project)
    counts = Counts()
    tasks = [(index, item) for index, item in enumerate(batch) if len(item.record.responses) >= MIN_RESPONSES]
    stored: list[StoredTask] = []
    for state, wanted in ((RankingTask.State.OPEN, False), (RankingTask.State.DONE, True)):
        drafts = [
            (index, _draft(item.record))
            for index, item in tasks
            if (item.record.ranking is not None) is wanted
        ]
        if drafts:
            stored += store_tasks(project=project, drafts=drafts, counts=counts, state=state, **options)
    for refused in counts.refused:
        report.fail(batch[refused.index].line, refused.reason)
    new_rankings = _store_rankings(project, batch, stored)
    report.unchanged += sum(not task.created and task.index not in new_rankings for task in stored)
    report.rankings += len(new_rankings)
    alone = [item.record for item in batch if len(item.record.responses) < MIN_RESPONSES]
    if alone:
        added = add_prompts(project=project, prompts=[(record.messages, record.metadata) for record in alone])
        report.prompts += added.prompts
        report.unchanged += added.unchanged
    report.prompts += counts.prompts
    report.responses += counts.responses
    report.tasks += counts.tasks


def _draft(record: Record) -> TaskDraft:
    responses = [ResponseDraft(item.text, item.model, item.sampling) for item in record.responses]
    return TaskDraft(record.messages, responses, record.metadata, record.gold_tiers)


def _store_rankings(project: Project, batch: list[_Numbered], stored: list[StoredTask]) -> set[int]:
    """Writes the rankings of a batch that are not there yet; gives the batch indices of the new ones."""
    drafts: dict[str, tuple[int, _NewRanking]] = {}
    own = _rankings_of_this_project(project, batch)
    for task in sorted(stored, key=lambda task: task.index):
        record = batch[task.index].record
        if record.ranking is None or record.ranking.external_id in own:
            continue
        key = _import_key(task, record.ranking)
        drafts.setdefault(key, (task.index, _NewRanking(uuid7(), task, record.ranking, key)))
    if not drafts:
        return set()
    new_ids = _insert_rankings(project, [draft for _, draft in drafts.values()])
    new = [(index, draft) for index, draft in drafts.values() if draft.id in new_ids]
    insert_comparisons(
        RankedTask(
            draft.id,
            project.pk,
            draft.stored.prompt_id,
            draft.stored.response_ids,
            _tier_ids(draft),
            draft.ranking.strength,
        )
        for _, draft in new
    )
    return {index for index, _ in new}


def _rankings_of_this_project(project: Project, batch: list[_Numbered]) -> set[str]:
    """External ids that are this project's own rankings: its export, imported again, adds nothing."""
    given = {item.record.ranking.external_id for item in batch if item.record.ranking is not None} - {""}
    if not given:
        return set()
    found = Ranking.objects.filter(project=project, pk__in=[id for id in map(_uuid, given) if id is not None])
    own = {str(id) for id in found.values_list("pk", flat=True)}
    return {text for text in given if str(_uuid(text)) in own}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _import_key(task: StoredTask, ranking: RankingRecord) -> str:
    """SHA-256 of all that the ranking says. Ids stand for texts: a project has each content once."""
    ids = [str(id) for id in task.response_ids]
    content = [
        ranking.external_id,
        str(task.task_id),
        [sorted(ids[index] for index in tier) for tier in ranking.tiers],
        ranking.annotator,
        ranking.strength,
        {ids[index]: value for index, value in ranking.ratings.items()},
        {ids[index]: value for index, value in ranking.flags.items()},
        ranking.not_rankable,
        ranking.comment,
        ranking.rewrite,
    ]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _tier_ids(draft: _NewRanking) -> list[list[UUID]]:
    """Tiers of response ids; within a tie in shown order, which here is the order of the file."""
    return [[draft.stored.response_ids[index] for index in sorted(tier)] for tier in draft.ranking.tiers]


def _insert_rankings(project: Project, drafts: Sequence[_NewRanking]) -> set[UUID]:
    """Writes those whose import key is new in the project; gives the ids of the rows written."""

    def by_id(draft: _NewRanking, values: dict[int, Any]) -> dict[str, Any]:
        return {str(draft.stored.response_ids[index]): value for index, value in values.items()}

    new_ids = insert_rows(
        "annotation_ranking",
        constants={
            "project_id": project.pk,
            "source": Ranking.Source.IMPORT,
            "touched": True,
            "created_at": NOW,
        },
        columns={
            "id": ("uuid", [draft.id for draft in drafts]),
            "task_id": ("uuid", [draft.stored.task_id for draft in drafts]),
            "annotator_label": ("text", [draft.ranking.annotator for draft in drafts]),
            "shown_order": ("uuid[]", [draft.stored.response_ids for draft in drafts]),
            "tiers": ("jsonb", [_tier_ids(draft) for draft in drafts]),
            "strength": ("smallint", [draft.ranking.strength for draft in drafts]),
            "ratings": ("jsonb", [by_id(draft, draft.ranking.ratings) for draft in drafts]),
            "flags": ("jsonb", [by_id(draft, draft.ranking.flags) for draft in drafts]),
            "not_rankable": ("boolean", [draft.ranking.not_rankable for draft in drafts]),
            "comment": ("text", [draft.ranking.comment for draft in drafts]),
            "rewrite": ("text", [draft.ranking.rewrite for draft in drafts]),
            "duration_ms": ("bigint", [draft.ranking.duration_ms for draft in drafts]),
            "import_key": ("text", [draft.import_key for draft in drafts]),
        },
    )
    return set(new_ids)
