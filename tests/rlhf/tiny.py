"""A tokenizer and random models small enough that a test of the real thing takes a second."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = 60  # word tokens w0 … w59; plus four control tokens
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")


def tokenizer(*, pad_is_eos: bool = False) -> PreTrainedTokenizerFast:
    """One token per word, so that a text's tokens can be counted by eye."""
    names = [*SPECIAL, *(f"w{n}" for n in range(WORDS)), "user", "assistant", ":", "good", "bad"]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<eos>" if pad_is_eos else "<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
    )


def policy(*, seed: int = 0, context: int = 128, **changes: Any) -> LlamaForCausalLM:
    """A two-layer Llama with grouped heads and weights large enough for rewards to differ."""
    settings: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + WORDS + 5,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


def gpt2_policy(*, seed: int = 0) -> GPT2LMHeadModel:
    """The other kind of position: learned, absolute, added at the input."""
    config = GPT2Config(
        vocab_size=len(SPECIAL) + WORDS + 5,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=128,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)
