"""The form, the API, the command line and the documentation offer the same presets."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from annotation.models import Project, User
from config.problems import Problem
from training.management.commands.document_recipes import PAGE
from training.models import TrainingRun
from training.runs.launch import launch_run
from training.runs.recipes.catalog import KINDS, catalog, parse_recipe, preset_settings
from training.runs.recipes.document import document
from training.runs.recipes.presets import COMMON, PRESETS


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_three_valid_presets_ordered_by_amount_of_work(kind: str) -> None:
    assert [preset.name for preset in PRESETS[kind][:3]] == ["quick", "default", "thorough"]
    recipes = [parse_recipe(kind=kind, settings=preset.settings) for preset in PRESETS[kind]]
    quick, default, thorough, *others = recipes
    assert default == KINDS[kind].recipe()
    assert all(other != default for other in others)
    changed = {name for preset in PRESETS[kind][:3] for name in preset.settings}
    less = [getattr(quick, name) <= getattr(default, name) for name in changed]
    more = [getattr(thorough, name) >= getattr(default, name) for name in changed]
    assert all(less), (kind, quick)
    assert all(more), (kind, thorough)
    assert quick != default != thorough


@pytest.mark.parametrize("kind", list(KINDS))
def test_settings_marked_as_common_exist(kind: str) -> None:
    entry = catalog()[kind]
    assert set(COMMON[kind]) <= set(entry["schema"]["properties"])
    assert len(COMMON[kind]) == len(set(COMMON[kind]))


def test_settings_override_a_preset(lab: Project) -> None:
    run = launch_run(project=lab, kind="sft", recipe={"epochs": 7}, inputs={}, user=None, preset="thorough")
    assert (run.recipe["epochs"], run.recipe["max_demonstrations"]) == (7, 50_000)
    assert run.recipe["batch_size"] == KINDS["sft"].recipe().batch_size  # type: ignore[attr-defined]


def test_error_for_an_unknown_preset_lists_the_valid_presets(lab: Project) -> None:
    with pytest.raises(Problem, match="quick, default, thorough") as caught:
        preset_settings(kind="ppo", preset="fast")
    assert [error.field for error in caught.value.errors] == ["preset"]
    with pytest.raises(CommandError, match="quick, default, thorough"):
        call_command("launch_run", "sft", "--project", "lab", "--preset", "fast")
    assert not TrainingRun.objects.exists()


def test_command_accepts_a_preset_and_settings_override_it(lab: Project) -> None:
    argv = ["launch_run", "sft", "--project", "lab", "--preset", "quick", "--set", "batch_size=4", "--json"]
    call_command(*argv, stdout=StringIO())
    recipe: dict[str, Any] = TrainingRun.objects.get().recipe
    assert (recipe["max_demonstrations"], recipe["batch_size"]) == (2_000, 4)


def test_api_lists_presets_and_a_launch_accepts_a_preset(
    client_of: Callable[[User | None], APIClient], ada: User, project: Project
) -> None:
    client = client_of(ada)
    ppo = client.get("/api/v1/runs/recipes/").json()["ppo"]
    assert ppo["improves_policy"] is True
    assert ppo["common"][0] == "steps"
    assert [(preset["name"], preset["settings"].get("steps")) for preset in ppo["presets"]] == [
        ("quick", 8), ("default", None), ("thorough", 120), ("lora", None),
        ("demo_cpu", 16), ("gpu_24gb", None), ("gpu_80gb", None), ("several_gpus", None),
    ]  # fmt: skip
    launched = client.post("/api/v1/runs/", {"project": "support", "kind": "sft", "preset": "quick"})
    assert launched.json()["recipe"]["max_demonstrations"] == 2_000


def test_recipes_page_is_up_to_date() -> None:
    assert PAGE.read_text() == document(), "Run manage.py document_recipes and commit docs/recipes.md."
