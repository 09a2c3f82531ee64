"""A launch resolves its inputs and creates a run. A refused launch returns a reason for each invalid field
and stores nothing."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from annotation.content.adding import add_prompts
from annotation.content.importing.imports import import_file
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Comparison, DatasetSnapshot, Project, User
from annotation.projects.projects import create_project
from config.celery import app
from config.problems import Problem
from tests.training.conftest import ModelMaker, Rank
from training.models import ModelVersion, TrainingRun
from training.registry.stages import archive_model, promote_model
from training.runs.launch import launch_run, resume_run
from training.runs.recipes.catalog import KINDS, catalog, parse_recipe


@pytest.fixture
def prompts(lab: Project) -> None:
    add_prompts(
        project=lab, prompts=[([{"role": "user", "content": f"Question {i}?"}], {}) for i in range(5)]
    )


def launch(project: Project, kind: str, recipe: dict[str, Any] | None = None, **inputs: str) -> TrainingRun:
    return launch_run(project=project, kind=kind, recipe=recipe or {}, inputs=inputs, user=None)


def refusal(
    project: Project, kind: str, recipe: dict[str, Any] | None = None, **inputs: str
) -> dict[str, str]:
    """Attempt a launch that must be refused and must not write a run. Return the reasons by field."""
    with pytest.raises(Problem) as caught:
        launch(project, kind, recipe, **inputs)
    assert not TrainingRun.objects.exists()
    assert caught.value.status == 422
    return {error.field: error.reason for error in caught.value.errors}


def test_launch_stores_the_complete_recipe_and_wakes_a_worker_on_commit(
    lab: Project, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[Any] = []
    monkeypatch.setattr(app, "send_task", lambda name, **sent: woken.append((name, sent["args"])))
    with django_capture_on_commit_callbacks() as callbacks:
        run = launch(lab, "sft", {"epochs": 2})
    assert woken == []
    callbacks[0]()
    assert woken == [("training.tasks.execute_run", [str(run.pk)])]
    assert run.recipe == KINDS["sft"].recipe(epochs=2).model_dump(mode="json")  # type: ignore[call-arg]
    assert (run.state, run.inputs, run.attempt) == ("queued", {}, 0)
    assert run.events.get().data == {"state": "queued"}


def test_launch_refuses_an_unknown_kind(lab: Project) -> None:
    assert "The kinds are: sft, reward_model" in refusal(lab, "distil")["kind"]


def test_launch_gives_a_reason_for_each_invalid_setting(lab: Project, prompts: None) -> None:
    reasons = refusal(lab, "ppo", {"stepps": 3, "clip": 7, "steps": "many", "gamma": 0.9})
    assert {"recipe.stepps", "recipe.clip", "recipe.steps"} == set(reasons)
    assert "no such setting" in reasons["recipe.stepps"]
    assert "steps" in reasons["recipe.stepps"]
    assert "less than or equal to 1" in reasons["recipe.clip"]
    assert "'many'" in reasons["recipe.steps"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_launch_refuses_a_setting_that_is_not_finite(lab: Project, value: float) -> None:
    assert set(refusal(lab, "sft", {"weight_decay": value})) == {"recipe.weight_decay"}


def test_launch_refuses_an_input_that_the_run_kind_does_not_take(lab: Project) -> None:
    assert "Its inputs are policy, snapshot" in refusal(lab, "sft", reward_model="x")["inputs.reward_model"]


def test_launch_error_names_all_missing_inputs_together(lab: Project) -> None:
    reasons = refusal(lab, "ppo")
    assert set(reasons) == {"inputs.policy", "inputs.reward_model", "project"}
    assert "Train one with SFT first" in reasons["inputs.policy"]


def test_launch_refuses_a_model_from_another_project(
    lab: Project, prompts: None, make_model: ModelMaker
) -> None:
    make_model(project=create_project(slug="other"), name="other-sft-1")
    assert "no model 'other-sft-1'" in refusal(lab, "sample", policy="other-sft-1")["inputs.policy"]


def test_launch_refuses_archived_models_and_wrong_kinds_and_missing_weights(
    lab: Project, prompts: None, make_model: ModelMaker
) -> None:
    make_model(name="lab-rm-1", kind="reward_model")
    assert "requires a policy" in refusal(lab, "sample", policy="lab-rm-1")["inputs.policy"]
    make_model(name="lab-sft-1", stage="archived")
    assert "archived" in refusal(lab, "sample", policy="lab-sft-1")["inputs.policy"]
    gone = make_model(name="lab-sft-2")
    (gone.folder / "config.json").unlink()
    assert "missing" in refusal(lab, "sample", policy="lab-sft-2")["inputs.policy"]


def test_launch_refuses_a_missing_model_path(lab: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    assert path in refusal(lab, "sft", {"base_model": path})["recipe.base_model"]


def test_default_input_is_the_production_model_or_else_the_newest_model(
    lab: Project, prompts: None, make_model: ModelMaker
) -> None:
    first, second = make_model(name="lab-sft-1"), make_model(name="lab-sft-2")
    assert launch(lab, "sample").inputs == {"policy": "lab-sft-2"}
    promote_model(model=first, by=None, reason="Test")
    assert launch(lab, "sample").inputs == {"policy": "lab-sft-1"}
    assert launch(lab, "sample", policy=str(second.id)).inputs == {"policy": "lab-sft-2"}
    assert launch(lab, "sample", {"base_model": "Qwen/Qwen3-0.6B"}).inputs == {}


@pytest.mark.parametrize("kind", ["rejection_sampling", "ppo"])
def test_default_policy_is_the_parent_of_the_reward_model(
    lab: Project, prompts: None, make_model: ModelMaker, kind: str
) -> None:
    first = make_model(name="lab-sft-1")
    judge = make_model(name="lab-rm-1", kind="reward_model", parent=first)
    newest = make_model(name="lab-rs-1", parent=first)
    assert launch(lab, kind).inputs == {"policy": "lab-sft-1", "reward_model": "lab-rm-1"}
    assert launch(lab, kind, policy="lab-rs-1").inputs["policy"] == "lab-rs-1"
    assert launch(lab, "sample").inputs == {"policy": "lab-rs-1"}
    # The next round starts from the policy that generated the newly ranked responses.
    make_model(name="lab-rm-2", kind="reward_model", parent=newest)
    assert launch(lab, kind).inputs == {"policy": "lab-rs-1", "reward_model": "lab-rm-2"}
    assert launch(lab, kind, reward_model=judge.name).inputs["policy"] == "lab-sft-1"
    promote_model(model=make_model(name="lab-ppo-1"), by=None, reason="Test")
    assert launch(lab, kind).inputs["policy"] == "lab-ppo-1"
    ModelVersion.objects.filter(kind="policy").exclude(name="lab-rs-1").update(stage="archived")
    assert launch(lab, kind, reward_model=judge.name).inputs["policy"] == "lab-rs-1"


def test_evaluation_requires_a_reward_model_only_if_the_judge_is_a_reward_model(
    lab: Project, prompts: None, make_model: ModelMaker
) -> None:
    make_model(name="lab-sft-1")
    assert set(refusal(lab, "evaluate", {"judge": "reward_model"})) == {"inputs.reward_model"}
    assert launch(lab, "evaluate").inputs == {"policy": "lab-sft-1"}


def test_reward_model_run_freezes_the_current_rankings(
    lab: Project, make_model: ModelMaker, alice: User, rank: Rank
) -> None:
    make_model(name="lab-sft-1")
    assert "no comparisons" in refusal(lab, "reward_model")["inputs.snapshot"]
    assert not DatasetSnapshot.objects.exists()
    rank(lab, alice, n=2)
    run = launch(lab, "reward_model")
    snapshot = DatasetSnapshot.objects.get()
    assert run.inputs == {"policy": "lab-sft-1", "snapshot": snapshot.name}
    assert snapshot.name == "v1"
    assert snapshot.comparisons == Comparison.objects.count() > 0
    again = launch(lab, "reward_model", snapshot=str(snapshot.id))
    assert again.inputs["snapshot"] == snapshot.name
    assert DatasetSnapshot.objects.count() == 1


def test_each_source_of_demonstrations_requires_its_part_of_a_snapshot(
    lab: Project, alice: User, rank: Rank
) -> None:
    def reason(source: str, **inputs: str) -> str:
        return refusal(lab, "sft", {"demonstrations": source}, **inputs)["inputs.snapshot"]

    for source in ("best_responses", "all"):
        assert reason(source).startswith("The project has no comparisons")
    rank(lab, alice, n=2)
    assert reason("rewrites").startswith("The project has no rewrites. Ask for rewrites")
    freeze_snapshot(project=lab, name="before")
    assert reason("rewrites", snapshot="before") == "Snapshot before has no rewrites to learn from."
    assert reason("demo_world", snapshot="before").startswith("Set demonstrations to best_responses,")

    written = create_project(slug="written")
    row = {"prompt": "Is it?", "responses": ["yes", "no"], "rewrite": "Maybe."}
    import_file(project=written, file=BytesIO(json.dumps(row).encode()))
    assert refusal(written, "sft", {"demonstrations": "best_responses"}).keys() == {"inputs.snapshot"}
    for source in ("rewrites", "all"):
        assert launch(written, "sft", {"demonstrations": source}).inputs.keys() == {"snapshot"}


def test_launch_refuses_a_snapshot_from_another_project(
    lab: Project, make_model: ModelMaker, alice: User, rank: Rank
) -> None:
    make_model(name="lab-sft-1")
    rank(lab, alice, n=1)
    elsewhere = create_project(slug="elsewhere")
    rank(elsewhere, alice, n=1)
    snapshot = freeze_snapshot(project=elsewhere, name="theirs")
    for named in ("theirs", str(snapshot.id)):
        reasons = refusal(lab, "reward_model", snapshot=named)
        assert reasons == {"inputs.snapshot": f"The project has no snapshot {named!r}."}


def test_refused_reward_model_run_does_not_freeze_a_snapshot(lab: Project, alice: User, rank: Rank) -> None:
    rank(lab, alice, n=1)
    assert set(refusal(lab, "reward_model")) == {"inputs.policy"}
    assert not DatasetSnapshot.objects.exists()
    assert not list((settings.ARTEFACTS / "snapshots").glob("lab/*/*"))


def test_resume_wakes_a_worker(lab: Project, django_capture_on_commit_callbacks: Any) -> None:
    run = launch(lab, "sft")
    TrainingRun.objects.filter(pk=run.pk).update(state="cancelled", finished_at=run.created_at)
    with django_capture_on_commit_callbacks() as callbacks:
        assert resume_run(run=run).state == "queued"
    assert len(callbacks) == 1


def test_every_setting_has_a_description_and_a_default() -> None:
    for kind, entry in catalog().items():
        assert entry["title"]
        assert entry["description"]
        for name, field in entry["schema"]["properties"].items():
            assert field.get("description"), (kind, name)
            assert "default" in field, (kind, name)
        assert parse_recipe(kind=kind, settings={}) is not None


def test_only_one_model_of_each_kind_is_in_production(lab: Project, make_model: ModelMaker) -> None:
    first, second = make_model(name="lab-sft-1"), make_model(name="lab-sft-2")
    judge = make_model(name="lab-rm-1", kind="reward_model")
    for model in (judge, first, second, second):
        promote_model(model=model, by=None, reason="Test")
    stages = dict(ModelVersion.objects.values_list("name", "stage"))
    assert stages == {"lab-sft-1": "candidate", "lab-sft-2": "production", "lab-rm-1": "production"}
    with pytest.raises(Problem, match="in production"):
        archive_model(model=second)
    assert archive_model(model=first).stage == "archived"


def test_model_without_weights_cannot_be_promoted(lab: Project, make_model: ModelMaker) -> None:
    model = make_model(name="lab-sft-1")
    (model.folder / "config.json").unlink()
    with pytest.raises(Problem, match="missing"):
        promote_model(model=model, by=None, reason="Test")
