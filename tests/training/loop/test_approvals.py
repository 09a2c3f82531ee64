"""If the loop requires it, a policy that has passed its gate is promoted only after an admin's approval."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts.users import create_user
from annotation.models import User
from config.problems import Conflict
from tests.training.conftest import ModelMaker
from tests.training.loop import rounds as helper
from training.loop.gates.approvals import review_gate
from training.loop.rounds import advance_round, cancel_round
from training.loop.turning import set_loop, turn_by_hand
from training.models import Gate, Loop, ModelVersion, Round, StageChange
from training.registry.stages import promote_model

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def second(db: None) -> User:
    return create_user(username="ben", is_admin=True)[0]


@pytest.fixture
def awaiting(ranked_loop: Loop, make_model: ModelMaker, alice: User, ada: User) -> Gate:
    """The gate of a policy that people prefer, in a round started by ada."""
    set_loop(project=ranked_loop.project, settings={"second_approval": True, "gate_days": 2})
    round = helper.trained_reward_model(turn_by_hand(loop=ranked_loop, by=ada), make_model, name="lab-rm-1")
    round = helper.answered(round, [f"old {n}" for n in range(30)])
    round = helper.improved(round, make_model, name="lab-ppo-1")
    round = helper.answered(round, [f"new {n}" for n in range(30)])
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=20)
    advance_round(round_id=round.pk)
    gate.refresh_from_db()
    return gate


def stage() -> str:
    return ModelVersion.objects.get(name="lab-ppo-1").stage


def policy_gate_of(round: Round) -> str:
    return helper.states(round)["policy_gate ppo"]


def test_policy_waits_for_the_approval_of_a_second_admin(
    awaiting: Gate, client_of: ClientOf, ada: User, second: User, mona: User, alice: User
) -> None:
    assert (awaiting.state, stage()) == ("awaiting", "candidate")
    address = f"/api/v1/gates/{awaiting.pk}/approve"
    refused = client_of(ada).post(address)
    assert (refused.status_code, refused.json()["type"]) == (409, "second-admin-required")
    for user in (mona, alice):
        assert client_of(user).post(address).status_code == 404
    round = client_of(second).post(address).json()
    [step] = [one for one in round["steps"] if one["kind"] == "policy_gate"]
    gate = step["gate"]
    assert (step["state"], gate["state"], gate["reviewed_by"]) == ("succeeded", "passed", "ben")
    assert step["reason"].endswith("people prefer lab-ppo-1. Approved by ben.")
    change = StageChange.objects.get(model__name="lab-ppo-1", after="production")
    assert (change.by, change.gate) == (second, awaiting)
    repeated = client_of(second).post(address)
    assert (repeated.status_code, repeated.json()["type"]) == (409, "no-approval-needed")


def test_rejected_policy_stays_a_candidate_and_the_round_continues(
    awaiting: Gate, client_of: ClientOf, second: User
) -> None:
    address = f"/api/v1/gates/{awaiting.pk}/reject"
    assert client_of(second).post(address, {"reason": " "}).status_code == 422
    round = client_of(second).post(address, {"reason": "It invents order numbers."}).json()
    [step] = [one for one in round["steps"] if one["kind"] == "policy_gate"]
    assert (step["state"], step["gate"]["state"]) == ("stopped", "failed")
    assert step["reason"].endswith("Rejected by ben: It invents order numbers.")
    assert (round["state"], round["steps"][-1]["state"]) == ("running", "running")  # sampling
    assert stage() == "candidate"


def test_gate_without_a_review_is_undecided_after_its_days(awaiting: Gate) -> None:
    step = awaiting.step
    assert step is not None
    assert policy_gate_of(advance_round(round_id=step.round_id)) == "running"
    Gate.objects.filter(pk=awaiting.pk).update(awaiting_since=timezone.now() - timedelta(days=2))
    assert policy_gate_of(advance_round(round_id=step.round_id)) == "stopped"
    awaiting.refresh_from_db()
    assert (awaiting.state, stage()) == ("undecided", "candidate")
    assert awaiting.reason.endswith("No admin approved the policy within 2 days.")


def test_approval_is_refused_after_the_round_was_cancelled(awaiting: Gate, second: User) -> None:
    assert awaiting.step is not None
    cancel_round(round=awaiting.step.round, by=None)
    with pytest.raises(Conflict, match="waits for no approval"):
        review_gate(gate=awaiting, by=second, approved=True)


def test_approved_policy_is_not_promoted_over_a_policy_that_was_promoted_meanwhile(
    awaiting: Gate, second: User, make_model: ModelMaker
) -> None:
    promote_model(model=make_model(name="lab-dpo-9"), by=second, reason="A better policy.")
    round = review_gate(gate=awaiting, by=second, approved=True)
    assert policy_gate_of(advance_round(round_id=round.pk)) == "stopped"
    assert stage() == "candidate"


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_concurrent_reviews_counts(awaiting: Gate, second: User) -> None:
    third, _ = create_user(username="cara", is_admin=True)
    barrier, outcomes = threading.Barrier(2), []

    def review(by: User, approved: bool) -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            review_gate(gate=awaiting, by=by, approved=approved, reason="" if approved else "No.")
            outcomes.append(approved)
        except Conflict as conflict:
            outcomes.append(conflict.type)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=review, args=one) for one in ((second, True), (third, False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    awaiting.refresh_from_db()
    assert sorted(map(str, outcomes)) == sorted([str(awaiting.approved), "already-reviewed"])
