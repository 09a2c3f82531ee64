"""Measure how soon each loop notices a stop request: the longest time between calls of `Reporter.check`.

    .venv/bin/python -m benchmarks.stopping [--kinds ppo,rloo]

The loops run on the demo's policy with the default settings of their recipes, for a few steps. The time
before the first call is not counted, because only models are loaded during this time. Prints a table for
docs/measurements.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training import demo_world
from training.rlhf.core.reporter import NullReporter
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
from training.rlhf.reward.scoring import load_for_training

PROMPTS = demo_world.prompts(64, seed=1)
DEMONSTRATIONS = demo_world.demonstrations(256, 1)


class GapReporter(NullReporter):
    """Records the longest time between two calls to `check`, and counts steps."""

    def __init__(self) -> None:
        self.began = self._at = 0.0
        self.longest, self.checks, self.steps = 0.0, 0, 0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.steps += 1

    def check(self) -> None:
        now = time.monotonic()
        if self.checks:
            self.longest = max(self.longest, now - self._at)
        else:
            self.began = now
        self._at, self.checks = now, self.checks + 1


def rankings() -> list[Ranking]:
    """Return rankings in which each demonstration's answer ranks above the answer "No."."""
    return [
        Ranking(tuple(messages), (text, "No."), ((0,), (1,)), split="train")
        for messages, text in DEMONSTRATIONS
    ]


def loops(folder: Path) -> dict[str, Callable[[GapReporter], object]]:
    policy, judge, out = folder / "policy", folder / "judge", folder / "out"
    rollouts: dict[str, Any] = {"policy": policy, "reward_model": judge, "prompts": PROMPTS, "out_dir": out}
    return {
        "sft": lambda report: sft.train(
            SFTConfig(epochs=1), base_model=policy, demonstrations=DEMONSTRATIONS, out_dir=out, report=report
        ),
        "reward_model": lambda report: reward_model.train(
            RewardModelConfig(epochs=1), base_model=policy, rankings=rankings(), out_dir=out, report=report
        ),
        "rejection_sampling": lambda report: rejection_sampling.train(
            RejectionSamplingConfig(epochs=1), **rollouts, report=report
        ),
        "dpo": lambda report: dpo.train(
            DPOConfig(epochs=1), base_model=policy, rankings=rankings(), out_dir=out, report=report
        ),
        "ppo": lambda report: ppo.train(PPOConfig(steps=2), **rollouts, report=report),
        "rloo": lambda report: rloo.train(RLOOConfig(steps=2), **rollouts, report=report),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stopping", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kinds", default="sft,reward_model,rejection_sampling,dpo,ppo,rloo")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    print("| kind | seconds | steps | calls to `check` | longest time between two calls |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer = demo_world.build_tokenizer()
        save_model(demo_world.build_policy(tokenizer, 0), tokenizer, folder / "policy")
        save_model(*load_for_training(folder / "policy"), folder / "judge")
        for kind in options.kinds.split(","):
            report = GapReporter()
            loops(folder)[kind](report)
            took = time.monotonic() - report.began
            print(
                f"| `{kind}` | {took:.0f} | {report.steps} | {report.checks} | {report.longest:.1f} s |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
