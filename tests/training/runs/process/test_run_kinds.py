"""Each run kind is tested with a tiny model. The tests check the inputs, the results, and the use of the
results by the next run kind."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from annotation.content.adding import add_prompts, add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.content.importing.imports import import_file
from annotation.models import Prompt, RankingTask, User
from config.problems import Problem
from tests.training.conftest import ModelMaker, Rank
from training import demo_world
from training.models import ModelVersion, RunEvent, TrainingRun
from training.registry.reward_reports import report_of
from training.registry.stages import promote_model
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.candidates import read_candidates
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import sft
from training.rlhf.recipes.sft import SFTConfig
from training.runs import transitions
from training.runs.api.serializers import RunSerializer
from training.runs.candidates import stored_candidates
from training.runs.estimates.estimates import estimate_run
from training.runs.launch import launch_run
from training.runs.process.main import run_attempt

pytestmark = pytest.mark.django_db(transaction=True)
LAYER = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    *("input_layernorm", "post_attention_layernorm"),
)
QUICK_SFT = {"sample_prompts": 1, "sample_tokens": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy trained to give short answers that end with EOS."""
    tokenizer = demo_world.build_tokenizer()
    untrained = Loaded(demo_world.build_policy(tokenizer, 0, hidden=32, layers=1), tokenizer)
    short = [
        Demonstration(messages, text)
        for messages, text in zip(
            demo_world.prompts(64, seed=5), itertools.cycle(["Hello.", "No.", "Yes, hello."])
        )
    ]
    recipe = SFTConfig(learning_rate=2e-2, epochs=4, batch_size=8, sample_prompts=0)
    out = tmp_path_factory.mktemp("model") / "policy"
    return sft.train(recipe, base_model=untrained, demonstrations=short, out_dir=out).path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def policy(make_model: ModelMaker, tiny_policy: Path) -> ModelVersion:
    model = make_model(name="lab-sft-1")
    shutil.copytree(tiny_policy, model.folder, dirs_exist_ok=True)
    return model


@pytest.fixture
def ranked(policy: ModelVersion, alice: User, rank: Rank) -> None:
    """Adds twelve demo prompts to the project, each with two ranked responses."""
    project = policy.project
    drafts = [
        TaskDraft(messages, [ResponseDraft("Hello, thank you.", "m"), ResponseDraft("No.", "m")])
        for messages in demo_world.prompts(12, seed=3)
    ]
    add_ranking_tasks(project=project, items=drafts)
    rank(project, alice, n=0)


def ran(start: ModelVersion, kind: str, recipe: dict[str, Any], **inputs: str) -> TrainingRun:
    run = launch_run(project=start.project, kind=kind, recipe=recipe, inputs=inputs, user=None)
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    return run


@pytest.mark.usefixtures("ranked")
def test_adapter_is_usable_as_a_reward_model_until_its_base_is_removed(policy: ModelVersion) -> None:
    ran(policy, "reward_model", {"epochs": 1, "use_peft": True, "lora_r": 4})
    judge = ModelVersion.objects.get(name="lab-rm-1")
    assert (judge.weights, judge.parent, judge.base_model) == ("adapter", policy, "demo-world")
    assert policy.weights == "full"
    told = json.loads((judge.folder / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(policy.folder)
    promote_model(model=judge, by=None, reason="Test")

    few: dict[str, Any] = {"max_prompts": 4, "max_new_tokens": 8}
    ran(policy, "rejection_sampling", QUICK_SFT | few | {"samples_per_prompt": 2})
    ran(policy, "ppo", few | {"steps": 1, "rollout_prompts": 4, "samples": 1})
    judged = ran(policy, "evaluate", few | {"judge": "reward_model", "split": "all"})
    assert math.isfinite(judged.result["metrics"]["reward_model/mean"])
    estimate = estimate_run(project=policy.project, kind="ppo", recipe={}, inputs={})
    parts = {part.name: part.bytes for part in estimate.parts}
    assert parts["weights: critic"] == parts["weights: reward model"] > 0.9 * parts["weights: policy"]

    shutil.rmtree(policy.folder)
    with pytest.raises(
        Problem, match=r"weights of lab-rm-1 are missing: the model is an adapter of .*lab-sft-1"
    ):
        launch_run(project=policy.project, kind="ppo", recipe=few, inputs={"policy": "lab-rs-1"}, user=None)
    with pytest.raises(Problem, match=r"adapter of .*The model can't be promoted"):
        promote_model(model=judge, by=None, reason="Test")


@pytest.mark.usefixtures("ranked")
def test_adapters_of_one_base_model_complete_a_training_round(policy: ModelVersion) -> None:
    lora: dict[str, Any] = {"use_peft": True, "lora_r": 4}
    few: dict[str, Any] = {"max_prompts": 4, "max_new_tokens": 8}
    imitated = ran(policy, "sft", QUICK_SFT | lora | {"demonstrations": "best_responses"}, policy=policy.name)
    first = ModelVersion.objects.get(name="lab-sft-2")
    assert (first.weights, first.parent, first.base_model) == ("adapter", policy, "demo-world")
    weights = imitated.result["counts"]["trained_parameters"]
    ran(first, "reward_model", {"epochs": 1, **lora}, policy=first.name)
    judge = ModelVersion.objects.get(name="lab-rm-1")
    ran(first, "ppo", few | lora | {"steps": 1, "rollout_prompts": 4}, policy=first.name)
    better = ModelVersion.objects.get(name="lab-ppo-1")
    assert better.run is not None
    assert better.run.inputs == {"policy": first.name, "reward_model": judge.name}
    # The critic's adapter and head are trained too.
    assert better.run.result["counts"]["trained_parameters"] == 2 * weights + 33
    of_policy = imitated.result["trained_weights"]
    assert set(of_policy) == {
        f"model.base_model.model.model.layers.0.{name}.lora_{side}.weight"
        for name in LAYER
        if name.endswith("_proj")
        for side in "AB"
    }
    assert better.run.result["trained_weights"] == [
        *(name.replace("model.base_model", "policy.base_model", 1) for name in of_policy),
        *(name.replace("model.base_model.model.model", "critic.matrices", 1) for name in of_policy),
        *("critic.head.weight", "critic.head.bias"),
    ]
    shown = RunSerializer(better.run).data["result"]
    assert shown["trained_weights"] == better.run.result["trained_weights"]
    ran(first, "dpo", lora | {"kl_samples": 2, "sample_tokens": 4}, policy=better.name)
    last = ModelVersion.objects.get(name="lab-dpo-1")
    for model in (first, judge, better, last):
        assert model.weights == "adapter"
        told = json.loads((model.folder / "adapter_config.json").read_text())
        assert told["base_model_name_or_path"] == str(policy.folder), model.name
    assert last.parent == better
    assert ran(first, "sample", few, policy=last.name).result["counts"]["prompts_answered"] == 4
    judged = ran(first, "evaluate", few | {"judge": "reward_model", "split": "all"}, policy=last.name)
    assert math.isfinite(judged.result["metrics"]["reward_model/mean"])
    promote_model(model=last, by=None, reason="Test")

    estimates = [
        estimate_run(project=policy.project, kind="ppo", recipe=one, inputs={"policy": first.name})
        for one in (few, few | lora, few | lora | {"critic": "separate"})
    ]
    full, shared, separate = ({part.name: part.bytes for part in one.parts} for one in estimates)
    assert shared["weights: reward model"] == shared["weights: critic"] == shared["weights: adapter"]
    assert "weights: reference" not in shared
    assert shared["Adam's moments"] == 8 * weights < full["Adam's moments"] / 5
    assert separate["weights: critic"] == separate["weights: policy"] == full["weights: reference"]
    assert estimates[1].disk.model == 4 * weights

    with pytest.raises(Problem, match=r"use_peft: An adapter depends on the files of its base model"):
        launch_run(project=policy.project, kind="sft", recipe=lora, inputs={}, user=None)
    shutil.rmtree(policy.folder)
    with pytest.raises(
        Problem, match=r"weights of lab-dpo-1 are missing: the model is an adapter of .*lab-sft-1"
    ):
        launch_run(project=policy.project, kind="sample", recipe=few, inputs={}, user=None)


@pytest.mark.usefixtures("ranked")
def test_caution_requires_a_reward_model_with_uncertainty(policy: ModelVersion) -> None:
    few: dict[str, Any] = {"max_prompts": 4, "max_new_tokens": 8}
    ran(policy, "reward_model", {"epochs": 1})
    bold = launch_run(project=policy.project, kind="ppo", recipe=few | {"caution": 1.0}, inputs={}, user=None)
    attempt = transitions.claim_run(run_id=bold.pk, worker="test")
    assert attempt is not None
    run_attempt(bold.pk, attempt)
    bold.refresh_from_db()
    assert bold.state == "failed"
    assert "Train it with `uncertainty` set to" in str(bold.error)

    trained = ran(policy, "reward_model", {"epochs": 1, "uncertainty": "laplace"})
    judge = ModelVersion.objects.get(name="lab-rm-2")
    assert judge.metrics["uncertainty/prior_spread"] == trained.result["metrics"]["uncertainty/prior_spread"]
    assert (judge.folder / "uncertainty").is_dir()
    judged = ran(policy, "evaluate", few | {"judge": "reward_model", "split": "all"}, reward_model=judge.name)
    assert judged.result["metrics"]["reward_model/spread"] > 0
    careful = few | {"caution": 1.0, "steps": 1, "rollout_prompts": 4, "samples": 1}
    improved = ran(policy, "ppo", careful, reward_model=judge.name)
    assert improved.result["metrics"]["objective/spread"] > 0


@pytest.mark.usefixtures("ranked")
def test_run_kinds_together_complete_one_training_round(policy: ModelVersion) -> None:
    trained = ran(policy, "reward_model", {"epochs": 1})
    judge = ModelVersion.objects.get(name="lab-rm-1")
    assert (judge.kind, judge.parent, judge.run, judge.base_model) == (
        "reward_model", policy, trained, "demo-world"
    )  # fmt: skip
    assert {"train/loss", "train/accuracy"} <= set(judge.metrics)
    assert trained.result["counts"]["rankings"] == 12
    report = report_of(judge)
    assert report is not None
    assert report["pairs"] == judge.metrics["heldout/pairs"] > 0
    assert report["calibration"]["preference"]["ece"]["value"] == judge.metrics["heldout/ece"]
    assert AutoModelForSequenceClassification.from_pretrained(judge.folder).config.num_labels == 1

    quick = QUICK_SFT | {"samples_per_prompt": 2, "max_new_tokens": 8, "max_prompts": 4}
    selecting = ran(policy, "rejection_sampling", quick | {"rounds": 2, "keep": "top_k"})
    sampled = ModelVersion.objects.get(name="lab-rs-1")
    assert sampled.parent == policy
    assert selecting.result["counts"]["kept"] > 0
    assert {"gold/mean_before", "gold/best_of_n_before"} <= set(sampled.metrics)
    stored = stored_candidates(selecting)
    assert stored.sha256 == selecting.result["candidates"]["sha256"]
    assert sorted(path.name for path in selecting.folder.iterdir()) == ["candidates.jsonl.gz"]
    kept = [one for line in read_candidates(stored.path) for one in line["candidates"] if one["kept"]]
    assert len(kept) == selecting.result["counts"]["kept"]

    compared = ran(
        policy,
        "rloo",
        {"steps": 2, "rollout_prompts": 2, "max_new_tokens": 8, "samples": 1, "max_prompts": 4}
        | {"num_layers_unfrozen": 1},
    )
    every = {f"model.layers.0.{name}.weight" for name in LAYER}
    assert set(compared.result["trained_weights"]) == {
        f"policy.{name}" for name in (*every, "model.norm.weight")
    }
    assert set(trained.result["trained_weights"]) == {
        *(
            f"model.model.{name}.weight"
            for name in ("embed_tokens", "norm", *(f"layers.0.{n}" for n in LAYER))
        ),
        "model.score.weight",
        # The model of the annotators' answers is trained, too.
        *(f"answers.{name}" for name in ("tie", "steps", "reliability", "offsets")),
    }
    assert compared.inputs == {"policy": "lab-sft-1", "reward_model": "lab-rm-1"}
    assert compared.result["counts"]["prompts"] == 4
    without_critic = ModelVersion.objects.get(name="lab-rloo-1")
    assert without_critic.parent == policy
    assert RunEvent.objects.filter(run=compared, type="metrics").count() == 2
    assert {"objective/kl", "objective/scores"} <= set(without_critic.metrics)

    few = {"steps": 2, "rollout_prompts": 4, "max_new_tokens": 8, "samples": 1, "max_prompts": 4}
    improved = ran(policy, "ppo", few | {"ptx_coefficient": 0.1})
    assert improved.inputs == {"policy": "lab-sft-1", "reward_model": "lab-rm-1"}
    better = ModelVersion.objects.get(name="lab-ppo-1")
    assert better.parent == policy
    assert RunEvent.objects.filter(run=improved, type="metrics").count() == 2
    assert {"objective/kl", "objective/scores", "loss/ptx"} <= set(better.metrics)
    trained = improved.result["counts"].pop("trained_parameters")
    assert trained > estimate_run(project=policy.project, kind="ppo", recipe={}, inputs={}).weights
    assert improved.result["counts"] == {"prompts": 4, "prompts_cut": 0, "prompts_refused": 0}

    before = RankingTask.objects.count()
    asked = ran(policy, "sample", {"max_prompts": 5, "max_new_tokens": 8, "overlap": 2, "priority": 7})
    new = RankingTask.objects.filter(responses__model_name="lab-ppo-1").distinct()
    assert asked.result["counts"]["tasks"] == new.count() == RankingTask.objects.count() - before > 0
    for task in new:
        assert (task.overlap, task.priority, task.round) == (2, 7, 1)
        assert 2 <= task.responses.count() <= 4
        assert task.responses.first().sampling["temperature"] == 1.0  # type: ignore[union-attr]

    for judge_name in ("gold", "reward_model"):
        few = {"judge": judge_name, "split": "all", "max_new_tokens": 8, "max_prompts": 4}
        run = ran(policy, "evaluate", few)
        metrics = run.result["metrics"]
        assert metrics[f"{judge_name}/standard_error"] >= 0
        assert run.result["counts"]["prompts"] == 4
        assert "model" not in run.result


@pytest.mark.usefixtures("ranked")
def test_dpo_needs_no_reward_model_and_improves_the_policy_with_a_snapshot(policy: ModelVersion) -> None:
    run = ran(
        policy,
        "dpo",
        {"learning_rate": 3e-3, "epochs": 4, "batch_rankings": 4, "sample_prompts": 1, "sample_tokens": 4},
    )
    assert run.inputs == {"policy": "lab-sft-1", "snapshot": "v1"}
    made = ModelVersion.objects.get(name="lab-dpo-1")
    assert (made.kind, made.parent, made.run, made.base_model) == ("policy", policy, run, "demo-world")
    assert (run.result["counts"]["rankings"], run.result["counts"]["steps"]) == (12, run.total_steps)
    assert {"loss", "rewards/accuracies", "heldout/accuracy", "objective/kl"} <= set(made.metrics)
    told = RunEvent.objects.filter(run=run, type="metrics").order_by("seq").values_list("data", flat=True)
    assert told[0]["values"]["rewards/margins"] == 0.0
    assert told[len(told) - 1]["values"]["rewards/margins"] > 0.0
    assert RunEvent.objects.filter(run=run, type="sample").count() == 1


def test_dpo_on_ties_alone_fails_and_the_error_names_the_setting_for_ties(
    policy: ModelVersion, alice: User, rank: Rank
) -> None:
    drafts = [
        TaskDraft(messages, [ResponseDraft("Hello, thank you.", "m"), ResponseDraft("No.", "m")])
        for messages in demo_world.prompts(4, seed=3)
    ]
    add_ranking_tasks(project=policy.project, items=drafts)
    rank(policy.project, alice, n=0, tied=True)
    run = launch_run(project=policy.project, kind="dpo", recipe={}, inputs={}, user=None)
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert (run.state, run.error["kind"]) == ("failed", "data_empty")
    assert "set `ties` to `half`" in run.error["detail"]
    ran(policy, "dpo", {"ties": "half", "heldout_fraction": 0.0, "sample_prompts": 0})


@pytest.mark.usefixtures("ranked")
def test_sft_can_use_best_responses_and_start_from_a_policy(policy: ModelVersion) -> None:
    run = ran(
        policy,
        "sft",
        QUICK_SFT | {"demonstrations": "best_responses", "max_demonstrations": 6},
        policy="lab-sft-1",
    )
    assert run.result["counts"]["demonstrations"] == 6
    assert run.inputs["snapshot"] == "v1"
    made = ModelVersion.objects.get(name="lab-sft-2")
    assert (made.parent, made.base_model) == (policy, "demo-world")


def test_sft_imitates_rewrites_but_not_responses_of_rankings_marked_all_bad(
    policy: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Demonstration] = []
    train = sft.train

    def listening(*given: Any, demonstrations: list[Demonstration], **more: Any) -> sft.SFTResult:
        told[:] = demonstrations
        return train(*given, demonstrations=demonstrations, **more)

    monkeypatch.setattr(sft, "train", listening)
    kinds = [{}, {"all_bad": True}, {"all_bad": True, "rewrite": "Hello."}, {"rewrite": "Yes, hello."}]
    rows = [
        {"prompt": f"Question {n}?", "responses": ["No.", "Hello."], "tiers": [[0], [1]], **kinds[n % 4]}
        for n in range(24)
    ]
    file = tmp_path / "rankings.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    import_file(project=policy.project, file=file)
    heldout = set(Prompt.objects.filter(split="heldout").values_list("messages__0__content", flat=True))
    usable = [row for row in rows if row["prompt"] not in heldout]
    rewritten = [row["rewrite"] for row in usable if "rewrite" in row]
    best = ["No." for row in usable if not row.keys() & {"all_bad", "rewrite"}]

    for source, expected in {
        "all": rewritten + best,
        "rewrites": rewritten,
        "best_responses": best + ["No." for row in usable if row.get("rewrite") == "Yes, hello."],
    }.items():
        run = ran(policy, "sft", QUICK_SFT | {"demonstrations": source}, policy="lab-sft-1")
        assert sorted(text for _, text in told) == sorted(expected)
        assert not heldout & {messages[0]["content"] for messages, _ in told}
        counts = run.result["counts"]
        assert counts["demonstrations"] == len(expected)
        assert counts.get("from/rewrites", 0) == (0 if source == "best_responses" else len(rewritten))


@pytest.mark.usefixtures("ranked")
def test_base_model_in_the_recipe_replaces_the_input_policy(policy: ModelVersion, tiny_policy: Path) -> None:
    ran(policy, "reward_model", {"epochs": 1, "base_model": str(tiny_policy)})
    made = ModelVersion.objects.get(name="lab-rm-1")
    assert (made.parent, made.base_model) == (None, str(tiny_policy))


def test_gold_judge_scores_demo_prompts_and_counts_others_as_unjudged(policy: ModelVersion) -> None:
    foreign = [([{"role": "user", "content": f"Write a limerick about {n} toads."}], {}) for n in range(3)]
    add_prompts(project=policy.project, prompts=foreign)
    few = {"judge": "gold", "split": "all", "max_new_tokens": 8}
    run = launch_run(project=policy.project, kind="evaluate", recipe=few, inputs={}, user=None)
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert run.state == "failed"
    assert "none of the project's prompts is from the demo world" in run.error["detail"]

    add_prompts(
        project=policy.project, prompts=[(messages, {}) for messages in demo_world.prompts(2, seed=8)]
    )
    counts = ran(policy, "evaluate", few).result["counts"]
    assert (counts["prompts"], counts["prompts_not_judged"]) == (2, 3)


def test_sample_run_prefers_prompts_with_the_fewest_tasks(policy: ModelVersion, alice: User) -> None:
    prompts = demo_world.prompts(6, seed=4)
    drafts = [
        TaskDraft(messages, [ResponseDraft("a", "m"), ResponseDraft("b", "m")]) for messages in prompts[:3]
    ]
    add_ranking_tasks(project=policy.project, items=drafts)
    add_ranking_tasks(
        project=policy.project,
        items=[
            TaskDraft(messages, [ResponseDraft("a", "n"), ResponseDraft("b", "n")]) for messages in prompts
        ],
    )
    ran(policy, "sample", {"max_prompts": 3, "max_new_tokens": 8})
    asked = Prompt.objects.filter(tasks__responses__model_name="lab-sft-1").distinct()
    assert {prompt.messages[0]["content"] for prompt in asked} <= {
        messages[0]["content"] for messages in prompts[3:]
    }
