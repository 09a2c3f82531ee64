"""Adds prompts, responses and ranking tasks in bulk, identified by their content.

Adding the same content again changes nothing, so imports can be repeated and sampling runs can be resumed.
`drafts` checks and hashes the content; `content_rows` writes the rows of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from annotation.content.content_rows import Wanted, insert_content
from annotation.content.drafts import BadDraft, TaskDraft, prepared
from annotation.database.sql import Lock, acquire
from annotation.forms.versions import current_form
from annotation.models import Project, RankingTask
from annotation.models.project import MAX_OVERLAP
from config.problems import FieldProblem, Problem

BATCH_DRAFTS = 1000
# Number of new tasks after which the Postgres planner's statistics are too stale for fast claims.
ANALYZE_AFTER_TASKS = 1000


@dataclass(frozen=True)
class Refused:
    """A rejected draft. `index` is the draft's position in the input, from 0."""

    index: int
    reason: str


@dataclass
class Counts:
    """Counts of the new rows. `unchanged` counts drafts whose task (for :func:`add_prompts`: whose prompt)
    already exists or appears earlier in the input."""

    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    unchanged: int = 0
    refused: list[Refused] = field(default_factory=list)


def add_ranking_tasks(
    *,
    project: Project,
    items: Iterable[TaskDraft],
    overlap: int | None = None,
    round: int = 0,
    priority: int = 0,
) -> Counts:
    """Adds the tasks that don't exist yet, in one transaction per batch of 1000. Invalid drafts are rejected;
    all other drafts are added.

    `overlap` defaults to the project's overlap.
    """
    counts = Counts()
    wanted_overlap = checked_overlap(project, overlap)
    numbered = enumerate(items)
    while batch := list(itertools.islice(numbered, BATCH_DRAFTS)):
        _add_batch(project, batch, counts, overlap=wanted_overlap, round=round, priority=priority)
    if counts.tasks >= ANALYZE_AFTER_TASKS:
        analyze_content()
    return counts


@transaction.atomic
def _add_batch(
    project: Project,
    batch: Sequence[tuple[int, TaskDraft]],
    counts: Counts,
    *,
    overlap: int,
    round: int,
    priority: int,
) -> None:
    acquire(Lock.CONTENT.of(project.pk))
    fits = current_form(project).responses
    wanted = []
    for index, draft in batch:
        try:
            wanted.append(Wanted(prepared(draft), RankingTask.State.OPEN))
        except BadDraft as error:
            counts.refused.append(Refused(index, str(error)))
            continue
        if not fits.takes(len(draft.responses)):
            wanted.pop()
            counts.refused.append(Refused(index, misfit(len(draft.responses), fits)))
    stored = insert_content(project=project, wanted=wanted, overlap=overlap, round=round, priority=priority)
    counts.prompts += len(stored.new_prompts)
    counts.responses += len(stored.new_responses)
    counts.tasks += len(stored.new_tasks)
    counts.unchanged += len(wanted) - len(stored.new_tasks)


def add_prompts(
    *, project: Project, prompts: Iterable[tuple[Sequence[Mapping[str, str]], Mapping[str, Any]]]
) -> Counts:
    """Adds prompts for a policy to answer. Each prompt is given as a pair (messages, metadata)."""
    counts = Counts()
    numbered = enumerate(prompts)
    while batch := list(itertools.islice(numbered, BATCH_DRAFTS)):
        wanted = []
        for index, (messages, metadata) in batch:
            try:
                wanted.append(Wanted(prepared(TaskDraft(messages, (), metadata), as_task=False), None))
            except BadDraft as error:
                counts.refused.append(Refused(index, str(error)))
        with transaction.atomic():
            acquire(Lock.CONTENT.of(project.pk))
            stored = insert_content(project=project, wanted=wanted, overlap=project.overlap)
        counts.prompts += len(stored.new_prompts)
        counts.unchanged += len(wanted) - len(stored.new_prompts)
    return counts


def checked_overlap(project: Project, overlap: int | None) -> int:
    """Returns `overlap`, or the project's default if `overlap` is None. Raises Problem if the overlap is out
    of bounds."""
    overlap = project.overlap if overlap is None else overlap
    if not 1 <= overlap <= MAX_OVERLAP:
        raise Problem(
            "The overlap is out of bounds.",
            errors=[FieldProblem("overlap", f"It must be from 1 to {MAX_OVERLAP}.")],
        )
    return overlap


def misfit(count: int, fits: object) -> str:
    return f"the task has {count} responses, but this project's answer form requires {fits}"


def analyze_content() -> None:
    """Refreshes Postgres's statistics after a bulk load. Annotators can claim the new tasks immediately, but
    autovacuum can take a minute to refresh the statistics."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE annotation_prompt, annotation_response, annotation_rankingtask, annotation_taskresponse"
        )
