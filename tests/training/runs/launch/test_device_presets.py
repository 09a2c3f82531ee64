"""Each device preset works on its device with a model of the size that the preset's description states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.training.rlhf.planning.test_real_shapes import DATA, DRIVER, LARGE, qwen3
from training.rlhf.models.files import shapes
from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning import loops, on_policy, reward_model
from training.rlhf.planning.cost import Conditions, Cost, Data
from training.rlhf.planning.transformer import without_output_layer
from training.runs.estimates.estimates import MEMORY_ABOVE, RUNTIME_BYTES
from training.runs.recipes.catalog import parse_recipe, preset_settings
from training.runs.recipes.device_presets import (
    DEMO_CPU,
    ONE_24_GB,
    ONE_80_GB,
    SEVERAL,
    TRAINING_KINDS,
)

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "memory.md"
# The total memory, in bytes, that torch reports for an RTX 4090 and an A100 80 GB.
CARDS = {ONE_24_GB: 25.3e9, ONE_80_GB: 84.9e9, SEVERAL: 84.9e9}
MODELS = {
    ONE_24_GB: qwen3(2560, 36, 32, 9728, tied=True),  # Qwen3-4B
    ONE_80_GB: LARGE,
    SEVERAL: LARGE,
}
DEMO_DATA = Data(512, 26, 32, 124, responses=4)


def cost_of(kind: str, preset: str, shape: Shape, data: Data, given: Conditions) -> Cost:
    recipe: Any = parse_recipe(kind=kind, settings=preset_settings(kind=kind, preset=preset))
    judge, shared = without_output_layer(shape), recipe.use_peft
    costs = {
        "sft": lambda: loops.sft(recipe, shape, data, given=given),
        "dpo": lambda: loops.dpo(recipe, shape, data, given=given),
        "reward_model": lambda: reward_model.reward_model(recipe, judge, data, given=given),
        "rejection_sampling": lambda: loops.rejection_sampling(
            recipe, shape, judge, data, shared=shared, given=given
        ),
        "rloo": lambda: on_policy.rloo(recipe, shape, judge, data, shared=shared, given=given),
        "ppo": lambda: on_policy.ppo(recipe, shape, judge, data, shared=shared, given=given),
    }
    return costs[kind]()


@pytest.mark.parametrize("kind", TRAINING_KINDS)
@pytest.mark.parametrize("preset", [ONE_24_GB, ONE_80_GB, SEVERAL])
def test_gpu_presets_fit_into_memory_with_the_longest_prompts_and_answers(kind: str, preset: str) -> None:
    processes = 4 if preset == SEVERAL else 1
    given = Conditions(True, gpu=True, memory=CARDS[preset], processes=processes)
    peak = cost_of(kind, preset, MODELS[preset], DATA, given).peak
    assert MEMORY_ABOVE * (peak.bytes + DRIVER) < CARDS[preset], peak


@pytest.mark.parametrize("kind", TRAINING_KINDS)
def test_preset_for_the_demo_needs_less_than_one_gigabyte(kind: str) -> None:
    peak = cost_of(kind, DEMO_CPU, shapes.demo_shape(), DEMO_DATA, Conditions(cautious=True)).peak
    assert MEMORY_ABOVE * (peak.bytes + RUNTIME_BYTES["cpu"]) < 1e9, peak


def test_command_in_the_memory_guide_uses_a_preset_that_exists() -> None:
    guide = GUIDE.read_text()
    [(kind, preset)] = re.findall(r"launch_run (\w+) --project demo --preset (\w+)$", guide, re.MULTILINE)
    assert preset_settings(kind=kind, preset=preset)
    named = set(re.findall(r"`(\w+)`", guide))
    assert {DEMO_CPU, ONE_24_GB, ONE_80_GB, SEVERAL} <= named
