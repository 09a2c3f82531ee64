"""A run whose gradients become NaN ends before the update. The run keeps its newest checkpoint and can be
resumed exactly from this checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import LOOPS, LORA, Scene, build_scene, same, stored
from training.rlhf.core.reporter import TrainingDiverged
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.sources import Loaded

torch.set_num_threads(1)
QUICK: dict[str, Any] = {"sample_prompts": 0, "kl_samples": 0}
# For each case: the kind of run, the step after which the gradients become NaN, and the settings. In
# rejection sampling, the first two steps sample and select answers.
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sft": ("sft", 1, QUICK),
    "rejection_sampling": (
        "rejection_sampling",
        3,
        QUICK | {"batch_size": 2, "samples_per_prompt": 16, "max_new_tokens": 16},
    ),
    "dpo": ("dpo", 1, QUICK),
    "rloo": ("rloo", 1, {"samples": 0}),
    "rloo, bfloat16": ("rloo", 1, {"samples": 0, "dtype": "bfloat16"}),
    "sft, adapter": ("sft", 1, QUICK | LORA),
}


class Breaking(ListReporter):
    """After the metrics of step `last`, all gradients of the policy are NaN."""

    def __init__(self, model: torch.nn.Module, last: int) -> None:
        super().__init__()
        self._model, self._last, self._broken = model, last, False

    def check(self) -> None:
        super().check()
        if self.metric_rows and self.metric_rows[-1][0] == self._last and not self._broken:
            for parameter in self._model.parameters():
                if parameter.requires_grad:
                    parameter.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
            self._broken = True


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


def start(scene: Scene, settings: dict[str, Any], *, training: bool = False) -> Loaded:
    if "use_peft" in settings:  # an adapter needs a base model that was loaded from a folder
        loaded = load_policy(scene.base)
        loaded.model.train(training)
        return loaded
    model = tiny.gpt2_policy().train(training)
    assert model.config.resid_pdrop > 0
    return Loaded(model, tiny.tokenizer())


@pytest.mark.parametrize("case", CASES)
def test_diverged_run_keeps_its_checkpoint_and_resumes_bitwise(
    case: str, scene: Scene, tmp_path: Path
) -> None:
    """The uninterrupted run gets its policy in train mode, and the other runs in eval mode. The result is the
    same, because every loop switches dropout off."""
    kind, last, settings = CASES[case]
    broken, report = start(scene, settings), ListReporter()
    expected, _ = LOOPS[kind](scene, start(scene, settings, training=True), tmp_path / "whole", **settings)
    with pytest.raises(TrainingDiverged):
        LOOPS[kind](scene, broken, tmp_path / "cut", Breaking(broken.model, last), **settings)
    assert not (tmp_path / "cut" / "model").exists()
    resumed, _ = LOOPS[kind](scene, start(scene, settings), tmp_path / "cut", report, **settings)
    assert report.metric_rows[0][0] == last + 1
    assert same(stored(resumed), stored(expected))
