"""Completes a successful run: its model, its tasks and its final state are written atomically."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.db import transaction

from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import TaskDraft
from annotation.database.outages import through_outages
from annotation.models import Project
from storage import durable
from storage.digests import Manifest
from training.models import ModelVersion, TrainingRun
from training.rlhf.models.files.adapters import is_adapter
from training.runs.answers import keep_answers
from training.runs.candidates import CandidatesFile, keep_candidates
from training.runs.progress.events import LostClaim, storable
from training.runs.transitions import succeed_run

Weights = ModelVersion.Weights
# Abbreviations of run kinds in model names such as demo-sft-1 and demo-rm-2.
NAME_OF_KIND = {
    TrainingRun.Kind.SFT: "sft",
    TrainingRun.Kind.REWARD_MODEL: "rm",
    TrainingRun.Kind.REJECTION_SAMPLING: "rs",
    TrainingRun.Kind.RLOO: "rloo",
    TrainingRun.Kind.PPO: "ppo",
    TrainingRun.Kind.DPO: "dpo",
}


@dataclass(frozen=True)
class NewModel:
    """Saved weights that do not have a ModelVersion row yet."""

    kind: str
    folder: Path
    base_model: str
    parent: ModelVersion | None
    files: Manifest | None = None


@dataclass(frozen=True)
class NewTasks:
    """Responses for annotators to rank."""

    drafts: Sequence[TaskDraft]
    overlap: int
    priority: int


@dataclass(frozen=True)
class Outcome:
    """The result returned by a run kind's function."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    model: NewModel | None = None
    tasks: NewTasks | None = None
    candidates: CandidatesFile | None = None
    answers: CandidatesFile | None = None
    machine: Mapping[str, object] = field(default_factory=dict)
    trained_weights: Sequence[str] = ()


def complete_run(*, run: TrainingRun, attempt: int, outcome: Outcome) -> None:
    """Record the success of a run (running → succeeded) with everything that the run produced. Raises
    LostClaim, and changes nothing, if the attempt is stale.

    If the connection to the database fails, the whole transaction is repeated on a new connection.
    """
    through_outages(partial(_complete, run, attempt, outcome))


@transaction.atomic
def _complete(run: TrainingRun, attempt: int, outcome: Outcome) -> None:
    """Do the work of `complete_run` in one transaction.

    The weights are put into place inside the transaction. If the transaction doesn't commit, the model's
    folder has no ModelVersion row. The folder is then replaced by the repeated transaction, by the next
    attempt, or by another run's model of the same name. The weights therefore also remain in the attempt's
    own folder.
    """
    mine = TrainingRun.objects.filter(pk=run.pk, attempt=attempt, state=TrainingRun.State.RUNNING)
    # Lock the run first. Heartbeats have stopped, and writing many tasks takes time. Without the lock, the
    # sweep could consider this run lost, and another worker could then claim the run.
    if mine.select_for_update(no_key=True).first() is None:
        if TrainingRun.objects.filter(pk=run.pk, attempt=attempt, state=TrainingRun.State.SUCCEEDED).exists():
            return  # the connection failed after the commit
        raise LostClaim(f"attempt {attempt} of run {run.id} has been replaced or ended")
    made = _register(run, outcome) if outcome.model else None
    counts = {**outcome.counts, **(_add_tasks(run.project, outcome.tasks) if outcome.tasks else {})}
    result: dict[str, object] = {"metrics": dict(outcome.metrics), "counts": counts}
    if outcome.machine:
        result["machine"] = dict(outcome.machine)
    if outcome.trained_weights:
        result["trained_weights"] = list(outcome.trained_weights)
    if made:
        result["model"] = {"id": str(made.id), "name": made.name}
    if outcome.candidates:
        result["candidates"] = keep_candidates(run, outcome.candidates)
    if outcome.answers:
        result["answers"] = keep_answers(run, outcome.answers)
    succeed_run(run_id=run.id, attempt=attempt, result=result)
    if made and outcome.model:
        _put_into_place(outcome.model.folder, made.folder)


def _register(run: TrainingRun, outcome: Outcome) -> ModelVersion:
    assert outcome.model is not None
    # The number in a model's name is derived from the existing models. Without this lock, two concurrent runs
    # of a project could choose the same name.
    project = Project.objects.select_for_update(no_key=True).get(pk=run.project_id)
    name = _next_name(project, run.kind)
    return ModelVersion.objects.create(
        project=project,
        name=name,
        kind=outcome.model.kind,
        base_model=outcome.model.base_model,
        parent=outcome.model.parent,
        run=run,
        path=f"models/{name}",
        files=outcome.model.files,
        weights=Weights.ADAPTER if is_adapter(outcome.model.folder) else Weights.FULL,
        metrics=storable(outcome.metrics),
    )


def _next_name(project: Project, kind: str) -> str:
    stem = f"{project.slug}-{NAME_OF_KIND[TrainingRun.Kind(kind)]}-"
    number = ModelVersion.objects.filter(name__startswith=stem).count() + 1
    # The count is only a starting point, because it can include another project's models: the name
    # "a-sft-sft-1" of project "a-sft" also starts with "a-sft-", the stem of project "a". The number is
    # increased until the name is free.
    while ModelVersion.objects.filter(name=f"{stem}{number}").exists():
        number += 1
    return f"{stem}{number}"


def _put_into_place(made: Path, target: Path) -> None:
    """Put the weights into place with one rename. The attempt's folder keeps them: the new files are hard
    links, which take no space. Run folders and model folders are on the same file system
    (settings.ARTEFACTS)."""
    durable.make_folders(target.parent)
    # A folder without a row is left over from a transaction that did not commit. It is replaced.
    with durable.replacing(target) as partial:
        shutil.copytree(made, partial, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # some file systems have no hard links
        shutil.copy2(source, target)


def _add_tasks(project: Project, tasks: NewTasks) -> dict[str, int]:
    newest = project.tasks.order_by("-round").values_list("round", flat=True).first()
    counts = add_ranking_tasks(
        project=project,
        items=tasks.drafts,
        overlap=tasks.overlap,
        round=0 if newest is None else newest + 1,
        priority=tasks.priority,
    )
    # A prompt is refused if, for example, an answer contains a NUL character, which can't be stored. The
    # reasons are written to standard output, which is the run's log.
    for refused in counts.refused:
        sys.stdout.write(
            f"No ranking task was created for the answers to prompt {refused.index}: {refused.reason}.\n"
        )
    return {
        "prompts": counts.prompts,
        "responses": counts.responses,
        "tasks": counts.tasks,
        "tasks_refused": len(counts.refused),
    }
