"""Only the operator decides which servers a run can send requests to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class
from pytest_django.fixtures import Settings

from annotation.models import Project
from config.problems import Problem
from tests.training.conftest import RunMaker
from tests.training.rlhf.generation.openai_server import serving
from training.management.commands.launch_run import pairs
from training.models import ModelVersion
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.reporter import NullReporter
from training.rlhf.models.loading.opening import load_policy
from training.runs.generation_servers import refused_server
from training.runs.launch import launch_run
from training.runs.process.kinds import perform
from training.runs.recipes.catalog import parse_recipe

GUIDE = Path(__file__).parents[3] / "docs" / "generation-server.md"
SERVER = {"server": "http://gpu-1:8000/v1", "server_model": "policy"}


def refusal(**changes: Any) -> str:
    return refused_server(parse_recipe(kind="sample", settings=SERVER | changes))


def test_only_servers_that_the_operator_lists_are_allowed(settings: Settings) -> None:
    settings.GENERATION_SERVERS = []
    assert "The operator lists them in RANKLOOP_GENERATION_SERVERS" in refusal()
    settings.GENERATION_SERVERS = ["http://GPU-1:8000/", "not an address"]
    assert refusal() == refusal(server="", server_model="") == ""
    others = ("http://gpu-1:8001", "https://gpu-1:8000", "http://gpu-1:8000/x", "http://10.0.0.1")
    for other in others:
        assert refusal(server=other) == (
            f"{other} is not in RANKLOOP_GENERATION_SERVERS (http://gpu-1:8000). These entries are not"
            " addresses: not an address."
        )


def test_launch_with_a_server_that_is_not_on_the_list_is_refused(
    lab: Project, ranked: ModelVersion, settings: Settings
) -> None:
    settings.GENERATION_SERVERS = ["http://gpu-2"]
    with pytest.raises(Problem) as refused:
        launch_run(project=lab, kind="sample", recipe=SERVER, inputs={}, user=None)
    assert [error.field for error in refused.value.errors] == ["recipe.server"]
    settings.GENERATION_SERVERS = ["http://gpu-1:8000"]
    run = launch_run(project=lab, kind="sample", recipe=SERVER, inputs={}, user=None)
    assert run.recipe["server"] == "http://gpu-1:8000"


@pytest.mark.parametrize("kind", ["rloo", "ppo", "rejection_sampling"])
def test_run_that_trains_an_adapter_needs_a_folder_for_adapters(settings: Settings, kind: str) -> None:
    settings.GENERATION_SERVERS, settings.GENERATION_ADAPTERS = ["http://gpu-1:8000"], ""
    recipe = parse_recipe(kind=kind, settings=SERVER | {"use_peft": True})
    assert "The operator sets it in RANKLOOP_GENERATION_ADAPTERS" in refused_server(recipe)
    assert refusal() == refused_server(parse_recipe(kind="rejection_sampling", settings=SERVER)) == ""
    settings.GENERATION_ADAPTERS = "adapters"
    assert refused_server(recipe) == "RANKLOOP_GENERATION_ADAPTERS must be an absolute path, not 'adapters'."
    settings.GENERATION_ADAPTERS = "/adapters:/there"
    assert refused_server(recipe) == ""


def test_server_that_was_removed_from_the_list_is_not_used(
    ranked: ModelVersion, make_run: RunMaker, settings: Settings, tmp_path: Path
) -> None:
    settings.GENERATION_SERVERS = []
    run = make_run(kind="sample", recipe=SERVER, inputs={"policy": ranked.name})
    with pytest.raises(UnusableInput, match="RANKLOOP_GENERATION_SERVERS") as refused:
        perform(run, attempt=1, work=tmp_path, report=NullReporter())
    assert refused.value.kind == FailureKind.GENERATION_SERVER


def test_sample_run_gets_its_answers_from_the_server(
    ranked: ModelVersion, make_run: RunMaker, settings: Settings, tmp_path: Path
) -> None:
    asks = {"max_prompts": 3, "responses_per_prompt": 2, "max_new_tokens": 4}
    with serving(load_policy(ranked.folder), max_model_len=512, key="key-of-the-operator") as server:
        settings.GENERATION_SERVERS, settings.GENERATION_KEY = [server.address], server.key
        place = {"server": server.address, "server_model": server.name}
        run = make_run(kind="sample", recipe=asks | place, inputs={"policy": ranked.name})
        outcome = perform(run, attempt=1, work=tmp_path, report=NullReporter())
        answered = [one for one in server.requests if isinstance(one["prompt"], list)]
    assert outcome.counts["prompts_answered"] == len(answered) == 3
    assert outcome.tasks is not None
    assert len(outcome.tasks.drafts) + outcome.counts["prompts_with_equal_responses"] == 3


@pytest.mark.parametrize(
    "wrong", [{"server_model": ""}, {"server": "http://a:b@gpu-1"}, {"server": "ftp://x"}]
)
def test_incomplete_or_unsafe_server_settings_are_refused(wrong: dict[str, str]) -> None:
    parse_recipe(kind="rloo", settings=SERVER | {"use_peft": True})
    with pytest.raises(Problem):
        parse_recipe(kind="rloo", settings=SERVER | {"use_peft": True} | wrong)


@pytest.mark.parametrize("line", re.findall(r"^    manage\.py (.*)$", GUIDE.read_text(), re.M))
def test_settings_in_the_guide_are_valid(line: str) -> None:
    command, kind, *options = shlex.split(line)
    parser = load_command_class("training", command).create_parser("manage.py", command)
    chosen = vars(parser.parse_args([kind, *options]))["chosen"]
    assert parse_recipe(kind=kind, settings=pairs(chosen)) != parse_recipe(kind=kind, settings={})
