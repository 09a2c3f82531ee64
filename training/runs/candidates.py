"""The candidates of a rejection sampling run: all sampled answers with their rewards.

A finished run keeps its candidates in a file next to its log. The run's result contains the file's digest.
Users can download the file, and can create ranking tasks from its answers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from annotation.content.adding import Counts, add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from config.problems import Conflict, Problem
from preferences.text import MIN_RESPONSES
from storage import durable
from storage.digests import FileChanged, sha256_of, verify_file
from training.models import TrainingRun
from training.rlhf.data.candidates import Candidate, PromptCandidates, read_candidates

CANDIDATES = "candidates.jsonl.gz"
SETTINGS = ("temperature", "top_p", "max_new_tokens", "seed")


@dataclass(frozen=True)
class CandidatesFile:
    path: Path
    sha256: str
    bytes: int


def finished_file(path: Path) -> CandidatesFile:
    return CandidatesFile(path, sha256_of(path), path.stat().st_size)


def keep_candidates(run: TrainingRun, made: CandidatesFile) -> dict[str, object]:
    """Put the file next to the run's log, as a hard link if possible. Returns the part of the run's
    result that describes the file."""
    with durable.replacing(run.folder / CANDIDATES) as partial:
        try:
            os.link(made.path, partial)
        except OSError:  # some file systems have no hard links
            shutil.copy2(made.path, partial)
    return {"sha256": made.sha256, "bytes": made.bytes}


def stored_candidates(run: TrainingRun) -> CandidatesFile:
    """Return the run's candidates file. Raises Problem, with status 404 if there is no file, and 409 if the
    file has changed since the run stored it."""
    stored = run.result.get("candidates")
    if stored is None:
        raise Problem(_why_none(run), status=HTTPStatus.NOT_FOUND, type="no-candidates")
    path = run.folder / CANDIDATES
    if not path.is_file():
        raise Problem(
            "The file with this run's candidates is missing from the artefacts folder. Restore it from a"
            " backup.",
            status=HTTPStatus.NOT_FOUND,
            type="no-candidates",
        )
    try:
        verify_file(path, sha256=stored["sha256"], what=f"The file {CANDIDATES} of run {run.id}")
    except FileChanged as error:
        raise Conflict(str(error), type="file-changed") from error
    return CandidatesFile(path, stored["sha256"], stored["bytes"])


def ask_for_rankings(
    *,
    run: TrainingRun,
    responses_per_task: int,
    max_tasks: int,
    overlap: int | None,
    priority: int,
) -> Counts:
    """Create ranking tasks from the answers that the run's input policy wrote in the first round.

    Each task gets up to `responses_per_task` finished, distinct answers whose rewards are spread over the
    whole range of the prompt's answers. A prompt with fewer than two such answers gets no task. Repeating the
    call creates no further tasks. Raises Problem if the run has no candidates, or if no task can be created.
    """
    lines = read_candidates(stored_candidates(run).path)
    newest = run.project.tasks.order_by("-round").values_list("round", flat=True).first()
    counts = add_ranking_tasks(
        project=run.project,
        items=list(_drafts(run, lines, responses_per_task, max_tasks)),
        overlap=overlap,
        round=0 if newest is None else newest + 1,
        priority=priority,
    )
    if not counts.tasks and not counts.unchanged:
        reasons = dict.fromkeys(refused.reason for refused in counts.refused)
        why = (
            f"All tasks were refused: {'; '.join(reasons)}."
            if reasons
            else "No prompt has two distinct finished answers."
        )
        raise Problem(f"No ranking task can be created from this run's candidates. {why}")
    return counts


def spread_answers(answers: Sequence[Candidate], number: int) -> list[Candidate]:
    """Return up to `number` finished answers with distinct texts, best first. Their scores are as close as
    possible to equally spaced values from the highest to the lowest score. Answers with the highest and the
    lowest score are included."""
    distinct: dict[str, tuple[float, Candidate]] = {}
    for one in answers:
        if one["finished"] and one["score"] is not None and one["text"]:
            distinct.setdefault(one["text"], (one["score"], one))
    left = sorted(distinct.values(), key=lambda pair: -pair[0])
    if len(left) <= number:
        return [one for _, one in left]
    highest, lowest = left[0][0], left[-1][0]
    chosen = []
    for step in range(number):
        wanted = highest - (highest - lowest) * step / (number - 1)
        nearest = min(left, key=lambda pair: abs(pair[0] - wanted))
        left.remove(nearest)
        chosen.append(nearest)
    return [one for _, one in sorted(chosen, key=lambda pair: -pair[0])]


def _drafts(
    run: TrainingRun, lines: Iterator[PromptCandidates], responses: int, max_tasks: int
) -> Iterator[TaskDraft]:
    model = run.recipe.get("base_model") or run.inputs.get("policy", "")
    sampling = {name: run.recipe[name] for name in SETTINGS if name in run.recipe} | {"finished": True}
    made = 0
    for line in lines:
        if line["round"] > 1 or made == max_tasks:
            return
        chosen = spread_answers(line["candidates"], responses)
        if len(chosen) >= MIN_RESPONSES:
            made += 1
            drafts = [ResponseDraft(one["text"], model, sampling) for one in chosen]
            yield TaskDraft(line["messages"], drafts, task_metadata={"candidates_of_run": str(run.pk)})


def _why_none(run: TrainingRun) -> str:
    if run.kind != TrainingRun.Kind.REJECTION_SAMPLING:
        return f"Only rejection sampling runs have candidates. This is a run of kind {run.kind}."
    if run.state != TrainingRun.State.SUCCEEDED:
        return f"This run has no candidates yet, because it has not succeeded. Its state is {run.state}."
    return "This run was executed by a version of Rankloop that did not keep candidates."
