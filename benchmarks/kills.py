"""Kill training loops at random moments, resume them, and compare their results with uninterrupted runs.

    .venv/bin/python -m benchmarks.kills [--moments 20] [--kinds ppo rloo …] [--seed 0] [--configurations]

The moments are uniform over the time that an uninterrupted run takes, so SIGKILL can arrive at any
instruction. In about half of the trials, the loop is killed a second time after it has resumed. A trial
counts as equal if all metrics and samples, the returned figures and every byte of the saved model match those
of the uninterrupted run. The loops are tiny and write a checkpoint after every step. With --configurations,
the kinds that train a policy are also run with adapters, in bfloat16, and with other sets of trained weights.
Prints a table for docs/measurements.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.training.rlhf.core.kills import Ended, Killer, Moment
from tests.training.rlhf.core.kills_kinds import CONFIGURED, KINDS, make_inputs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20, help="trials per kind")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, *CONFIGURED])
    parser.add_argument("--configurations", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| kind | seconds of a run | kills | resumed from a checkpoint | equal at the end |")
    print("|---|---|---|---|---|")
    unequal = 0
    with tempfile.TemporaryDirectory() as place, Killer() as killer:
        folder = Path(place)
        make_inputs(folder)
        for kind in options.kinds or [*KINDS, *(CONFIGURED if options.configurations else ())]:
            chance = random.Random(f"{options.seed} {kind}")
            whole = killer.run(kind, folder, f"{kind}-whole")
            trials = [
                killer.run(kind, folder, f"{kind}-{number}", *_moments(chance, whole.seconds))
                for number in range(options.moments)
            ]
            equal = sum(each.result == whole.result for each in trials)
            unequal += len(trials) - equal
            kills = sum(each.kills for each in trials)
            print(
                f"| `{kind}` | {whole.seconds:.1f} | {kills} | {_resumed(trials, whole)} | "
                f"{equal} of {len(trials)} |",
                flush=True,
            )
    return int(unequal > 0)


def _moments(chance: random.Random, seconds: float) -> list[Moment]:
    return [("after", "", chance.uniform(0, seconds)) for _ in range(chance.choice((1, 2)))]


def _resumed(trials: list[Ended], whole: Ended) -> int:
    """The number of trials whose last attempt resumed from a checkpoint instead of starting over."""
    return sum(each.reported[-1] < len(whole.metrics) for each in trials)


if __name__ == "__main__":
    sys.exit(main())
