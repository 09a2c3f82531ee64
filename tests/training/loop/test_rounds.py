"""A round runs its steps in order, once each, and ends with a state and a reason."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, connections, transaction

from annotation.models import Project, User, WebhookDelivery
from annotation.projects.projects import create_project, update_project
from annotation.webhooks.endpoints import create_endpoint
from config.problems import Conflict, Problem
from tests.training.conftest import ModelMaker, Rank
from tests.training.loop import rounds as helper
from training.loop.rounds import _advance, advance_round, cancel_round, resume_round, start_round
from training.loop.turning import set_loop, turn_by_hand, turn_loop, turn_loops
from training.models import Gate, Loop, ModelVersion, Round, StageChange, TrainingRun
from training.registry.stages import promote_model

NEW = [f"new answer {n}" for n in range(30)]
OLD = [f"old answer {n}" for n in range(30)]


def started(loop: Loop) -> Round:
    round = turn_loop(loop=loop)
    assert round is not None
    return round


def next_starts_from(loop: Loop) -> str:
    """Start another round, and return the name of the policy that it improves."""
    policy = start_round(loop=loop, trigger=Round.Trigger.MANUAL).starting_policy
    assert policy is not None
    return policy.name


def test_round_waits_for_enough_new_comparisons(loop: Loop, alice: User, rank: Rank) -> None:
    rank(loop.project, alice, n=2)
    assert turn_loop(loop=loop) is None
    rank(loop.project, alice, n=3)
    round = started(loop)
    assert (round.number, round.trigger, round.state) == (1, "comparisons", "running")
    assert round.snapshot is not None
    assert round.snapshot.name == "round-1"
    run = helper.waiting(round).run
    assert run is not None
    assert (run.kind, run.state, run.inputs["snapshot"]) == ("reward_model", "queued", "round-1")


def test_running_round_is_advanced_and_no_other_round_starts(ranked_loop: Loop) -> None:
    first = started(ranked_loop)
    assert started(ranked_loop) == first
    assert TrainingRun.objects.count() == 1


def test_round_with_a_human_gate_promotes_the_preferred_policy(
    ranked_loop: Loop, alice: User, make_model: ModelMaker
) -> None:
    announced = ["gate.opened", "model.promoted", "round.finished"]
    create_endpoint(project=ranked_loop.project, url="https://example.org/hook", events=announced)
    round = helper.trained_reward_model(started(ranked_loop), make_model, name="lab-rm-1")
    assert ModelVersion.objects.get(name="lab-rm-1").stage == "production"
    evaluated = helper.waiting(round).run
    assert evaluated is not None
    assert evaluated.inputs == {"policy": "lab-sft-1", "reward_model": "lab-rm-1"}
    round = helper.answered(round, OLD)
    improving = helper.waiting(round).run
    assert improving is not None
    assert (improving.kind, improving.inputs) == (
        "ppo",
        {"policy": "lab-sft-1", "reward_model": "lab-rm-1"},
    )
    round = helper.answered(helper.improved(round, make_model, name="lab-ppo-1"), NEW)

    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert (gate.state, gate.comparison["budget"]) == ("open", 30)
    assert gate.project is not None
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=20)
    round = advance_round(round_id=round.pk)
    gate.refresh_from_db()
    assert (gate.state, gate.comparison["wins"], gate.comparison["losses"]) == ("passed", 20, 0)
    assert gate.comparison["low"] > 0.5
    assert Project.objects.get(pk=gate.project_id).state == "archived"
    assert ModelVersion.objects.get(name="lab-ppo-1").stage == "production"
    change = StageChange.objects.get(model__name="lab-ppo-1")
    assert (change.before, change.after, change.gate) == ("candidate", "production", gate)

    sampling = helper.waiting(round).run
    assert sampling is not None
    assert (sampling.kind, sampling.inputs) == ("sample", {"policy": "lab-ppo-1"})
    helper.end_run(sampling, counts={"tasks": 32})
    round = advance_round(round_id=round.pk)
    assert (round.state, round.reason) == ("succeeded", "")
    assert set(helper.states(round).values()) == {"succeeded"}
    assert turn_loop(loop=ranked_loop) is None  # the loop waits for new comparisons
    deliveries = WebhookDelivery.objects.order_by("created_at", "pk")
    assert [(one.event, one.payload["data"].get("model")) for one in deliveries] == [
        ("model.promoted", "lab-rm-1"),
        ("gate.opened", "lab-ppo-1"),
        ("model.promoted", "lab-ppo-1"),
        ("round.finished", None),
    ]


def test_undecided_gate_promotes_nothing_and_the_round_still_samples_new_tasks(
    ranked_loop: Loop, alice: User, make_model: ModelMaker
) -> None:
    set_loop(project=ranked_loop.project, settings={"gate_rankings": 10})
    round = helper.trained_reward_model(started(ranked_loop), make_model, name="lab-rm-1")
    round = helper.improved(helper.answered(round, OLD), make_model, name="lab-ppo-1")
    round = helper.answered(round, NEW)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=6)
    helper.rank_gate(gate.project, alice, preferring="lab-sft-1", answers=4)
    round = advance_round(round_id=round.pk)
    gate.refresh_from_db()
    assert gate.state == "undecided"
    assert ModelVersion.objects.get(name="lab-ppo-1").stage == "candidate"
    sampling = helper.waiting(round).run
    assert sampling is not None
    assert sampling.inputs == {"policy": "lab-sft-1"}
    helper.end_run(sampling)
    round = advance_round(round_id=round.pk)
    assert round.state == "stopped"
    assert "undecided" in round.reason
    assert next_starts_from(ranked_loop) == "lab-sft-1"


def test_gate_is_undecided_if_another_policy_was_promoted_meanwhile(
    ranked_loop: Loop, alice: User, make_model: ModelMaker
) -> None:
    round = helper.trained_reward_model(started(ranked_loop), make_model, name="lab-rm-1")
    round = helper.improved(helper.answered(round, OLD), make_model, name="lab-ppo-1")
    round = helper.answered(round, NEW)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    promote_model(model=make_model(name="lab-dpo-1"), by=None, reason="By hand.")
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=20)
    advance_round(round_id=round.pk)
    gate.refresh_from_db()
    assert gate.state == "undecided"
    assert "lab-dpo-1 was promoted while the gate was open" in gate.reason
    assert ModelVersion.objects.get(name="lab-dpo-1").stage == "production"


def test_gate_of_a_cancelled_round_withdraws_its_tasks_and_reopens_on_resume(
    ranked_loop: Loop, alice: User, make_model: ModelMaker
) -> None:
    round = helper.trained_reward_model(started(ranked_loop), make_model, name="lab-rm-1")
    round = helper.improved(helper.answered(round, OLD), make_model, name="lab-ppo-1")
    round = helper.answered(round, NEW)
    cancel_round(round=round, by=None)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    assert gate.project.state == "archived"
    round = advance_round(round_id=resume_round(round=round).pk)
    again = Gate.objects.get(model__name="lab-ppo-1")
    assert again.project is not None
    assert (again.pk, again.state, again.project.state) == (gate.pk, "open", "active")
    assert again.project != gate.project


def test_reward_model_no_better_than_chance_stops_the_round(
    ranked_loop: Loop, make_model: ModelMaker
) -> None:
    round = helper.trained_reward_model(
        started(ranked_loop), make_model, name="lab-rm-1", accuracy=helper.CHANCE
    )
    assert helper.states(round) == {
        "freeze": "succeeded",
        "reward_model": "succeeded",
        "reward_model_gate": "stopped",
        "answer_current": "skipped",
        "improve ppo": "skipped",
        "answer_new ppo": "skipped",
        "policy_gate ppo": "skipped",
        "sample": "running",
    }
    assert ModelVersion.objects.get(name="lab-rm-1").stage == "candidate"
    assert "0.440" in Gate.objects.get().reason


def test_gate_fails_without_asking_people_if_the_policy_drifted_too_far(
    ranked_loop: Loop, make_model: ModelMaker
) -> None:
    round = helper.trained_reward_model(started(ranked_loop), make_model, name="lab-rm-1")
    round = helper.improved(helper.answered(round, OLD), make_model, name="lab-ppo-1", kl=25.0)
    round = helper.answered(round, NEW, tokens=90.0)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert (gate.state, gate.project) == ("failed", None)
    assert {check["name"]: check["passed"] for check in gate.checks} == {
        "kl": False,
        "length": False,
        "repetition": True,
    }
    sampling = helper.waiting(round).run
    assert sampling is not None
    helper.end_run(sampling)
    assert advance_round(round_id=round.pk).state == "stopped"
    assert next_starts_from(ranked_loop) == "lab-sft-1"
    assert not Project.objects.filter(slug__contains="gate").exists()


def test_round_keeps_the_settings_with_which_it_started(ranked_loop: Loop, make_model: ModelMaker) -> None:
    round = started(ranked_loop)
    set_loop(project=ranked_loop.project, settings={"improve_with": ["dpo"], "policy_gate": "off"})
    round = helper.trained_reward_model(round, make_model, name="lab-rm-1")
    round = helper.answered(round, OLD)
    run = helper.waiting(round).run
    assert run is not None
    assert run.kind == "ppo"


def test_failed_round_resumes_at_the_step_that_failed(ranked_loop: Loop, make_model: ModelMaker) -> None:
    round = started(ranked_loop)
    run = helper.waiting(round).run
    assert run is not None
    helper.end_run(run, "failed")
    round = advance_round(round_id=round.pk)
    assert round.state == "failed"
    assert round.reason.startswith("Step 2 (reward model): Stopped.")
    round = resume_round(round=round)
    run.refresh_from_db()
    assert (round.state, run.state) == ("running", "queued")
    round = helper.trained_reward_model(round, make_model, name="lab-rm-1")
    assert helper.states(round)["reward_model_gate"] == "succeeded"
    assert TrainingRun.objects.filter(kind="reward_model").count() == 1


def test_cancelled_round_cancels_its_run_and_can_be_resumed(ranked_loop: Loop, ada: User) -> None:
    round = started(ranked_loop)
    round = cancel_round(round=round, by=ada)
    run = TrainingRun.objects.get()
    assert (round.state, run.state, round.reason) == ("cancelled", "cancelled", "Cancelled by ada.")
    with pytest.raises(Conflict, match="already ended"):
        cancel_round(round=round, by=ada)
    assert resume_round(round=round).state == "running"
    run.refresh_from_db()
    assert run.state == "queued"


def test_round_of_an_archived_project_fails_with_a_reason(ranked_loop: Loop, make_model: ModelMaker) -> None:
    round = started(ranked_loop)
    update_project(project=ranked_loop.project, changes={"state": "archived"})
    round = helper.trained_reward_model(round, make_model, name="lab-rm-1")
    assert round.state == "failed"
    assert "The project is archived." in round.reason
    assert turn_loop(loop=ranked_loop) is None


def test_loop_that_is_off_starts_no_round_but_finishes_the_running_round(
    ranked_loop: Loop, make_model: ModelMaker
) -> None:
    round = started(ranked_loop)
    set_loop(project=ranked_loop.project, settings={}, enabled=False)
    run = helper.waiting(round).run
    assert run is not None
    helper.end_run(run, "failed")
    turn_loops()
    round.refresh_from_db()
    assert round.state == "failed"
    turn_loops()
    assert Round.objects.count() == 1


def test_loop_starts_no_round_after_its_budget_of_rounds_is_used_up(
    ranked_loop: Loop, alice: User, rank: Rank
) -> None:
    set_loop(project=ranked_loop.project, settings={"max_rounds": 1})
    cancel_round(round=started(ranked_loop), by=None)
    rank(ranked_loop.project, alice, n=9)
    assert turn_loop(loop=ranked_loop) is None
    with pytest.raises(Conflict, match="budget of 1 round is used up"):
        turn_by_hand(loop=ranked_loop, by=None)


def test_loop_starts_no_round_after_its_budget_of_hours_or_its_price_is_used_up(
    ranked_loop: Loop, alice: User, rank: Rank
) -> None:
    round = started(ranked_loop)
    run = helper.waiting(round).run
    assert run is not None
    cancel_round(round=round, by=None)
    TrainingRun.objects.filter(pk=run.pk).update(spent_seconds=1.5 * 3600)
    rank(ranked_loop.project, alice, n=9)
    for budgets, reason in (
        ({"max_gpu_hours": 1.5}, r"budget of 1.5 hours of training is used up \(1.5 hours\)"),
        ({"max_gpu_hours": None, "price_per_hour": 4, "max_price": 6}, r"price of training: 6.00"),
    ):
        set_loop(project=ranked_loop.project, settings=budgets)
        assert turn_loop(loop=ranked_loop) is None
        with pytest.raises(Conflict, match=reason):
            turn_by_hand(loop=ranked_loop, by=None)
    set_loop(project=ranked_loop.project, settings={"max_price": 6.1})
    assert turn_loop(loop=ranked_loop) is not None


def test_round_of_a_project_without_a_policy_fails_and_blocks_no_other_project(
    ranked_loop: Loop, alice: User, rank: Rank
) -> None:
    bare = create_project(slug="bare")
    loop = set_loop(project=bare, settings={"min_new_comparisons": 1}, enabled=True)
    rank(bare, alice, n=1)
    turn_loops()
    assert loop.rounds.get().state == "failed"
    assert "no policy" in loop.rounds.get().reason
    assert ranked_loop.rounds.get().state == "running"


def test_round_started_by_hand_needs_comparisons(loop: Loop) -> None:
    with pytest.raises(Problem, match="no comparisons"):
        turn_by_hand(loop=loop, by=None)
    assert not Round.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_scheduler_ticks_start_one_round_with_one_run(ranked_loop: Loop) -> None:
    barrier = threading.Barrier(2)

    def turn() -> None:
        try:
            barrier.wait()
            turn_loop(loop=ranked_loop)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=turn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Round.objects.count(), TrainingRun.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_process_that_waited_for_a_round_sees_the_snapshot_of_another_process(ranked_loop: Loop) -> None:
    round = start_round(loop=ranked_loop, trigger="manual")
    waiter = threading.Thread(target=advance_and_close, args=[round])
    with transaction.atomic():
        assert _advance(round.pk)  # freezes the snapshot and keeps the lock
        waiter.start()
        while not is_waiting_for_a_lock():
            time.sleep(0.01)
    waiter.join()
    round = Round.objects.get()
    assert (round.state, round.reason) == ("running", "")
    assert TrainingRun.objects.get().inputs["snapshot"] == "round-1"


def advance_and_close(round: Round) -> None:
    try:
        advance_round(round_id=round.pk)
    finally:
        connections.close_all()


def is_waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
