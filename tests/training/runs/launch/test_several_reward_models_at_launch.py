"""A recipe can name further reward models of the project. A launch resolves and checks these models in the
same way as inputs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from annotation.content.adding import add_prompts
from annotation.models import Project
from config.problems import Problem
from tests.training.conftest import ModelMaker, RunMaker
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import arbitrary_reward_model, untrained_policy
from training import demo_world
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.reporter import NullReporter
from training.rlhf.models.loading.saving import save_model
from training.runs.estimates.estimates import estimate_run
from training.runs.launch import launch_run
from training.runs.model_files import ModelChanged, verify_model
from training.runs.process.job import Job
from training.runs.process.kinds import perform
from training.runs.recipes.catalog import parse_recipe

torch.set_num_threads(1)
WEIGHTS, FLOORS = "recipe.reward_weights", "recipe.reward_floors"


@pytest.fixture
def helpful(lab: Project, make_model: ModelMaker) -> ModelVersion:
    """A project with prompts, a policy, the reward models "helpful" and "harmless", and a newer reward model
    "newest"."""
    add_prompts(project=lab, prompts=[(messages, {}) for messages in demo_world.prompts(4, 1)])
    policy = make_model(name="lab-sft-1")
    shutil.rmtree(policy.folder)
    save_model(*untrained_policy(), policy.folder)
    models = [
        make_model(name=name, kind="reward_model", parent=policy)
        for name in ("helpful", "harmless", "newest")
    ]
    for model in models:
        shutil.rmtree(model.folder)
        save_model(*arbitrary_reward_model(), model.folder)
    return models[0]


def launch(project: Project, recipe: dict[str, Any], kind: str = "ppo", **inputs: str) -> TrainingRun:
    return launch_run(project=project, kind=kind, recipe=recipe, inputs=inputs, user=None)


def refusal(project: Project, recipe: dict[str, Any], **inputs: str) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        launch(project, recipe, **inputs)
    assert not TrainingRun.objects.exists()
    (error,) = caught.value.errors
    return error.field, error.reason


@pytest.mark.usefixtures("helpful")
def test_reward_models_of_the_recipe_become_inputs_of_the_run(lab: Project, tmp_path: Path) -> None:
    recipe = {"reward_weights": "harmless=0.5", "reward_floors": "newest=start"}
    run = launch(lab, recipe, reward_model="helpful")
    assert run.inputs == {
        "policy": "lab-sft-1",
        "reward_model": "helpful",
        "reward_model_2": "harmless",
        "reward_model_3": "newest",
    }
    job = Job(run, 1, parse_recipe(kind="ppo", settings=run.recipe), tmp_path, NullReporter())
    assert list(job.reward_models) == ["helpful", "harmless", "newest"]
    assert set(job.models) == set(run.inputs)


@pytest.mark.usefixtures("helpful")
def test_first_listed_reward_model_is_the_default_input(lab: Project) -> None:
    assert launch(lab, {}).inputs["reward_model"] == "newest"
    run = launch(lab, {"reward_weights": "helpful=1, harmless=1"})
    assert (run.inputs["reward_model"], run.inputs["reward_model_2"]) == ("helpful", "harmless")
    assert "reward_model_3" not in run.inputs


def test_unusable_reward_model_is_refused_and_the_error_names_the_setting(
    lab: Project, helpful: ModelVersion
) -> None:
    weights = {"reward_weights": "helpful=1, other=1"}
    assert refusal(lab, weights) == (WEIGHTS, "The project has no model 'other'.")
    assert refusal(lab, {"reward_weights": "other=1"}) == (WEIGHTS, "The project has no model 'other'.")
    assert refusal(lab, {"reward_floors": "other=start"}) == (FLOORS, "The project has no model 'other'.")
    field, reason = refusal(lab, {"reward_floors": "lab-sft-1=start"})
    assert (field, reason) == (FLOORS, "lab-sft-1 is a policy; this input requires a reward_model.")
    field, reason = refusal(lab, {"reward_floors": "newest=0"})
    assert (field, "the run's only reward model" in reason) == (FLOORS, True)
    field, reason = refusal(lab, {"reward_weights": "helpful=much"})
    assert (field, "A weight must be a number above 0" in reason) == (WEIGHTS, True)
    harmless = ModelVersion.objects.get(name="harmless")
    (harmless.folder / "model.safetensors").unlink()
    field, reason = refusal(lab, {"reward_floors": "harmless=start"}, reward_model="helpful")
    assert (field, "harmless" in reason) == (FLOORS, True)
    ModelVersion.objects.filter(name="harmless").update(stage="archived")
    field, reason = refusal(lab, {"reward_floors": "harmless=start"}, reward_model="helpful")
    assert (field, reason) == (FLOORS, "harmless is archived. Promote it, or choose another model.")


def test_demonstrations_need_a_reward_model_that_was_trained_on_a_snapshot(
    lab: Project, helpful: ModelVersion, make_run: RunMaker
) -> None:
    field, reason = refusal(lab, {"ptx_coefficient": 0.1}, reward_model="helpful")
    assert (field, "was not trained on a snapshot" in reason) == ("recipe.ptx_coefficient", True)
    helpful.run = make_run(kind="reward_model", inputs={"policy": "lab-sft-1", "snapshot": "rankings-1"})
    helpful.save()
    assert launch(lab, {"ptx_coefficient": 0.1}, reward_model="helpful").state == "queued"


def test_further_reward_model_with_constant_rewards_is_refused(lab: Project, helpful: ModelVersion) -> None:
    flat = arbitrary_reward_model()
    flat.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 0.0}
    save_model(*flat, ModelVersion.objects.get(name="harmless").folder)
    field, reason = refusal(lab, {"reward_weights": "helpful=1, harmless=1"})
    assert (field, "the same reward" in reason) == (WEIGHTS, True)


def test_changed_file_of_a_further_reward_model_stops_the_run(
    lab: Project, helpful: ModelVersion, tmp_path: Path
) -> None:
    harmless = ModelVersion.objects.get(name="harmless")
    verify_model(harmless)  # records the checksums
    run = launch(lab, {"reward_weights": "helpful=1, harmless=1"})
    weights = harmless.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelChanged, match="harmless"):
        perform(run, attempt=1, work=tmp_path / "work", report=NullReporter())


def test_estimate_counts_the_memory_of_every_reward_model(lab: Project, helpful: ModelVersion) -> None:
    def parts(recipe: dict[str, Any], kind: str) -> dict[str, float]:
        told = estimate_run(project=lab, kind=kind, recipe=recipe, inputs={"reward_model": "helpful"})
        assert sum(part.bytes for part in told.parts) == pytest.approx(told.memory.expected)
        # The additional weights can change which stage needs the most memory, so only the update stage is
        # compared.
        [update] = [stage for stage in told.stages if stage.name == "update"]
        return {part.name: part.bytes for part in update.parts}

    weights = 4 * arbitrary_reward_model().model.num_parameters()
    for kind in ("ppo", "rejection_sampling"):
        one, three = parts({}, kind), parts({"reward_weights": "harmless=1, newest=1"}, kind)
        assert three.pop("weights: 2 further reward models") == pytest.approx(2 * weights, rel=0.05)
        assert three == one


def test_estimate_of_time_grows_with_the_number_of_reward_models(lab: Project, helpful: ModelVersion) -> None:
    one, two = (
        estimate_run(
            project=lab, kind="rejection_sampling", recipe=recipe, inputs={"reward_model": "helpful"}
        )
        for recipe in ({}, {"reward_weights": "harmless=1"})
    )
    assert two.seconds.expected > one.seconds.expected
    end, sentences = (
        estimate_run(project=lab, kind="ppo", recipe={"reward_spread": spread}, inputs={})
        for spread in ("end", "sentences")
    )
    assert sentences.seconds.expected > end.seconds.expected
    assert sentences.memory.expected == end.memory.expected


def test_run_with_a_floor_reports_every_reward_model(
    lab: Project, helpful: ModelVersion, tmp_path: Path
) -> None:
    small = {"steps": 2, "rollout_prompts": 2, "max_new_tokens": 4, "max_prompts": 2, "samples": 0}
    recipe = small | {"reward_weights": "helpful=1", "reward_floors": "harmless=start"}
    report = ListReporter()
    outcome = perform(launch(lab, recipe), attempt=1, work=tmp_path / "work", report=report)
    assert outcome.model is not None
    assert len(report.series("rewards/harmless/multiplier")) == 2
    assert outcome.metrics["rewards/harmless/floor"] == report.series("rewards/harmless/mean")[0]
