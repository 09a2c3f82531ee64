"""The steps that decide whether a new model is promoted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from annotation.models import Project
from annotation.projects.projects import update_project
from config.problems import Problem
from training.loop.gates.approvals import settle_approval
from training.loop.gates.blind_comparison import answers_of_people, ask_people
from training.loop.gates.decisions import await_approval, fail, pass_gate, replaced_incumbent
from training.loop.gates.win_rates import by_gold, by_reward_model
from training.loop.run_steps import (
    Kind,
    answering_run,
    current_policy,
    made_by,
    reward_model_of,
    settings_of,
)
from training.loop.settings import LoopSettings
from training.loop.settled import Settled, running, skipped
from training.models import Gate, ModelVersion, RoundStep, TrainingRun
from training.registry.gates.checks import Answering, Check, policy_checks, reward_model_checks
from training.registry.gates.preference import Preference, preference_of
from training.registry.reward_reports import compare_reward_models, report_of
from training.runs.answers import stored_answers

Stage = ModelVersion.Stage
NOT_CHECKED = "The loop's settings turn this gate off, so the model was promoted without checks."


def judge_reward_model(step: RoundStep) -> Settled:
    """Check the round's reward model on held-out rankings. Promote the model or stop the round."""
    settings, model = settings_of(step.round), reward_model_of(step.round)
    current = ModelVersion.objects.filter(
        project=model.project_id, kind=model.kind, stage=Stage.PRODUCTION
    ).first()
    gate = _open(step, model, current)
    if settings.reward_model_gate == "off":
        return pass_gate(gate, NOT_CHECKED)
    checks = reward_model_checks(
        report=report_of(model),
        comparison=_comparison(model, current),
        incumbent=current.name if current else "",
        max_accuracy_drop=settings.max_accuracy_drop,
        max_calibration_error=settings.max_calibration_error,
    )
    return _conclude(gate, checks)


def _comparison(model: ModelVersion, current: ModelVersion | None) -> dict[str, Any] | None:
    if current is None:
        return None
    try:
        return compare_reward_models(model=model, other=current).as_json()
    except Problem:
        return None  # the check fails, and its detail gives the reason


def open_policy_gate(step: RoundStep) -> Settled:
    """Check the new policy's answers. If the checks pass and people are to decide, open a blind
    comparison."""
    settings = settings_of(step.round)
    new = made_by(step.round, Kind.IMPROVE, step.subject)
    if new is None:
        return skipped(f"There is no new policy from {step.subject}.")
    if settings.policy_gate == "off":
        return pass_gate(_open(step, new, None), NOT_CHECKED)
    current = current_policy(step.round)
    gate = _open(step, new, current)
    ours, theirs = answering_run(step.round, new), answering_run(step.round, current)
    checks = policy_checks(
        new=_answering(ours),
        current=_answering(theirs),
        kl=_kl(new),
        max_kl=settings.max_kl,
        max_length_ratio=settings.max_length_ratio,
        max_repetition_increase=settings.max_repetition_increase,
    )
    new_answers, current_answers = list(stored_answers(ours)), list(stored_answers(theirs))
    by_reward = by_reward_model(new_answers, current_answers, level=settings.gate_level)
    gold = by_gold(new_answers, current_answers, level=settings.gate_level)
    gate.win_rates = {"reward_model": by_reward.as_json()} | ({"gold": gold.as_json()} if gold else {})
    if settings.policy_gate == "automatic":
        return _conclude(gate, [*checks, _win_rate(by_reward)], settings)
    if not all(check.passed for check in checks):
        return _conclude(gate, checks)
    gate.checks = [check.as_json() for check in checks]
    gate.project, tasks = ask_people(
        gate=gate,
        name=f"Gate of round {step.round.number}",
        new=new_answers,
        current=current_answers,
        usernames=settings.gate_annotators,
        max_tasks=settings.gate_rankings,
    )
    gate.comparison = preference_of([], budget=tasks, level=settings.gate_level).as_json()
    gate.save()
    return running(None, gate=str(gate.pk), tasks=tasks)


def settle_policy_gate(step: RoundStep) -> Settled | None:
    """Settle a gate that waits for its blind comparison, or return None while the comparison needs more
    answers."""
    settings, gate = settings_of(step.round), step.gate
    if gate.awaiting_since is not None:
        return settle_approval(gate, days=settings.gate_days)
    assert gate.project is not None
    ended = timezone.now() >= gate.created_at + timedelta(days=settings.gate_days)
    found = preference_of(
        answers_of_people(gate), budget=gate.comparison["budget"], level=settings.gate_level, ended=ended
    )
    if found.as_json() != gate.comparison:
        gate.comparison = found.as_json()
        gate.save(update_fields=["comparison"])
    if found.verdict == "open":
        return None
    withdraw_gate(step)
    interval = f"{found.low:.2f} to {found.high:.2f}"
    figures = f"Win rate {found.win_rate:.2f} ({interval}) after {found.answers} human comparisons"
    if replaced := replaced_incumbent(gate):
        return fail(gate, Gate.State.UNDECIDED, f"{figures}. {replaced}")
    if found.verdict == "better":
        return _pass_policy(gate, f"{figures}: people prefer {gate.model.name}.", settings)
    if found.verdict == "worse":
        return fail(gate, Gate.State.FAILED, f"{figures}: people prefer the production policy.")
    spent = (
        f"the {settings.gate_days:g} days of the gate are over"
        if ended
        else f"the budget of {found.budget} comparisons is used up"
    )
    return fail(gate, Gate.State.UNDECIDED, f"{figures}: undecided, and {spent}.")


def withdraw_gate(step: RoundStep) -> None:
    """Archive the gate's project, so that nobody answers a question that is already decided."""
    gate = Gate.objects.filter(step=step).select_related("project").first()
    if gate and gate.project and gate.project.state != Project.State.ARCHIVED:
        update_project(project=gate.project, changes={"state": Project.State.ARCHIVED})


def _open(step: RoundStep, model: ModelVersion, current: ModelVersion | None) -> Gate:
    # A step that failed and was resumed opens its gate again.
    return Gate.objects.update_or_create(
        step=step,
        defaults={
            "model": model,
            "incumbent": current if current != model else None,
            "state": Gate.State.OPEN,
            "awaiting_since": None,
            "reviewed_by": None,
            "approved": None,
            "review_reason": "",
            "created_at": timezone.now(),
        },
    )[0]


def _conclude(gate: Gate, checks: list[Check], settings: LoopSettings | None = None) -> Settled:
    gate.checks = [check.as_json() for check in checks]
    failed = [check.detail for check in checks if not check.passed]
    if failed:
        return fail(gate, Gate.State.FAILED, " ".join(failed))
    reason = " ".join(check.detail for check in checks)
    return pass_gate(gate, reason) if settings is None else _pass_policy(gate, reason, settings)


def _pass_policy(gate: Gate, reason: str, settings: LoopSettings) -> Settled:
    return await_approval(gate, reason) if settings.second_approval else pass_gate(gate, reason)


def _answering(run: TrainingRun) -> Answering:
    metrics = run.result["metrics"]
    return Answering(metrics["reward_model/mean_tokens"], metrics["reward_model/repetition_rate"])


def _kl(policy: ModelVersion) -> float | None:
    value = policy.metrics.get("objective/kl_final", policy.metrics.get("objective/kl"))
    return None if value is None else float(value)


def _win_rate(found: Preference) -> Check:
    detail = (
        f"Win rate {found.win_rate:.2f} ({found.low:.2f} to {found.high:.2f}) by the reward model on "
        f"{found.answers} held-out prompts."
    )
    passed = found.verdict == "better"
    return Check("reward_model_win_rate", passed, detail, found.win_rate, 0.5, found.low, found.high)
