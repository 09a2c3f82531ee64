"""One small training loop of each kind for `kills`. Each loop writes a checkpoint after every step, and uses
the settings that add to the loop's state. `CONFIGURATIONS` lists other ways to store and train a policy's
weights, such as adapters and bfloat16."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.training.rlhf import tiny
from tests.training.rlhf.core.kills import Loop
from tests.training.rlhf.policy.optimum.configurations import reward_adapter
from tests.training.rlhf.policy.ppo.test_ppo import GOOD
from tests.training.rlhf.policy.ppo.test_ppo import reward_model as make_reward_model
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.reporter import Reporter
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.saving import save_model
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model

EVERY_STEP: dict[str, Any] = {"checkpoint_steps": 1, "checkpoint_minutes": None}
PROMPTS: list[Messages] = [[{"role": "user", "content": tiny.words(*range(n % 7 + 1))}] for n in range(12)]
DEMONSTRATIONS = [
    Demonstration(messages, tiny.words(*range(3 + n % 5))) for n, messages in enumerate(PROMPTS * 2)
]
TUNING: dict[str, Any] = {
    **{"epochs": 2, "batch_size": 6, "learning_rate": 5e-3, "sample_prompts": 1, "sample_tokens": 4},
    **{"micro_batch_tokens": 64, **EVERY_STEP},
}
ROLLOUTS: dict[str, Any] = {
    **{"steps": 4, "rollout_prompts": 4, "max_new_tokens": 6, "learning_rate": 1e-3, "minibatches": 2},
    **{"kl_target": 0.05, "reference": "ema", "temperature_end": 0.8, "sample_every": 2, "samples": 1},
    **{"reward_weights": "reward=1, other=0.5", "kl_ceiling": 100.0},
    **{"micro_batch_tokens": 128, **EVERY_STEP},
}


def make_inputs(folder: Path) -> None:
    """Write the models that all loops start from."""
    save_model(tiny.policy(initializer_range=0.05), tiny.tokenizer(), folder / "policy")
    make_reward_model(folder)
    reward_adapter(folder / "policy", folder / "reward-adapter", good=GOOD)


def rewards(folder: Path, settings: Mapping[str, Any]) -> dict[str, str | Path]:
    """Two reward models. If the policy is an adapter, the second reward model is an adapter of the same base
    model."""
    other = "reward-adapter" if settings.get("use_peft") else "reward"
    return {"reward": folder / "reward", "other": folder / other}


def train_reward_model(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter
) -> Mapping[str, Any]:
    """Two epochs of four steps each, with an evaluation after every second step. Some checkpoints contain the
    best weights. Annotator reliability is learned, so checkpoints include the answer model."""
    recipe = RewardModelConfig(
        **{"epochs": 2, "batch_rankings": 16, "learning_rate": 5e-3, "evaluations": 4},
        **{"annotators": "crowd_bt", "micro_batch_tokens": 256, **EVERY_STEP},
    )
    return reward_model.train(
        recipe,
        base_model=folder / "policy",
        rankings=named(RANKINGS),
        heldout=named(HELDOUT),
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    ).metrics


def train_sft(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter, **settings: Any
) -> Mapping[str, Any]:
    return dataclasses.asdict(
        sft.train(
            SFTConfig.model_validate({"heldout_share": 0.2} | TUNING | settings),
            base_model=folder / "policy",
            demonstrations=DEMONSTRATIONS,
            out_dir=out,
            checkpoints=checkpoints,
            report=report,
        )
    )


def train_rejection_sampling(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter, **settings: Any
) -> Mapping[str, Any]:
    """Two rounds, each of which samples, selects and fine-tunes."""
    return dataclasses.asdict(
        rejection_sampling.train(
            RejectionSamplingConfig.model_validate(
                {"samples_per_prompt": 64, "max_new_tokens": 6, "rounds": 2, "heldout_share": 0.2}
                | {"min_gain": 0.0, **TUNING}
                | settings
            ),
            policy=folder / "policy",
            reward_model=rewards(folder, settings)["other"],
            prompts=PROMPTS,
            out_dir=out,
            checkpoints=checkpoints,
            report=report,
        )
    )


def train_dpo(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter, **settings: Any
) -> Mapping[str, Any]:
    return dpo.train(
        DPOConfig.model_validate(
            {"batch_rankings": 16, "epochs": 2, "learning_rate": 2e-3, "sample_prompts": 1}
            | {"sample_tokens": 4, "micro_batch_tokens": 256, **EVERY_STEP}
            | settings
        ),
        base_model=folder / "policy",
        rankings=RANKINGS,
        heldout=HELDOUT,
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    ).metrics


def train_ppo(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter, **settings: Any
) -> Mapping[str, Any]:
    """The critic warms up in the first step. Demonstrations are mixed in, and one reward model has a
    floor."""
    return ppo.train(
        PPOConfig.model_validate(
            {"critic_warmup_steps": 1, "ptx_coefficient": 0.5, "ptx_batch_size": 3}
            | {"reward_floors": "other=start", **ROLLOUTS}
            | settings
        ),
        policy=folder / "policy",
        reward_model=rewards(folder, settings),
        prompts=PROMPTS,
        demonstrations=DEMONSTRATIONS,
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    ).metrics


def train_rloo(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter, **settings: Any
) -> Mapping[str, Any]:
    return rloo.train(
        RLOOConfig.model_validate({"responses_per_prompt": 3} | ROLLOUTS | settings),
        policy=folder / "policy",
        reward_model=rewards(folder, settings),
        prompts=PROMPTS,
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    ).metrics


KINDS: dict[str, Loop] = {
    "reward_model": train_reward_model,
    "sft": train_sft,
    "rejection_sampling": train_rejection_sampling,
    "dpo": train_dpo,
    "ppo": train_ppo,
    "rloo": train_rloo,
}

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "adapter": {"use_peft": True, "lora_r": 4},
    "bfloat16": {"dtype": "bfloat16"},
    "one trunk, bfloat16": {"use_peft": True, "lora_r": 4, "dtype": "bfloat16"},
    "last layer": {"num_layers_unfrozen": 1},
}


def configured(kind: str, name: str) -> Loop:
    """Return a policy's loop with the settings of a configuration."""
    settings = CONFIGURATIONS[name]
    if name == "bfloat16" and kind in ("ppo", "rloo"):
        settings = settings | {"reference": "fixed"}  # weights in bfloat16 can't be averaged
    return partial(KINDS[kind], **settings)


CONFIGURED: dict[str, Loop] = {
    f"{kind}, {name}": configured(kind, name)
    for kind in KINDS
    if kind != "reward_model"
    for name in CONFIGURATIONS
}

# The minimum number of calls to `check` in each loop. A loop calls `check` at least once per micro-batch and
# per generated token.
FEWEST_CHECKS = {"reward_model": 20, "sft": 16, "rejection_sampling": 40, "dpo": 20, "ppo": 80, "rloo": 80}


def named(rankings: list[Ranking]) -> list[Ranking]:
    """Assign the rankings alternately to two annotators."""
    return [
        dataclasses.replace(ranking, annotator=f"a{number % 2}") for number, ranking in enumerate(rankings)
    ]
