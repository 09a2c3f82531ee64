"""Change every setting of every training loop, one at a time, and list the settings that have no effect on
the trained policy.

    .venv/bin/python -m benchmarks.every_setting [--kinds ppo,rloo]

The runs are tiny and take about a minute in total. `tests/training/rlhf/policy/test_every_setting.py` checks
that no setting is missing here.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import torch

from tests.training.rlhf.policy.settings import CHANGES, without_effect


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.every_setting", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kinds", default=",".join(CHANGES))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    ignored = 0
    for kind in options.kinds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found = without_effect(kind, CHANGES[kind], Path(folder))
        ignored += len(found)
        print(
            f"{kind}: {len(CHANGES[kind])} settings, without effect: {', '.join(found) or 'none'}", flush=True
        )
    return int(ignored > 0)


if __name__ == "__main__":
    sys.exit(main())
