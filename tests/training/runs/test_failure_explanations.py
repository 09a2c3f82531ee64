"""A failure is explained with its message, a title and the settings that could prevent it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Project, User
from tests.training.conftest import RunMaker, lose
from training.models import TrainingRun
from training.runs import interruptions, transitions
from training.runs.failures import Failure, explain, record_of
from training.runs.recipes import run_recipes

PPO_RECIPE = run_recipes.PPORecipe().model_dump(mode="json")  # type: ignore[call-arg]


def explained(error: BaseException, recipe: dict[str, Any] | None = None) -> Failure:
    """The explanation of a run that failed with this exception."""
    run = TrainingRun(state="failed", error=record_of(error), recipe=PPO_RECIPE if recipe is None else recipe)
    failure = explain(run)
    assert failure is not None
    return failure


def test_failure_message_suggests_only_settings_that_the_recipe_contains() -> None:
    failure = explained(MemoryError("could not get 3 GB"))
    assert failure.detail == "could not get 3 GB"
    assert failure.settings[0] == "micro_batch_tokens"
    assert "samples_per_prompt" not in failure.settings
    assert explained(MemoryError(), recipe={}).settings == ()


def test_unknown_error_keeps_its_name_and_message() -> None:
    failure = explained(KeyError("surprise"))
    assert (failure.title, failure.detail) == ("Stopped by an error (KeyError)", "'surprise'")


def test_lost_worker_and_cancelled_run_are_explained(make_run: RunMaker) -> None:
    run = make_run()
    transitions.claim_run(run_id=run.pk, worker="w")
    lose(run)
    TrainingRun.objects.filter(pk=run.pk).update(tries=transitions.MAX_TRIES)
    interruptions.sweep_runs()
    run.refresh_from_db()
    lost = explain(run)
    assert lost is not None
    assert (lost.kind, lost.again) == ("worker_lost", True)
    stopped = explain(transitions.cancel_run(run=make_run()))
    assert stopped is not None
    assert stopped.kind == "cancelled"
    assert explain(make_run()) is None


def test_api_sends_the_failure_but_not_the_raw_error(
    client_of: Callable[[User | None], APIClient], mona: User, make_run: RunMaker, project: Project
) -> None:
    error = record_of(MemoryError("could not get 3 GB"))
    run = make_run(
        project=project, recipe=PPO_RECIPE, state="failed", error=error, finished_at=timezone.now()
    )
    sent = client_of(mona).get(f"/api/v1/runs/{run.pk}/").json()
    assert sent["failure"]["kind"] == "out_of_memory"
    assert sent["failure"]["detail"] == "could not get 3 GB"
    assert "error" not in sent
