"""Lay out prompts and their answers as the input of a policy, a reference or a critic. Answers to the same
prompt share its tokens, if the models support this.

`batching` defines the same layouts for the responses that a reward model reads. In the ``flat`` layout (on a
CPU) and in the ``packed`` layout (on a GPU), the models process each prompt once, and an answer's tokens
attend to the prompt and to the answer itself. Every answer therefore has the same log-probabilities, values
and gradients as in a row of its own. In the ``separate`` layout, each answer has its own row, padded on the
right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.data.batching import (
    Group,
    Layout,
    cheaper_layout,
    collate,
    micro_batches,
    places_of,
    takes_packed_rows,
)
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.inputs import Inputs


class Row(NamedTuple):
    """One answer to train on, as token IDs. `answer` contains the IDs as they were sampled."""

    prompt: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


class Together(NamedTuple):
    """The indices of the rows that the models process together, and their layout."""

    layout: Layout
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Answers:
    """B answers, the longest of which has L tokens, on a model's device.

    The wanted tokens of `inputs` are the tokens of all answers, in order. `mask`, with shape (B, L), marks
    the same tokens. Its columns are counted from the start of each answer.
    """

    inputs: Inputs
    mask: Tensor

    def per_answer(self, flat: Tensor) -> Tensor:
        """Arrange one number per wanted token, with shape (N,), as a tensor of shape (B, L)."""
        return flat.new_zeros(self.mask.shape).masked_scatter(self.mask, flat)


def shared_layout(*models: PreTrainedModel) -> Layout:
    """Return the best layout that all of these models support.

    Shared prompts need attention in every layer, no sliding window, and explicit position IDs
    (`batching.takes_packed_rows`). Other models process each answer in a row of its own.
    """
    if not all(takes_packed_rows(model) for model in models):
        return "separate"
    if models[0].device.type != "cpu":
        return "packed"
    # This must be a list, because each call changes a model. With a generator, `all` would stop at the first
    # model that does not support the change.
    changed = [segments.attend_by_segment(model) for model in models]
    return "flat" if all(changed) else "separate"


def split_rows(
    rows: Sequence[Row], numbers: Sequence[int], *, layout: Layout, max_tokens: int, hidden_size: int
) -> list[Together]:
    """Split the rows with the indices `numbers` into micro-batches of at most `max_tokens` token positions.

    Adjacent rows with the same prompt share it, as long as they fit into one micro-batch. In the layouts with
    padding, a micro-batch contains rows of similar length. A row that exceeds `max_tokens` gets its own
    micro-batch.
    """
    groups: list[Group] = []
    members: list[list[int]] = []
    limit = 1 if layout == "separate" else max_tokens  # without a shared prompt, each row is a group
    for prompt, adjacent in groupby(numbers, key=lambda number: rows[number].prompt):
        same_prompt = list(adjacent)
        whole = Group(prompt, [rows[number].answer for number in same_prompt], [])
        for piece in pieces(whole, layout=layout, max_tokens=limit):
            groups.append(piece)
            members.append(same_prompt[: len(piece.responses)])
            del same_prompt[: len(piece.responses)]
    layouts = [layout_of(group, layout, hidden_size=hidden_size) for group in groups]
    return [
        Together(kind, [number for index in part for number in members[index]])
        for kind, part in micro_batches(groups, layouts=layouts, max_tokens=max_tokens)
    ]


def largest_divisible(rows: Sequence[Row], parts: Iterable[Together]) -> int:
    """Return the number of token positions of the largest micro-batch with several rows, or 0 if there is
    none."""
    return max(
        (
            places_of(_groups([rows[i] for i in part.numbers]), part.layout)
            for part in parts
            if len(part.numbers) > 1
        ),
        default=0,
    )


def layout_of(group: Group, layout: Layout, *, hidden_size: int) -> Layout:
    """Return the layout for a group. ``layout`` is the best layout that the models support. In a packed row,
    attention is computed over the entire row. For long responses to a short prompt, separate rows can
    therefore be cheaper."""
    return cheaper_layout(group, hidden_size=hidden_size) if layout == "packed" else layout


def pieces(group: Group, *, layout: Layout, max_tokens: int) -> Iterator[Group]:
    """Split the responses to a prompt, in order, into parts of at most `max_tokens` token positions each. A
    response that exceeds `max_tokens` gets its own part."""
    some: list[list[int]] = []
    for response in group.responses:
        more = [*some, response]
        widest = max(map(len, more))
        places = (
            len(more) * (len(group.prompt) + widest)
            if layout == "separate"
            else len(group.prompt) + sum(map(len, more))
        )
        if some and places > max_tokens:
            yield replace(group, responses=some)
            more = [response]
        some = more
    yield replace(group, responses=some)


def lay_out_rows(rows: Sequence[Row], *, layout: Layout, pad_id: int, device: torch.device) -> Answers:
    """Lay out some rows as one batch. Adjacent rows with the same prompt share it."""
    return lay_out(_groups(rows), layout=layout, pad_id=pad_id, device=device)


def _groups(rows: Sequence[Row]) -> list[Group]:
    return [
        Group(prompt, [row.answer for row in adjacent], [])
        for prompt, adjacent in groupby(rows, key=lambda row: row.prompt)
    ]


def lay_out(groups: Sequence[Group], *, layout: Layout, pad_id: int, device: torch.device) -> Answers:
    """Lay out all responses of the groups as one batch, in the order of the groups. `pad_id` only fills
    unused positions."""
    batch = collate(groups, layout=layout, pad_id=pad_id)
    lengths = torch.tensor([len(response) for group in groups for response in group.responses])
    first = batch.end_row * batch.input_ids.shape[1] + batch.end_column - lengths + 1
    behind = torch.arange(int(lengths.max()))
    mask = behind < lengths[:, None]
    sources = first[:, None] + behind - 1
    if layout != "separate":
        # The last token of a prompt predicts the first token of each response. In the row, this last token
        # comes directly before the first response to the prompt.
        sources[:, 0] = (first - 1)[batch.slot == 0][batch.owner]
    targets = batch.input_ids.flatten()[(first[:, None] + behind)[mask]]
    inputs = Inputs(
        batch.input_ids,
        batch.attention_mask,
        sources[mask],
        targets,
        # Not every model accepts position IDs, and an answer in a row of its own does not need them.
        None if layout == "separate" else batch.position_ids,
    )
    return Answers(inputs.to(device), mask.to(device))
