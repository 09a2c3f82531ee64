"""Choose a run's prompts. The seed determines the order of the prompts, so a repeated run chooses the same
prompts.

If the database is down, each function waits until the database is available again, because a run can read its
prompts long after its start.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from uuid import UUID

from django.db.models import Count, QuerySet

from annotation.database.outages import through_outages
from annotation.models import Project, Prompt
from storage import durable
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.runs.folders import take_over_checkpoints
from training.runs.process.datasets.varied import varied_prompts
from training.runs.process.job import Job
from training.runs.prompt_selection import ALL, counts_of, matching, select
from training.runs.recipes.run_recipes import PromptSelection, UsesPrompts

# Files next to the checkpoints: the run's prompts, and the prompts from which `varied_share` chooses them.
PROMPTS = "prompts.json"
CANDIDATES = "candidate_prompts.json"


@dataclass(frozen=True)
class DrawnPrompts:
    """The chosen prompts in order. `counts` maps each value in the mixture to its number of prompts."""

    messages: list[Messages]
    counts: dict[str, int]


def draw_prompts(
    *, project: Project, split: str | None, limit: int, seed: int, selection: PromptSelection = ALL
) -> DrawnPrompts:
    """Return up to `limit` prompts in the split, in random order. If `split` is None, both splits are used.
    Raises UnusableInput if there are no prompts."""
    prompts = matching(project=project, split=split, selection=selection)
    return _drawn(prompts, split, limit, selection, partial(_shuffled, seed))


def prompts_to_sample(
    *, project: Project, limit: int, seed: int, selection: PromptSelection = ALL
) -> DrawnPrompts:
    """Return up to `limit` prompts of both splits, starting with the prompts that have the fewest tasks.
    Prompts with the same number of tasks are in random order. Raises UnusableInput if there are no
    prompts."""
    prompts = matching(project=project, split=None, selection=selection)
    counted = dict(through_outages(lambda: list(prompts.annotate(n=Count("tasks")).values_list("id", "n"))))

    def fewest_tasks_first(ids: list[UUID]) -> list[UUID]:
        return sorted(_shuffled(seed, ids), key=lambda id: counted.get(id, 0))

    return _drawn(prompts, None, limit, selection, fewest_tasks_first)


def drawn_prompts(job: Job) -> list[Messages]:
    """Draw the prompts that the run's recipe selects, and add their counts to the job's counts."""
    recipe = cast(UsesPrompts, job.recipe)
    drawn = draw_prompts(
        project=job.run.project,
        split=recipe.used_split,
        limit=recipe.max_prompts,
        seed=recipe.seed,
        selection=recipe.selection,
    )
    return counted(job, drawn)


def kept_prompts(job: Job) -> list[Messages]:
    """Like `drawn_prompts`, but an attempt with checkpoints uses the prompts of the previous attempt. The
    project's prompts might have changed since then, and checkpoints are valid only with the same prompts.
    With `varied_share`, the prompts are those with the most varied rewards."""
    folder = take_over_checkpoints(job.run, job.attempt)
    if (folder / PROMPTS).exists():
        return _read(job, folder / PROMPTS)
    if (folder / CANDIDATES).exists():
        candidates = _read(job, folder / CANDIDATES)
    else:
        candidates = drawn_prompts(job)
        _keep(job, folder / CANDIDATES, candidates)
    messages = varied_prompts(job, folder, candidates)
    _keep(job, folder / PROMPTS, messages)
    return messages


def _read(job: Job, file: Path) -> list[Messages]:
    return counted(job, DrawnPrompts(**json.loads(file.read_text())))


def _keep(job: Job, file: Path, messages: list[Messages]) -> None:
    durable.make_folders(file.parent)
    durable.write_text(file, json.dumps({"messages": messages, "counts": job.counts}))


def counted(job: Job, drawn: DrawnPrompts) -> list[Messages]:
    job.counts.update(drawn.counts)
    return drawn.messages


def _drawn(
    prompts: QuerySet[Prompt],
    split: str | None,
    limit: int,
    selection: PromptSelection,
    in_order: Callable[[list[UUID]], Sequence[UUID]],
) -> DrawnPrompts:
    ids = through_outages(lambda: select(prompts, selection=selection, limit=limit, in_order=in_order))
    if not ids:
        what = f"{split} prompts" if split else "prompts"
        which = " that match prompt_filter" if selection.filter else ""
        raise UnusableInput(f"the project has no {what}{which}", FailureKind.DATA_EMPTY)
    chosen = Prompt.objects.filter(id__in=ids).values_list("id", "messages")
    found = through_outages(lambda: dict(chosen.all()))
    counts = through_outages(lambda: counts_of(ids, selection=selection))
    return DrawnPrompts([found[id] for id in ids], counts)


def _shuffled(seed: int, ids: list[UUID]) -> list[UUID]:
    random.Random(f"prompts {seed}").shuffle(ids)
    return ids
