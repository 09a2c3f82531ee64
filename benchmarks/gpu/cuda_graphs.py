"""Decoding with CUDA graphs, compared with decoding without them."""

from __future__ import annotations

import logging
import time
from functools import partial

from benchmarks.gpu.machine import Device
from benchmarks.gpu.rollouts import USED_SECONDS, compared, needed_bytes, ours
from benchmarks.gpu.sections import Figures
from benchmarks.gpu.work import draw_prompts, policy_shape, random_policy, work_on
from training.rlhf.generation.llama import graphs


class Failures(logging.Handler):
    """Collects the warnings of failed captures."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def measure(shape: str, device: Device, limits: Figures, *, seconds: float) -> Figures:
    """Compare the decoding speed with and without CUDA graphs, first for all answers of the section
    `rollouts`, then for a single answer, where kernel launches limit the speed. Raises RuntimeError if a
    graph can't be captured. On a CPU, both measurements are without graphs."""
    deadline = time.monotonic() + USED_SECONDS * seconds
    sizes = policy_shape(shape)
    work = work_on(shape, device, lambda one: needed_bytes(one, sizes))
    policy = random_policy(shape, device)
    failures = Failures()
    graphs.log.addHandler(failures)
    figures: Figures = {}
    try:
        for one in (work, work.single()):
            prompts = draw_prompts(one)
            sides = {
                "graphs": partial(ours, policy, prompts, one, cuda_graphs=True),
                "steps": partial(ours, policy, prompts, one),
            }
            figures |= {
                f"{one.rows} rows: {name}": v for name, v in compared(sides, device, deadline).items()
            }
    finally:
        graphs.log.removeHandler(failures)
    if failures.messages:
        raise RuntimeError(failures.messages[0])
    return figures
