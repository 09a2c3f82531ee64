"""Tiny reward models in memory."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from tests.training.rlhf import tiny
from training.rlhf.judging.judges import Asked
from training.rlhf.models.loading.sources import Loaded

EOS = 1


def reward_model(
    seed: int = 0,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    max_length: int = 128,
    words: PreTrainedTokenizerBase | None = None,
) -> Loaded:
    """A reward model with random weights. `mean` and `std` are stored as the mean and the standard deviation
    of the training rewards."""
    settings: dict[str, Any] = {**tiny.COMMON, **tiny.SHAPE, "num_hidden_layers": 1, "num_labels": 1}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = LlamaForSequenceClassification(LlamaConfig(**settings))  # type: ignore[no-untyped-call]
    model.config.rankloop = {"reward_mean": mean, "reward_std": std, "max_length": max_length}  # type: ignore[union-attr]
    return Loaded(model.eval(), words or tiny.tokenizer())


def policy() -> Loaded:
    return Loaded(tiny.policy(), tiny.tokenizer())


def asked(prompts: int = 3, answers: int = 2) -> list[Asked]:
    """Prompts of different lengths, with answers of different lengths."""
    found = []
    for p in range(prompts):
        ids = list(range(4, 8 + p))
        text = tiny.words(*(token - len(tiny.SPECIAL) for token in ids))
        listed = [[*range(20 + p, 22 + p + 2 * a), EOS] for a in range(answers)]
        found.append(Asked([{"role": "user", "content": text}], ids, listed))
    return found


def token_reward_model(values: dict[int, float], *, mean: float = 0.5, std: float = 0.5) -> Loaded:
    """A reward model that scores an answer higher if `values` assigns its tokens higher numbers.

    In the model's only layer, all parameters are zero except the norms and the value and output projections.
    Attention therefore averages the normalised embeddings of all tokens up to EOS. The head reads the first
    component of that average.
    """
    loaded = reward_model(mean=mean, std=std)
    model: Any = loaded.model
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
        embedding[:, 0] = 0.0
        for token, value in values.items():
            embedding[token, 0] = value
        layer = model.model.layers[0]
        for name, parameter in layer.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        layer.self_attn.v_proj.weight.copy_(torch.eye(32))
        layer.self_attn.o_proj.weight.copy_(torch.eye(32))
        model.score.weight.zero_()
        model.score.weight[0, 0] = 1.0
    return loaded
