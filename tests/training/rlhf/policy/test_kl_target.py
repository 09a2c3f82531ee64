"""PPO and RLOO hold their KL target in an environment in which the KL can be computed exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.optimum.configurations import CONFIGURATIONS
from tests.training.rlhf.policy.optimum.held_kl import METHODS, ONE_UPDATE, TARGET, hold_target
from training.rlhf.core.masters import optimised, optimiser_over
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.parts import lora
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.reference import pull_back, reference_of
from training.rlhf.rollouts.target import pull_within

torch.set_num_threads(1)
# benchmarks/known_optimum.py runs both methods in every configuration.
SAVED = [
    *((method, "all weights") for method in METHODS),
    ("rloo", "bfloat16"),
    ("ppo", "one trunk, bfloat16"),
]


@pytest.mark.parametrize("method", METHODS)
def test_kl_stays_near_its_target(method: str, tmp_path: Path) -> None:
    """When only the KL coefficient was controlled, the mean KL of three consecutive steps rose to 1.75 nats
    (PPO) and 1.96 nats (RLOO). The target is 1 nat."""
    run = hold_target(method, CONFIGURATIONS["all weights"], 1, tmp_path)
    assert sum(run.kl[-10:]) / 10 == pytest.approx(TARGET, rel=0.25)
    assert 0.75 < run.saved <= TARGET
    assert run.metrics["objective/kl_final"] == pytest.approx(run.saved, rel=0.1)
    assert 0 < run.metrics["kl_pull_final"] < 0.25
    assert max(sum(run.kl[i : i + 3]) / 3 for i in range(38)) < 1.5  # single steps are noisy
    assert 0 < max(run.pulls) < 0.6


@pytest.mark.parametrize(("method", "configuration"), SAVED)
def test_saved_policy_does_not_exceed_the_target(method: str, configuration: str, tmp_path: Path) -> None:
    # A run that trains an adapter needs a higher learning rate than a run that trains all weights to move the
    # policy equally far.
    update = ONE_UPDATE | ({"learning_rate": 0.1} if "trunk" in configuration else {})
    run = hold_target(method, CONFIGURATIONS[configuration], 2, tmp_path, **update)
    assert 0.25 < run.saved <= TARGET
    assert run.metrics["kl_pull_final"] > 0.5


def test_pull_reduces_a_kl_above_the_target_to_the_target() -> None:
    assert pull_within(1.0, 0.9) == 0.0
    assert (1 - pull_within(1.0, 4.0)) ** 2 * 4.0 == pytest.approx(1.0)
    assert (1 - pull_within(1.0, 4.0, power=0.5)) ** 0.5 * 4.0 == pytest.approx(1.0)


def test_pull_of_a_quarter_shrinks_the_change_of_an_adapter_by_a_quarter(tmp_path: Path) -> None:
    base = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "base")
    config = PPOConfig(use_peft=True, lora_r=2)
    actor = open_trainable(base, config, out_dir=tmp_path / "out").model
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in lora.adapter_weights(actor, lora.POLICY).values():
            weight.normal_(generator=generator)
    reference, before = reference_of(actor, "fixed"), lora.adapter_change(actor)
    pull_back(actor, reference, 0.25)
    assert lora.adapter_change(actor) == pytest.approx(0.75 * before)


def test_pull_moves_the_float32_masters_of_bfloat16_weights() -> None:
    """If only the bfloat16 weights moved, the next optimiser step would undo the pull."""
    actor = tiny.policy().to(torch.bfloat16)
    reference = reference_of(actor, "fixed")
    optimiser = optimiser_over(actor, lambda masters: torch.optim.SGD(masters, lr=1.0))
    [weight, *_], [master, *_] = actor.parameters(), optimised(optimiser)
    start = weight.detach().float()
    with torch.no_grad():
        master.add_(1.0)
        weight.copy_(master)
    pull_back(actor, reference, 0.25)
    assert torch.allclose(master, start + 0.75)
    assert torch.equal(weight, master.to(torch.bfloat16))
