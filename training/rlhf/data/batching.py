"""Convert rankings to rows of tokens. Each response is encoded once. The responses share the prompt where
sharing is cheaper.

If a ranking of K responses were expanded into its K(K-1)/2 pairs, every response would go through the model
K-1 times. Instead, each ranking is one `Group`, laid out in one of three ways:

- ``packed``: one row with the prompt once and the K responses after it. For each response, position IDs
  restart after the prompt. A block mask lets a response attend only to the prompt and to itself. Each
  response therefore gets the same reward as if it were alone in the row.
- ``flat``: like packed, but all groups are in one row without padding. Attention is computed segment by
  segment instead of with a mask (`segments`).
- ``separate``: K rows, each with the prompt and one response, padded on the right.

Packing saves (K - 1) copies of the prompt, but attention spans the entire packed row. `cheaper_layout`
compares the two costs for each group. The flat layout avoids repeated prompts as well as attention over the
entire row. All three layouts run on unmodified transformers models. A batch contains lengths and positions,
including the end of each response. The end is never inferred as "the last token that is not padding".
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.models.forward import segments
from training.rlhf.models.parts.trunks import is_encoder, plain

Layout = Literal["packed", "flat", "separate"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PADDING_TIER = -1
# The maximum share of padding. A lower limit would cost more in extra calls than it would save.
MAX_PADDING = 0.2


class ResponseTooLongError(UnusableInput):
    """Raised for a response that leaves no room for its prompt within the length limit. Responses are never
    truncated, so this response can't be scored."""

    kind = FailureKind.TEXTS_TOO_LONG


@dataclass(frozen=True, slots=True)
class Group:
    """The K responses to one prompt as token IDs, with their tiers and a weight.

    If only scores are needed, the tiers are empty. ``strength`` and ``annotator`` are indices in
    `answer_model.AnswerKey`; 0 means unknown. ``all_bad`` is as in `Ranking`.
    """

    prompt: list[int]
    responses: list[list[int]]
    tiers: list[int]
    weight: float = 1.0
    name: str = ""
    strength: int = 0
    annotator: int = 0
    in_shown_order: bool = False
    all_bad: bool = False

    @property
    def packed_tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.responses))

    @property
    def separate_width(self) -> int:
        return len(self.prompt) + max(map(len, self.responses))


class Stated(NamedTuple):
    """The data that a loss needs in addition to the rewards, for B rankings of at most K responses.

    ``tiers``, with shape (B, K), contains the tier of each response, or -1 for padding. The other fields have
    shape (B,). ``strengths`` and ``annotators`` contain indices that start at 1; 0 means unknown.
    ``in_shown_order`` contains booleans: whether every response k was shown at position k.
    """

    tiers: Tensor
    strengths: Tensor
    annotators: Tensor
    in_shown_order: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Input rows for the trunk: R rows of T tokens, with the N responses of B groups, at most K per group.

    ``input_ids`` and ``position_ids`` have shape (R, T). ``attention_mask`` has shape (R, T) for separate
    rows. For packed rows, the mask is boolean, with shape (R, 1, T, T). For a flat row, the mask is a
    `segments.segment_table`. ``end_row`` and ``end_column``, with shape (N,), locate the token at which each
    response's reward is read. ``owner`` and ``slot``, with shape (N,), give each response's row and column in
    the (B, K) rewards. ``stated`` contains the annotators' answers. ``weights``, with shape (B,), contains
    the weight of each ranking.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    end_row: Tensor
    end_column: Tensor
    owner: Tensor
    slot: Tensor
    stated: Stated
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "stated"}
        return Batch(stated=Stated(*(part.to(device) for part in self.stated)), **moved)

    @property
    def tiers(self) -> Tensor:
        return self.stated.tiers

    @property
    def tokens(self) -> int:
        """The number of token positions that go through the model, including padding."""
        return self.input_ids.numel()


def digest_of(groups: Sequence[Group]) -> str:
    """Return a digest of a list of groups. Equal lists have equal digests; lists in a different order have
    different digests."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(repr(group).encode())
    return digest.hexdigest()


def fit_group(group: Group, *, max_length: int, cls: int | None = None) -> tuple[Group, bool]:
    """Remove tokens from the start of the prompt until the longest response fits. Return the group and
    whether the prompt was truncated.

    All K responses share the same truncated prompt. An encoder's first token, ``cls``, is kept, because the
    score is read there. A response is never truncated, because the response's score is read at its last
    token. Raises ResponseTooLongError if a response leaves no room for even one prompt token.
    """
    longest = max(map(len, group.responses))
    room = max_length - longest
    if room < 1:
        raise ResponseTooLongError(
            f"a response of {longest} tokens leaves no room for its prompt within the limit of "
            f"{max_length} tokens" + (f" ({group.name})" if group.name else "")
        )
    if len(group.prompt) <= room:
        return group, False
    kept = group.prompt[:1] if group.prompt[:1] == [cls] else []
    return replace(group, prompt=kept + group.prompt[len(group.prompt) - room + len(kept) :]), True


def cheaper_layout(group: Group, *, hidden_size: int) -> Layout:
    """Return the cheaper layout, packed or separate. The cost counts the tokens that pass through the layers,
    plus attention over all token pairs in each row.

    A layer of width d spends about 24 d² FLOPs on a token and 4 d FLOPs on a (query, key) pair. A pair
    therefore costs 1/(6 d) as much as a token. For responses of equal length, packing is cheaper unless the
    prompt is much shorter than the responses.
    """
    width, k = group.separate_width, len(group.responses)
    packed = group.packed_tokens + group.packed_tokens**2 / (6 * hidden_size)
    separate = k * (width + width**2 / (6 * hidden_size))
    return "packed" if packed < separate else "separate"


def can_pack(model: PreTrainedModel) -> bool:
    """Return whether responses to a prompt can share a row in a reward model. An encoder's score is read at
    the beginning of a row, so each response needs its own row."""
    return not is_encoder(model) and takes_packed_rows(model)


def takes_packed_rows(model: PreTrainedModel) -> bool:
    """Return whether a language model, or a classifier with the same trunk, supports a 4-D attention mask and
    explicit position IDs, both of which packing needs.

    Packing requires attention in every layer, no sliding window, no mask computed by the model itself and no
    recurrence.
    """
    model = plain(model)
    config: Any = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
    # In Doge models, each layer masks the least important tokens of a row.
    picks = hasattr(config, "keep_window_size")
    # ALiBi computes its biases from the position within the row and ignores explicit position IDs.
    biased = bool(getattr(config, "alibi", False))
    takes_positions = "position_ids" in inspect.signature(model.base_model.forward).parameters
    return (
        takes_positions
        and kinds == {"full_attention"}
        and not windowed
        and not picks
        and not biased
        and config._attn_implementation in ("sdpa", segments.NAME)
    )


def micro_batches(
    groups: Sequence[Group], *, layouts: Sequence[Layout], max_tokens: int
) -> Iterator[tuple[Layout, list[int]]]:
    """Split groups into micro-batches, each with one layout and at most ``max_tokens`` positions, including
    padding.

    Yields (layout, indices into groups); every index occurs once. If a single group exceeds ``max_tokens``,
    the group gets its own micro-batch. No group is dropped because of its size.
    """
    for layout in LAYOUTS:
        chosen = [index for index in range(len(groups)) if layouts[index] == layout]
        if layout == "flat":
            lengths = [groups[index].packed_tokens for index in chosen]
            for part in cut_by_tokens(lengths, max_tokens=max_tokens):
                yield layout, [chosen[i] for i in part]
            continue
        shapes = [
            (1, groups[i].packed_tokens)
            if layout == "packed"
            else (len(groups[i].responses), groups[i].separate_width)
            for i in chosen
        ]
        for part in cut_by_width(shapes, max_places=max_tokens):
            yield layout, [chosen[i] for i in part]


def places_of(groups: Sequence[Group], layout: Layout) -> int:
    """Return the number of token positions of a micro-batch of these groups, including padding."""
    if layout == "separate":
        return sum(len(group.responses) for group in groups) * max(group.separate_width for group in groups)
    sizes = [group.packed_tokens for group in groups]
    return sum(sizes) if layout == "flat" else len(sizes) * max(sizes)


def cut_by_tokens(lengths: Sequence[int], *, max_tokens: int) -> Iterator[list[int]]:
    """Split items of these lengths, in order, into parts of nearly equal size, each with at most
    ``max_tokens`` tokens. Yields indices. A longer item gets its own part."""
    total = sum(lengths)
    share = total / max(math.ceil(total / max_tokens), 1)
    current: list[int] = []
    tokens = 0
    for index, width in enumerate(lengths):
        # An item is assigned to the part that contains the item's midpoint, unless that part would then
        # exceed the limit.
        if current and (tokens + width > max_tokens or tokens + width / 2 > share):
            yield current
            current, tokens = [], 0
        current.append(index)
        tokens += width
    if current:
        yield current


def cut_by_width(
    shapes: Sequence[tuple[int, int]], *, max_places: int | None = None, max_rows: int | None = None
) -> Iterator[list[int]]:
    """Group items into micro-batches with little padding. An item's shape is its number of rows and the row
    width in tokens. Every item occurs once, and items are taken in order of width.

    A micro-batch is padded to its widest row. A new micro-batch begins if the next item would exceed a limit:
    ``max_places`` token positions, ``max_rows`` rows, or MAX_PADDING as the share of padding. If a single
    item exceeds a limit, the item gets its own micro-batch. A padding position costs as much as a token. In
    our demo-world measurements, 40 % of a micro-batch of 16 demonstrations was padding. Splitting this
    micro-batch reduced the CPU time of a step by 27 %.
    """
    current: list[int] = []
    rows = tokens = 0
    for index in sorted(range(len(shapes)), key=lambda i: (shapes[i][1], i)):
        count, width = shapes[index]  # sorted by width, so this is the widest row so far
        places = (rows + count) * width
        if current and (
            (max_places is not None and places > max_places)
            or (max_rows is not None and rows + count > max_rows)
            or places - tokens - count * width > MAX_PADDING * places
        ):
            yield current
            current, rows, tokens = [], 0, 0
        current.append(index)
        rows += count
        tokens += count * width
    if current:
        yield current


def collate(groups: Sequence[Group], *, layout: Layout, pad_id: int, unread: int | None = None) -> Batch:
    """Lay out groups as one batch. ``pad_id`` only fills unused positions, so it can be any token ID,
    including EOS.

    A response's reward is read at its last token. If ``unread`` is set, the reward is read at the last token
    other than ``unread``.
    """
    if layout == "flat":
        return _in_one_row(groups, unread)
    rows: list[list[int]] = []
    positions: list[list[int]] = []
    numbers: list[list[int]] = []
    ends: list[tuple[int, int, int, int]] = []
    for owner, group in enumerate(groups):
        start = len(group.prompt)
        if layout == "packed":
            row, position, segment = list(group.prompt), list(range(start)), [0] * start
            for slot, response in enumerate(group.responses):
                behind = _read_at(group.prompt, response, unread)
                ends.append((len(rows), len(row) + behind if behind >= 0 else start + behind, owner, slot))
                row += response
                position += range(start, start + len(response))
                segment += [slot + 1] * len(response)
            rows.append(row)
            positions.append(position)
            numbers.append(segment)
        else:
            for slot, response in enumerate(group.responses):
                row = group.prompt + response
                ends.append((len(rows), start + _read_at(group.prompt, response, unread), owner, slot))
                rows.append(row)
                positions.append(list(range(len(row))))
                numbers.append([0] * len(row))
    input_ids, position_ids, segment_ids = _padded(rows, pad_id), _padded(positions, 0), _padded(numbers, -1)
    end_row, end_column, owners, slots = torch.tensor(ends).unbind(dim=1)
    mask = (segment_ids >= 0).long() if layout == "separate" else block_mask(segment_ids)
    weights = torch.tensor([group.weight for group in groups], dtype=torch.float32)
    return Batch(
        input_ids, position_ids, mask, end_row, end_column, owners, slots, stated_in(groups), weights
    )


def _in_one_row(groups: Sequence[Group], unread: int | None) -> Batch:
    row: list[int] = []
    positions: list[int] = []
    table: list[tuple[int, int]] = []
    ends: list[tuple[int, int, int]] = []
    for owner, group in enumerate(groups):
        prompt, start = len(table), len(group.prompt)
        row += group.prompt
        after = len(row)
        positions += range(start)
        if len(group.responses) == 1:  # nothing else reads the prompt: one segment is enough
            table.append((group.packed_tokens, segments.ALONE))
        else:
            table.append((start, segments.ALONE))
            table += [(len(response), prompt) for response in group.responses]
        for slot, response in enumerate(group.responses):
            behind = _read_at(group.prompt, response, unread)
            ends.append((len(row) + behind if behind >= 0 else after + behind, owner, slot))
            row += response
            positions += range(start, start + len(response))
    columns, owners, slots = torch.tensor(ends).unbind(dim=1)
    weights = torch.tensor([group.weight for group in groups], dtype=torch.float32)
    return Batch(
        torch.tensor([row]),
        torch.tensor([positions]),
        segments.segment_table(table),
        torch.zeros_like(columns),
        columns,
        owners,
        slots,
        stated_in(groups),
        weights,
    )


def _read_at(prompt: Sequence[int], response: Sequence[int], unread: int | None) -> int:
    """Return the position at which the response's reward is read, relative to the response's first token. If
    the response consists only of ``unread`` tokens, this position is in the prompt and therefore negative."""
    if response[-1] != unread:
        return len(response) - 1
    both = [*prompt, *response]
    return max(i for i, token in enumerate(both) if token != unread or i == 0) - len(prompt)


def stated_in(groups: Sequence[Group]) -> Stated:
    return Stated(
        _padded([group.tiers or [0] * len(group.responses) for group in groups], PADDING_TIER),
        torch.tensor([group.strength for group in groups]),
        torch.tensor([group.annotator for group in groups]),
        torch.tensor([group.in_shown_order for group in groups]),
    )


def block_mask(numbers: Tensor) -> Tensor:
    """Convert segment numbers to a boolean mask that is true where a query can attend to a key.

    The numbers, with shape (R, T), are 0 for the prompt, k for response k, and -1 for padding. The mask has
    shape (R, 1, T, T). A query attends only to the prompt and to its own segment, and never to later tokens.
    Padding attends to itself, because the softmax of a fully masked row would be NaN.
    """
    query, key = numbers[:, :, None], numbers[:, None, :]
    width = numbers.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=numbers.device).tril()
    seen = causal & ((query == key) | (key == 0)) & (query >= 0) & (key >= 0)
    return (seen | torch.eye(width, dtype=torch.bool, device=numbers.device)).unsqueeze(1)


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
