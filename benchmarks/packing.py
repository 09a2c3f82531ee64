"""Measure whether packing demonstrations saves time on a CPU.

    .venv/bin/python -m benchmarks.packing [--batches 12] [--repeats 2]

Each batch consists of 16 demonstrations of the demo world, as in the default recipe. Each batch is processed
with every layout in turn, so other work on the machine affects all layouts equally. The benchmark prints the
CPU milliseconds of one forward and backward pass on one thread, the ratio of this time to that with one
demonstration per row, and the share of padding. The benchmark stops with an error if the gradients differ.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch

from training import demo_world
from training.rlhf.data.batching import Layout
from training.rlhf.data.demonstrations import Row, encode
from training.rlhf.data.packing import micro_batches
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.sft import SFTConfig

SIZES = ((32, 2), (192, 2), (256, 6))  # width and number of layers; the second is the demo's policy
LAYOUTS: tuple[Layout, ...] = ("separate", "packed", "flat")


def learn(model: Any, rows: Sequence[Row], layout: Layout, pad: int) -> tuple[float, int, torch.Tensor]:
    """Compute the gradient for the rows. Return the CPU seconds that this took, the number of token
    positions (with padding), and the gradient."""
    began, places = time.process_time(), 0
    for batch in micro_batches(rows, layout=layout, max_tokens=SFTConfig().micro_batch_tokens, pad_id=pad):
        found = token_log_probs(model, batch.inputs, temperature=1.0)
        (-found.sum() / sum(len(row.response) for row in rows)).backward()  # type: ignore[no-untyped-call]
        places += batch.places
    took = time.process_time() - began
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    model.zero_grad(set_to_none=True)
    return took, places, gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = demo_world.build_tokenizer()
    size, pad = SFTConfig().batch_size, chat.pad_id(tokenizer)
    rows = encode(demo_world.demonstrations(size * args.batches, seed=1), tokenizer, 512).rows
    batches = [rows[start : start + size] for start in range(0, len(rows), size)] * args.repeats
    tokens = sum(row.length for batch in batches for row in batch)
    for hidden, layers in SIZES:
        model = demo_world.build_policy(tokenizer, 0, hidden=hidden, layers=layers)
        if not segments.attend_by_segment(model):
            raise SystemExit("this version of transformers does not allow a model's attention to be replaced")
        taken: dict[Layout, list[float]] = {layout: [] for layout in LAYOUTS}
        places = dict.fromkeys(LAYOUTS, 0)
        for layout in LAYOUTS:
            learn(model, batches[0], layout, pad)
        for batch in batches:
            gradients = []
            for layout in LAYOUTS:
                took, positions, gradient = learn(model, batch, layout, pad)
                taken[layout].append(took)
                places[layout] += positions
                gradients.append(gradient)
            for gradient in gradients[1:]:
                torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-5)
        for layout in LAYOUTS:
            milliseconds = 1000 * mean(taken[layout])
            ratio = sum(taken[layout]) / sum(taken["separate"])
            padding = 1 - tokens / places[layout]
            print(
                f"width {hidden}, {layers} layers, {layout}: {milliseconds:.1f} ms, {ratio:.2f} of separate, "
                f"padding {padding:.0%}"
            )


if __name__ == "__main__":
    main()
