"""The rounds of a loop: starting, advancing, cancelling and resuming.

A round is a list of steps in the database. `advance_round` starts the next step, or settles the running one,
in a transaction that locks the round. A process that dies therefore leaves the round as it was, and the next
call repeats the work. A step's run and the step's reference to this run are written in one transaction, so no
step launches two runs.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from annotation.database.outages import OUTAGE_ERRORS
from annotation.models import Comparison, Project, User
from config.problems import Conflict, Problem
from training.loop.plan import FIRST_ASKING_STEP, planned_steps
from training.loop.settings import LoopSettings, parse_settings
from training.loop.settled import Settled
from training.loop.steps import settle_step, start_step, withdraw_step
from training.loop.triggers import new_comparisons, used_up
from training.models import Loop, ModelVersion, Round, RoundStep, TrainingRun
from training.runs.launch import resume_run
from training.runs.transitions import cancel_run

logger = logging.getLogger(__name__)
State = Round.State
StepState = RoundStep.State


@transaction.atomic
def start_round(*, loop: Loop, trigger: str, by: User | None = None) -> Round:
    """Start a round with the loop's present settings. Raises Conflict if a round is running, if the project
    is archived or if a budget is used up. Raises Problem if the project has no comparisons."""
    loop = Loop.objects.select_for_update(no_key=True).get(pk=loop.pk)
    if running := loop.rounds.filter(state=State.RUNNING).first():
        raise Conflict(f"Round {running.number} is still running.", type="round-running")
    if loop.project.state == Project.State.ARCHIVED:
        raise Conflict("The project is archived. Activate it first.", type="project-archived")
    settings = parse_settings(loop.settings)
    if reason := used_up(loop, settings):
        raise Conflict(reason, type="budget-used-up")
    if not Comparison.objects.counted().filter(project=loop.project_id).exists():
        raise Problem("The project has no comparisons. Rank some responses or import rankings first.")
    round = Round.objects.create(
        loop=loop,
        number=_next_number(loop),
        trigger=trigger,
        new_comparisons=new_comparisons(loop),
        settings=settings.model_dump(mode="json"),
        starting_policy=_starting_policy(loop.project, settings),
        started_by=by,
    )
    RoundStep.objects.bulk_create(
        RoundStep(round=round, position=position, kind=kind, subject=subject)
        for position, (kind, subject) in enumerate(planned_steps(settings), start=1)
    )
    return round


@transaction.atomic
def skip_round(*, loop: Loop, reason: str) -> Round:
    """Record that a scheduled round was not needed."""
    return Round.objects.create(
        loop=loop,
        number=_next_number(loop),
        state=State.SKIPPED,
        trigger=Round.Trigger.SCHEDULE,
        new_comparisons=0,
        settings=parse_settings(loop.settings).model_dump(mode="json"),
        reason=reason,
        finished_at=Now(),
    )


def advance_round(*, round_id: UUID) -> Round:
    """Settle and start steps until the round ends or a step has to wait. Safe to call at any time, from
    several processes at once."""
    while _advance(round_id):
        pass
    return Round.objects.with_steps().get(pk=round_id)


@transaction.atomic
def _advance(round_id: UUID) -> bool:
    """Make one change of state. Return False if nothing can change now."""
    round = _locked(round_id)
    if round.state != State.RUNNING:
        return False
    step = round.steps.exclude(state__in=RoundStep.FINAL_STATES).order_by("position").first()
    if step is None:
        _end(round, *_outcome(round))
        return False
    step.round = round
    settled = _attempt(step)
    if settled is None:
        return False
    _record(step, settled)
    return True


def _attempt(step: RoundStep) -> Settled | None:
    """Start a pending step, or check whether a running one is over. Return its new state, or None to wait. A
    refusal or any other error, except for an outage of the database, makes the step fail with a reason."""
    try:
        with transaction.atomic():
            return start_step(step) if step.state == StepState.PENDING else settle_step(step)
    except Problem as problem:
        return Settled(StepState.FAILED, problem.detail)
    except OUTAGE_ERRORS:
        raise
    except Exception as error:
        logger.exception("Step %s of round %s failed.", step.kind, step.round_id)
        return Settled(StepState.FAILED, f"An unexpected error occurred ({type(error).__name__}: {error}).")


def _record(step: RoundStep, settled: Settled) -> None:
    """Store the step's new state. If the step failed or was cancelled, end the round. If the step is a gate
    that refused a model, skip the steps that depend on this model."""
    step.state, step.reason = settled.state, settled.reason
    step.outcome = {**step.outcome, **settled.outcome}
    step.run = settled.run or step.run
    if step.state == StepState.RUNNING:
        step.started_at = Now()
    else:
        step.finished_at = Now()
    step.save()
    if step.state == StepState.STOPPED:
        _skip_to_asking(step)
    elif step.state in (StepState.FAILED, StepState.CANCELLED):
        _end(step.round, State(step.state), f"{_title(step)}: {step.reason}")


def _skip_to_asking(step: RoundStep) -> None:
    """After a gate has stopped the round, skip the steps that depend on the refused model.

    If a reward model is refused, no method improves a policy. If a policy is refused, the round's other
    methods still run. The round still asks for rankings if its settings say so.
    """
    later = step.round.steps.filter(state=StepState.PENDING, position__gt=step.position)
    reason = f"Skipped because of the result of step {step.position}."
    if step.kind == RoundStep.Kind.REWARD_MODEL_GATE:
        later.exclude(kind=FIRST_ASKING_STEP).update(
            state=StepState.SKIPPED, reason=reason, finished_at=Now()
        )
    if not parse_settings(step.round.settings).ask_after_stop:
        later.filter(kind=FIRST_ASKING_STEP).update(state=StepState.SKIPPED, reason=reason, finished_at=Now())


def _outcome(round: Round) -> tuple[State, str]:
    """The state of a round without unfinished steps: stopped if a gate stopped the round and no policy
    passed."""
    steps = list(round.steps.order_by("position"))
    stopped = [step for step in steps if step.state == StepState.STOPPED]
    passed = any(
        step.kind == RoundStep.Kind.POLICY_GATE and step.state == StepState.SUCCEEDED for step in steps
    )
    if stopped and not passed:
        return State.STOPPED, " ".join(step.reason for step in stopped)
    return State.SUCCEEDED, ""


def _end(round: Round, state: State, reason: str) -> None:
    round.state, round.reason, round.finished_at = state, reason, Now()
    round.save(update_fields=["state", "reason", "finished_at"])


@transaction.atomic
def cancel_round(*, round: Round, by: User | None) -> Round:
    """Cancel the running round. The current run keeps its newest checkpoint, and the tasks of an open gate
    are withdrawn. Raises Conflict if the round is over."""
    round = _locked(round.pk)
    if round.state != State.RUNNING:
        raise Conflict(f"Round {round.number} has already ended ({round.state}).")
    reason = f"Cancelled by {by.username}." if by else "Cancelled."
    for step in round.steps.filter(state=StepState.RUNNING).select_related("run"):
        if step.run is not None and not step.run.is_final:
            cancel_run(run=step.run)
        withdraw_step(step)
        step.state, step.reason, step.finished_at = StepState.CANCELLED, reason, Now()
        step.save()
    _end(round, State.CANCELLED, reason)
    return _locked(round.pk)


@transaction.atomic
def resume_round(*, round: Round) -> Round:
    """Continue a failed or cancelled round at the step where it ended. A failed or cancelled run of this step
    is resumed from its newest checkpoint. Raises Conflict if the round is in any other state, if the step's
    run is still stopping, or if another round is running."""
    round = _locked(round.pk)
    if round.state not in (State.FAILED, State.CANCELLED):
        raise Conflict(
            f"Round {round.number} is {round.state}; only a failed or cancelled round can be continued."
        )
    if other := round.loop.rounds.filter(state=State.RUNNING).first():
        raise Conflict(
            f"Round {other.number} is running. Only one round runs at a time.", type="round-running"
        )
    for step in round.steps.filter(state__in=[StepState.FAILED, StepState.CANCELLED]).select_related("run"):
        if step.run is not None and step.run.cancel_requested_at is not None and not step.run.is_final:
            raise Conflict("The run is still stopping. Try again in a moment.", type="run-stopping")
        if step.run is not None and step.run.state in (TrainingRun.State.FAILED, TrainingRun.State.CANCELLED):
            resume_run(run=step.run)
        step.state = StepState.RUNNING if step.run is not None else StepState.PENDING
        step.reason, step.finished_at = "", None
        step.save()
    round.state, round.reason, round.finished_at = State.RUNNING, "", None
    round.save(update_fields=["state", "reason", "finished_at"])
    return round


def _locked(round_id: UUID) -> Round:
    """Lock the round. Load related rows only after this call: a query that joined them and waited for the
    lock would return the round as it is after the wait, but the joined rows as they were before the wait."""
    return Round.objects.select_for_update(no_key=True).get(pk=round_id)


def _next_number(loop: Loop) -> int:
    return (loop.rounds.aggregate(last=Max("number"))["last"] or 0) + 1


def _starting_policy(project: Project, settings: LoopSettings) -> ModelVersion | None:
    """The policy that a round improves, according to the setting `start_from`. None if the project has no
    usable policy."""
    kind = ModelVersion.Kind.POLICY
    if settings.start_from == "first":
        return ModelVersion.objects.usable(project=project, kind=kind).order_by("created_at").first()
    accepted = ModelVersion.objects.accepted().default_for(project=project, kind=kind)
    return accepted or ModelVersion.objects.default_for(project=project, kind=kind)


def _title(step: RoundStep) -> str:
    title = f"Step {step.position} ({step.get_kind_display().lower()}"
    return f"{title}, {step.subject})" if step.subject else f"{title})"
