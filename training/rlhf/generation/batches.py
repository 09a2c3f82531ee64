"""Group prompts of similar length into batches. The memory for keys and values limits the size of a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
# The maximum number of rows decoded together. On a CPU, more rows save hardly any time.
CPU_ROWS, GPU_ROWS = 256, 1024
# The maximum size of the float32 logits of all rows. Sampling needs about four arrays of this size.
LOGIT_BYTES = 512 * 2**20
# The maximum number of prompt tokens, including padding, that are processed together.
PROMPT_TOKENS = 32_768
# The share of free memory that keys and values take by default. During generation, hardly anything else uses
# a GPU's free memory. Main memory is also needed by other programs and for the next batch's activations.
CPU_SHARE, GPU_SHARE = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one batch. `token_bytes` is the size of one token's keys and values. If `shared`, a
    prompt's keys and values are stored once for all its samples."""

    cache_bytes: int
    rows: int
    token_bytes: int
    shared: bool

    def bytes_of(self, prompts: int, longest: int, *, n: int, room: int) -> int:
        """Return the size in bytes of a batch's keys and values, including room for complete answers."""
        copies = 1 if self.shared else n
        return self.token_bytes * prompts * (copies * longest + n * room)

    def halved(self, batch: Batch) -> Limits:
        """Return limits that divide the batch in two."""
        return replace(self, rows=max(1, batch.rows // 2))


@dataclass(frozen=True, slots=True)
class Batch:
    """The indices of the prompts to answer together, and the indices of the samples to generate for each of
    them."""

    prompts: list[int]
    samples: range

    @property
    def rows(self) -> int:
        return len(self.prompts) * len(self.samples)


class Batches:
    """Divides the work into batches, one at a time, so that the limits can change between batches. The
    longest prompts come first, so a memory shortage occurs at the start of a run instead of at its end. A
    batch has at least one row, even if this row exceeds the limits.
    """

    def __init__(self, lengths: Sequence[int], *, n: int, room: int) -> None:
        self.lengths, self.room = lengths, room
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        self.left = deque((index, range(n)) for index in order)

    def take(self, limits: Limits) -> Batch:
        first, samples = self.left.popleft()
        n, longest = len(samples), self.lengths[first]
        fitting = next((count for count in range(n, 1, -1) if self._fits(limits, 1, longest, count)), 1)
        if fitting < n:  # this prompt alone exceeds the limits: leave some of its samples for the next batch
            self.left.appendleft((first, samples[fitting:]))
            return Batch([first], samples[:fitting])
        prompts = [first]
        while self.left and self.left[0][1] == samples and self._fits(limits, len(prompts) + 1, longest, n):
            prompts.append(self.left.popleft()[0])
        return Batch(prompts, samples)

    def put_back(self, batch: Batch) -> None:
        self.left.extendleft((index, batch.samples) for index in reversed(batch.prompts))

    def _fits(self, limits: Limits, prompts: int, longest: int, n: int) -> bool:
        return (
            prompts * n <= limits.rows
            and (prompts == 1 or prompts * longest <= PROMPT_TOKENS)
            and limits.bytes_of(prompts, longest, n=n, room=self.room) <= limits.cache_bytes
        )


def default_limits(
    device: torch.device, *, vocabulary: int, token_bytes: int, shared: bool, cache_bytes: int | None
) -> Limits:
    """Return the limits on a device. Without `cache_bytes`, keys and values get a share of free memory."""
    on_gpu = device.type == "cuda"
    if cache_bytes is None:
        cache_bytes = int(free_memory(device) * (GPU_SHARE if on_gpu else CPU_SHARE))
    rows = min(GPU_ROWS if on_gpu else CPU_ROWS, max(1, LOGIT_BYTES // (4 * vocabulary)))
    return Limits(cache_bytes, rows, token_bytes, shared)


def free_memory(device: torch.device) -> int:
    """Return the amount of memory, in bytes, that this process can still use on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # Torch keeps freed memory for its next tensors.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    found = [4 * 2**30]  # assumed if the system doesn't report its free memory
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = [int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024]
    with suppress(OSError, ValueError):  # a container's limit; "max" means no limit
        limit = int((CGROUP / "memory.max").read_text())
        found.append(max(0, limit - int((CGROUP / "memory.current").read_text())))
    return min(found)
