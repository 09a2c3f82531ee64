"""A run reports the distance of its policy from the starting policy, in KL and in parameters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.training.rlhf.policy.memory.adapted import LOOPS, LORA, Scene, build_scene
from training.rlhf.models.loading.opening import load_policy

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@pytest.mark.parametrize(
    ("kind", "use_peft"), [("sft", False), ("sft", True), ("rejection_sampling", False), ("dpo", False)]
)
def test_run_reports_how_far_the_policy_moved(
    kind: str, use_peft: bool, scene: Scene, tmp_path: Path
) -> None:
    settings = LORA | {"use_peft": use_peft, "kl_samples": 4}
    path, metrics = LOOPS[kind](scene, scene.base, tmp_path, **settings)
    start, end = (dict(load_policy(folder).model.named_parameters()) for folder in (scene.base, path))
    squares = [(end[name] - start[name]).detach().double().square().sum() for name in start]
    norm = float(torch.stack(squares).sum().sqrt())
    assert metrics["parameters/change"] == pytest.approx(norm, rel=1e-4)
    assert norm > 0.05
    assert math.isfinite(metrics["objective/kl"])
    assert metrics["objective/kl"] != 0.0


def test_measuring_the_distance_requires_stored_weights_and_sampled_answers(
    scene: Scene, tmp_path: Path
) -> None:
    """All weights of a model in memory are trained in place, so the starting weights are lost."""
    for number, start in enumerate((load_policy(scene.base), scene.base)):
        _, metrics = LOOPS["sft"](scene, start, tmp_path / str(number), kl_samples=0 if number else 4)
        assert "objective/kl" not in metrics
        assert "parameters/change" not in metrics
