"""How each method solves the environment of `known_optimum`. The test runs one seed in a few configurations,
and benchmarks/known_optimum.py runs five seeds in all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from tests.training.rlhf.policy.optimum.configurations import Configuration, Start, start_of
from tests.training.rlhf.policy.optimum.known_optimum import (
    MAX_NEW_TOKENS,
    PROMPTS,
    ROLLOUTS,
    World,
    ranked_answers,
)
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig

BETA = 0.3  # the KL coefficient of the methods whose optimum has a KL penalty


def of_optimum(world: World, model: PreTrainedModel) -> float:
    return world.share_of_optimum(model, BETA)


def of_best_reward(world: World, model: PreTrainedModel) -> float:
    return world.share_of_best_reward(model)


@dataclass(frozen=True)
class Solver:
    """`train` trains a policy with the settings and saves it to a folder. `share` returns the share of the
    possible gain that a policy has achieved."""

    train: Callable[[dict[str, Any], Start, Path], None]
    settings: dict[str, Any]
    share: Callable[[World, PreTrainedModel], float] = of_optimum

    def solve(self, configuration: Configuration, seed: int, folder: Path) -> float:
        """Return the share of the possible gain that the saved policy has achieved. All files are written to
        the folder."""
        start, out = start_of(configuration, seed, folder), folder / "trained"
        self.train(self.settings | configuration.settings | {"seed": seed}, start, out)
        return self.share(start.world, load_policy(out).model)


def by_rloo(settings: dict[str, Any], start: Start, out: Path) -> None:
    config = RLOOConfig.model_validate(settings)
    rloo.train(config, policy=start.policy, reward_model=start.reward_model, prompts=PROMPTS, out_dir=out)


def by_ppo(settings: dict[str, Any], start: Start, out: Path) -> None:
    config = PPOConfig.model_validate(settings)
    ppo.train(config, policy=start.policy, reward_model=start.reward_model, prompts=PROMPTS, out_dir=out)


def by_rejection_sampling(settings: dict[str, Any], start: Start, out: Path) -> None:
    config = RejectionSamplingConfig.model_validate(settings)
    rejection_sampling.train(
        config, policy=start.policy, reward_model=start.reward_model, prompts=PROMPTS, out_dir=out
    )


def by_dpo(settings: dict[str, Any], start: Start, out: Path) -> None:
    """In each round, the previous round's policy writes the answers to be ranked. The same policy is the
    reference."""
    settings = dict(settings)
    rounds = settings.pop("rounds")
    config = DPOConfig.model_validate(settings)
    policy: ModelSource = start.policy
    written = start.world.start.model
    for number in range(rounds):
        rankings = ranked_answers(start.world, written, config.seed, number)
        if not rankings:  # the policy always writes the same answer to each prompt
            save_model(*load_policy(policy), out)
            return
        last = number == rounds - 1
        folder = out if last else out.with_name(f"round-{number}")
        dpo.train(config, base_model=policy, rankings=rankings, out_dir=folder)
        policy = folder
        written = load_policy(folder).model


SAMPLED: dict[str, Any] = ROLLOUTS | {
    **{"kl_coefficient": BETA, "rollout_prompts": 16, "responses_per_prompt": 4, "minibatches": 2},
    **{"learning_rate": 1e-2, "steps": 25},
}
# With eight answers per prompt and a learning rate of 5e-3, GRPO and Dr. GRPO sample the best answer before
# they converge. With four answers and a learning rate of 1e-2, GRPO converged to "good good good" without an
# EOS on one of five seeds, at 71 % of the optimum.
LARGE_GROUPS = SAMPLED | {"learning_rate": 5e-3, "responses_per_prompt": 8, "minibatches": 4}

# With the KL penalty in the reward, all three advantages have the same optimum. At pi*, all answers to a
# prompt have the same r - beta log(pi / pi_ref), so every advantage is 0. A penalty per token in the loss
# (k2, k3) has a different optimum.
SOLVERS: dict[str, Solver] = {
    "rloo": Solver(by_rloo, SAMPLED),
    "grpo": Solver(
        by_rloo, LARGE_GROUPS | {"advantage": "grpo", "ratio": "token", "aggregation": "answer_mean"}
    ),
    "dr_grpo": Solver(
        by_rloo, LARGE_GROUPS | {"advantage": "dr_grpo", "ratio": "token", "aggregation": "fixed_length"}
    ),
    "ppo": Solver(by_ppo, SAMPLED | {"steps": 40, "value_learning_rate": 1e-2}),
    # The remaining methods are compared with the best reward. Rejection sampling has no KL penalty, and the
    # reference of DPO moves with every round.
    "rejection_sampling": Solver(
        by_rejection_sampling,
        {
            **{"max_new_tokens": MAX_NEW_TOKENS, "max_length": 16, "heldout_share": 0, "sample_prompts": 0},
            **{"rounds": 10, "samples_per_prompt": 64, "epochs": 6, "batch_size": 4, "learning_rate": 5e-3},
        },
        of_best_reward,
    ),
    # Rankings of finished answers contain no information about truncated answers. Without the supervised
    # loss, the policy reached 71 % of the best reward on seed 1.
    "dpo": Solver(
        by_dpo,
        {
            **{"heldout_fraction": 0, "sample_prompts": 0, "kl_samples": 0, "rounds": 6, "epochs": 2},
            **{"batch_rankings": 8, "learning_rate": 3e-3, "sft_coefficient": 0.2},
        },
        of_best_reward,
    ),
}
