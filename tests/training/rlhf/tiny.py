"""Tokenizers and random models that are small enough for a realistic test to finish within a second."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

WORDS = 60  # word tokens w0 … w59, and four control tokens
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
COMMON = {"vocab_size": len(SPECIAL) + WORDS + 5, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
ENCODER: dict[str, Any] = {"vocab_size": len(SPECIAL) + 1 + WORDS + 5, "pad_token_id": 0}


def tokenizer(*, pad_is_eos: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, so that tokens are easy to count."""
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


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level subword tokenizer whose only special token is EOS, as in GPT-2."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pieces
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pieces.alphabet(), show_progress=False)
    inner.train_from_iterator(["It works!! really, it works, it really works!"] * 4, trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, bos_token=end, unk_token=end)


def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """A BERT-style tokenizer with one token per word. Sequences have [CLS] at the start and [SEP] at the end,
    but no BOS or EOS."""
    special = ("[PAD]", "[SEP]", "[CLS]", "[UNK]", "[MASK]")
    names = [*special, *(f"w{n}" for n in range(WORDS)), "user", "assistant", ":", "good", "bad"]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        sep_token="[SEP]",
        cls_token="[CLS]",
        unk_token="[UNK]",
        mask_token="[MASK]",
    )


def policy(*, seed: int = 0, context: int = 128, **changes: Any) -> LlamaForCausalLM:
    """A two-layer Llama with grouped-query attention, and weights large enough for distinct rewards."""
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
    """A GPT-2 with learned absolute positions, which are added to the input embeddings."""
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


def qwen_policy(*, seed: int = 0) -> PreTrainedModel:
    """A model with query and key norms, heads wider than hidden size / number of heads, and tied
    embeddings."""
    config = Qwen3Config(**COMMON, **SHAPE, num_key_value_heads=1, head_dim=24, tie_word_embeddings=True)
    return _seeded(Qwen3ForCausalLM, config, seed)


def neox_policy(*, seed: int = 0) -> PreTrainedModel:
    """A GPT-NeoX model like Pythia: parallel attention and MLP, partial rotary embeddings, and biases."""
    return _seeded(GPTNeoXForCausalLM, GPTNeoXConfig(**COMMON, **SHAPE, rotary_pct=0.25), seed)


def ettin_policy(*, seed: int = 0) -> PreTrainedModel:
    """A language model whose classification head is named and built like an encoder's, but reads the last
    token."""
    config = ModernBertDecoderConfig(
        **COMMON, **SHAPE, cls_token_id=2, sep_token_id=1, local_attention=8, reference_compile=False
    )
    return _seeded(ModernBertDecoderForCausalLM, config, seed)


def bert(*, seed: int = 0) -> PreTrainedModel:
    """An encoder language model without the pooler that its classifier needs."""
    return _seeded(BertForMaskedLM, BertConfig(**ENCODER, **SHAPE), seed)


def modern_bert(*, seed: int = 0) -> PreTrainedModel:
    """An encoder with local attention in every other layer, no absolute positions, and a layer before the
    classifier."""
    special = {"cls_token_id": 2, "sep_token_id": 1, "bos_token_id": 2, "eos_token_id": 1}
    config = ModernBertConfig(
        **(ENCODER | special),
        **SHAPE,
        global_attn_every_n_layers=2,
        local_attention=8,
        reference_compile=False,
    )
    return _seeded(ModernBertForMaskedLM, config, seed)


def roberta(*, seed: int = 0) -> PreTrainedModel:
    """An encoder whose positions start after the pad token ID, with a two-layer classifier."""
    return _seeded(RobertaForMaskedLM, RobertaConfig(**ENCODER, **SHAPE, type_vocab_size=1), seed)


POLICIES = {"llama": policy, "qwen": qwen_policy, "gpt2": gpt2_policy, "neox": neox_policy}
ENCODERS = {"bert": bert, "modern-bert": modern_bert, "roberta": roberta}


def _seeded(kind: Any, config: Any, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = kind(config).eval()
    return model


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)
