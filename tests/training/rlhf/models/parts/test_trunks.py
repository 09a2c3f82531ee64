"""A reward model on any trunk, with or without LoRA, gives the same scores in Rankloop, transformers and
peft.

The tests cover models saved by Rankloop and models trained with other libraries.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.reward.test_reward_model import HELDOUT, ITEMS, RANKINGS
from training.rlhf.core.reporter import Cancelled
from training.rlhf.data.batching import Group, collate
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.parts import trunks
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.beliefs import score_with_spread
from training.rlhf.reward.reward_model import RewardModelResult, train
from training.rlhf.reward.scoring import (
    batches,
    features_of,
    load_for_training,
    rewards_of,
    score,
    stored_scale,
)
from training.rlhf.reward.uncertainty import load_uncertainty

torch.set_num_threads(1)
LORA = {"use_peft": True, "lora_r": 4, "lora_alpha": 8}


def saved_base(kind: str, folder: Path) -> Path:
    if kind in tiny.ENCODERS:
        return save_model(tiny.ENCODERS[kind](), tiny.encoder_tokenizer(), folder / kind)
    return save_model(tiny.POLICIES[kind](), tiny.tokenizer(), folder / kind)


def learn(base: Path, out: Path, report: ListReporter | None = None, **settings: Any) -> RewardModelResult:
    config = RewardModelConfig.model_validate(
        {"epochs": 1, "batch_rankings": 8, "learning_rate": 5e-3, "evaluations": 1} | settings
    )
    return train(config, base_model=base, rankings=RANKINGS, heldout=HELDOUT, out_dir=out, report=report)


def padded_rows(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """Batch the items as other libraries do, in rows that are padded on the right."""
    tokenizer.padding_side = "right"
    rows = [
        {"input_ids": chat.encode_prompt(tokenizer, m) + chat.encode_response(tokenizer, text)}
        for m, responses in ITEMS
        for text in responses
    ]
    padded = tokenizer.pad(rows, return_tensors="pt")
    assert not bool(padded["attention_mask"].all())
    return {name: padded[name] for name in ("input_ids", "attention_mask")}


def scores_there(model: Any, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.eval()(**padded_rows(tokenizer)).logits.squeeze(-1)
    return logits


def scores_here(path: Path) -> Tensor:
    return torch.cat(score(*load_reward_model(path), ITEMS))


def test_decoder_with_a_classifier_head_gives_the_same_scores_in_transformers(
    tmp_path: Path,
) -> None:
    base = save_model(tiny.ettin_policy(), tiny.tokenizer(), tmp_path / "ettin")
    path = learn(base, tmp_path / "rm").path
    there = AutoModelForSequenceClassification.from_pretrained(path)
    assert torch.allclose(
        scores_here(path), scores_there(there, AutoTokenizer.from_pretrained(path)), atol=1e-5
    )


def test_full_models_of_each_trunk_give_the_same_scores_in_transformers(tmp_path: Path) -> None:
    for kind in ("qwen", "neox", *tiny.ENCODERS):
        path = learn(saved_base(kind, tmp_path), tmp_path / f"{kind}-rm").path
        there = scores_there(
            AutoModelForSequenceClassification.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        )
        assert torch.allclose(scores_here(path), there, atol=1e-5), kind
        assert there.std() > 0.05, kind


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "modern-bert", "roberta"])
def test_adapter_gives_the_same_scores_in_peft_and_in_transformers(kind: str, tmp_path: Path) -> None:
    """The adapter folder contains the parameters that the base model lacks, and records the base model's
    path."""
    base = saved_base(kind, tmp_path)
    path = learn(base, tmp_path / "rm", **LORA).path
    assert not (path / "config.json").exists()
    assert json.loads((path / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    tokenizer = AutoTokenizer.from_pretrained(path)
    here = scores_here(path)
    for auto in (AutoPeftModelForSequenceClassification, AutoModelForSequenceClassification):
        there = scores_there(auto.from_pretrained(path, num_labels=1), tokenizer)
        assert torch.allclose(here, there, atol=1e-5), auto
    assert here.std() > 0.05
    model, _ = load_reward_model(path)
    assert not trunks.has_adapters(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert stored_scale(model).mean == pytest.approx(float(torch.cat(score(*load_reward_model(path), [
        (r.messages, r.responses) for r in RANKINGS
    ])).mean()), abs=1e-4)  # fmt: skip


def test_training_an_adapter_does_not_change_its_trunk(tmp_path: Path) -> None:
    base, report = saved_base("llama", tmp_path), ListReporter()
    before = (base / "model.safetensors").read_bytes()
    result = learn(base, tmp_path / "rm", report, **LORA, epochs=3, learning_rate=2e-2, lora_dropout=0.05)
    assert result.metrics["heldout/accuracy"] > 0.9
    assert report.series("loss")[-1] < 0.5 < report.series("loss")[0]
    assert (base / "model.safetensors").read_bytes() == before
    model, _ = load_for_training(base, RewardModelConfig.model_validate(LORA))
    trunk, head = trunks.trained_parameters(model)
    assert sum(p.numel() for p in head) == 32
    assert {p.shape[0] for p in trunk} | {p.shape[1] for p in trunk} >= {4}
    assert all(4 in parameter.shape for parameter in trunk)  # each adapter matrix has rank 4


def test_new_adapter_does_not_change_scores_and_uses_dropout_only_in_training(
    tmp_path: Path,
) -> None:
    base = saved_base("llama", tmp_path)
    torch.manual_seed(3)
    full = load_for_training(base)
    torch.manual_seed(3)
    config = RewardModelConfig.model_validate(LORA | {"lora_dropout": 0.5})
    adapted = load_for_training(base, config)
    assert torch.allclose(torch.cat(score(*full, ITEMS)), torch.cat(score(*adapted, ITEMS)), atol=1e-5)
    for name, parameter in adapted.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    still = torch.cat(score(*adapted, ITEMS))
    assert torch.equal(still, torch.cat(score(*adapted, ITEMS)))
    group = Group([5, 6, 7], [[8, 9, 1], [10, 1]], [0, 1])
    [(_, batch)] = batches(adapted.model, [group], layout="auto", max_tokens=100, pad_id=0)
    first, second = rewards_of(adapted.model, batch), rewards_of(adapted.model, batch)
    assert not torch.allclose(first, second, atol=1e-3)
    assert torch.equal(torch.cat(score(*adapted, ITEMS)), still)


def test_further_training_of_an_adapter_keeps_its_base(tmp_path: Path) -> None:
    base = saved_base("llama", tmp_path)
    first = learn(base, tmp_path / "first", **LORA).path
    second = learn(first, tmp_path / "second", use_peft=True, lora_r=16, learning_rate=1e-4).path
    told = json.loads((second / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["r"]) == (str(base), 4)
    assert 0 < (scores_here(second) - scores_here(first)).abs().max() < 0.2
    # Without use_peft, all weights are trained, so the adapter is merged first.
    whole = learn(first, tmp_path / "whole", learning_rate=1e-7).path
    assert (whole / "config.json").is_file()
    assert torch.allclose(scores_here(whole), scores_here(first), atol=1e-3)


def test_base_moved_with_its_adapter_is_found_and_error_names_a_missing_base(
    tmp_path: Path,
) -> None:
    base = saved_base("llama", tmp_path / "old")
    path = learn(base, tmp_path / "old" / "rm", **LORA).path
    expected = scores_here(path)
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert torch.equal(scores_here(tmp_path / "new" / "rm"), expected)
    shutil.rmtree(tmp_path / "new" / "llama")
    with pytest.raises(ModelNotFound, match=rf"is an adapter.*{base}.*are missing\. Restore the model"):
        load_reward_model(tmp_path / "new" / "rm")


def test_adapter_records_the_absolute_path_of_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = saved_base("llama", tmp_path / "models")
    monkeypatch.chdir(base.parent)
    path = learn(Path("llama"), tmp_path / "elsewhere" / "rm", **LORA).path
    monkeypatch.chdir("/")
    assert json.loads((path / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert torch.isfinite(scores_here(path)).all()


@pytest.mark.parametrize(
    "settings", [LORA, {"uncertainty": "lora", "members": 2}], ids=["adapter", "ensemble"]
)
def test_adapters_cannot_overwrite_their_base_model(settings: dict[str, Any], tmp_path: Path) -> None:
    base = saved_base("llama", tmp_path)
    with pytest.raises(ValueError, match=r"contains the adapters' base model.*another folder"):
        learn(base, tmp_path / "." / "llama", **settings)
    assert (base / "model.safetensors").is_file()


def test_adapter_trained_after_its_base_moved_records_the_new_path(tmp_path: Path) -> None:
    base = saved_base("llama", tmp_path / "old")
    learn(base, tmp_path / "old" / "rm", **LORA)
    shutil.move(tmp_path / "old", tmp_path / "new")
    further = learn(tmp_path / "new" / "rm", tmp_path / "elsewhere" / "rm", **LORA).path
    told = json.loads((further / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(tmp_path / "new" / "llama")
    assert torch.isfinite(scores_here(further)).all()


def test_new_head_has_std_one_over_root_d_and_no_bias(tmp_path: Path) -> None:
    draws = []
    for kind in (*tiny.POLICIES, *tiny.ENCODERS):
        head = trunks.head_of(load_for_training(saved_base(kind, tmp_path)).model)
        draws.append(head.weight.flatten() * 33**0.5)
        assert head.weight.dtype == torch.float32
        assert head.bias is None or not head.bias.any(), kind
    assert len(draws) == 7
    # With transformers' default standard deviation of 0.02, the result would be 0.11.
    assert torch.cat(draws).std().item() == pytest.approx(1, abs=0.15)
    assert all(draw.std() > 0.5 for draw in draws)


def test_head_and_scores_are_fp32_if_the_trunk_computes_in_bf16(tmp_path: Path) -> None:
    batch = collate([Group([2, 6, 7], [[8, 9, 1], [10, 1]], [0, 1])], layout="separate", pad_id=0)
    for kind in ("llama", "bert"):
        model, _ = load_for_training(saved_base(kind, tmp_path))
        exact, rounded = (rewards_of(model, batch, precision=p) for p in ("float32", "bfloat16"))
        features = features_of(model, batch, precision="bfloat16")
        head = trunks.head_of(model)
        assert exact.dtype == rounded.dtype == features.dtype == torch.float32
        assert not torch.equal(exact, rounded)
        assert torch.allclose(exact, rounded, atol=0.1)
        assert torch.equal(
            torch.nn.functional.linear(features, head.weight, head.bias).squeeze(1), rounded[0]
        )


Elsewhere = Callable[[Path, Path], None]


def classifier_with_pad_as_eos(base: Path, out: Path) -> None:
    """Save a model that uses EOS as the pad token. Common trainers do this if the tokenizer has no pad
    token."""
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    torch.nn.init.normal_(model.score.weight)
    tokenizer = tiny.tokenizer(pad_is_eos=True)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def adapter_of_peft(base: Path, out: Path) -> None:
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    torch.nn.init.normal_(model.score.weight)
    settings = LoraConfig(task_type=TaskType.SEQ_CLS, init_lora_weights=False, modules_to_save=["score"])
    get_peft_model(model, settings).save_pretrained(out)  # saves no tokenizer, because the base has one


def test_score_of_an_external_model_is_read_at_the_token_used_by_transformers(tmp_path: Path) -> None:
    """If EOS is the pad token, both Rankloop and transformers read the score at the token before EOS. Other
    libraries also read the score at this token in training."""
    base = saved_base("llama", tmp_path)
    classifier_with_pad_as_eos(base, tmp_path / "pad-is-eos")
    adapter_of_peft(base, tmp_path / "adapter")
    for name, auto in (
        ("pad-is-eos", AutoModelForSequenceClassification),
        ("adapter", AutoPeftModelForSequenceClassification),
    ):
        tokenizer = load_reward_model(tmp_path / name).tokenizer
        there = scores_there(auto.from_pretrained(tmp_path / name, num_labels=1), tokenizer)
        loaded = load_reward_model(tmp_path / name)
        for layout in ("packed", "separate"):
            here = torch.cat(score(*loaded, ITEMS, layout=layout))  # type: ignore[arg-type]
            assert torch.allclose(here, there, atol=1e-5), (name, layout)
    again = save_model(*loaded, tmp_path / "again")
    assert torch.allclose(scores_here(again), here, atol=1e-5)


def test_adapter_of_a_policy_is_merged_on_loading(tmp_path: Path) -> None:
    base = saved_base("llama", tmp_path)
    adapted = get_peft_model(
        load_policy(base).model, LoraConfig(task_type=TaskType.CAUSAL_LM, init_lora_weights=False)
    )
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[2, 5, 6, 7]])
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        assert torch.allclose(load_policy(tmp_path / "adapter").model(ids).logits, expected, atol=1e-5)


def test_run_with_adapter_dropout_resumes_exactly_and_saves_uncertainty(tmp_path: Path) -> None:
    """Checkpoints contain only the trained parameters, and the uncertainty is saved with the adapter."""
    base = saved_base("llama", tmp_path)
    settings = LORA | {"lora_dropout": 0.2, "uncertainty": "laplace", "checkpoint_steps": 2, "keep": "last"}

    def go(name: str, report: ListReporter) -> Path:
        config = RewardModelConfig.model_validate({"epochs": 1, "batch_rankings": 8} | settings)
        given: dict[str, Any] = {"base_model": base, "rankings": RANKINGS, "heldout": HELDOUT}
        checkpoints = tmp_path / f"{name}.checkpoints"
        out = tmp_path / name
        return train(config, **given, out_dir=out, checkpoints=checkpoints, report=report).path

    whole = go("whole", ListReporter())
    with pytest.raises(Cancelled):
        go("stopped", ListReporter(cancel_after=5))
    newest = max((tmp_path / "stopped.checkpoints").iterdir())
    assert not any("embed_tokens" in name for name in load_file(newest / "weights.safetensors"))
    again = go("stopped", ListReporter())
    assert (again / "adapter_model.safetensors").read_bytes() == (
        whole / "adapter_model.safetensors"
    ).read_bytes()
    doubt = load_uncertainty(again)
    assert doubt is not None
    scores, spreads = zip(*score_with_spread(*load_reward_model(again), ITEMS, doubt), strict=True)
    assert torch.allclose(torch.cat(scores), scores_here(again), atol=1e-5)
    assert (torch.cat(spreads) > 0).all()


def test_gradient_checkpointing_does_not_affect_adapters_or_encoders(tmp_path: Path) -> None:
    for kind, settings in (("llama", LORA), ("bert", {})):
        base = saved_base(kind, tmp_path)
        kept, again = ListReporter(), ListReporter()
        learn(base, tmp_path / "kept", kept, **settings)
        learn(base, tmp_path / "again", again, **settings, gradient_checkpointing=True)
        assert again.series("loss") == pytest.approx(kept.series("loss"), abs=1e-5), kind
        assert again.series("grad_norm") == pytest.approx(kept.series("grad_norm"), rel=1e-4), kind
