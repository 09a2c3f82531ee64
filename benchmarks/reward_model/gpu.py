"""Speed, model FLOP utilisation and peak memory on a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch

from benchmarks.reward_model.sides import Work, encoded, train_ours
from training.rlhf.data.batching import Group
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.reward.scoring import load_for_training


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
