"""A launch refuses a run with unsuitable models and names the field. The run's process repeats the checks,
because a model's files can change while the run waits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from django.conf import settings as django_settings
from django.db import connection
from peft import LoraConfig, get_peft_model
from rest_framework.test import APIClient

from annotation.content.adding import add_prompts
from annotation.models import DatasetSnapshot, Project, User
from config.problems import Problem
from tests.training.conftest import ModelMaker, Rank
from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import drop_weights, edit_json, move_adapter, saved
from tests.training.rlhf.models.parts.test_trunks import LORA, learn, saved_base
from tests.training.rlhf.policy.test_chat_templates_of_two_models import MARKED, REWRITTEN, judge_of
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import FailureKind
from training.rlhf.core.reporter import NullReporter
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.runs.estimates.estimates import tell_estimate
from training.runs.launch import launch_run
from training.runs.process.kinds import perform

torch.set_num_threads(1)
POLICY, JUDGE, BASE = "inputs.policy", "inputs.reward_model", "recipe.base_model"
FEW: dict[str, Any] = {"max_prompts": 2, "max_new_tokens": 4}


@pytest.fixture
def prompts(lab: Project) -> None:
    add_prompts(project=lab, prompts=[([{"role": "user", "content": f"w1 w{i}"}], {}) for i in range(40)])


@pytest.fixture
def register(make_model: ModelMaker) -> Callable[..., ModelVersion]:
    """register(folder, kind): registers a copy of the folder as a model of the project."""

    def register_it(folder: Path, kind: str = "policy", name: str = "") -> ModelVersion:
        model = make_model(name=name or f"lab-{kind}", kind=kind)
        shutil.rmtree(model.folder)
        shutil.copytree(folder, model.folder)
        return model

    return register_it


Register = Callable[..., ModelVersion]


def launch(project: Project, kind: str, recipe: dict[str, Any] | None = None, **inputs: str) -> TrainingRun:
    return launch_run(project=project, kind=kind, recipe=recipe or {}, inputs=inputs, user=None)


def refusal(project: Project, kind: str, recipe: dict[str, Any] | None = None) -> tuple[str, str]:
    """Attempt a launch that must be refused for exactly one reason. Return the field and the reason. An
    estimate must report the same field and reason."""
    with pytest.raises(Problem) as caught:
        launch(project, kind, recipe)
    assert caught.value.status == 422
    (error,) = caught.value.errors
    assert not TrainingRun.objects.exists()
    told = tell_estimate(project=project, kind=kind, recipe=recipe or {}, inputs={})
    assert [(e.field, e.reason) for e in told.refused] == [(error.field, error.reason)]
    return error.field, error.reason


def overflowing(folder: Path) -> Path:
    words = tiny.tokenizer()
    words.add_special_tokens({"pad_token": "[PAD]"})
    saved(folder)
    words.save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("kind", ["reward_model", "sample", "sft"])
def test_tokenizer_with_more_tokens_than_the_model_is_refused(
    kind: str, lab: Project, register: Register, tmp_path: Path, rank: Rank, alice: User
) -> None:
    rank(lab, alice, n=2)
    folder = overflowing(tmp_path / "policy")
    model = register(folder)
    given = {"policy": model.name} if kind == "sft" else {}
    with pytest.raises(Problem) as caught:
        launch(lab, kind, **given)
    (error,) = caught.value.errors
    assert error.field == POLICY
    assert "69 embedding rows" in error.reason
    assert "'[PAD]' (ID 69)" in error.reason
    assert not DatasetSnapshot.objects.exists()
    with pytest.raises(Problem) as caught:
        launch(lab, kind, {"base_model": str(folder)})
    assert [e.field for e in caught.value.errors] == [BASE]


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("kind", ["sample", "evaluate", "rejection_sampling", "rloo", "ppo"])
def test_base_model_that_cannot_generate_is_refused(
    kind: str, lab: Project, register: Register, tmp_path: Path
) -> None:
    judge = judge_of(tmp_path)
    register(judge, "reward_model")
    field, reason = refusal(lab, kind, {"base_model": str(judge)})
    assert (field, "LlamaForSequenceClassification is the architecture of" in reason) == (BASE, True)
    encoder = saved_base("bert", tmp_path)
    field, reason = refusal(lab, kind, {"base_model": str(encoder)})
    assert (field, "bert is an encoder" in reason) == (BASE, True)


def test_encoder_and_reward_model_can_start_a_reward_model_run(
    lab: Project, tmp_path: Path, rank: Rank, alice: User
) -> None:
    rank(lab, alice, n=2)
    for folder in (judge_of(tmp_path), saved_base("modern-bert", tmp_path)):
        assert launch(lab, "reward_model", {"base_model": str(folder)}).state == "queued"


@pytest.mark.usefixtures("prompts")
def test_policy_that_is_registered_as_a_reward_model_is_refused(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    policy = saved(tmp_path / "policy")
    register(policy)
    register(policy, "reward_model")
    field, reason = refusal(lab, "ppo")
    assert (field, "no reward head (score.weight" in reason) == (JUDGE, True)
    assert launch(lab, "evaluate").state == "queued"  # the gold judge needs no reward model


@pytest.mark.usefixtures("prompts")
def test_adapter_without_its_head_or_for_another_base_is_refused(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    base = saved(tmp_path / "policy")
    register(base)
    judge = register(learn(base, tmp_path / "adapter", **LORA).path, "reward_model")
    assert launch(lab, "rejection_sampling").inputs["reward_model"] == judge.name
    TrainingRun.objects.all().delete()

    move_adapter(judge.folder, saved(tmp_path / "wide", hidden_size=64))
    field, reason = refusal(lab, "rejection_sampling")
    assert field == JUDGE
    assert (
        "for model.layers.0.mlp.down_proj with 32×64 weights, but in the base model, this module has 64×64"
        in reason
    )

    move_adapter(judge.folder, base)
    drop_weights(judge.folder / "adapter_model.safetensors", "score")
    field, reason = refusal(lab, "rejection_sampling")
    assert (field, "the reward head that was trained with the adapter" in reason) == (JUDGE, True)


@pytest.mark.usefixtures("prompts")
def test_adapter_with_biases_is_refused_only_for_further_training(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    base = saved(tmp_path / "policy")
    adapted = get_peft_model(load_policy(base).model, LoraConfig(r=4, task_type="CAUSAL_LM", bias="all"))
    adapted.active_peft_config.base_model_name_or_path = str(base)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    load_policy(base).tokenizer.save_pretrained(tmp_path / "adapter")
    register(tmp_path / "adapter", name="lab-sft-1")
    register(judge_of(tmp_path), "reward_model")
    for kind in ("rejection_sampling", "rloo"):
        field, reason = refusal(lab, kind, {"use_peft": True})
        assert field == POLICY
        assert "was trained with bias='all'" in reason
        assert "Set use_peft to false" in reason
    assert launch(lab, "rejection_sampling").state == "queued"  # the adapter is merged


@pytest.mark.usefixtures("prompts")
def test_only_ppo_refuses_a_reward_model_with_a_different_chat_template(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy", template=MARKED))
    register(judge_of(tmp_path), "reward_model")
    field, reason = refusal(lab, "ppo")
    assert (field, "different chat templates: the policy reads a question as" in reason) == (JUDGE, True)
    assert launch(lab, "rejection_sampling").state == "queued"
    assert launch(lab, "rloo").state == "queued"
    assert launch(lab, "evaluate", {"judge": "reward_model"}).state == "queued"


@pytest.mark.usefixtures("prompts")
def test_ppo_accepts_a_different_template_that_renders_the_same_text(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy", template=MARKED))
    register(judge_of(tmp_path, template=REWRITTEN), "reward_model")
    assert launch(lab, "ppo").state == "queued"


@pytest.mark.usefixtures("prompts")
def test_ppo_refuses_encoders_and_different_vocabularies_and_constant_rewards(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy"))
    other = tmp_path / "other"
    save_model(tiny.policy(), tiny.byte_level_tokenizer(), other)
    edit_json(other, vocab_size=69)
    judges = {
        "different vocabularies": judge_of(tmp_path / "more", vocab_size=80),
        "is an encoder": learn(saved_base("bert", tmp_path), tmp_path / "bert-rm").path,
        "the same reward": judge_of(tmp_path / "flat"),
    }
    words = tiny.tokenizer()
    words.add_tokens(["another"])
    words.save_pretrained(judges["different vocabularies"])
    edit_json(judges["the same reward"], rankloop={"reward_mean": 0.0, "reward_std": 0.0})
    for number, (reason, folder) in enumerate(judges.items()):
        register(folder, "reward_model", name=f"lab-rm-{number}")
        field, found = refusal(lab, "ppo")
        assert (field, reason in found) == (JUDGE, True), found
        if reason == "the same reward":
            assert refusal(lab, "rloo") == (field, found)
        else:  # rloo has no critic, and the judge scores the text
            assert launch(lab, "rloo").state == "queued"
            TrainingRun.objects.all().delete()


@pytest.mark.usefixtures("prompts")
def test_ppo_accepts_reward_models_if_one_of_them_can_be_the_critic(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy"))
    register(learn(saved_base("bert", tmp_path), tmp_path / "bert-rm").path, "reward_model", name="encoder")
    recipe = FEW | {"steps": 1, "rollout_prompts": 2, "samples": 0, "reward_weights": "encoder=1"}
    field, reason = refusal(lab, "ppo", recipe)
    assert (field, "is an encoder" in reason) == (JUDGE, True)
    register(judge_of(tmp_path / "fitting"), "reward_model", name="fitting")
    run = launch(lab, "ppo", recipe | {"reward_weights": "encoder=1, fitting=1"})
    outcome = perform(run, attempt=1, work=tmp_path / "work", report=NullReporter())
    assert {"rewards/encoder/mean", "rewards/fitting/mean"} <= outcome.metrics.keys()
    # If the critic is an adapter of the policy, it does not start from a reward model.
    adapted = launch(lab, "ppo", recipe | {"use_peft": True, "lora_r": 2})
    assert perform(adapted, attempt=1, work=tmp_path / "adapted", report=NullReporter()).model is not None


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize(
    ("kind", "recipe", "setting"),
    [
        ("sample", {"max_new_tokens": 64}, "max_new_tokens"),
        ("evaluate", {"max_new_tokens": 64}, "max_new_tokens"),
        ("rloo", {"max_new_tokens": 63}, "max_new_tokens"),
        ("ppo", {"max_new_tokens": 63}, "max_new_tokens"),
        ("rejection_sampling", {"max_new_tokens": 8, "sample_tokens": 64}, "sample_tokens"),
    ],
)
def test_answer_length_that_fills_the_context_is_refused(
    kind: str, recipe: dict[str, Any], setting: str, lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy", max_position_embeddings=64))
    register(judge_of(tmp_path), "reward_model")
    field, reason = refusal(lab, kind, recipe)
    assert (field, "reads at most 64 tokens" in reason) == (f"recipe.{setting}", True)
    shorter = recipe | {setting: recipe[setting] - 1}
    assert launch(lab, kind, shorter).state == "queued"


@pytest.mark.usefixtures("prompts")
def test_answer_length_beyond_the_context_of_the_reward_model_is_refused(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy"))
    register(judge_of(tmp_path, max_position_embeddings=32), "reward_model")
    recipe = {"max_new_tokens": 31, "sample_tokens": 8}
    field, reason = refusal(lab, "rejection_sampling", recipe)
    assert (field, "lab-reward_model' reads at most 32 tokens" in reason) == ("recipe.max_new_tokens", True)
    assert launch(lab, "rejection_sampling", recipe | {"max_new_tokens": 30}).state == "queued"


@pytest.mark.usefixtures("prompts")
def test_api_error_names_the_field_of_the_unusable_model(
    client_of: Callable[[User | None], APIClient],
    ada: User,
    lab: Project,
    register: Register,
    tmp_path: Path,
) -> None:
    register(overflowing(tmp_path / "policy"))
    sent = client_of(ada).post("/api/v1/runs/", {"project": "lab", "kind": "sample"})
    assert sent.status_code == 422
    (error,) = sent.json()["errors"]
    assert error["field"] == POLICY
    assert "model.resize_token_embeddings(70)" in error["reason"]


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_hostile_file_is_refused(name: str, lab: Project, register: Register, tmp_path: Path) -> None:
    model = register(saved(tmp_path / "policy"))
    (model.folder / name).write_text("[" * 100_000)
    field, reason = refusal(lab, "sample")
    assert (field, f"{name} can't be read: it is nested too deeply" in reason) == (POLICY, True)


@pytest.mark.usefixtures("prompts")
def test_models_are_read_before_the_transaction(
    lab: Project, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading large files inside the transaction would keep it open for seconds."""
    register(saved(tmp_path / "policy"))
    depths: list[int] = []
    parse = json.loads

    def spy(*given: Any, **options: Any) -> Any:
        depths.append(len(connection.savepoint_ids))
        return parse(*given, **options)

    outside = len(connection.savepoint_ids)
    monkeypatch.setattr(json, "loads", spy)
    launch(lab, "sample")
    assert len(depths) > 2
    assert set(depths) == {outside}


@pytest.mark.usefixtures("prompts")
def test_process_refuses_a_model_that_changed_after_the_launch(
    lab: Project, register: Register, tmp_path: Path
) -> None:
    register(saved(tmp_path / "policy", template=MARKED))
    judge = register(judge_of(tmp_path, template=MARKED), "reward_model")
    run = launch(lab, "ppo", FEW | {"steps": 1})
    (judge.folder / "chat_template.jinja").unlink()
    with pytest.raises(Refused, match="different chat templates") as caught:
        perform(run, attempt=1, work=tmp_path / "work", report=NullReporter())
    assert caught.value.kind == FailureKind.TEMPLATES_DIFFER
    assert not (tmp_path / "work" / "model").exists()


@pytest.mark.usefixtures("prompts")
def test_repaired_model_is_accepted(lab: Project, register: Register, tmp_path: Path) -> None:
    """A launch caches the results of its checks only until the model's files change."""
    model = register(overflowing(tmp_path / "policy"))
    refusal(lab, "sample")
    tiny.tokenizer().save_pretrained(model.folder)
    assert launch(lab, "sample").state == "queued"
    assert load_policy(model.folder)


def test_launch_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import django; django.setup(); import sys, training.runs.api.runs; "
        "print(json.dumps(sorted({'torch', 'transformers'} & sys.modules.keys())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"],
        cwd=django_settings.BASE_DIR,
        env={"DJANGO_SETTINGS_MODULE": "config.settings", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
