"""What each kind of step does. `start_step` begins a pending step, and `settle_step` checks whether a running
step is over. Both return the step's new state, or None if the step has to wait."""

from __future__ import annotations

from collections.abc import Callable

from annotation.models import Project
from config.problems import Conflict
from training.loop import run_steps
from training.loop.exporting import export_snapshot_of_round
from training.loop.gates import gate_steps
from training.loop.settled import Settled
from training.models import RoundStep

Kind = RoundStep.Kind

START: dict[str, Callable[[RoundStep], Settled]] = {
    Kind.FREEZE: run_steps.freeze,
    Kind.EXPORT: export_snapshot_of_round,
    Kind.REWARD_MODEL: run_steps.train_reward_model,
    Kind.REWARD_MODEL_GATE: gate_steps.judge_reward_model,
    Kind.ANSWER_CURRENT: run_steps.answer_with_current_policy,
    Kind.IMPROVE: run_steps.improve,
    Kind.ANSWER_NEW: run_steps.answer_with_new_policy,
    Kind.POLICY_GATE: gate_steps.open_policy_gate,
    Kind.SAMPLE: run_steps.sample,
}


def start_step(step: RoundStep) -> Settled:
    """Start the step. Raises Problem if it can't start, for example because a model's files are missing."""
    if step.round.loop.project.state == Project.State.ARCHIVED:
        raise Conflict("The project is archived. Activate the project, then resume the round.")
    return START[step.kind](step)


def settle_step(step: RoundStep) -> Settled | None:
    """Check whether a running step is over. Return None while the step has to wait."""
    if step.kind == Kind.POLICY_GATE:
        return gate_steps.settle_policy_gate(step)
    return run_steps.settle_run(step)


def withdraw_step(step: RoundStep) -> None:
    """Withdraw what a cancelled step shows to people: the tasks of an open gate."""
    if step.kind == Kind.POLICY_GATE:
        gate_steps.withdraw_gate(step)
