"""Decoding with a model's own forward pass, for any architecture of transformers.

Each prompt is processed once. Its keys and values are then repeated for its samples, in buffers with room for
the tokens that are still to be generated. With small models, `model.generate`, which has no such buffers,
spends a third of its time concatenating keys and values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from training.rlhf.data.batching import takes_packed_rows
from training.rlhf.models.files.shapes import UnknownShape, shape_of
from training.rlhf.models.parts import products
from training.rlhf.models.tokens import chat

_token_bytes: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


class ForwardBatch:
    """The state of P prompts with n samples each, in R = P · n rows. The n rows of a prompt are adjacent.

    Prompts are padded on the left. A row's positions count only its real tokens, so padding does not change
    the row's output.
    """

    def __init__(
        self, policy: PreTrainedModel, prompts: Sequence[Sequence[int]], *, n: int, limit: int, pad: int
    ) -> None:
        products.use_onednn(policy)
        self.policy, self.n, self.limit = policy, n, limit
        ids, mask = chat.left_pad(prompts, pad)
        self.ids, self.mask = ids.to(policy.device), mask.to(policy.device)
        self.cache = DynamicCache(config=policy.config)
        self.accepted = _forward_parameters(policy)

    @property
    def cache_bytes(self) -> int:
        return _bytes(self.cache)

    @property
    def can_keep(self) -> bool:
        return all(hasattr(layer, "batch_select_indices") for layer in self.cache.layers)

    def read(self, beat: Callable[[], None]) -> Tensor:
        """Process the prompts. Return the logits for the first token of each row's answer, with shape (R, V).
        `beat` is called before each layer."""
        stacks = [module for module in self.policy.modules() if isinstance(module, nn.ModuleList)]
        layers = max(stacks, key=len, default=nn.ModuleList())
        hooks = [layer.register_forward_pre_hook(lambda *_: beat()) for layer in layers]
        ids, mask, n = self.ids, self.mask, self.n
        repeatable = all(hasattr(layer, "batch_repeat_interleave") for layer in self.cache.layers)
        if not repeatable:  # for example, a cache of recurrent states
            ids, mask = ids.repeat_interleave(n, dim=0), mask.repeat_interleave(n, dim=0)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        try:
            logits = self._forward(ids, mask, positions)
        finally:
            for hook in hooks:
                hook.remove()
        if repeatable:
            logits = logits.repeat_interleave(n, dim=0)
            mask, positions = mask.repeat_interleave(n, dim=0), positions.repeat_interleave(n, dim=0)
            self._repeat()
        self.width = ids.shape[1]
        self.last = positions[:, -1:]
        self.mask = torch.cat([mask, mask.new_ones(len(mask), self.limit)], dim=1)
        # With a mask of shape (R, T), transformers checks at every token whether any position is masked, and
        # the check waits for the GPU.
        if takes_packed_rows(self.policy):
            self.mask = self.mask[:, None, None].bool()
        return logits

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row. Return the logits of the token that follows, with shape (R, V)."""
        self.last = self.last + 1
        self.width += 1
        return self._forward(tokens[:, None], self.mask[..., : self.width], self.last)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows except these."""
        chosen = torch.tensor(rows, device=self.mask.device)
        for layer in self.cache.layers:
            cast(Any, layer).batch_select_indices(chosen)
        self.mask, self.last = self.mask[chosen], self.last[chosen]

    def _repeat(self) -> None:
        """Repeat each row n times. Layers with full attention get a preallocated buffer. Other layers, such
        as those with a sliding window, keep their own class."""
        for number, layer in enumerate(self.cache.layers):
            if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
                self.cache.layers[number] = _RoomyLayer(layer.keys, layer.values, self.n, self.limit)
            elif self.n > 1:
                cast(Any, layer).batch_repeat_interleave(self.n)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Return the (B, V) logits for the token that follows the last input token."""
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "past_key_values": self.cache}
        if "position_ids" in self.accepted:
            inputs["position_ids"] = positions
        if "logits_to_keep" in self.accepted:
            inputs["logits_to_keep"] = 1
        logits: Tensor = self.policy(**inputs, use_cache=True).logits
        return logits[:, -1]


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, with shape (B, heads, T, d). The buffer has space for tokens that are
    not generated yet."""

    def __init__(self, keys: Tensor, values: Tensor, n: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._length = keys.shape[-2]
        self._keys, self._values = _with_room(keys, n, room), _with_room(values, n, room)
        self._show()

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._values.nbytes

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        end = self._length + key_states.shape[-2]
        self._keys[:, :, self._length : end] = key_states
        self._values[:, :, self._length : end] = value_states
        self._length = end
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        shown = self._keys[:, :, : self._length], self._values[:, :, : self._length]
        self.keys, self.values = shown
        return shown


def _with_room(states: Tensor, n: int, room: int) -> Tensor:
    batch, heads, length, width = states.shape
    buffer = states.new_empty(batch * n, heads, length + room, width)
    buffer[:, :, :length] = states.repeat_interleave(n, dim=0)
    return buffer


def _bytes(cache: DynamicCache) -> int:
    total = 0
    for layer in cache.layers:
        if isinstance(layer, _RoomyLayer):
            total += layer.nbytes
        else:
            held = (getattr(layer, "keys", None), getattr(layer, "values", None))
            total += sum(one.nbytes for one in held if isinstance(one, Tensor))
    return total


@torch.no_grad()
def token_bytes(policy: PreTrainedModel) -> int:
    """Return the number of bytes of one token's keys and values. If the configuration does not specify
    this number, it is measured once per model, with a prompt of one token."""
    with suppress(UnknownShape):
        return shape_of(policy.config.to_dict()).cache_numbers * int(policy.dtype.itemsize)
    if policy not in _token_bytes:
        batch = ForwardBatch(policy, [[0]], n=1, limit=1, pad=0)
        batch._forward(batch.ids, batch.mask, torch.zeros_like(batch.ids))
        _token_bytes[policy] = batch.cache_bytes
    return _token_bytes[policy]


def _forward_parameters(policy: Any) -> set[str]:
    """Return the parameter names of the language model's own `forward` method. An adapter wrapper is
    unwrapped first, because the wrapper's own `forward` accepts any argument."""
    inner = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
    return set(inspect.signature(inner.forward).parameters)
