"""Lay out demonstrations as micro-batches with little or no padding.

- ``flat``: all demonstrations of a micro-batch in one row, without padding. Attention is computed
  demonstration by demonstration (`segments`). Used on a CPU.
- ``packed``: several demonstrations in a row. All rows are about as wide as the longest demonstration, so
  attention costs hardly more than in padded rows of one demonstration each. A block mask lets a demonstration
  attend only to itself. Used on a GPU, where many small attention calls cost more than a mask.
- ``separate``: one demonstration per row, padded on the right, in groups of similar length.

In the first two layouts, position IDs restart with every demonstration. Each demonstration therefore gets the
same loss and the same gradient as if it were alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.data.answers import shared_layout
from training.rlhf.data.batching import Layout, block_mask, cut_by_tokens, cut_by_width
from training.rlhf.data.demonstrations import Row
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.recipes.sft import Packing

PADDING = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """R rows of T token positions with `tokens` tokens in total; the rest is padding.

    `ids`, `positions` and `wanted` have shape (R, T). `wanted` marks the response tokens, including EOS. For
    separate rows, `positions` is None, because not every model accepts position IDs. `mask` has shape (R, T)
    for separate rows, with 1 for a token. For packed rows, the mask is boolean with shape (R, 1, T, T). For a
    flat row, the mask is a `segments.segment_table`.
    """

    ids: Tensor
    positions: Tensor | None
    mask: Tensor
    wanted: Tensor
    tokens: int

    @property
    def places(self) -> int:
        return self.ids.numel()

    @property
    def inputs(self) -> Inputs:
        return Inputs.of(self.ids, self.mask, self.wanted, self.positions)

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.ids.to(device),
            None if self.positions is None else self.positions.to(device),
            self.mask.to(device),
            self.wanted.to(device),
            self.tokens,
        )


def layout_for(model: PreTrainedModel, packing: Packing) -> Layout:
    """Return the best layout that the model supports (`answers.shared_layout`), or ``separate`` if packing is
    disabled."""
    return "separate" if packing == "off" else shared_layout(model)


def micro_batches(rows: Sequence[Row], *, layout: Layout, max_tokens: int, pad_id: int) -> Iterator[Batch]:
    """Yield every row in exactly one batch. A batch has at most `max_tokens` positions, including padding. A
    longer row gets its own batch."""
    for lines in _cut([row.length for row in rows], layout, max_tokens):
        yield collate([[rows[index] for index in line] for line in lines], layout=layout, pad_id=pad_id)


def largest_divisible(rows: Sequence[Row], *, layout: Layout, max_tokens: int) -> int:
    """Return the number of token positions of the largest micro-batch with several rows, or 0 if there is
    none."""
    lengths, largest = [row.length for row in rows], 0
    for lines in _cut(lengths, layout, max_tokens):
        if sum(map(len, lines)) > 1:
            largest = max(largest, len(lines) * max(sum(lengths[i] for i in line) for line in lines))
    return largest


def _cut(lengths: Sequence[int], layout: Layout, max_tokens: int) -> Iterator[list[list[int]]]:
    """Yield each micro-batch as a list of lines. A line contains the indices of its rows."""
    if layout == "flat":
        yield from ([part] for part in cut_by_tokens(lengths, max_tokens=max_tokens))
    elif layout == "separate":
        shapes = [(1, length) for length in lengths]
        yield from ([[index] for index in part] for part in cut_by_width(shapes, max_places=max_tokens))
    else:
        for part in cut_by_tokens(lengths, max_tokens=max_tokens):
            yield from _packed(lengths, part, max_tokens)


def _packed(lengths: Sequence[int], chosen: Sequence[int], max_tokens: int) -> Iterator[list[list[int]]]:
    """Distribute the chosen rows over lines of nearly equal width. The lines are about as wide as the longest
    row. If all lines together have more than `max_tokens` positions, including padding, the rows are split in
    half, and each half is distributed separately."""
    longest = max(lengths[index] for index in chosen)
    lines: list[list[int]] = [[] for _ in range(max(1, sum(lengths[i] for i in chosen) // longest))]
    filled = [(0, number) for number in range(len(lines))]
    for index in sorted(chosen, key=lambda i: (-lengths[i], i)):
        tokens, number = heapq.heappop(filled)  # the line with the fewest tokens
        lines[number].append(index)
        heapq.heappush(filled, (tokens + lengths[index], number))
    if len(chosen) > 1 and len(lines) * max(filled)[0] > max_tokens:
        half = len(chosen) // 2
        yield from _packed(lengths, chosen[:half], max_tokens)
        yield from _packed(lengths, chosen[half:], max_tokens)
    else:
        yield lines


def collate(lines: Sequence[Sequence[Row]], *, layout: Layout, pad_id: int) -> Batch:
    """Lay out rows as one batch. `pad_id` only fills unused positions."""
    width = max(sum(row.length for row in line) for line in lines)
    ids = torch.full((len(lines), width), pad_id, dtype=torch.long)
    positions, numbers = torch.zeros_like(ids), torch.full_like(ids, PADDING)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    for place, line in enumerate(lines):
        start = 0
        for number, row in enumerate(line, start=1):
            end = start + row.length
            ids[place, start:end] = torch.tensor(row.prompt + row.response)
            positions[place, start:end] = torch.arange(row.length)
            numbers[place, start:end] = number
            wanted[place, start + len(row.prompt) : end] = True
            start = end
    tokens = int((numbers != PADDING).sum())
    if layout == "flat":
        mask = segments.segment_table([(row.length, segments.ALONE) for row in lines[0]])
    else:
        mask = block_mask(numbers) if layout == "packed" else (numbers != PADDING).long()
    return Batch(ids, None if layout == "separate" else positions, mask, wanted, tokens)
