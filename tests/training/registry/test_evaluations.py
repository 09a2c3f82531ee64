"""A policy's gain over its parent is computed from the newest comparable evaluations of the two policies. The
gain has a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Project, User
from tests.training.conftest import ModelMaker, RunMaker
from training.models import ModelVersion, TrainingRun
from training.registry.evaluations import Judged, judged_policies
from training.runs.recipes.catalog import KINDS

Judge = Callable[..., TrainingRun]


@pytest.fixture
def judge(make_run: RunMaker) -> Judge:
    def judged(policy: str, mean: float, error: float | None = 0.1, **recipe: Any) -> TrainingRun:
        settings = KINDS["evaluate"].recipe(**recipe).model_dump(mode="json")
        by = {"reward_model": "lab-rm-1"} if settings["judge"] == "reward_model" else {}
        metrics = {f"{settings['judge']}/mean": mean} | (
            {f"{settings['judge']}/standard_error": error} if error is not None else {}
        )
        return make_run(
            kind="evaluate",
            recipe=settings,
            inputs={"policy": policy, **by},
            state="succeeded",
            finished_at=timezone.now(),
            result={"metrics": metrics, "counts": {"prompts": 118}},
        )

    return judged


def judged() -> list[Judged]:
    return judged_policies(models=ModelVersion.objects.all(), runs=TrainingRun.objects.all())  # type: ignore[arg-type]


def test_gain_interval_combines_both_standard_errors(
    lab: Project, make_model: ModelMaker, judge: Judge
) -> None:
    first = make_model(name="lab-sft-1")
    make_model(name="lab-ppo-1", parent=first)
    judge("lab-sft-1", 1.6, 0.06)
    judge("lab-ppo-1", 2.0, 0.08)
    child, parent = judged()
    assert (parent.model.name, parent.gain) == ("lab-sft-1", None)
    assert child.gain is not None
    assert child.gain.difference == pytest.approx(0.4)
    assert child.gain.high - child.gain.low == pytest.approx(2 * 1.96 * math.hypot(0.06, 0.08))
    assert child.gain.verdict == "better"
    assert (child.evaluation.low, child.evaluation.high) == pytest.approx((2 - 1.96 * 0.08, 2 + 1.96 * 0.08))


@pytest.mark.parametrize(("mean", "verdict"), [(1.75, "unclear"), (1.2, "worse"), (2.1, "better")])
def test_difference_within_the_margin_of_error_is_reported_as_unclear(
    lab: Project, make_model: ModelMaker, judge: Judge, mean: float, verdict: str
) -> None:
    make_model(name="lab-ppo-1", parent=make_model(name="lab-sft-1"))
    judge("lab-sft-1", 1.6)
    judge("lab-ppo-1", mean)
    assert [one.gain.verdict for one in judged() if one.gain] == [verdict]


def test_newest_comparable_evaluations_are_compared(
    lab: Project, make_model: ModelMaker, judge: Judge
) -> None:
    make_model(name="lab-ppo-1", parent=make_model(name="lab-sft-1"))
    judge("lab-sft-1", 9.0, temperature=0)
    judge("lab-sft-1", 1.0)
    judge("lab-sft-1", 1.5)
    judge("lab-ppo-1", 2.0, max_prompts=64, responses_per_prompt=2)  # fewer samples, but still comparable
    judge("lab-ppo-1", 3.0, judge="reward_model")
    gains = {one.evaluation.judge: one.gain for one in judged() if one.model.name == "lab-ppo-1"}
    assert gains["gold"] is not None
    assert gains["gold"].parent.mean == 1.5
    assert gains["lab-rm-1"] is None


def test_evaluations_of_base_models_and_those_without_an_error_are_ignored(
    lab: Project, make_model: ModelMaker, judge: Judge
) -> None:
    make_model(name="lab-sft-1")
    judge("lab-sft-1", 1.0, None)
    judge("lab-sft-1", 1.0, base_model="Qwen/Qwen3-0.6B")
    assert judged() == []


def test_api_lists_visible_policies_with_a_constant_number_of_queries(
    client_of: Callable[[User | None], APIClient],
    ada: User,
    mona: User,
    lab: Project,
    make_model: ModelMaker,
    judge: Judge,
    django_assert_max_num_queries: Any,
) -> None:
    parent = make_model(name="lab-sft-1")
    judge("lab-sft-1", 1.0)
    for number in range(1, 6):
        make_model(name=f"lab-ppo-{number}", parent=parent)
        judge(f"lab-ppo-{number}", 1.0 + number)
    client = client_of(ada)
    with django_assert_max_num_queries(4):  # one query each for session, user, runs and models
        said = client.get("/api/v1/models/judged/?project=lab").json()["policies"]
    assert len(said) == 6
    assert said[0]["gain"]["over"] == "lab-sft-1"
    assert said[0]["evaluation"]["prompts"] == 118
    assert client_of(mona).get("/api/v1/models/judged/").json() == {"policies": []}
