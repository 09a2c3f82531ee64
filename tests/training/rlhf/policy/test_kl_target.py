"""PPO and RLOO hold their KL target in an environment in which the KL can be computed exactly."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS
from training.rlhf.core.masters import optimised, optimiser_over
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.parts import lora
from training.rlhf.policy import ppo, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.reference import pull_back, reference_of
from training.rlhf.rollouts.target import pull_within

SETTINGS: dict[str, Any] = ROLLOUTS | {
    **{"steps": 40, "rollout_prompts": 16, "responses_per_prompt": 4, "learning_rate": 3e-3},
    **{"kl_target": 1.0, "kl_coefficient": 0.2, "seed": 1},
}
METHODS: dict[str, tuple[ModuleType, Any]] = {
    "ppo": (ppo, PPOConfig(**SETTINGS, value_learning_rate=1e-2)),
    "rloo": (rloo, RLOOConfig(**SETTINGS)),
}


@pytest.mark.parametrize("method", METHODS)
def test_kl_stays_near_its_target(method: str, tmp_path: Path) -> None:
    """The learning rate is high: without control, the first two updates would exceed the target. If only
    the KL coefficient was controlled, the mean KL of three consecutive steps rose to 1.75 nats (PPO) and 1.96
    nats (RLOO). The target is 1 nat."""
    torch.set_num_threads(1)
    loop, config = METHODS[method]
    world, report = known_optimum.world(1), ListReporter()
    policy = world.policy()
    result = loop.train(
        config,
        policy=policy,
        reward_model=world.reward_model(),
        prompts=PROMPTS,
        out_dir=tmp_path,
        report=report,
    )
    kl = report.series("objective/kl")
    assert sum(kl[-10:]) / 10 == pytest.approx(1.0, rel=0.25)
    assert 0.75 < world.kl(policy.model) <= 1.0
    assert result.metrics["objective/kl_final"] == pytest.approx(world.kl(policy.model), rel=0.1)
    assert 0 < result.metrics["kl_pull_final"] < 0.25
    assert max(sum(kl[i : i + 3]) / 3 for i in range(38)) < 1.5  # single steps are noisy
    assert 0 < max(report.series("kl_pull")) < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_saved_policy_does_not_exceed_the_target(method: str, tmp_path: Path) -> None:
    """The only update moves the policy far beyond its target, where the KL is not quadratic."""
    torch.set_num_threads(1)
    loop, config = METHODS[method]
    world = known_optimum.world(2)
    policy = world.policy()
    rate = {"learning_rate": 3e-2, "schedule": "constant", "steps": 1}
    result = loop.train(
        config.model_copy(update=rate),
        policy=policy,
        reward_model=world.reward_model(),
        prompts=PROMPTS,
        out_dir=tmp_path,
    )
    assert 0.25 < world.kl(policy.model) <= 1.0
    assert result.metrics["kl_pull_final"] > 0.5


def test_pull_reduces_a_kl_above_the_target_to_the_target() -> None:
    assert pull_within(1.0, 0.9) == 0.0
    assert (1 - pull_within(1.0, 4.0)) ** 2 * 4.0 == pytest.approx(1.0)
    assert (1 - pull_within(1.0, 4.0, power=0.5)) ** 0.5 * 4.0 == pytest.approx(1.0)


def test_pull_shrinks_the_change_of_an_adapter_by_its_share(tmp_path: Path) -> None:
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
