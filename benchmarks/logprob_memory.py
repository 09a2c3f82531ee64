"""Measure the peak memory of log-probabilities, compared with full logits.

    .venv/bin/python -m benchmarks.logprob_memory [--vocabulary 49152] [--repeat 3]

Eight rows of 512 tokens pass through a random Llama (width 256, two layers, fp32), and the log-probabilities
of all tokens are computed: with the model's own logits and log_softmax, with TRL's `selective_log_softmax`,
and with `token_log_probs`. The rows marked `trains` include the backward pass. Each measurement is the growth
of a separate process's resident memory, from the loaded model to the peak. The CPU seconds are those of the
same pass on one thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import token_log_probs

ROWS, TOKENS = 8, 512
SIDES = ("full logits", "TRL", "ours")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def log_probs_of(side: str, model: Any, ids: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    if side == "ours":
        return token_log_probs(model, inputs, temperature=1.0)
    logits = model(input_ids=ids).logits[:, :-1]
    if side == "TRL":
        from trl.trainer.utils import selective_log_softmax

        found: torch.Tensor = selective_log_softmax(logits, ids[:, 1:])
        return found
    return logits.log_softmax(dim=-1).gather(2, ids[:, 1:, None]).flatten()


def measure(side: str, vocabulary: int, *, trains: bool) -> None:
    if side == "TRL":
        import trl.trainer.utils  # noqa: F401  # its memory is not part of the measurement
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    model = LlamaForCausalLM(config)
    ids = torch.randint(vocabulary, (ROWS, TOKENS))
    few = ids[:1, :8]
    for wanted in (few, ids):
        if wanted is ids:
            before, began = peak_mib(), time.process_time()
        inputs = Inputs.of(
            wanted, torch.ones_like(wanted), torch.arange(wanted.shape[1]).expand_as(wanted) > 0
        )
        with torch.set_grad_enabled(trains):
            total = log_probs_of(side, model, wanted, inputs).sum()
        if trains:
            total.backward()
    print(
        json.dumps(
            {
                "mib": peak_mib() - before,
                "seconds": time.process_time() - began,
                "total": float(total.detach()),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--trains", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        return measure(asked.side, asked.vocabulary, trains=asked.trains)
    for name, flags in (("trains", ["--trains"]), ("without gradients", [])):
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(asked.repeat):
            for side in SIDES:
                command = [sys.executable, "-m", "benchmarks.logprob_memory", "--side", side, *flags]
                command += ["--vocabulary", str(asked.vocabulary)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
        most = statistics.median(one["mib"] for one in found["full logits"])
        for side, rows in found.items():
            mib, seconds = (statistics.median(row[key] for row in rows) for key in ("mib", "seconds"))
            print(f"| {name}, {side} | {mib:.0f} MiB | {mib / most:.2f} | {seconds:.1f} CPU s |", flush=True)


if __name__ == "__main__":
    main()
