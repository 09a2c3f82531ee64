"""The presets for each device. A test checks that a run with each preset and a model of the stated size fits
into the device's memory."""

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


DEMO_CPU, ONE_24_GB, ONE_80_GB, SEVERAL = "demo_cpu", "gpu_24gb", "gpu_80gb", "several_gpus"
TRAINING_KINDS = (Kind.SFT, Kind.REWARD_MODEL, Kind.REJECTION_SAMPLING, Kind.RLOO, Kind.PPO, Kind.DPO)
GENERATES = (Kind.REJECTION_SAMPLING, Kind.RLOO, Kind.PPO)
# Settings that make a run short on a CPU. The demo world's model still improves visibly in such a run.
SHORT: Mapping[str, Mapping[str, Any]] = {
    Kind.SFT: {"max_demonstrations": 4_000},
    Kind.REWARD_MODEL: {"epochs": 1, "evaluations": 2},
    Kind.REJECTION_SAMPLING: {"max_prompts": 128, "samples_per_prompt": 4},
    Kind.RLOO: {"steps": 16, "rollout_prompts": 8},
    Kind.PPO: {"steps": 16, "rollout_prompts": 16},
    Kind.DPO: {"evaluations": 2},
}


def device_presets(kind: str) -> tuple[Preset, ...]:
    """Return the presets of a run kind that trains a model, from the smallest device to the largest."""
    return (
        Preset(
            DEMO_CPU,
            "Demo on a CPU",
            "A short run with the demo world's model. The run needs less than 1 GB of memory.",
            {**SHORT[kind], **_batches(kind, tokens=1_024, generation=0.25)},
        ),
        Preset(
            ONE_24_GB,
            "One 24 GB GPU",
            "LoRA for models with up to 4B parameters, with small micro-batches and recomputed activations.",
            {**_lora(kind), **_batches(kind, tokens=2_048, generation=4.0)},
        ),
        Preset(
            ONE_80_GB,
            "One 80 GB GPU",
            "LoRA for models with up to 8B parameters, with larger micro-batches and recomputed activations.",
            {**_lora(kind), **_batches(kind, tokens=8_192, generation=16.0)},
        ),
        Preset(
            SEVERAL,
            "Several GPUs",
            "LoRA for models with up to 8B parameters on all GPUs of a machine, each with 80 GB. Each GPU "
            "stores the whole model and processes a share of every batch.",
            {**_lora(kind), **_batches(kind, tokens=8_192, generation=16.0), "processes": 0},
        ),
    )


def _lora(kind: str) -> dict[str, Any]:
    half = {"precision": "bfloat16"} if kind == Kind.REWARD_MODEL else {"dtype": "bfloat16"}
    return {"use_peft": True, **half, "gradient_checkpointing": True}


def _batches(kind: str, *, tokens: int, generation: float) -> dict[str, Any]:
    return {"micro_batch_tokens": tokens, **({"generation_memory": generation} if kind in GENERATES else {})}
