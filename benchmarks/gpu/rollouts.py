"""Generated tokens per second, compared with transformers' `generate` and with the bandwidth limit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.machine import BANDWIDTH, Device, forget_peak, timed
from benchmarks.gpu.sections import Figures
from benchmarks.gpu.work import Work, draw_prompts, policy_shape, random_policy, work_on
from training.rlhf.generation.decoding import generate
from training.rlhf.models.files.shapes import Shape
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat

ROUNDS = 3
USED_SECONDS = 0.6  # share of the time limit after which no round starts


def measure(shape: str, device: Device, limits: Figures, *, seconds: float) -> Figures:
    deadline = time.monotonic() + USED_SECONDS * seconds
    sizes = policy_shape(shape)
    work = work_on(shape, device, lambda one: needed_bytes(one, sizes))
    policy = random_policy(shape, device)
    prompts = draw_prompts(work)
    sides = {"ours": partial(ours, policy, prompts, work), "generate": partial(theirs, policy, prompts, work)}
    figures = {"work": str(work), **compared(sides, device, deadline)}
    shortest = seconds_at_bandwidth(
        work,
        weight_bytes=read_bytes(policy.model),
        token_bytes=2 * sizes.cache_numbers,
        bandwidth=float(limits[BANDWIDTH]) * 1e9,
    )
    limit = work.rows * work.answer / shortest
    figures["bandwidth limit (tokens/s)"] = limit
    figures["ours / bandwidth limit"] = float(figures["ours (tokens/s)"]) / limit
    return figures


def compared(sides: Mapping[str, Callable[[], int]], device: Device, deadline: float) -> Figures:
    """Measure two sides alternately, and return their speeds and the ratio of the first speed to the second.
    A side is a function that returns the number of generated tokens. No round starts after the deadline."""
    figures: Figures = {}
    for name, run in sides.items():  # the first call loads kernels and shows how much memory is needed
        forget_peak(device)
        run()
        if device == "cuda":
            figures[f"peak memory, {name} (GB)"] = torch.cuda.max_memory_allocated() / 1e9
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS):
        if number and time.monotonic() > deadline:
            break
        for name, run in sides.items():
            tokens, taken = timed(run, device)
            speeds[name].append(tokens / taken)
    for name, found in speeds.items():
        figures[f"{name} (tokens/s)"] = statistics.median(found)
    first, second = speeds
    ratios = [mine / other for mine, other in zip(speeds[first], speeds[second], strict=True)]
    figures[f"{first} / {second}"] = statistics.median(ratios)
    figures[f"{first} / {second}, lowest to highest"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return figures


def needed_bytes(work: Work, sizes: Shape) -> float:
    """The bytes needed for the weights, and for the keys and values, which `generate` stores once per answer.
    While `generate` concatenates the keys and values of a layer, two copies of them are in memory."""
    tokens = work.rows * (work.prompt + work.answer)
    return 2 * sizes.weights + 2 * sizes.cache_numbers * tokens * (1 + 1 / sizes.layers)


def read_bytes(model: Any) -> int:
    """The bytes of the weights that a decoding step reads. An input embedding that is not also the output
    embedding is left out, because a step reads only a few of its rows."""
    total: int = sum(one.nbytes for one in model.parameters())
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return total if embedding is output else total - embedding.nbytes


def seconds_at_bandwidth(work: Work, *, weight_bytes: float, token_bytes: float, bandwidth: float) -> float:
    """Return how long decoding's memory reads take, in seconds. `bandwidth` is in bytes per second.

    The first token of each answer comes from processing the prompts. The bandwidth does not limit the speed
    of this step. Every later step reads the weights, the keys and values of each prompt once for all its
    answers, and the keys and values of the answers so far.
    """
    steps = work.answer - 1
    prompts = steps * work.prompts * work.prompt
    answers = work.rows * work.answer * steps / 2  # 1 + 2 + … + steps tokens per answer
    return (steps * weight_bytes + (prompts + answers) * token_bytes) / bandwidth


def ours(policy: Loaded, prompts: list[list[int]], work: Work, *, cuda_graphs: bool = False) -> int:
    """Answer all prompts, and return the number of generated tokens."""
    answers = generate(*policy, prompts, n=work.samples, max_new_tokens=work.answer, cuda_graphs=cuda_graphs)
    return sum(len(one.ids) for group in answers for one in group)


def theirs(policy: Loaded, prompts: list[list[int]], work: Work) -> int:
    """Answer all prompts with transformers, without top-k, and return the number of generated tokens. All
    prompts have the same length, so they need no padding."""
    model: Any = policy.model
    ids = torch.tensor(prompts, device=model.device)
    stops = chat.stop_ids(*policy)
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=1.0,
        num_return_sequences=work.samples,
        max_new_tokens=work.answer,
        eos_token_id=stops,
        pad_token_id=chat.pad_id(policy.tokenizer),
    )[:, ids.shape[1] :]
    ended = torch.isin(made, torch.tensor(stops, device=model.device)).long()
    return int((ended.cumsum(dim=1) - ended == 0).sum())
