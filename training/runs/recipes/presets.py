"""Named settings of each kind of run, and which settings come first in its form.

A preset changes a few settings from their defaults; what else is set beside it wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.models import TrainingRun

Kind = TrainingRun.Kind


@dataclass(frozen=True)
class Preset:
    name: str
    title: str
    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _presets(quick: Preset, thorough: Preset, *more: Preset) -> tuple[Preset, ...]:
    return quick, Preset("default", "Default", "Every setting as the recipe has it."), thorough, *more


def _quick(description: str, **settings: Any) -> Preset:
    return Preset("quick", "Quick look", description, settings)


def _thorough(description: str, **settings: Any) -> Preset:
    return Preset("thorough", "Thorough", description, settings)


PRESETS: Mapping[str, tuple[Preset, ...]] = {
    Kind.SFT: _presets(
        _quick("A fifth of the demonstrations, once: does the loss fall at all?", max_demonstrations=2_000),
        _thorough("Three passes over up to 50,000 demonstrations.", epochs=3, max_demonstrations=50_000),
    ),
    Kind.REWARD_MODEL: _presets(
        _quick("One pass, measured twice.", epochs=1, evaluations=2),
        _thorough("Four passes, measured twenty times; the best weights are kept.", epochs=4, evaluations=20),
        Preset(
            "lora",
            "LoRA",
            "An adapter in place of all weights: for a model that doesn't fit otherwise.",
            {"use_peft": True},
        ),
    ),
    Kind.REJECTION_SAMPLING: _presets(
        _quick("The best of 4 for 64 prompts.", max_prompts=64, samples_per_prompt=4),
        _thorough("The best of 16 for up to 2,048 prompts.", max_prompts=2_048, samples_per_prompt=16),
    ),
    Kind.PPO: _presets(
        _quick("8 steps of 32 answers: do score and KL move?", steps=8, rollout_prompts=16, sample_every=4),
        _thorough(
            "120 steps of 128 answers. Watch the KL: further from the start, rewards mean less.",
            steps=120,
            rollout_prompts=64,
            sample_every=20,
        ),
    ),
    Kind.SAMPLE: _presets(
        _quick("8 prompts, to see what annotators would be shown.", max_prompts=8),
        _thorough("Up to 256 prompts.", max_prompts=256),
    ),
    Kind.EVALUATE: _presets(
        _quick("32 prompts, one answer each: a wide interval.", max_prompts=32, responses_per_prompt=1),
        _thorough(
            "Up to 4,096 prompts, 16 answers each: a narrow interval.",
            max_prompts=4_096,
            responses_per_prompt=16,
        ),
    ),
}

# What people change: shown at once, in this order. The rest is one click away.
COMMON: Mapping[str, tuple[str, ...]] = {
    Kind.SFT: ("demonstrations", "base_model", "max_demonstrations", "epochs", "learning_rate", "batch_size"),
    Kind.REWARD_MODEL: (
        *("epochs", "learning_rate", "batch_rankings", "loss", "ties", "use_peft", "max_length"),
    ),
    Kind.REJECTION_SAMPLING: (
        *("max_prompts", "samples_per_prompt", "max_new_tokens", "temperature", "epochs", "learning_rate"),
    ),
    Kind.PPO: (
        *("steps", "rollout_prompts", "responses_per_prompt", "max_new_tokens"),
        *("kl_coefficient", "learning_rate"),
    ),
    Kind.SAMPLE: (
        *("max_prompts", "responses_per_prompt", "max_new_tokens", "temperature", "overlap", "priority"),
    ),
    Kind.EVALUATE: ("judge", "split", "max_prompts", "responses_per_prompt", "max_new_tokens", "temperature"),
}
