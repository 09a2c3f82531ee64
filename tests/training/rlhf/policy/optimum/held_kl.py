"""Runs that hold a KL target in the environment of `known_optimum`. The tests run a few configurations, and
benchmarks/known_optimum.py runs all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum.configurations import Configuration, start_of
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.policy import ppo, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig

TARGET = 1.0
# The learning rate is high: without control, the first two updates would exceed the target.
SETTINGS: dict[str, Any] = ROLLOUTS | {
    **{"steps": 40, "rollout_prompts": 16, "responses_per_prompt": 4, "learning_rate": 3e-3},
    **{"kl_target": TARGET, "kl_coefficient": 0.2, "seed": 1},
}
# The only update moves the policy far beyond the KL target, where the KL is not quadratic.
ONE_UPDATE: dict[str, Any] = {"learning_rate": 3e-2, "schedule": "constant", "steps": 1}
METHODS = ["ppo", "rloo"]


@dataclass(frozen=True)
class Held:
    """The KL of each step as the run estimated it, the exact KL of the saved policy in float32, the pull of
    each step, and the metrics of the result."""

    kl: list[float]
    saved: float
    pulls: list[float]
    metrics: dict[str, float]


def hold_target(method: str, configuration: Configuration, world: int, folder: Path, **settings: Any) -> Held:
    start, report, given = start_of(configuration, world, folder), ListReporter(), SETTINGS | settings
    models: dict[str, Any] = {"policy": start.policy, "reward_model": start.reward_model}
    models |= {"prompts": PROMPTS, "out_dir": folder / "trained", "report": report}
    given |= configuration.settings
    if method == "ppo":
        result = ppo.train(PPOConfig.model_validate(given | {"value_learning_rate": 1e-2}), **models)
    else:
        result = rloo.train(RLOOConfig.model_validate(given), **models)
    return Held(
        report.series("objective/kl"),
        start.world.kl(load_policy(result.path).model),
        report.series("kl_pull"),
        result.metrics,
    )
