"""The presets of each run kind, and the settings that the launch form shows first.

A preset changes a few defaults. Settings that are given explicitly override the preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.models import TrainingRun
from training.runs.recipes.device_presets import TRAINING_KINDS, Preset, device_presets

Kind = TrainingRun.Kind


def _presets(quick: Preset, thorough: Preset, *more: Preset) -> tuple[Preset, ...]:
    return quick, Preset("default", "Default", "All settings keep their defaults."), thorough, *more


def _quick(description: str, **settings: Any) -> Preset:
    return Preset("quick", "Quick look", description, settings)


def _thorough(description: str, **settings: Any) -> Preset:
    return Preset("thorough", "Thorough", description, settings)


LORA = Preset(
    "lora",
    "LoRA",
    "Trains an adapter instead of all weights, for a model that would not otherwise fit in memory.",
    {"use_peft": True},
)
LORA_BFLOAT16 = Preset(
    "lora",
    "LoRA",
    "Trains an adapter instead of all weights, with the models in bfloat16 and recomputed activations, for a "
    "model that would not otherwise fit in memory.",
    {"use_peft": True, "dtype": "bfloat16", "gradient_checkpointing": True},
)

_BY_KIND: Mapping[str, tuple[Preset, ...]] = {
    Kind.SFT: _presets(
        _quick(
            "One pass over a fifth of the demonstrations, to see whether the loss falls.",
            max_demonstrations=2_000,
        ),
        _thorough("Three passes over up to 50,000 demonstrations.", epochs=3, max_demonstrations=50_000),
        LORA_BFLOAT16,
    ),
    Kind.REWARD_MODEL: _presets(
        _quick("One pass with two evaluations.", epochs=1, evaluations=2),
        _thorough(
            "Four passes with twenty evaluations; the best weights are kept.", epochs=4, evaluations=20
        ),
        LORA,
    ),
    Kind.REJECTION_SAMPLING: _presets(
        _quick("The best of 4 answers to each of 64 prompts.", max_prompts=64, samples_per_prompt=4),
        _thorough(
            "The best of 16 answers to each of up to 2,048 prompts.", max_prompts=2_048, samples_per_prompt=16
        ),
        Preset(
            "raft",
            "RAFT",
            "Three rounds. In each round, the policy of the previous round answers the prompts again.",
            {"rounds": 3},
        ),
        LORA_BFLOAT16,
    ),
    Kind.RLOO: _presets(
        _quick(
            "8 steps of 32 answers, to see whether the score and the KL change.",
            steps=8,
            rollout_prompts=8,
            sample_every=4,
        ),
        _thorough(
            "120 steps of 128 answers. Watch the KL: the further the policy is from its starting point, the "
            "less reliable the rewards are.",
            steps=120,
            rollout_prompts=32,
            sample_every=20,
        ),
        Preset(
            "grpo",
            "GRPO",
            "Divides the rewards for each prompt by their standard deviation, with one clipped ratio per "
            "token and the KL penalty in the loss.",
            {"advantage": "grpo", "ratio": "token", "kl_estimator": "k3", "aggregation": "answer_mean"},
        ),
        Preset(
            "dr_grpo",
            "Dr. GRPO",
            "GRPO that divides neither by the standard deviation nor by the answer's length, because these "
            "divisions favour some prompts and lengths.",
            {"advantage": "dr_grpo", "ratio": "token", "kl_estimator": "k3", "aggregation": "fixed_length"},
        ),
        LORA_BFLOAT16,
    ),
    Kind.PPO: _presets(
        _quick(
            "8 steps of 32 answers, to see whether the score and the KL change.",
            steps=8,
            rollout_prompts=16,
            sample_every=4,
        ),
        _thorough(
            "120 steps of 128 answers. Watch the KL: the further the policy is from its starting point, the "
            "less reliable the rewards are.",
            steps=120,
            rollout_prompts=64,
            sample_every=20,
        ),
        LORA_BFLOAT16,
    ),
    Kind.DPO: _presets(
        _quick("One pass with two evaluations.", evaluations=2),
        _thorough("Three passes with twenty evaluations.", epochs=3, evaluations=20),
        Preset(
            "ipo",
            "IPO",
            "The IPO loss per token, for nearly deterministic preferences.",
            {"loss": "ipo", "length_normalised": True},
        ),
        LORA_BFLOAT16,
    ),
    Kind.SAMPLE: _presets(
        _quick("8 prompts, to preview what annotators would see.", max_prompts=8),
        _thorough("Up to 256 prompts.", max_prompts=256),
    ),
    Kind.EVALUATE: _presets(
        _quick(
            "One answer to each of 32 prompts. The confidence interval is wide.",
            max_prompts=32,
            responses_per_prompt=1,
        ),
        _thorough(
            "16 answers to each of up to 4,096 prompts. The confidence interval is narrow.",
            max_prompts=4_096,
            responses_per_prompt=16,
        ),
    ),
}

PRESETS: Mapping[str, tuple[Preset, ...]] = {
    kind: (*presets, *(device_presets(kind) if kind in TRAINING_KINDS else ()))
    for kind, presets in _BY_KIND.items()
}

# The most commonly changed settings, in the order in which the form shows them. All other
# settings are one click away.
COMMON: Mapping[str, tuple[str, ...]] = {
    Kind.SFT: (
        *("demonstrations", "base_model", "max_demonstrations", "epochs", "learning_rate", "batch_size"),
        "use_peft",
    ),
    Kind.REWARD_MODEL: (
        *("epochs", "learning_rate", "batch_rankings", "loss", "ties", "use_peft", "max_length"),
    ),
    Kind.REJECTION_SAMPLING: (
        *("max_prompts", "samples_per_prompt", "keep", "rounds", "max_new_tokens", "temperature"),
        *("epochs", "learning_rate", "use_peft"),
    ),
    Kind.RLOO: (
        *("advantage", "steps", "rollout_prompts", "responses_per_prompt", "max_new_tokens"),
        *("kl_coefficient", "learning_rate", "use_peft"),
    ),
    Kind.PPO: (
        *("steps", "rollout_prompts", "responses_per_prompt", "max_new_tokens"),
        *("kl_coefficient", "learning_rate", "use_peft"),
    ),
    Kind.DPO: (
        *("beta", "epochs", "learning_rate", "batch_rankings", "loss", "ties", "use_peft", "max_length"),
    ),
    Kind.SAMPLE: (
        *("max_prompts", "responses_per_prompt", "max_new_tokens", "temperature", "overlap", "priority"),
    ),
    Kind.EVALUATE: ("judge", "split", "max_prompts", "responses_per_prompt", "max_new_tokens", "temperature"),
}
