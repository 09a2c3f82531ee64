"""Measure the speed and memory of training a reward model on rankings, compared with TRL's RewardTrainer.

    .venv/bin/python -m benchmarks.reward_model [train score mixes memory] [--k 4 8] [--shape tiny]
    .venv/bin/python -m benchmarks.reward_model train score --device cuda --shape half-b --k 4

Weights and texts are random: this benchmark measures speed, not learning. The three implementations (`trl`,
`once` and `ours`) train the same model on the same token IDs. All implementations use the same optimiser and
take the same number of steps, on a CPU in fp32. The implementations take turns (A B C A B C) in one process
on one thread. The clock counts CPU seconds from the start of the first step to the end of the last step.
Loading, tokenisation, evaluation and saving are not timed.

TRL trains on all K (K - 1) / 2 pairs of each ranking, with the fastest settings that we found:

- no gradient checkpointing
- no bf16, which this processor does not support
- pairs grouped by length
- the fastest micro-batch size in a preliminary test (or `--trl-pairs`)
- fused AdamW
- no logging, evaluation or checkpoints

`once` is our code with each response on a separate row. `ours` is our code with the default layout.

`score` measures the forward pass without gradients (TRL: `evaluate`). `mixes` compares `ours` with `once` for
several mixes of prompt and response lengths. `memory` is the growth of the peak resident memory of a separate
process, from the loaded model to the end of training.

On a GPU, the clock measures elapsed time, and the device is idle before and after each measurement.
`benchmarks.gpu` measures the model FLOP utilisation and the peak memory on a GPU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.random_models import SHAPES, draw_rankings, write_model
from benchmarks.reward_model.memory import measure_memory, peak_of
from benchmarks.reward_model.sides import BATCH_RANKINGS, Work
from benchmarks.reward_model.speed import measure_mixes, measure_scoring, measure_training


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=[], choices=["train", "score", "mixes", "memory", []])
    parser.add_argument("--k", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--rankings",
        type=int,
        help="rankings per measurement (default: 32 / K, at least 4, for tiny; 4 for small; 256 for half-b)",
    )
    parser.add_argument("--trl-pairs", type=int, help="TRL's micro-batch size, in pairs (default: fastest)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peak-of", choices=["trl", "once", "ours"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    precision = "bfloat16" if asked.device == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder), asked.shape)
        for k in asked.k:
            n = asked.rankings or {"tiny": max(32 // k, BATCH_RANKINGS), "small": 4}.get(asked.shape, 256)
            work = Work(model, draw_rankings(n, k), k, asked.device, precision)
            if asked.peak_of:
                return peak_of(asked.peak_of, work, asked.trl_pairs)
            for what in asked.what or ["train", "score", "memory"]:
                if what == "train":
                    measure_training(work, asked.repeat, asked.trl_pairs, asked.shape)
                elif what == "score":
                    measure_scoring(work, asked.repeat, asked.trl_pairs, asked.shape)
                elif what == "memory":
                    measure_memory(work, asked.shape, asked.trl_pairs)
        if "mixes" in (asked.what or ["mixes"]):
            measure_mixes(work, asked.repeat)


if __name__ == "__main__":
    main()
