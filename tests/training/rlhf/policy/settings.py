"""Change each setting of a loop's recipe, and find the settings whose change does not affect the trained
policy. `test_every_setting` makes the changes that no other test covers, and benchmarks/every_setting.py
makes all changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, World, every_answer
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.tokens import chat
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig


@cache
def texts() -> list[str]:
    """Twelve different answers."""
    words = known_optimum.world(0).start.tokenizer
    return [chat.decode(words, one.content) for one in every_answer() if len(one.content) == 1][:12]


def trained(kind: str, folder: Path, settings: dict[str, Any]) -> str:
    """Return a digest of the policy that the loop trains."""
    world = known_optimum.world(0)
    policy = world.policy()
    recipe = RECIPES[kind].model_validate(BASE[kind] | settings)
    TRAINING[kind](recipe, world, policy, folder)
    weights = b"".join(one.detach().numpy().tobytes() for one in policy.model.parameters())
    return hashlib.sha256(weights).hexdigest()


def by_sft(recipe: Any, world: World, policy: Any, folder: Path) -> None:
    # The prompts have different lengths, so that max_length truncates some of them.
    shown = [
        Demonstration([{"role": "user", "content": " ".join(["w1"] * (n % 3 + 1))}], text)
        for n, text in enumerate(texts())
    ]
    sft.train(recipe, base_model=policy, demonstrations=shown, out_dir=folder)


def by_dpo(recipe: Any, world: World, policy: Any, folder: Path) -> None:
    rankings = [Ranking(tuple(PROMPTS[n % 4]), tuple(texts()[n : n + 3]), ((0,), (1, 2))) for n in range(9)]
    dpo.train(recipe, base_model=policy, rankings=rankings, out_dir=folder)


def by_rewards(train: Callable[..., Any]) -> Callable[[Any, World, Any, Path], None]:
    def run(recipe: Any, world: World, policy: Any, folder: Path) -> None:
        more = {}
        if isinstance(recipe, PPOConfig):
            more["demonstrations"] = [Demonstration(PROMPTS[n % 4], text) for n, text in enumerate(texts())]
        train(
            recipe,
            policy=policy,
            reward_model=world.reward_model(),
            prompts=PROMPTS,
            out_dir=folder,
            **more,
        )

    return run


RECIPES: dict[str, type[Recipe]] = {
    "sft": SFTConfig,
    "rejection_sampling": RejectionSamplingConfig,
    "dpo": DPOConfig,
    "rloo": RLOOConfig,
    "ppo": PPOConfig,
}
TRAINING: dict[str, Callable[[Any, World, Any, Path], None]] = {
    "sft": by_sft,
    "rejection_sampling": by_rewards(rejection_sampling.train),
    "dpo": by_dpo,
    "rloo": by_rewards(rloo.train),
    "ppo": by_rewards(ppo.train),
}
TUNING: dict[str, Any] = {
    **{"learning_rate": 1e-2, "batch_size": 4, "epochs": 1, "max_length": 16},
    **{"sample_prompts": 0, "heldout_share": 0.0},
}
ROLLOUTS: dict[str, Any] = {
    **{"steps": 2, "rollout_prompts": 4, "responses_per_prompt": 3, "max_new_tokens": 3, "samples": 0},
    **{"learning_rate": 1e-2, "minibatches": 2, "stop_kl": None, "missing_eos_penalty": 1.0},
}
BASE: dict[str, dict[str, Any]] = {
    "sft": TUNING,
    "rejection_sampling": TUNING
    | {"samples_per_prompt": 8, "max_new_tokens": 3, "batch_size": 2, "epochs": 2},
    "dpo": {
        **{"learning_rate": 1e-2, "batch_rankings": 3, "heldout_fraction": 0.0, "sample_prompts": 0},
        "kl_samples": 0,
    },
    "rloo": ROLLOUTS,
    "ppo": ROLLOUTS | {"value_learning_rate": 1e-2, "critic_warmup_steps": 0, "gamma": 0.99},
}

# The changed value of each setting. If it is a pair, the first part changes the base recipe before the
# comparison, and the second part is the changed value.
OF_TUNING: dict[str, Any] = {
    **{"seed": 1, "learning_rate": 2e-2, "epochs": 2, "batch_size": 3, "schedule": "constant"},
    **{"warmup_share": 0.5, "weight_decay": 0.5, "max_grad_norm": 0.01, "max_length": 8},
}
OF_ROLLOUTS: dict[str, Any] = {
    **{"seed": 1, "steps": 3, "rollout_prompts": 3, "responses_per_prompt": 2, "max_new_tokens": 2},
    **{"temperature": 0.8, "temperature_end": 0.8, "learning_rate": 2e-2, "schedule": "constant"},
    **{"epochs": 2, "minibatches": 3, "kl_coefficient": 2.0, "kl_estimator": "k2", "kl_target": 0.01},
    **{"kl_ceiling": 1e-9, "clip": 0.01, "entropy_coefficient": 0.5, "stop_kl": 1e-9},
    **{"max_grad_norm": 1e-3, "missing_eos_penalty": 2.0, "length_penalty": 0.5, "score_clip": 0.1},
    "dual_clip": ({"epochs": 4}, 1.01),
    "reference": ({"steps": 3}, "ema"),
    "reference_decay": ({"steps": 3, "reference": "ema"}, 0.5),
    "reference_steps": ({"steps": 3, "reference": "reset"}, 1),
}
CHANGES: dict[str, dict[str, Any]] = {
    "sft": OF_TUNING | {"heldout_share": 0.5},
    "rejection_sampling": OF_TUNING
    | {
        "epochs": 3,
        **{"samples_per_prompt": 4, "keep": "top_k", "min_gain": 0.3, "rounds": 2, "temperature": 2.0},
        **{"top_p": 0.5, "max_new_tokens": 2},
        "max_length": ({"max_new_tokens": 6}, 8),
        "k": ({"keep": "top_k"}, 3),
        "threshold": ({"keep": "threshold"}, -0.5),
    },
    "dpo": {
        **{"seed": 1, "loss": "ipo", "beta": 1.0, "length_normalised": True, "label_smoothing": 0.2},
        **{"ties": "half", "sft_coefficient": 1.0, "epochs": 2, "batch_rankings": 2, "learning_rate": 2e-2},
        **{"schedule": "constant", "warmup_fraction": 0.5, "weight_decay": 0.5, "max_grad_norm": 0.01},
        **{"max_length": 6, "heldout_fraction": 0.5},
    },
    "rloo": OF_ROLLOUTS
    | {
        **{"advantage": "grpo", "normalise_advantages": True, "ratio": "token"},
        "aggregation": ({"ratio": "token"}, "answer_mean"),
    },
    "ppo": OF_ROLLOUTS
    | {
        **{"critic": "shared", "value_learning_rate": 2e-2, "critic_warmup_steps": 1, "gamma": 0.5},
        **{"gae_lambda": 0.5, "value_clip": 1e-3, "value_coefficient": 0.1, "whiten_rewards": True},
        "ptx_coefficient": 1.0,
        "ptx_batch_size": ({"ptx_coefficient": 1.0}, 2),
    },
}


def without_effect(kind: str, settings: Iterable[str], folder: Path) -> list[str]:
    """Return the settings whose change gives a bitwise identical policy."""
    base = cache(lambda more: trained(kind, folder / "base", dict(more)))
    found = []
    for name in settings:
        change = CHANGES[kind][name]
        more, value = change if isinstance(change, tuple) else ({}, change)
        if trained(kind, folder / "changed", more | {name: value}) == base(tuple(more.items())):
            found.append(name)
    return found
