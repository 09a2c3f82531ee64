"""Helpers for rounds. They store the results that the training process of a run would store, but do not
train."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from annotation.desk.answers import Answer
from annotation.desk.submission import submit_ranking
from annotation.models import Project, User
from tests.annotation.answering import claim_next
from training.loop.rounds import advance_round
from training.models import ModelVersion, Round, RoundStep, TrainingRun
from training.rlhf.report.reward_report import JSON_NAME
from training.runs.answers import ANSWERS, AnsweredPrompt, keep_answers, write_answers
from training.runs.candidates import finished_file

MakeModel = Callable[..., ModelVersion]
GOOD = {"value": 0.8, "low": 0.7, "high": 0.9}
CHANCE = {"value": 0.52, "low": 0.44, "high": 0.6}


def end_run(run: TrainingRun, state: str = "succeeded", **result: Any) -> None:
    error = {"kind": "unknown", "title": "Stopped", "detail": "d"}
    TrainingRun.objects.filter(pk=run.pk).update(
        state=state, finished_at=timezone.now(), result=result, error=error if state == "failed" else None
    )


def waiting(round: Round) -> RoundStep:
    """The step that the round waits for."""
    step = round.steps.select_related("run").filter(state=RoundStep.State.RUNNING).first()
    assert step is not None, f"the round is {round.state}: {round.reason}"
    return step


def trained_reward_model(
    round: Round, make_model: MakeModel, *, name: str, accuracy: dict[str, float] | None = None
) -> Round:
    """End the round's reward model run with a model of this accuracy, and advance the round."""
    run = waiting(round).run
    assert run is not None
    assert run.kind == "reward_model"
    model = make_model(name=name, kind="reward_model", run=run)
    ece = {"value": 0.05, "low": 0.02, "high": 0.1}
    report = {"accuracy": accuracy or GOOD, "calibration": {"preference": {"ece": ece}}}
    (model.folder / JSON_NAME).write_text(json.dumps(report))
    end_run(run, model={"id": str(model.id), "name": model.name})
    return advance_round(round_id=round.pk)


def answered(
    round: Round,
    texts: list[str],
    *,
    prompts: list[list[dict[str, str]]] | None = None,
    points: float = 0.0,
    tokens: float = 20.0,
    repetition: float = 0.0,
) -> Round:
    """End the round's evaluate run with one answer per prompt, and advance the round."""
    prompts = prompts or [[{"role": "user", "content": f"Question {n}?"}] for n in range(len(texts))]
    run = waiting(round).run
    assert run is not None
    assert run.kind == "evaluate"
    run.folder.mkdir(parents=True, exist_ok=True)
    made = run.folder / f"made-{ANSWERS}"
    write_answers(
        (
            AnsweredPrompt(messages=messages, responses=[text], points=[points])
            for messages, text in zip(prompts, texts, strict=True)
        ),
        made,
    )
    metrics = {"reward_model/mean_tokens": tokens, "reward_model/repetition_rate": repetition}
    end_run(run, metrics=metrics, answers=keep_answers(run, finished_file(made)))
    return advance_round(round_id=round.pk)


def improved(round: Round, make_model: MakeModel, *, name: str, kl: float = 1.0) -> Round:
    """End the round's improving run with a new policy, and advance the round."""
    run = waiting(round).run
    assert run is not None
    model = make_model(name=name, run=run, metrics={"objective/kl": kl})
    end_run(run, model={"id": str(model.id), "name": model.name})
    return advance_round(round_id=round.pk)


def rank_gate(project: Project, annotator: User, *, preferring: str, answers: int) -> None:
    """Let the annotator answer this many tasks of a gate, always preferring the model of this name."""
    for _ in range(answers):
        assignment = claim_next(project=project, annotator=annotator)
        assert assignment is not None
        responses = list(assignment.task.responses.all())
        best = [one.pk for one in responses if one.model_name == preferring]
        rest = [one.pk for one in responses if one.model_name != preferring]
        submit_ranking(
            assignment=assignment,
            token=assignment.token,
            answer=Answer(tiers=[best, rest], touched=True),
            idempotency_key=str(assignment.pk),
        )


def states(round: Round) -> dict[str, str]:
    return {f"{step.kind} {step.subject}".strip(): step.state for step in round.steps.order_by("position")}
