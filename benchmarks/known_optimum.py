"""Measure how close each method comes to a known optimum, on five seeds.

    .venv/bin/python -m benchmarks.known_optimum [--methods rloo grpo …] [--seeds 5]

The environment is that of tests/training/rlhf/policy/optimum/known_optimum.py. Every answer in this
environment can be listed, so the figures contain no sampling error. The result is the share of the possible
gain that a policy has reached: 0 for the initial policy, and 1 for the best possible policy. For methods with
a KL penalty, the gain is the increase in the reward minus the penalty. For the other methods, it is the
increase in the reward alone. Each seed has its own initial policy and reward model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.solvers import SOLVERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--methods", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    worlds = [known_optimum.world(seed) for seed in range(asked.seeds)]
    print("| method | share of the optimum, per seed | lowest | CPU seconds per run |")
    print("|---|---|---|---|")
    for method in asked.methods:
        solver, shares = SOLVERS[method], []
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            for seed, world in enumerate(worlds):
                model = solver.train(world, seed, Path(folder) / str(seed))
                shares.append(solver.share(world, model))
        seconds = (time.process_time() - started) / len(worlds)
        listed = ", ".join(f"{share:.3f}" for share in shares)
        print(f"| {method} | {listed} | {min(shares):.3f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
