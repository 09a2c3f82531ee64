"""A model's stage changes only with a gate's record or a reason, and every change is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connections
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import User
from config.problems import Conflict, Problem
from tests.training.conftest import ModelMaker
from training.models import Gate, ModelVersion, StageChange
from training.registry.stages import archive_model, demote_model, promote_model

ClientOf = Callable[[User | None], APIClient]


def passed_gate(model: ModelVersion) -> Gate:
    return Gate.objects.create(model=model, state="passed", decided_at=timezone.now())


def test_promotion_without_a_gate_needs_a_reason(
    make_model: ModelMaker, client_of: ClientOf, ada: User
) -> None:
    model = make_model(name="lab-ppo-1")
    promote = f"/api/v1/models/{model.pk}/promote"
    refused = client_of(ada).post(promote)
    assert (refused.status_code, refused.json()["type"]) == (422, "gate-required")
    assert [error["field"] for error in refused.json()["errors"]] == ["reason"]
    assert client_of(ada).post(promote, {"reason": "Checked by hand."}).json()["stage"] == "production"
    change = StageChange.objects.get()
    assert (change.before, change.after, change.by, change.gate, change.reason) == (
        "candidate", "production", ada, None, "Checked by hand.",
    )  # fmt: skip


def test_promotion_without_a_reason_requires_and_records_a_passed_gate(make_model: ModelMaker) -> None:
    model = make_model(name="lab-ppo-1")
    Gate.objects.create(model=model, state="failed", decided_at=timezone.now())
    with pytest.raises(Problem, match="has passed no gate"):
        promote_model(model=model, by=None)
    gate = passed_gate(model)
    assert promote_model(model=model, by=None).stage == "production"
    assert StageChange.objects.get().gate == gate


def test_replaced_model_becomes_a_candidate_and_both_changes_are_kept(make_model: ModelMaker) -> None:
    first, second = make_model(name="lab-ppo-1"), make_model(name="lab-ppo-2")
    promote_model(model=first, by=None, reason="First.")
    promote_model(model=second, by=None, reason="Better.")
    changes = StageChange.objects.order_by("created_at", "pk").values_list("model__name", "after", "reason")
    assert sorted(changes) == [
        ("lab-ppo-1", "candidate", "Replaced by lab-ppo-2."),
        ("lab-ppo-1", "production", "First."),
        ("lab-ppo-2", "production", "Better."),
    ]


def test_rollback_promotes_the_model_that_was_in_production_before(make_model: ModelMaker, ada: User) -> None:
    first, second = make_model(name="lab-ppo-1"), make_model(name="lab-ppo-2")
    promote_model(model=first, by=None, reason="First.")
    promote_model(model=second, by=None, reason="Better.")
    assert (
        demote_model(model=second, by=ada, reason="It repeats itself.", roll_back=True).stage == "candidate"
    )
    first.refresh_from_db()
    assert first.stage == "production"
    assert first.stage_changes.order_by("-created_at")[0].reason == "It repeats itself."


def test_demotion_needs_a_reason_and_a_model_in_production(make_model: ModelMaker) -> None:
    model = make_model(name="lab-ppo-1")
    with pytest.raises(Conflict, match="not in production"):
        demote_model(model=model, by=None, reason="Bad.")
    promote_model(model=model, by=None, reason="First.")
    with pytest.raises(Problem, match="State the reason"):
        demote_model(model=model, by=None, reason=" ")
    with pytest.raises(Conflict, match="nothing to roll back to"):
        demote_model(model=model, by=None, reason="Bad.", roll_back=True)
    assert demote_model(model=model, by=None, reason="Bad.").stage == "candidate"
    assert archive_model(model=model).stage == "archived"


def test_database_refuses_a_promotion_with_neither_a_gate_nor_a_reason(make_model: ModelMaker) -> None:
    with pytest.raises(IntegrityError, match="promotion_has_a_gate_or_a_reason"):
        StageChange.objects.create(model=make_model(name="m"), before="candidate", after="production")


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_promotions_leave_one_model_in_production(make_model: ModelMaker) -> None:
    models = [make_model(name=f"lab-ppo-{n}") for n in (1, 2)]
    barrier = threading.Barrier(2)

    def promote(model: ModelVersion) -> None:
        try:
            barrier.wait()
            promote_model(model=model, by=None, reason="Mine.")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=promote, args=[model]) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ModelVersion.objects.filter(stage="production").count() == 1
    assert StageChange.objects.filter(after="production").count() == 2
    assert StageChange.objects.filter(after="candidate").count() == 1
