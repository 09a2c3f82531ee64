"""Measure how close each method comes to a known optimum, on five seeds and in every configuration.

    .venv/bin/python -m benchmarks.known_optimum [--methods rloo grpo …] [--seeds 5]
    .venv/bin/python -m benchmarks.known_optimum --configurations adapter bfloat16 …
    .venv/bin/python -m benchmarks.known_optimum --kl-target

The environment is that of tests/training/rlhf/policy/optimum/known_optimum.py. Every answer in this
environment can be listed, so the figures contain no sampling error. The result is the share of the possible
gain that a policy has reached: 0 for the initial policy, and 1 for the best possible policy. For methods with
a KL penalty, the gain is the increase in the reward minus the penalty. For the other methods, it is the
increase in the reward alone. Each seed has its own initial policy and reward model.

By default, all weights are trained in float32. The configurations are those of
tests/training/rlhf/policy/optimum/configurations.py. With --kl-target, RLOO and PPO are trained with a target
of 1 nat in every configuration. The table shows the mean KL of the last ten steps and the exact KL of the
saved policy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from transformers.utils import logging

from tests.training.rlhf.policy.optimum.configurations import CONFIGURATIONS
from tests.training.rlhf.policy.optimum.held_kl import METHODS, hold_target
from tests.training.rlhf.policy.optimum.solvers import SOLVERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--methods", nargs="+", choices=SOLVERS)
    parser.add_argument("--configurations", nargs="+", choices=CONFIGURATIONS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kl-target", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if asked.kl_target:
        print_kl(asked.methods or METHODS, asked.configurations or list(CONFIGURATIONS), asked.seeds)
    else:
        print_shares(asked.methods or list(SOLVERS), asked.configurations or ["all weights"], asked.seeds)


def print_shares(methods: list[str], configurations: list[str], seeds: int) -> None:
    print("| method | configuration | share of the optimum, per seed | lowest | CPU seconds per run |")
    print("|---|---|---|---|---|")
    for method in methods:
        for name in configurations:
            started, shares = time.process_time(), list[float]()
            for seed in range(seeds):
                with tempfile.TemporaryDirectory() as folder:
                    shares.append(SOLVERS[method].solve(CONFIGURATIONS[name], seed, Path(folder)))
            seconds = (time.process_time() - started) / seeds
            listed = ", ".join(f"{share:.3f}" for share in shares)
            print(f"| {method} | {name} | {listed} | {min(shares):.3f} | {seconds:.1f} |", flush=True)


def print_kl(methods: list[str], configurations: list[str], seeds: int) -> None:
    print("| method | configuration | mean KL of the last ten steps, per seed | KL of the saved policy |")
    print("|---|---|---|---|")
    for method in methods:
        for name in configurations:
            last, saved = list[str](), list[str]()
            for seed in range(seeds):
                with tempfile.TemporaryDirectory() as folder:
                    run = hold_target(method, CONFIGURATIONS[name], seed, Path(folder), seed=seed)
                last.append(f"{sum(run.kl[-10:]) / 10:.2f}")
                saved.append(f"{run.saved:.2f}")
            print(f"| {method} | {name} | {', '.join(last)} | {', '.join(saved)} |", flush=True)


if __name__ == "__main__":
    main()
