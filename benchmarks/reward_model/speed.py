"""Rankings per second in training and scoring, and the gain of `ours` over `once` for several mixes of
lengths."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.random_models import draw_rankings
from benchmarks.reward_model.sides import (
    BATCH_RANKINGS,
    Clock,
    Work,
    encoded,
    score_ours,
    score_trl,
    train_ours,
    train_trl,
)
from training.rlhf.data.batching import Group
from training.rlhf.reward import losses
from training.rlhf.reward.scoring import batches, load_for_training, rewards_of, score_groups

MIXED_RANKINGS = 2
PAIRS_TRIED = (2, 4, 8, 16)
MIXES = list(itertools.product((2, 8), ((8, 128), (32, 256), (128, 128), (128, 32), (512, 64), (512, 8))))


def in_turns(sides: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """Run the compared implementations in turn, `repeat` times. Return the seconds of each implementation's
    runs."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _, (name, run) in itertools.product(range(repeat), sides.items()):
        seconds[name].append(run())
    return seconds


def row_of(label: str, n: int, seconds: Mapping[str, list[float]], base: str) -> None:
    """Print the median rankings per second and the speed relative to `base`. The relative speed compares
    measurements of the same repetition, so that a temporary slowdown of the machine affects the
    implementation and `base` equally."""
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
        "Seconds with TRL for each micro-batch size: "
        + ", ".join(f"{p} pairs: {s:.2f}" for p, s in seconds.items()),
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
    """Print the speed of `ours` relative to `once` for every mix of lengths, in training (the forward and
    backward passes of one step) and in scoring."""
    loaded = load_for_training(work.folder)

    def step(groups: list[Group], layout: Any, *, train: bool) -> float:
        clock = Clock(work.device)
        clock.check()
        if train:
            # Separate rows are fastest with small micro-batches (3.4 rankings/s with 1024 tokens, 2.6 with
            # 8192).
            tokens = 1024 if layout == "separate" else 8192
            for _, batch in batches(loaded.model, groups, layout=layout, max_tokens=tokens, pad_id=0):
                losses.bradley_terry(rewards_of(loaded.model, batch), batch.tiers).sum().backward()
            loaded.model.zero_grad()
        else:
            score_groups(loaded.model, groups, pad_id=0, layout=layout)
        clock.progress("", 0, 0)
        return clock.seconds

    print("| K, mean prompt and response length (words; range 50 to 150 % of the mean) | train | score |")
    print("|---|---|---|")
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
