"""How each method solves the environment of `known_optimum`. The test runs one seed, and
benchmarks/known_optimum.py runs five."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from tests.training.rlhf.policy.known_optimum import PROMPTS, ROLLOUTS, World
from training.rlhf.policy import ppo, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig

BETA = 0.3  # the KL coefficient of the methods whose optimum has a KL penalty


@dataclass(frozen=True)
class Solver:
    """`train` improves a copy of the world's policy with a seed, and may write to a folder. `share` is how
    much of the possible gain a policy has reached."""

    train: Callable[[World, int, Path], PreTrainedModel]
    share: Callable[[World, PreTrainedModel], float]


def of_optimum(world: World, model: PreTrainedModel) -> float:
    return world.share_of_optimum(model, BETA)


def of_best_reward(world: World, model: PreTrainedModel) -> float:
    return world.share_of_best_reward(model)


def by_rloo(**settings: Any) -> Callable[[World, int, Path], PreTrainedModel]:
    def train(world: World, seed: int, folder: Path) -> PreTrainedModel:
        common = {
            "kl_coefficient": BETA,
            "rollout_prompts": 16,
            "responses_per_prompt": 4,
            "minibatches": 2,
            "learning_rate": 1e-2,
        }
        config = RLOOConfig.model_validate(ROLLOUTS | common | {"seed": seed} | settings)
        policy = world.policy()
        rloo.train(config, policy=policy, reward_model=world.reward_model(), prompts=PROMPTS, out_dir=folder)
        return policy.model

    return train


def by_ppo(**settings: Any) -> Callable[[World, int, Path], PreTrainedModel]:
    def train(world: World, seed: int, folder: Path) -> PreTrainedModel:
        common = {"kl_coefficient": BETA, "rollout_prompts": 16, "responses_per_prompt": 4, "minibatches": 2}
        rates = {"learning_rate": 1e-2, "value_learning_rate": 1e-2}
        config = PPOConfig.model_validate(ROLLOUTS | common | rates | {"seed": seed} | settings)
        policy = world.policy()
        ppo.train(config, policy=policy, reward_model=world.reward_model(), prompts=PROMPTS, out_dir=folder)
        return policy.model

    return train


# With a larger group and a smaller rate, GRPO and Dr. GRPO sample the best answer before they settle. With
# four answers and a rate of 1e-2, GRPO settled on "good good good" without an EOS on one of five seeds, at
# 71 % of the optimum.
LARGE_GROUPS = {"steps": 25, "learning_rate": 5e-3, "responses_per_prompt": 8, "minibatches": 4}

# With the KL penalty in the reward, all three advantages have the same optimum. At pi*, all answers to a
# prompt have the same r - beta log(pi / pi_ref), so every advantage is 0. A penalty per token in the loss
# (k2, k3) has another optimum.
SOLVERS: dict[str, Solver] = {
    "rloo": Solver(by_rloo(steps=25), of_optimum),
    "grpo": Solver(
        by_rloo(**LARGE_GROUPS, advantage="grpo", ratio="token", aggregation="answer_mean"), of_optimum
    ),
    "dr_grpo": Solver(
        by_rloo(**LARGE_GROUPS, advantage="dr_grpo", ratio="token", aggregation="fixed_length"), of_optimum
    ),
    "ppo": Solver(by_ppo(steps=40), of_optimum),
}
