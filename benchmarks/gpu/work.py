"""The models and the amount of work per shape."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from benchmarks.gpu.machine import Device, free_bytes
from benchmarks.random_models import SHAPES, config_of, vocabulary
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.models.files.shapes import Shape, shape_of
from training.rlhf.models.loading.sources import Loaded

# Share of the free memory that a section may use. The rest is for fragmentation and the CUDA libraries.
USED_SHARE = 0.9


class DoesNotFit(Exception):
    """Raised if even one prompt needs more memory than a section may use."""


@dataclass(frozen=True)
class Work:
    """The number of prompts and their length in tokens, the number of answers per prompt and their length in
    tokens, and the maximum number of token positions in a micro-batch."""

    prompts: int
    prompt: int
    samples: int
    answer: int
    micro_batch_tokens: int
    lora: bool = False

    def __str__(self) -> str:
        return f"{self.prompts} prompts of {self.prompt} tokens, {self.samples} × {self.answer} tokens each"

    @property
    def rows(self) -> int:
        return self.prompts * self.samples

    def single(self) -> Work:
        return replace(self, prompts=1, samples=1)

    def halved(self) -> Work:
        tokens = max(self.prompt + self.answer, self.micro_batch_tokens // 2)
        return replace(self, prompts=self.prompts // 2, micro_batch_tokens=tokens)


WORK = {
    "tiny": Work(prompts=2, prompt=12, samples=2, answer=6, micro_batch_tokens=64),
    "half-b": Work(prompts=32, prompt=256, samples=4, answer=128, micro_batch_tokens=16_384),
    "7b": Work(prompts=32, prompt=256, samples=4, answer=128, micro_batch_tokens=8192, lora=True),
}


def fitting(work: Work, needed: Callable[[Work], float], available: float) -> Work:
    """Return the work, repeatedly halved until it needs at most USED_SHARE of the available memory. Raises
    DoesNotFit."""
    while (bytes_needed := needed(work)) > USED_SHARE * available:
        if work.prompts == 1:
            raise DoesNotFit(
                f"one prompt needs about {bytes_needed / 1e9:.0f} GB, but only {USED_SHARE:.0%} of the free"
                f" {available / 1e9:.0f} GB can be used"
            )
        work = work.halved()
    return work


def work_on(shape: str, device: Device, needed: Callable[[Work], float]) -> Work:
    return fitting(WORK[shape], needed, free_bytes(device))


def policy_shape(shape: str) -> Shape:
    return shape_of(config_of(shape).to_dict())


def reward_shape(shape: str) -> Shape:
    """The shape of a reward model. Like a model with tied embeddings, it has no separate output embedding."""
    return shape_of({**config_of(shape).to_dict(), "tie_word_embeddings": True})


def random_policy(shape: str, device: Device, dtype: torch.dtype = torch.bfloat16) -> Loaded:
    return Loaded(_random(LlamaForCausalLM, config_of(shape), device, dtype), tokenizer_of(shape))


def random_reward_model(shape: str, device: Device, dtype: torch.dtype) -> Loaded:
    return Loaded(
        _random(LlamaForSequenceClassification, config_of(shape), device, dtype), tokenizer_of(shape)
    )


def _random(kind: Any, config: LlamaConfig, device: Device, dtype: torch.dtype) -> Any:
    """Create a model with random weights on the device. The weights are never in main memory."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = kind(config)
    finally:
        torch.set_default_dtype(before)
    model.name_or_path = "random weights"  # stored in an adapter as the name of its base model
    return model.eval()


def tokenizer_of(shape: str) -> Any:
    *_, words = SHAPES[shape]
    return vocabulary(words)


def draw_prompts(work: Work, *, seed: int = 0) -> list[list[int]]:
    return [draw_tokens(work.prompt, seed=seed * 10_000 + number) for number in range(work.prompts)]


def draw_tokens(count: int, *, seed: int) -> list[int]:
    """Return random IDs of tokens other than the pad token and the EOS token."""
    draw = random.Random(seed)
    return [draw.randrange(4, 4096) for _ in range(count)]


def encoded_prompts(work: Work) -> EncodedPrompts:
    messages: list[Any] = [({"role": "user", "content": f"w{number}"},) for number in range(work.prompts)]
    return EncodedPrompts(messages, draw_prompts(work), list(range(work.prompts)), 0, 0)
