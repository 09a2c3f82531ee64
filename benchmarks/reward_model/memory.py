"""Peak resident memory of training on a CPU, measured in a separate process for each implementation."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

from benchmarks.reward_model.sides import Work, encoded, train_ours, train_trl
from training.rlhf.reward.scoring import batches, load_for_training, rewards_of


def measure_memory(work: Work, shape: str, pairs: int | None) -> None:
    for name in ("trl", "once", "ours"):
        command = [sys.executable, "-m", "benchmarks.reward_model", "--peak-of", name, "--shape", shape]
        command += ["--k", str(work.k), "--trl-pairs", str(pairs or 4)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(
            f"| memory, {shape}, K = {work.k}, {name} | {json.loads(done.stdout.splitlines()[-1])} MiB |",
            flush=True,
        )


def peak_of(name: str, work: Work, pairs: int) -> None:
    """Train once in this process and print the growth of its memory since the model was loaded, in MiB. TRL
    is imported first in every case, so that the growth does not include the memory of imports."""
    import trl  # noqa: F401

    kept = load_for_training(work.folder)
    rewards_of(
        kept.model,
        next(iter(batches(kept.model, encoded(work, kept)[:1], layout="separate", max_tokens=1, pad_id=0)))[
            1
        ],
    )
    del kept
    before = _peak_mib()
    train_trl(work, pairs) if name == "trl" else train_ours(work, {"once": "separate", "ours": "auto"}[name])
    print(json.dumps(round(_peak_mib() - before)))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
