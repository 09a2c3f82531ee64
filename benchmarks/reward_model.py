"""Measure the speed and memory of training a reward model on rankings, compared with TRL's RewardTrainer.

    .venv/bin/python -m benchmarks.reward_model [train score mixes memory] [--k 4 8] [--shape tiny]
    .venv/bin/python -m benchmarks.reward_model train score --device cuda --shape half-b --k 4

Weights and texts are random: this benchmark measures speed, not learning. The three implementations (`trl`,
`once` and `ours`) train the same model on the same token IDs. All implementations use the same optimiser and
make the same number of steps, on a CPU in fp32. The implementations take turns (A B C A B C) in one process
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
several mixes of prompt and response lengths. `memory` is the peak resident memory of a separate training
process. The memory of a process with only the model loaded is subtracted.

On a GPU, the clock is elapsed time with the device idle before and after. Peak memory is the allocator's
maximum. Model FLOP utilisation (MFU) counts 2 FLOPs per layer weight and token. For each pair of tokens in
attention, MFU also counts 4 x width FLOPs. For training, the sum is multiplied by three. MFU is relative to
`--peak-tflops`; the default of 989 is for an H100 or H200 in dense bf16.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.random_models import SHAPES, draw_rankings, write_model
from training.rlhf.core.reporter import NullReporter
from training.rlhf.data.batching import Group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading import Loaded
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses, reward_model
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.scoring import batches, load_for_training, rewards_of, score_groups

BATCH_RANKINGS = 4
MIXED_RANKINGS = 2
PAIRS_TRIED = (2, 4, 8, 16)
LEARNING_RATE = 1e-5
MIXES = list(itertools.product((2, 8), ((8, 128), (32, 256), (128, 128), (128, 32), (512, 64), (512, 8))))


@dataclass(frozen=True)
class Work:
    """The folder of a new model, and the rankings on which all implementations train."""

    folder: Path
    rankings: list[Ranking]
    k: int
    device: str
    precision: str

    @property
    def pairs(self) -> int:
        return self.k * (self.k - 1) // 2


class Clock(NullReporter):
    """CPU (or elapsed) seconds from the start of the first step to the end of the last one."""

    def __init__(self, device: str) -> None:
        self.device, self.begun, self.ended = device, math.nan, math.nan

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def check(self) -> None:
        if math.isnan(self.begun):
            self.begun = self.now()

    def progress(self, phase: str, step: int, total: int) -> None:
        self.ended = self.now()

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def train_ours(work: Work, layout: str) -> float:
    """The seconds that our training loop takes. One ranking must be held out. The evaluation of this ranking
    after the last step takes less than 1 % of the time."""
    clock = Clock(work.device)
    config = RewardModelConfig.model_validate(
        {
            "epochs": 1,
            "batch_rankings": BATCH_RANKINGS,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_fraction": 0,
            "weight_decay": 0,
            "centring": 0,
            "layout": layout,
            "micro_batch_tokens": 1024 if layout == "separate" else 8192,
            "evaluations": 1,
            "keep": "last",
            "precision": work.precision,
        }
    )
    shortest = draw_rankings(1, 2, prompt=(8, 8), response=(8, 8), seed=1)
    with tempfile.TemporaryDirectory() as out:
        reward_model.train(
            config,
            base_model=work.folder,
            rankings=work.rankings,
            heldout=shortest,
            out_dir=Path(out) / "model",
            report=clock,
        )
    return clock.seconds


def pairs_of(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every pair with a preference, in the format of TRL's RewardTrainer."""
    rows = []
    for group in groups:
        better = [(i, j) for i, a in enumerate(group.tiers) for j, b in enumerate(group.tiers) if a < b]
        rows += [
            {
                "chosen_ids": group.prompt + group.responses[i],
                "rejected_ids": group.prompt + group.responses[j],
                "length": len(group.prompt) + max(len(group.responses[i]), len(group.responses[j])),
            }
            for i, j in better
        ]
    return rows


def trl_trainer(work: Work, folder: str, pairs_at_once: int) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    loaded = load_for_training(work.folder)
    groups = encoded(work, loaded)
    config = RewardConfig(
        output_dir=folder,
        per_device_train_batch_size=pairs_at_once,
        per_device_eval_batch_size=pairs_at_once,
        gradient_accumulation_steps=BATCH_RANKINGS * work.pairs // pairs_at_once,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        bf16=work.precision == "bfloat16",
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,  # otherwise the trainer removes the sampler's column of lengths
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        use_cpu=work.device == "cpu",
    )
    rows = Dataset.from_list(pairs_of(groups))
    trainer = RewardTrainer(
        model=loaded.model,
        args=config,
        processing_class=loaded.tokenizer,
        train_dataset=rows,
        eval_dataset=rows,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def encoded(work: Work, loaded: Loaded) -> list[Group]:
    groups, _, _ = encode_rankings(work.rankings, loaded.tokenizer, max_length=4096, ties="ignore")
    return groups


def train_trl(work: Work, pairs_at_once: int) -> float:
    from transformers import TrainerCallback

    clock = Clock(work.device)

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.check()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.progress("train", 0, 0)

    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(work, folder, pairs_at_once)
        trainer.add_callback(Steps())
        trainer.train()
    return clock.seconds


def score_ours(work: Work, layout: Any) -> float:
    loaded = load_for_training(work.folder)
    groups, clock = encoded(work, loaded), Clock(work.device)
    clock.check()
    score_groups(loaded.model, groups, pad_id=0, layout=layout)
    clock.progress("", 0, 0)
    return clock.seconds


def score_trl(work: Work, pairs_at_once: int) -> float:
    clock = Clock(work.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(work, folder, pairs_at_once)
        clock.check()
        trainer.evaluate()
        clock.progress("", 0, 0)
    return clock.seconds


def in_turns(sides: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """The seconds that each of the compared implementations takes, measured in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _, (name, run) in itertools.product(range(repeat), sides.items()):
        seconds[name].append(run())
    return seconds


def row_of(label: str, n: int, seconds: Mapping[str, list[float]], base: str) -> None:
    """Print the median rankings per second and the speed relative to `base`. The relative speed compares
    measurements of the same repetition, so that a temporary slowdown of the machine affects both."""
    for name, values in seconds.items():
        ratios = sorted(b / v for b, v in zip(seconds[base], values, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {label}, {name} | {n / statistics.median(values):.2f} | {spread} |", flush=True)


def tune(work: Work, run: Callable[[Work, int], float], named: int | None) -> int:
    """TRL's fastest micro-batch size on this machine, in pairs. Only sizes that divide the number of
    pairs per step are tried."""
    if named:
        return named
    possible = [p for p in PAIRS_TRIED if BATCH_RANKINGS * work.pairs % p == 0]
    seconds = {p: min(run(work, p) for _ in range(2)) for p in possible}
    print(
        "TRL by pairs per micro-batch, s: " + ", ".join(f"{p}: {s:.2f}" for p, s in seconds.items()),
        flush=True,
    )
    return min(seconds, key=lambda p: seconds[p])


def measure_training(work: Work, repeat: int, pairs: int | None, shape: str) -> None:
    few = Work(work.folder, work.rankings[:BATCH_RANKINGS], work.k, work.device, work.precision)
    at_once = tune(few, train_trl, pairs)
    seconds = in_turns(
        {
            f"TRL, {at_once} pairs per micro-batch": lambda: train_trl(work, at_once),
            "once": lambda: train_ours(work, "separate"),
            "ours": lambda: train_ours(work, "auto"),
        },
        repeat,
    )
    row_of(f"train, {shape}, K = {work.k}", len(work.rankings), seconds, next(iter(seconds)))


def measure_scoring(work: Work, repeat: int, pairs: int | None, shape: str) -> None:
    few = Work(work.folder, work.rankings[:BATCH_RANKINGS], work.k, work.device, work.precision)
    at_once = tune(few, score_trl, pairs)
    seconds = in_turns(
        {
            f"TRL, {at_once} pairs per micro-batch": lambda: score_trl(work, at_once),
            "once": lambda: score_ours(work, "separate"),
            "ours": lambda: score_ours(work, "auto"),
        },
        repeat,
    )
    row_of(f"score, {shape}, K = {work.k}", len(work.rankings), seconds, next(iter(seconds)))


def measure_mixes(work: Work, repeat: int) -> None:
    """Compares the forward and backward passes of one optimiser step in `ours` and `once` for every mix of
    lengths."""
    loaded = load_for_training(work.folder)

    def step(groups: list[Group], layout: Any, *, train: bool) -> float:
        clock = Clock(work.device)
        clock.check()
        if train:
            # Separate rows run fastest here with small micro-batches (3.4 rankings/s with 1024 tokens, 2.6
            # with 8192).
            tokens = 1024 if layout == "separate" else 8192
            for _, batch in batches(loaded.model, groups, layout=layout, max_tokens=tokens, pad_id=0):
                losses.bradley_terry(rewards_of(loaded.model, batch), batch.tiers).sum().backward()
            loaded.model.zero_grad()
        else:
            score_groups(loaded.model, groups, pad_id=0, layout=layout)
        clock.progress("", 0, 0)
        return clock.seconds

    print("| K, prompt, response (words, half to one and a half times) | train | score |\n|---|---|---|")
    for k, (prompt, response) in MIXES:
        drawn = draw_rankings(
            MIXED_RANKINGS, k, prompt=_around(prompt), response=_around(response), seed=prompt * response + k
        )
        groups = encoded(Work(work.folder, drawn, k, work.device, work.precision), loaded)
        cells = []
        for train in (True, False):
            seconds = in_turns(
                {
                    "once": lambda g=groups, t=train: step(g, "separate", train=t),
                    "ours": lambda g=groups, t=train: step(g, "auto", train=t),
                },
                repeat,
            )
            ratios = sorted(a / b for a, b in zip(seconds["once"], seconds["ours"], strict=True))
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print(f"| {k}, {prompt}, {response} | {' | '.join(cells)} |", flush=True)


def _around(words: int) -> tuple[int, int]:
    return max(words // 2, 1), words + words // 2


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
    """Trains once in this process and prints the growth of its memory since the model was loaded, in MiB. TRL
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


def gpu_figures(work: Work, shape: str, peak_tflops: float) -> None:
    """Rankings per second, model FLOP utilisation and peak memory on a GPU, in bf16."""
    torch.cuda.reset_peak_memory_stats()
    train_ours(work, "auto")
    seconds = statistics.median(train_ours(work, "auto") for _ in range(3))
    loaded = load_for_training(work.folder)
    groups = encoded(work, loaded)
    flops = training_flops(loaded, groups)
    gib = torch.cuda.max_memory_allocated() / 2**30
    mfu = flops / seconds / (peak_tflops * 1e12)
    print(
        f"| {shape}, K = {work.k} | {len(groups) / seconds:.1f} rankings/s | MFU {mfu:.1%} | {gib:.1f} GiB |"
    )


def training_flops(loaded: Loaded, groups: Sequence[Group]) -> float:
    """FLOPs of the necessary work, with each prompt and response counted once. Padding and masked pairs of
    tokens take time but are not counted, so they lower the utilisation."""
    layers = sum(p.numel() for n, p in loaded.model.named_parameters() if "embed" not in n)
    width = int(loaded.model.config.hidden_size) * int(loaded.model.config.num_hidden_layers)
    tokens = sum(group.packed_tokens for group in groups)
    seen = sum(
        len(g.prompt) ** 2 / 2 + sum(len(r) * (len(g.prompt) + len(r) / 2) for r in g.responses)
        for g in groups
    )
    return 3 * (2 * layers * tokens + 4 * width * seen)


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
    parser.add_argument("--peak-tflops", type=float, default=989.0)
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
            if asked.device == "cuda":
                gpu_figures(work, asked.shape, asked.peak_tflops)
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
