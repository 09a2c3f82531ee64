"""A model whose tokenizer has a token beyond the model's embedding rows is refused before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    CanineConfig,
    CanineModel,
    CanineTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import edit_json, saved
from tests.training.rlhf.models.parts.test_trunks import LORA, learn
from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.refusal import Purpose, Refused
from training.rlhf.models.checks.tokenizer import tokenizer_in
from training.rlhf.models.loading.opening import load_policy, load_reward_model, open_policy
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded

torch.set_num_threads(1)
Words = PreTrainedTokenizerFast
ADDED: dict[str, Callable[[Words], object]] = {
    "a pad token": lambda words: words.add_special_tokens({"pad_token": "[NEW]"}),
    "a special token": lambda words: words.add_special_tokens({"extra_special_tokens": ["[NEW]"]}),
    "an ordinary token": lambda words: words.add_tokens(["[NEW]"]),
}


def overflowing(folder: Path, add: Callable[[Words], object]) -> Path:
    saved(folder)
    words = tiny.tokenizer()
    add(words)
    words.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("added", ADDED)
def test_error_states_the_id_of_the_token_and_the_number_of_embedding_rows(
    added: str, tmp_path: Path
) -> None:
    folder = overflowing(tmp_path / "policy", ADDED[added])
    for load in (load_policy, learn_from):
        with pytest.raises(ModelNotFound) as caught:
            load(folder)
        assert caught.value.kind == FailureKind.TOKENIZER_DOES_NOT_FIT
        message = str(caught.value)
        assert "69 embedding rows (IDs 0 to 68), but the tokenizer's largest ID is 69" in message
        assert "Tokens without an embedding: '[NEW]' (ID 69)" in message
        assert "model.resize_token_embeddings(70)" in message
    assert not (tmp_path / "rm").exists()


def learn_from(folder: Path) -> object:
    return learn(folder, folder.parent / "rm")


def test_error_counts_the_tokens_without_an_embedding_and_names_the_first(tmp_path: Path) -> None:
    folder = overflowing(tmp_path / "policy", lambda words: words.add_tokens([f"[{n}]" for n in range(8)]))
    with pytest.raises(ModelNotFound, match=r"largest ID is 76\. .*'\[4\]' \(ID 73\) and 3 more\."):
        load_policy(folder)


def test_special_token_that_is_only_in_the_tokenizer_config_is_refused(tmp_path: Path) -> None:
    """transformers adds a special token that tokenizer.json lacks, with the next free ID."""
    folder = saved(tmp_path / "policy")
    edit_json(folder, "tokenizer_config.json", pad_token="[NEW]")
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == 69
    with pytest.raises(Refused, match=r"'\[NEW\]' \(ID 69\)"):
        check_model(folder, Purpose.POLICY)


def test_config_with_a_pad_token_id_beyond_the_embedding_rows_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    edit_json(folder, pad_token_id=69)
    with pytest.raises(ModelNotFound, match=r"pad_token_id=69, but the model has 69 embedding rows"):
        load_policy(folder)


def test_model_with_more_embedding_rows_than_tokens_is_trained_and_loaded(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy", vocab_size=80)
    assert load_policy(folder).model.get_input_embeddings().weight.shape[0] == 80
    load_reward_model(learn(folder, tmp_path / "rm").path)


def test_model_resized_for_an_added_token_is_accepted(tmp_path: Path) -> None:
    words, model = tiny.tokenizer(), tiny.policy()
    words.add_special_tokens({"pad_token": "[NEW]"})
    model.resize_token_embeddings(70)
    folder = save_model(model, words, tmp_path / "policy")
    assert load_policy(folder).tokenizer.pad_token_id == 69


def test_adapter_whose_tokenizer_has_more_tokens_than_its_base_is_refused(tmp_path: Path) -> None:
    adapter = learn(saved(tmp_path / "policy"), tmp_path / "adapter", **LORA).path
    words = AutoTokenizer.from_pretrained(adapter)
    words.add_tokens(["[NEW]"])
    words.save_pretrained(adapter)
    with pytest.raises(ModelNotFound, match=r"tokenizer of .*adapter.*'\[NEW\]' \(ID 69\)"):
        load_reward_model(adapter)


def test_model_in_memory_with_a_larger_tokenizer_is_refused() -> None:
    words = tiny.tokenizer()
    words.add_tokens(["[NEW]"])
    with pytest.raises(ValueError, match=r"tokenizer of 'LlamaForCausalLM' does not fit.*'\[NEW\]'"):
        open_policy(Loaded(tiny.policy(), words))


def test_image_placeholder_of_a_text_only_model_is_accepted(tmp_path: Path) -> None:
    """gemma-3-1b-it has 262,144 embedding rows, and its tokenizer has <image_soft_token> with ID 262,144."""
    plain = tiny.tokenizer()
    words = PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image_soft_token>"},
    )
    assert words.convert_tokens_to_ids("<image_soft_token>") == 69
    folder = save_model(tiny.policy(), words, tmp_path / "policy")
    assert len(load_policy(folder).tokenizer) == 70
    edit_json(folder, "tokenizer_config.json", pad_token="<image_soft_token>")
    with pytest.raises(ModelNotFound, match=r"'<image_soft_token>' \(ID 69\)"):
        load_policy(folder)


@pytest.mark.parametrize("make", [tiny.tokenizer, tiny.byte_level_tokenizer, tiny.encoder_tokenizer])
def test_tokens_read_from_the_files_match_transformers(make: Callable[[], Words], tmp_path: Path) -> None:
    words = make()
    words.add_tokens(["[A]"])
    words.add_special_tokens({"extra_special_tokens": ["[B]"]})
    words.save_pretrained(tmp_path)
    files = tokenizer_in(tmp_path)
    assert files is not None
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert files.tokens == loaded.get_vocab()
    assert files.roles == {k: v for k, v in loaded.special_tokens_map.items() if k in files.roles}


SPECIAL_FILES: dict[str, dict[str, dict[str, object]]] = {
    "the map is ignored if the settings have added_tokens_decoder": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {"0": {"content": "<pad>", "special": True}},
            "eos_token": "<eos>",
        },
        "special_tokens_map.json": {"eos_token": "<bos>", "pad_token": "[NEW]"},
    },
    "the map replaces the settings": {
        "special_tokens_map.json": {"eos_token": "<bos>", "pad_token": "[NEW]"}
    },
    "older settings list additional tokens": {
        "tokenizer_config.json": {
            "additional_special_tokens": ["[B]", {"content": "[A]", "__type": "AddedToken"}]
        }
    },
    "settings list extra tokens": {
        "tokenizer_config.json": {"extra_special_tokens": ["[B]", "<eos>", "[A]"]}
    },
    "the map lists extra tokens": {
        "tokenizer_config.json": {"extra_special_tokens": ["[B]"]},
        "special_tokens_map.json": {"extra_special_tokens": ["[A]"], "cls_token": "[C]"},
    },
    "an older file lists added tokens": {"added_tokens.json": {"[A]": 69, "[B]": 70}},
}


@pytest.mark.parametrize("case", SPECIAL_FILES)
def test_special_tokens_are_read_from_the_files_that_transformers_reads(case: str, tmp_path: Path) -> None:
    tiny.tokenizer().save_pretrained(tmp_path)
    for name, changes in SPECIAL_FILES[case].items():
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text("{}")
        edit_json(tmp_path, name, **changes)
    files, loaded = tokenizer_in(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert files is not None
    assert files.tokens == loaded.get_vocab()
    assert files.roles == {k: v for k, v in loaded.special_tokens_map.items() if k in files.roles}


def test_token_in_a_list_of_extra_tokens_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    edit_json(folder, "tokenizer_config.json", additional_special_tokens=["[NEW]"])
    assert AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("[NEW]") == 69
    with pytest.raises(Refused, match=r"'\[NEW\]' \(ID 69\)"):
        check_model(folder, Purpose.POLICY)


@pytest.mark.parametrize("make", [tiny.gpt2_policy, tiny.neox_policy])
def test_pad_token_id_beyond_the_embeddings_is_accepted_if_it_is_unused(
    make: Callable[[], PreTrainedModel], tmp_path: Path
) -> None:
    folder = save_model(make(), tiny.tokenizer(), tmp_path / "policy")
    edit_json(folder, pad_token_id=69)
    check_model(folder, Purpose.POLICY)
    assert load_policy(folder).model.config.pad_token_id == 0


def test_model_without_a_vocabulary_becomes_a_reward_model(tmp_path: Path) -> None:
    """CANINE reads characters and hashes them, so it has no vocabulary file and no embedding matrix."""
    shape = {name: size for name, size in tiny.SHAPE.items() if name != "initializer_range"}
    folder = tmp_path / "canine"
    CanineModel(CanineConfig(**shape, num_hash_buckets=64, num_hash_functions=2)).save_pretrained(folder)
    CanineTokenizer().save_pretrained(folder)
    assert not (folder / "tokenizer.json").exists()
    check_model(folder, Purpose.TRUNK)
    judge = load_reward_model(learn(folder, tmp_path / "rm").path)
    assert judge.model.config.model_type == "canine"
