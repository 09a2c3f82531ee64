"""For speed benchmarks: models with random weights, and rankings of random words."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSequenceClassification, LlamaConfig, PreTrainedTokenizerFast

from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.saving import save_model

WORDS = 4092  # the vocabulary also has four control tokens
PROMPT, RESPONSE = (96, 160), (32, 128)  # words, drawn uniformly
# Llamas: width, layers, MLP width, heads, key-value heads, vocabulary.
SHAPES = {
    "tiny": (256, 4, 704, 4, 4, 4096),  # 4.3 million parameters
    "small": (512, 8, 1664, 8, 8, 4096),  # 31 million
    "half-b": (896, 24, 4864, 14, 2, 151_936),  # 494 million: the shape of Qwen2.5-0.5B
    "7b": (3584, 28, 18_944, 28, 4, 152_064),  # 7.6 billion: the shape of Qwen2.5-7B
}
TIED = {"half-b"}  # shapes whose output embedding is the input embedding


def vocabulary(tokens: int = WORDS + 4) -> PreTrainedTokenizerFast:
    names = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"w{n}" for n in range(tokens - 4))]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def config_of(shape: str) -> LlamaConfig:
    width, layers, inner, heads, kv_heads, words = SHAPES[shape]
    return LlamaConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
        num_labels=1,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        tie_word_embeddings=shape in TIED,
    )


def write_model(folder: Path, shape: str) -> Path:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config_of(shape))
    return save_model(model, vocabulary(), folder / shape)


def draw_rankings(
    n: int, k: int, *, prompt: tuple[int, int] = PROMPT, response: tuple[int, int] = RESPONSE, seed: int = 0
) -> list[Ranking]:
    draw = random.Random(seed)

    def text(words: tuple[int, int]) -> str:
        return " ".join(f"w{draw.randrange(WORDS)}" for _ in range(draw.randint(*words)))

    return [
        Ranking(
            ({"role": "user", "content": text(prompt)},),
            tuple(text(response) for _ in range(k)),
            tuple((place,) for place in range(k)),
        )
        for _ in range(n)
    ]
