"""Input that can't be used for training or scoring is handled by a documented rule or rejected. Errors name
the input and suggest a fix."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    ViTConfig,
    ViTModel,
)

from tests.training.rlhf import tiny
from tests.training.rlhf.models.parts.test_trunks import LORA, learn, saved_base, scores_here
from tests.training.rlhf.reward.test_reward_model import RANKINGS
from training.rlhf.data.files import read_rankings
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.reward_model import train
from training.rlhf.reward.scoring import load_for_training, score
from training.rlhf.rollouts.critic import critic_for
from training.rlhf.rollouts.rollout import load_models

torch.set_num_threads(1)
QUESTION = ({"role": "user", "content": "w1 w2"},)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base("llama", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return learn(base, base.parent / "adapter", **LORA).path


def copy_of(folder: Path, where: Path) -> Path:
    return Path(shutil.copytree(folder, where / "copy"))


def test_rows_with_fewer_than_two_responses_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "rankings.jsonl"
    rows: list[dict[str, Any]] = [
        {"messages": list(QUESTION), "responses": ["w3"], "tiers": [[0]]},
        {"messages": list(QUESTION), "responses": [], "tiers": []},
        {"messages": list(QUESTION), "responses": ["w3", "w4"], "tiers": [[1], [0]]},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_rankings(file)
    assert (len(read), read.left_out["fewer_than_two_responses"]) == (1, 2)


@pytest.mark.parametrize("ties", ["ignore", "rao_kupper"])
def test_ranking_objects_with_too_few_responses_are_counted(ties: str) -> None:
    few = [Ranking(QUESTION, ("w3",), ((0,),)), Ranking(QUESTION, (), ())]
    groups, left_out, _ = encode_rankings([*few, RANKINGS[0]], tiny.tokenizer(), max_length=100, ties=ties)
    assert (len(groups), left_out) == (1, {"fewer_than_two_responses": 2})


def test_rankings_whose_responses_have_the_same_tokens_are_counted(base: Path, tmp_path: Path) -> None:
    pair = Ranking(QUESTION, ("w3 <eos>", "w3"), ((0,), (1,)))
    result = train(
        RewardModelConfig(epochs=1, evaluations=1),
        base_model=base,
        rankings=[pair, *RANKINGS[2:6]],
        heldout=[pair, *RANKINGS[6:8]],
        out_dir=tmp_path / "rm",
    )
    assert result.left_out == {"identical_after_encoding": 1, "heldout/identical_after_encoding": 1}
    assert result.control_tokens_removed == 2
    assert result.report is not None
    assert result.report.left_out == {"identical_after_encoding": 1}


def test_ranking_keeps_the_better_of_two_responses_with_the_same_tokens() -> None:
    ranking = Ranking(QUESTION, ("w3<eos>", "w4", "w3"), ((1,), (2,), (0,)), in_shown_order=True)
    ((group,), left_out, _) = encode_rankings([ranking], tiny.tokenizer(), max_length=100, ties="ignore")
    w3, w4 = (chat.encode_response(tiny.tokenizer(), text) for text in ("w3", "w4"))
    assert (group.responses, group.tiers, group.in_shown_order) == ([w4, w3], [0, 1], False)
    assert left_out == {}
    tied = Ranking(QUESTION, ("w3<eos>", "w4", "w3"), ((1, 2), (0,)))
    groups, left_out, _ = encode_rankings([tied], tiny.tokenizer(), max_length=100, ties="ignore")
    assert (groups, left_out) == ([], {"all_tied": 1})


def test_prompt_without_responses_has_no_score(base: Path) -> None:
    model, tokenizer = load_for_training(base)
    with pytest.raises(ValueError, match="item 1 has no response to score"):
        score(model, tokenizer, [(QUESTION, ["w3"]), (QUESTION, [])])


def test_prompts_that_the_chat_template_rejects_are_counted(tmp_path: Path) -> None:
    """The chat template of Gemma does not support system messages."""
    words = tiny.tokenizer()
    words.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }} {% endfor %}"
    )
    told = ({"role": "system", "content": "w9"}, *QUESTION)
    one, two = (dataclasses.replace(ranking, messages=told) for ranking in RANKINGS[:2])
    result = train(
        RewardModelConfig(epochs=1, evaluations=1),
        base_model=save_model(tiny.policy(), words, tmp_path / "policy"),
        rankings=[one, *RANKINGS[2:6]],
        heldout=[two, *RANKINGS[6:8]],
        out_dir=tmp_path / "rm",
    )
    assert result.left_out == {"refused_by_template": 1, "heldout/refused_by_template": 1}
    assert result.repeats["prompts_on_both_sides"] > 0
    assert result.report is not None
    assert result.report.left_out == {"refused_by_template": 1}


def test_holding_out_all_rankings_is_rejected(base: Path, tmp_path: Path) -> None:
    aside = [dataclasses.replace(ranking, split="heldout") for ranking in RANKINGS[:3]]
    with pytest.raises(ValueError, match=r"no rankings to train on \(left out: none; held out: 3\)"):
        train(RewardModelConfig(), base_model=base, rankings=aside, out_dir=tmp_path / "rm")


def test_fully_tied_rankings_require_a_loss_that_models_ties(base: Path, tmp_path: Path) -> None:
    tied = [dataclasses.replace(r, tiers=((0, 1, 2, 3),)) for r in RANKINGS[:6]]
    settings = {"epochs": 1, "evaluations": 1, "heldout_fraction": 0.0}
    ignoring = RewardModelConfig.model_validate(settings)
    with pytest.raises(ValueError, match=r"no rankings to train on \(left out: \{'all_tied': 6\}"):
        train(ignoring, base_model=base, rankings=tied, out_dir=tmp_path / "rm")
    assert not (tmp_path / "rm").exists()
    modelling = RewardModelConfig.model_validate(settings | {"ties": "davidson"})
    assert train(modelling, base_model=base, rankings=tied, out_dir=tmp_path / "rm").path.is_dir()


def test_empty_response_consists_of_one_end_token(base: Path) -> None:
    """In every layout, the score of an empty response is the score of the prompt followed by EOS. Empty
    responses can be used for training."""
    words = tiny.tokenizer()
    assert chat.encode_response(words, "") == chat.encode_response(words, "<eos>") == [1]
    model, tokenizer = load_for_training(base)
    for texts in ((["", "w5 w6"]), (["w5 w6", ""])):
        packed = score(model, tokenizer, [(QUESTION, texts)], layout="packed")[0]
        separate = score(model, tokenizer, [(QUESTION, texts)], layout="separate")[0]
        assert torch.allclose(packed, separate, atol=1e-5)
        assert packed[0] != packed[1]
    groups, left_out, _ = encode_rankings(
        [Ranking(({"role": "user", "content": ""},), ("", "w5"), ((1,), (0,)))],
        tokenizer,
        max_length=64,
        ties="ignore",
    )
    assert (len(groups), left_out) == (1, {})
    with pytest.raises(ValueError, match="messages is empty"):
        Ranking((), ("a", "b"), ((0,), (1,)))
    with pytest.raises(ValueError, match="at least one message"):
        score(model, tokenizer, [((), ["w5"])])


@pytest.mark.parametrize("which", ["whole", "adapter"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_error_names_non_finite_weights(
    which: str, value: float, base: Path, adapter: Path, tmp_path: Path
) -> None:
    folder = copy_of(base if which == "whole" else adapter, tmp_path)
    shutil.copytree(base, tmp_path / "llama")  # put the base model next to the adapter
    file = folder / ("model.safetensors" if which == "whole" else "adapter_model.safetensors")
    weights = load_file(file)
    name = next(key for key in weights if "q_proj" in key)
    weights[name][0, 0] = value
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelNotFound, match=r"q_proj.*NaN or infinite.*Use an earlier checkpoint"):
        load_for_training(folder)


def test_tokenizer_without_a_pad_token_gets_one_that_differs_from_eos(tmp_path: Path) -> None:
    """If a policy's tokenizer has no pad token, the trained reward model's tokenizer gets one. Rankloop and
    transformers then read the score at EOS, even in padded batches."""
    words = tiny.tokenizer()
    words.pad_token = None
    model = tiny.policy()
    model.config.pad_token_id = None
    folder = tmp_path / "policy"
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    path = learn(folder, tmp_path / "rm").path
    saved = AutoTokenizer.from_pretrained(path)
    assert saved.pad_token_id not in (None, saved.eos_token_id)
    there = AutoModelForSequenceClassification.from_pretrained(path)
    assert there.config.pad_token_id == saved.pad_token_id
    row = chat.encode_prompt(saved, QUESTION) + chat.encode_response(saved, "w5 w6")
    padded = torch.tensor([[*row, saved.pad_token_id, saved.pad_token_id]])
    with torch.no_grad():
        expected = there(padded, attention_mask=(padded != saved.pad_token_id).long()).logits[0, 0]
    here = score(*load_reward_model(path), [(QUESTION, ["w5 w6", "w7"])])[0][0]
    assert here.item() == pytest.approx(expected.item(), abs=1e-5)


def test_pad_token_does_not_replace_a_vocabulary_word(tmp_path: Path) -> None:
    """The word "!" is the first token in GPT-2's vocabulary (ID 0) and must remain an ordinary word."""
    words = tiny.byte_level_tokenizer()
    assert (words.all_special_tokens, words.convert_ids_to_tokens(0)) == ([words.eos_token], "!")
    model = tiny.policy(vocab_size=len(words), eos_token_id=words.eos_token_id, pad_token_id=None)
    folder = save_model(model, words, tmp_path / "policy")
    loaded = load_for_training(folder)
    save_model(loaded.model, loaded.tokenizer, tmp_path / "rm")
    saved = AutoTokenizer.from_pretrained(tmp_path / "rm")
    text = "It works!! really, it works!"
    plain = [*words(text)["input_ids"], words.eos_token_id]
    for tokenizer in (loaded.tokenizer, load_reward_model(tmp_path / "rm").tokenizer, saved):
        assert chat.encode_response(tokenizer, text) == plain
        assert tokenizer.pad_token_id not in (None, words.eos_token_id)


def test_tokenizer_without_eos_is_rejected(tmp_path: Path) -> None:
    words = tiny.tokenizer()
    words.eos_token = None
    tiny.policy().save_pretrained(tmp_path / "policy")
    words.save_pretrained(tmp_path / "policy")
    for load in (load_policy, load_for_training):
        with pytest.raises(ModelNotFound, match=r"tokenizer of .*policy.* no EOS token.*eos_token and save"):
            load(tmp_path / "policy")


def test_plain_format_is_used_without_a_chat_template(base: Path, tmp_path: Path) -> None:
    """With a chat template, training and scoring use the rendered text."""
    plain = tiny.tokenizer()
    assert chat.decode(plain, chat.encode_prompt(plain, QUESTION)) == "user : w1 w2 assistant :"
    chatty = tiny.tokenizer()
    chatty.chat_template = (
        "{% for m in messages %}{{ m['content'] }} w9 {% endfor %}{% if add_generation_prompt %}w8{% endif %}"
    )
    assert chat.decode(chatty, chat.encode_prompt(chatty, QUESTION)) == "w1 w2 w9 w8"
    save_model(load_policy(base).model, chatty, tmp_path / "policy")
    model, tokenizer = load_for_training(tmp_path / "policy")
    group = encode_rankings(
        [Ranking(QUESTION, ("w3", "w4"), ((0,), (1,)))], tokenizer, max_length=64, ties="ignore"
    )[0][0]
    assert chat.decode(tokenizer, group.prompt) == "w1 w2 w9 w8"
    by_template = score(model, tokenizer, [(QUESTION, ["w3"])])[0]
    assert not torch.allclose(by_template, score(model, tiny.tokenizer(), [(QUESTION, ["w3"])])[0], atol=1e-3)


def bart() -> BartForConditionalGeneration:
    size = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    return BartForConditionalGeneration(
        BartConfig(vocab_size=69, d_model=8, encoder_attention_heads=1, decoder_attention_heads=1, **size)
    )


def vit() -> ViTModel:
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return ViTModel(ViTConfig(**size, image_size=8, patch_size=4))


@pytest.mark.parametrize(("make", "kind"), [(bart, "bart"), (vit, "vit")])
def test_unsupported_architecture_is_rejected(make: Callable[[], Any], kind: str, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / kind)
    tiny.tokenizer().save_pretrained(tmp_path / kind)
    with pytest.raises(ModelNotFound, match=rf"{kind} is neither a causal language model nor an encoder"):
        load_for_training(tmp_path / kind)


def test_classifier_with_several_classes_is_rejected(base: Path, tmp_path: Path) -> None:
    three = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    save_model(three, tiny.tokenizer(), tmp_path / "three")
    for load in (load_reward_model, load_for_training):
        with pytest.raises(ModelNotFound, match=r"into 3 classes.*Use the language model"):
            load(tmp_path / "three")


def test_ppo_rejects_an_encoder_as_a_reward_model(base: Path, tmp_path: Path) -> None:
    judge = learn(saved_base("bert", tmp_path), tmp_path / "rm").path
    assert PPOConfig().steps  # the recipe is valid, but an encoder cannot assign a value to each token
    with pytest.raises(ValueError, match=r"is an encoder.*Train a reward model from this policy"):
        critic_for(load_models(base, {"reward": judge}, PPOConfig()), PPOConfig())


Damage = Callable[[Path], object]


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def drop_weights(file: Path, part: str) -> None:
    save_file({k: v for k, v in load_file(file).items() if part not in k}, file, metadata={"format": "pt"})


def other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 48}))


def nameless(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(config))


WHOLE: dict[str, Damage] = {
    "weights cut short": lambda f: cut_short(f / "model.safetensors"),
    "weights of zeros": lambda f: (f / "model.safetensors").write_bytes(bytes(64)),
    "weights missing": lambda f: (f / "model.safetensors").unlink(),
    "a layer missing": lambda f: drop_weights(f / "model.safetensors", "layers.1"),
    "config cut short": lambda f: cut_short(f / "config.json"),
    "config with other sizes": other_sizes,
    "config without a model type": lambda f: (f / "config.json").write_text("{}"),
    "tokenizer cut short": lambda f: cut_short(f / "tokenizer.json"),
}
ADAPTER: dict[str, Damage] = {
    "adapter cut short": lambda f: cut_short(f / "adapter_model.safetensors"),
    "adapter missing": lambda f: (f / "adapter_model.safetensors").unlink(),
    "a matrix missing": lambda f: drop_weights(f / "adapter_model.safetensors", "layers.1.self_attn"),
    "the head missing": lambda f: drop_weights(f / "adapter_model.safetensors", "score"),
    "its config cut short": lambda f: cut_short(f / "adapter_config.json"),
    "no base named": nameless,
    "its metadata cut short": lambda f: cut_short(f / "rankloop.json"),
}


@pytest.mark.parametrize("damage", [*WHOLE, *ADAPTER])
def test_error_names_the_damaged_folder(damage: str, base: Path, adapter: Path, tmp_path: Path) -> None:
    folder = copy_of(base if damage in WHOLE else adapter, tmp_path)
    shutil.copytree(base, tmp_path / "llama")
    (WHOLE | ADAPTER)[damage](folder)
    load = load_for_training if damage in WHOLE else load_reward_model
    with pytest.raises(ModelNotFound, match=str(folder)) as caught:
        load(folder)
    assert len(str(caught.value)) < 600


def test_undamaged_copies_can_be_loaded(adapter: Path, tmp_path: Path) -> None:
    """Undamaged copies load. The copies in other tests are therefore rejected because they are damaged, not
    because they are copies."""
    assert torch.isfinite(scores_here(copy_of(adapter, adapter.parent / "beside"))).all()


def test_adapter_for_nonexistent_layers_is_rejected(base: Path, tmp_path: Path) -> None:
    """A Llama model has no layers with GPT-2's names. The error names the field and is raised before training
    starts."""
    with pytest.raises(ValueError, match=r"lora_target_modules='c_attn, c_proj' does not fit Llama"):
        learn(base, tmp_path / "rm", **LORA, lora_target_modules="c_attn, c_proj")
    some = learn(base, tmp_path / "rm", **LORA, lora_target_modules="q_proj, v_proj").path
    assert {key.split(".")[-3] for key in load_file(some / "adapter_model.safetensors") if "lora" in key} == {
        "q_proj",
        "v_proj",
    }


def test_model_in_memory_is_used_with_its_adapter_merged(base: Path) -> None:
    config = RewardModelConfig.model_validate(LORA)
    reward = Loaded(*load_for_training(base, config))
    models = load_models(base, {"reward": reward}, PPOConfig())
    assert not hasattr(models.judges.judges[0].model, "get_base_model")
