"""Key-value caches with preallocated space for the tokens that are not generated yet."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, with shape (B, heads, T, d). The buffer has space for tokens that are
    not generated yet."""

    def __init__(self, keys: Tensor, values: Tensor, n: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._length = keys.shape[-2]
        self._keys, self._values = _with_room(keys, n, room), _with_room(values, n, room)
        self._show()

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
    buffer = states.new_zeros(batch * n, heads, length + room, width)
    buffer[:, :, :length] = states.repeat_interleave(n, dim=0)
    return buffer


def repeatable(cache: DynamicCache) -> bool:
    return all(hasattr(layer, "batch_repeat_interleave") for layer in cache.layers)


def selectable(cache: DynamicCache) -> bool:
    return all(hasattr(layer, "batch_select_indices") for layer in cache.layers)


def repeat(cache: DynamicCache, n: int, *, room: int) -> None:
    """Repeat each row of the cache n times. Cache layers with full attention get a preallocated buffer. Other
    cache layers, such as those with a sliding window, keep their own class."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[number] = _RoomyLayer(layer.keys, layer.values, n, room)
        elif n > 1:
            cast(Any, layer).batch_repeat_interleave(n)


def select(cache: DynamicCache, rows: Tensor) -> None:
    for layer in cache.layers:
        cast(Any, layer).batch_select_indices(rows)
