"""Recipes that an earlier version stored can still be read after some of their settings were retired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Project, User
from config.problems import Problem
from tests.training.conftest import RunMaker
from tests.training.rlhf.list_reporter import ListReporter
from training.rlhf.core.failures import UnusableInput
from training.runs.estimates.estimates import estimate_run
from training.runs.launch import launch_run, resume_run
from training.runs.process.kinds import perform
from training.runs.recipes.catalog import KINDS, RETIRED, parse_recipe, stored_recipe

# Each retired setting, with its former default and its successor.
OLD = [
    ("sft", "micro_batch_size", 16, "micro_batch_tokens"),
    ("rejection_sampling", "micro_batch_size", 16, "micro_batch_tokens"),
    ("ppo", "kl_horizon", 2000, "kl_target"),
]
each_retired_setting = pytest.mark.parametrize(("kind", "name", "value", "successor"), OLD)
SMALL = {"max_demonstrations": 32, "batch_size": 8, "sample_prompts": 1, "sample_tokens": 4}


def test_every_retired_setting_is_tested() -> None:
    assert {(kind, name) for kind, name, _, _ in OLD} == {
        (str(kind), name) for kind, retired in RETIRED.items() for name in retired
    }
    for kind, name, _, successor in OLD:
        assert name not in KINDS[kind].recipe.model_fields
        assert successor in KINDS[kind].recipe.model_fields


@each_retired_setting
def test_retired_setting_of_a_stored_recipe_is_ignored(
    kind: str, name: str, value: int, successor: str
) -> None:
    read = stored_recipe(kind=kind, settings={name: value, "seed": 7})
    assert read == parse_recipe(kind=kind, settings={"seed": 7})


@each_retired_setting
def test_error_for_a_retired_setting_names_the_setting_that_replaces_it(
    kind: str, name: str, value: int, successor: str, lab: Project
) -> None:
    with pytest.raises(Problem) as caught:
        launch_run(project=lab, kind=kind, recipe={name: value}, inputs={}, user=None)
    [error] = caught.value.errors
    assert error.field == f"recipe.{name}"
    assert error.reason.startswith("This setting no longer exists. Use ")
    assert successor in error.reason


@each_retired_setting
def test_stored_run_with_a_retired_setting_can_be_resumed(
    kind: str, name: str, value: int, successor: str, make_run: RunMaker
) -> None:
    recipe = stored_recipe(kind=kind, settings={}).model_dump(mode="json") | {name: value}
    run = make_run(kind=kind, recipe=recipe, state="cancelled", finished_at=timezone.now())
    resumed = resume_run(run=run, max_minutes=30)
    assert (resumed.state, resumed.recipe["max_minutes"]) == ("queued", 30)


# Settings that an earlier version accepted together, with part of the reason why they are refused now.
REFUSED_TOGETHER: list[tuple[str, dict[str, Any], str]] = [
    ("rejection_sampling", {"max_new_tokens": 96, "max_length": 96}, "leave no room for a prompt"),
    ("ppo", {"kl_target": 1.0, "kl_coefficient": 0.0}, "must then be above 0"),
]


@pytest.mark.parametrize(("kind", "settings", "why"), REFUSED_TOGETHER)
def test_run_whose_settings_this_version_refuses_is_shown_but_not_resumed(
    kind: str,
    settings: dict[str, Any],
    why: str,
    make_run: RunMaker,
    client_of: Callable[[User | None], APIClient],
    ada: User,
    tmp_path: Path,
) -> None:
    old = stored_recipe(kind=kind, settings={}).model_dump(mode="json") | settings
    run = make_run(kind=kind, recipe=old, state="cancelled", finished_at=timezone.now())
    client = client_of(ada)
    assert client.get(f"/api/v1/runs/{run.pk}/").json()["recipe"] == old
    for body in ({}, {"max_minutes": 30}):
        sent = client.post(f"/api/v1/runs/{run.pk}/resume", body)
        assert sent.status_code == 422
        [error] = sent.json()["errors"]
        assert (error["field"], why in error["reason"]) == ("recipe", True)
        assert "Launch a new run with other settings." in sent.json()["detail"]
    run.refresh_from_db()
    assert (run.state, run.recipe) == ("cancelled", old)
    with pytest.raises(UnusableInput, match=f"{why}.*An earlier version of Rankloop accepted"):
        perform(run, attempt=1, work=tmp_path, report=ListReporter())


def test_misspelt_setting_of_a_stored_recipe_is_still_refused() -> None:
    with pytest.raises(Problem, match="no such setting"):
        stored_recipe(kind="sft", settings={"micro_batch_sise": 16})


def test_run_with_a_retired_setting_is_executed_and_calibrates_estimates(
    make_run: RunMaker, lab: Project, tmp_path: Path
) -> None:
    now = timezone.now()
    run = make_run(recipe=SMALL | {"micro_batch_size": 16})
    outcome = perform(run, attempt=1, work=tmp_path, report=ListReporter())
    assert outcome.counts["demonstrations"] == 32
    make_run(
        recipe=run.recipe,
        state="succeeded",
        attempt=1,
        started_at=now - timedelta(seconds=50),
        finished_at=now,
        result={"counts": dict(outcome.counts)},
    )
    told = estimate_run(project=lab, kind="sft", recipe=SMALL, inputs={})
    assert told.runs == 1
