"""A tiny base model on disk, two reward models trained from it, and one function for each training loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.tiny import words
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.reporter import Cancelled, Reporter
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

PROMPTS: list[Messages] = [[{"role": "user", "content": words(n, n + 1)}] for n in range(6)]
DEMONSTRATIONS = [Demonstration(p, words(*range(i % 4 + 1))) for i, p in enumerate(PROMPTS)]
RANKINGS = [
    Ranking(tuple(p), (f"{words(i)} good", f"{words(i)} bad", words(i, i + 2)), ((0,), (2,), (1,)))
    for i, p in enumerate(PROMPTS)
]
LORA: dict[str, Any] = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "learning_rate": 1e-2}
SHORT: dict[str, Any] = {"checkpoint_minutes": None, "checkpoint_steps": 1}
ROLLOUTS: dict[str, Any] = SHORT | {
    **{"steps": 2, "rollout_prompts": 3, "responses_per_prompt": 2, "max_new_tokens": 4, "minibatches": 2},
    **{"samples": 1, "stop_kl": None},
}


@dataclass(frozen=True)
class Scene:
    """`base` is a complete policy. `judge` is a reward model that is saved as an adapter of `base`, and
    `whole_judge` is a complete reward model."""

    base: Path
    judge: Path
    whole_judge: Path


def build_scene(folder: Path) -> Scene:
    """Build the scene in this folder, or return the scene that the folder already contains."""
    found = Scene(folder / "base", folder / "judge", folder / "whole-judge")
    if found.whole_judge.exists():
        return found
    base = save_model(tiny.policy(initializer_range=0.1), tiny.tokenizer(), folder / "base")
    for name, settings in (("judge", LORA), ("whole-judge", {})):
        config = RewardModelConfig.model_validate(settings | {"epochs": 1, "heldout_fraction": 0})
        reward_model.train(config, base_model=base, rankings=RANKINGS, out_dir=folder / name)
    return found


# A loop takes the scene, the policy to start from, the output folder, the reporter and settings, and returns
# the folder of the trained policy and the metrics of the run.
Loop = Callable[..., tuple[Path, dict[str, float]]]


def by_sft(scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any) -> Any:
    common = SHORT | {"batch_size": 3, "heldout_share": 0, "sample_prompts": 1, "sample_tokens": 3}
    common |= {"kl_samples": 4}
    result = sft.train(
        SFTConfig.model_validate(common | settings),
        base_model=start,
        demonstrations=DEMONSTRATIONS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, {"loss": result.loss, **result.distance}


def by_dpo(scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any) -> Any:
    common = SHORT | {"batch_rankings": 3, "heldout_fraction": 0, "sample_prompts": 1, "sample_tokens": 3}
    result = dpo.train(
        DPOConfig.model_validate(common | {"kl_samples": 4} | settings),
        base_model=start,
        rankings=RANKINGS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, result.metrics


def by_rejection_sampling(
    scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any
) -> Any:
    common = SHORT | {"samples_per_prompt": 6, "max_new_tokens": 4, "batch_size": 3, "heldout_share": 0}
    result = rejection_sampling.train(
        RejectionSamplingConfig.model_validate(common | {"sample_prompts": 1, "kl_samples": 4} | settings),
        policy=start,
        reward_model=scene.judge,
        prompts=PROMPTS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, {"loss": result.loss, "reward_best": result.reward_best, **result.distance}


def by_rloo(scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any) -> Any:
    result = rloo.train(
        RLOOConfig.model_validate(ROLLOUTS | settings),
        policy=start,
        reward_model=scene.judge,
        prompts=PROMPTS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, result.metrics


def by_ppo(scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any) -> Any:
    result = ppo.train(
        PPOConfig.model_validate(ROLLOUTS | {"critic_warmup_steps": 0} | settings),
        policy=start,
        reward_model=scene.judge,
        prompts=PROMPTS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, result.metrics


def by_reward_model(
    scene: Scene, start: Any, out: Path, report: Reporter | None = None, **settings: Any
) -> Any:
    common = SHORT | {"epochs": 2, "batch_rankings": 4, "evaluations": 2, "keep": "last"}
    result = reward_model.train(
        RewardModelConfig.model_validate(common | settings),
        base_model=start,
        rankings=RANKINGS,
        heldout=RANKINGS,
        out_dir=out / "model",
        checkpoints=out / "checkpoints",
        report=report,
    )
    return result.path, result.metrics


LOOPS: dict[str, Loop] = {
    "sft": by_sft,
    "rejection_sampling": by_rejection_sampling,
    "dpo": by_dpo,
    "rloo": by_rloo,
    "ppo": by_ppo,
}


def distinct_numbers(*modules: nn.Module) -> int:
    """The number of parameters in memory, counted once per storage."""
    sizes = {one.data_ptr(): one.numel() for module in modules for one in module.parameters()}
    return sum(sizes.values())


def stored(folder: Path) -> dict[str, Tensor]:
    [file] = folder.glob("*.safetensors")
    return load_file(file)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killing(ListReporter):
    """Kills its process with SIGKILL at check number `after`."""

    after = 0

    def check(self) -> None:
        super().check()
        if self.checks == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def interrupted(kind: str, scene: Scene, out: Path, *, checks: int, **settings: Any) -> None:
    """Interrupt a run twice. An uninterrupted run has `checks` checks. The first attempt is cancelled after
    half of them. The second attempt, in a separate process, is killed after another quarter."""
    with pytest.raises(Cancelled):
        LOOPS[kind](scene, scene.base, out, ListReporter(cancel_after=checks // 2), **settings)
    pid = os.fork()
    if not pid:
        report = Killing()
        report.after = checks // 4
        try:
            LOOPS[kind](scene, scene.base, out, report, **settings)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
