"""Decoding steps as CUDA graphs.

A step of decoding launches about fifteen kernels per layer. With few rows, launching the kernels takes
longer than executing them. A graph launches all kernels at once. They then use the same memory as when the
graph was captured. The step therefore has static shapes: attention reads a fixed number of columns, and
columns that no token has been written to yet are masked.

A graph is captured for the current rows and the next COLUMNS columns. When rows are dropped or the
columns are used up, the next graph is captured. If a capture fails, decoding continues without graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from training.rlhf.core.memory import is_out_of_memory, reason_of

log = logging.getLogger(__name__)

# The maximum number of tokens for which a graph is used. Masked columns cost as much as others, and a capture
# takes about as long as two steps.
COLUMNS = 128


class Graph(Protocol):
    """A captured function call, which can be repeated in the same memory."""

    def replay(self) -> Tensor:
        """Repeat the call and return its result, which is in the same memory every time."""


Capture = Callable[[Callable[[], Tensor]], Graph]


class CudaGraph:
    def __init__(self, function: Callable[[], Tensor]) -> None:
        # A first call initialises libraries and allocates their workspaces, which a capture can't do.
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            function()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = function()

    def replay(self) -> Tensor:
        self._graph.replay()
        return self._result


class StaticSteps:
    """Repeats a decoding step for the same rows.

    `step(tokens, column, columns)` is a step that reads only the first `columns` columns. `tokens`, with
    shape (R,), and `column`, with shape (1,), are on the device. A second call with the same arguments gives
    the same result."""

    def __init__(self, step: Callable[[Tensor, Tensor, int], Tensor], capture: Capture, columns: int) -> None:
        self._step, self._capture, self._columns = step, capture, columns
        self._graph: Graph | None = None
        self._end = 0  # the first column that the graph does not read

    def forget(self) -> None:
        """Capture again at the next step, because the rows have changed."""
        self._graph = None

    def __call__(self, tokens: Tensor, column: int) -> Tensor | None:
        """Return the logits, or None if no graph could be captured."""
        if self._graph is None or column >= self._end:
            self._graph = None  # frees its memory
            if not self._capture_from(tokens, column):
                return None
        assert self._graph is not None
        self._tokens.copy_(tokens)
        self._column.fill_(column)
        return self._graph.replay()

    def _capture_from(self, tokens: Tensor, column: int) -> bool:
        end = min(self._columns, column + COLUMNS)
        self._tokens = tokens.clone()
        self._column = torch.full((1,), column, device=tokens.device)
        try:
            self._graph = self._capture(lambda: self._step(self._tokens, self._column, end))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            log.warning(
                "Decoding continues without CUDA graphs, because none was captured: %s", reason_of(error)
            )
            return False
        self._end = end
        return True
