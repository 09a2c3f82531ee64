"""The steps that freeze, train and sample."""

from __future__ import annotations

from typing import Any

from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import DatasetSnapshot
from config.problems import Problem
from training.loop.settings import LoopSettings, parse_settings
from training.loop.settled import Settled, running, skipped, succeeded
from training.models import ModelVersion, Round, RoundStep, TrainingRun
from training.runs.failures import explain
from training.runs.launch import launch_run

Kind = RoundStep.Kind
RunState = TrainingRun.State
POLICY, REWARD_MODEL = ModelVersion.Kind.POLICY, ModelVersion.Kind.REWARD_MODEL
NEEDS_SNAPSHOT = (TrainingRun.Kind.DPO,)


def freeze(step: RoundStep) -> Settled:
    """Freeze the rankings that the round learns from. The snapshot and the round's reference to it are
    committed together, so a repeated attempt uses the same rankings as the first attempt."""
    round = step.round
    name = f"round-{round.number}"
    taken = DatasetSnapshot.objects.filter(project=round.loop.project, name=name).exists()
    snapshot = freeze_snapshot(
        project=round.loop.project,
        name=None if taken else name,
        notes=f"Frozen by round {round.number} of the training loop.",
        created_by=round.started_by,
    )
    Round.objects.filter(pk=round.pk).update(snapshot=snapshot)
    return succeeded(snapshot=snapshot.name, rankings=snapshot.rows, comparisons=snapshot.comparisons)


def train_reward_model(step: RoundStep) -> Settled:
    assert step.round.snapshot is not None
    inputs = {"snapshot": step.round.snapshot.name, "policy": starting_policy(step.round).name}
    return _launch(step, TrainingRun.Kind.REWARD_MODEL, inputs)


def improve(step: RoundStep) -> Settled:
    judge, start = reward_model_of(step.round), starting_policy(step.round)
    inputs = {"policy": start.name}
    if step.subject in NEEDS_SNAPSHOT:
        assert step.round.snapshot is not None
        return _launch(step, step.subject, inputs | {"snapshot": step.round.snapshot.name})
    return _launch(step, step.subject, inputs | {"reward_model": judge.name})


def answer_with_current_policy(step: RoundStep) -> Settled:
    """Let `current_policy` answer the gate's held-out prompts."""
    return _answer(step, current_policy(step.round))


def answer_with_new_policy(step: RoundStep) -> Settled:
    new = made_by(step.round, Kind.IMPROVE, step.subject)
    if new is None:
        return skipped(f"There is no new policy from {step.subject}.")
    return _answer(step, new)


def _answer(step: RoundStep, policy: ModelVersion) -> Settled:
    settings = settings_of(step.round)
    fixed = {
        "split": "heldout",
        "judge": "reward_model",
        "responses_per_prompt": 1,
        "max_prompts": settings.gate_prompts,
        # Both policies answer the same prompts, because the seed decides which prompts are chosen.
        "seed": step.round.number,
    }
    inputs = {"policy": policy.name, "reward_model": reward_model_of(step.round).name}
    return _launch(step, TrainingRun.Kind.EVALUATE, inputs, **fixed)


def sample(step: RoundStep) -> Settled:
    """Let `current_policy` answer prompts, so that annotators can rank the answers."""
    fixed = {"seed": step.round.number}
    return _launch(step, TrainingRun.Kind.SAMPLE, {"policy": current_policy(step.round).name}, **fixed)


def _launch(step: RoundStep, kind: str, inputs: dict[str, str], **fixed: Any) -> Settled:
    round = step.round
    run = launch_run(
        project=round.loop.project,
        kind=kind,
        recipe={**settings_of(round).recipe_of(kind), **fixed},
        inputs=inputs,
        user=round.started_by,
    )
    return running(run)


def settle_run(step: RoundStep) -> Settled | None:
    """The state of a step whose run is over, or None while the run is queued or running."""
    run = step.run
    assert run is not None, f"step {step.pk} is running without a run"
    run.refresh_from_db()
    if not run.is_final:
        return None
    if run.state == RunState.SUCCEEDED:
        return succeeded(**run.result)
    if run.state == RunState.CANCELLED:
        return Settled(RoundStep.State.CANCELLED, "The run was cancelled.")
    failure = explain(run)
    return Settled(
        RoundStep.State.FAILED, f"{failure.title}. {failure.fix}" if failure else "The run failed."
    )


def settings_of(round: Round) -> LoopSettings:
    return parse_settings(round.settings)


def made_by(round: Round, kind: str, subject: str = "") -> ModelVersion | None:
    """The model that a step of the round made, or None."""
    step = round.steps.filter(kind=kind, subject=subject, run__isnull=False).first()
    if step is None:
        return None
    return ModelVersion.objects.filter(run=step.run_id).first()


def answering_run(round: Round, policy: ModelVersion) -> TrainingRun:
    """The run in which the policy answered the round's held-out prompts. Raises Problem if there is none."""
    answered = round.steps.filter(kind__in=[Kind.ANSWER_CURRENT, Kind.ANSWER_NEW])
    for one in answered.select_related("run").order_by("-position"):
        if one.run is not None and one.run.inputs.get("policy") == policy.name:
            return one.run
    raise Problem(
        f"{policy.name} has not answered this round's held-out prompts: it was promoted while the round was "
        "running. Cancel the round, and start another."
    )


def reward_model_of(round: Round) -> ModelVersion:
    """The round's own reward model. Raises Problem if it is missing."""
    model = made_by(round, Kind.REWARD_MODEL)
    if model is None:
        raise Problem(f"Round {round.number} has no reward model.")
    return model


def current_policy(round: Round) -> ModelVersion:
    """The policy in production or, before the first promotion, the policy from which the round starts."""
    project = round.loop.project
    policies = ModelVersion.objects.usable(project=project, kind=POLICY)
    return policies.filter(stage=ModelVersion.Stage.PRODUCTION).first() or starting_policy(round)


def starting_policy(round: Round) -> ModelVersion:
    """The policy that the round improves. All methods of a round start from the same policy. Raises Problem
    if the project had no policy when the round started."""
    if round.starting_policy is None:
        raise Problem("The project has no policy. Train one with SFT first, and start another round.")
    return round.starting_policy
