"""Decoding with replayed graphs gives the same logits as decoding step by step, and the CPU seldom waits for
the GPU.

A CUDA graph can't be captured on a CPU. `Recorded` imitates a graph on a CPU: it repeats the recorded
operations on the memory that they used. A step that depends on a number in Python, or that uses different
memory for each token, would therefore give different logits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaForCausalLM

from tests.training.rlhf.generation.test_llama_family import FAMILY, PROMPTS, WORDS, made
from training.rlhf.generation import decoding
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.forward import ForwardBatch
from training.rlhf.generation.interface import Sampling
from training.rlhf.generation.llama import graphs
from training.rlhf.generation.llama.graphs import CudaGraph
from training.rlhf.generation.llama.recognition import trunk_of_family
from training.rlhf.generation.llama.rows import LlamaBatch
from training.rlhf.generation.llama.trunk import Trunk
from training.rlhf.generation.pulse import Pulse

torch.set_num_threads(1)
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class Recorded:
    """Repeats the operations of one call on the same memory, like a CUDA graph."""

    captures = 0

    def __init__(self, function: Callable[[], Tensor]) -> None:
        type(self).captures += 1
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        with _Recorder(self.calls):
            self.result = function()

    def replay(self) -> Tensor:
        for operation, given, named, results in self.calls:
            _copy(results, operation(*given, **named))
        return self.result


class _Recorder(TorchDispatchMode):
    def __init__(self, calls: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        results = operation(*given, **(named or {}))
        self.calls.append((operation, given, named or {}, results))
        return results


def _copy(kept: Any, found: Any) -> None:
    if isinstance(kept, Tensor):
        if kept.data_ptr() != found.data_ptr():  # views and in-place operations share memory
            kept.copy_(found)
    elif isinstance(kept, (list, tuple)):
        for one, other in zip(kept, found, strict=True):
            _copy(one, other)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("n", [1, 3])
def test_replayed_graph_computes_the_same_logits_as_steps_without_graphs(
    name: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three graphs are captured: for all rows, for the rows that remain after some are dropped, and for
    additional columns."""
    monkeypatch.setattr(graphs, "COLUMNS", 5)
    monkeypatch.setattr(Recorded, "captures", 0)
    trunk = trunk_of_family(made(name))
    assert trunk is not None
    eager = LlamaBatch(trunk, PROMPTS, n=n, limit=12)
    graphed = LlamaBatch(trunk, PROMPTS, n=n, limit=12, capture=Recorded)
    rows = 5 * n
    assert torch.equal(eager.read(lambda: None), graphed.read(lambda: None))
    for step in range(11):
        tokens = (torch.arange(rows) * 7 + step) % 60 + 4
        torch.testing.assert_close(graphed.step(tokens), eager.step(tokens), atol=2e-5, rtol=1e-4)
        if step == 2:
            kept = [row for row in range(rows) if row not in {*range(n, 2 * n), 4 * n}]
            eager.keep(kept)
            graphed.keep(kept)
            rows = len(kept)
    assert Recorded.captures == 3


def test_decoding_continues_without_graphs_if_none_can_be_captured(caplog: pytest.LogCaptureFixture) -> None:
    def fails(function: Callable[[], Tensor]) -> graphs.Graph:
        function()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    trunk = trunk_of_family(made("llama"))
    assert trunk is not None
    eager = LlamaBatch(trunk, PROMPTS, n=2, limit=4)
    failing = LlamaBatch(trunk, PROMPTS, n=2, limit=4, capture=fails)
    eager.read(lambda: None)
    failing.read(lambda: None)
    for step in range(3):
        tokens = torch.arange(10) + step + 4
        assert torch.equal(failing.step(tokens), eager.step(tokens))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "Decoding continues without CUDA graphs, because none was captured: "
        "operation not permitted when stream is capturing"
    )


def test_out_of_memory_error_during_a_capture_is_raised() -> None:
    def exhausted(function: Callable[[], Tensor]) -> graphs.Graph:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    trunk = trunk_of_family(made("llama"))
    assert trunk is not None
    batch = LlamaBatch(trunk, PROMPTS, n=2, limit=4, capture=exhausted)
    batch.read(lambda: None)
    with pytest.raises(torch.OutOfMemoryError):
        batch.step(torch.arange(10) + 4)


READS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "unique_dim", "_unique2"}


class Waits(TorchDispatchMode):
    """Records the operations that wait for a GPU because they need the values of a tensor. These operations
    read numbers, compute shapes from values, or copy a tensor to the CPU. Tensors on the meta device have no
    values, so the operations return zeros for these tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        name, named = operation.overloadpacket.__name__, named or {}
        without_values = bool(given) and isinstance(given[0], Tensor) and given[0].is_meta
        if name in READS:
            self.found.append(name)
            if without_values and name in ("_local_scalar_dense", "item", "is_nonzero"):
                return False if given[0].dtype == torch.bool else 0
        if without_values and torch.device(named.get("device") or "meta").type == "cpu":
            self.found.append(name)
            return torch.zeros(given[0].shape, dtype=given[0].dtype)
        return operation(*given, **named)


class Beats(Pulse):
    """Records the number of waits before each token."""

    def __init__(self, waits: Waits) -> None:
        super().__init__(lambda: None, lambda done, total: None, total=1)
        self.waits, self.before = waits, list[int]()

    def beat(self, answers: Callable[[], float] | None = None) -> None:
        if answers is not None:
            self.before.append(len(self.waits.found))


@pytest.mark.parametrize(("n", "temperature"), [(1, 0.0), (3, 1.0)])
def test_decoding_waits_for_the_device_only_at_every_sixteenth_token(n: int, temperature: float) -> None:
    """Tensors on the meta device have no values, so an operation that needs a value fails or is counted."""
    limit, rows = 33, 5 * n
    with torch.device("meta"):
        model = LlamaForCausalLM(made("llama").config).eval()
        noise = None if temperature == 0 else torch.rand(rows, limit, dtype=torch.float64)
        stops = torch.tensor([1])
    trunk = Trunk(model)
    pick = decoding._pick(model, WORDS, [1], Sampling(limit, n, temperature, 0.9))
    with Waits() as waits:
        beats = Beats(waits)
        decoding._decode_batch(
            lambda: LlamaBatch(trunk, PROMPTS, n=n, limit=limit),
            rows=rows, limit=limit, stops=stops, pick=pick, noise=noise, pulse=beats,
        )  # fmt: skip
    assert len(beats.before) == limit
    new = [after - before for before, after in zip(beats.before, beats.before[1:], strict=False)]
    assert [number for number, count in enumerate(new, start=1) if count] == [16, 32]


@pytest.mark.parametrize("name", ["gpt2", "neox"])
def test_decoding_outside_the_llama_family_never_waits_for_the_device(name: str) -> None:
    batch = ForwardBatch(made(name), PROMPTS, n=2, limit=3, pad=0)
    with torch.no_grad():
        batch.read(lambda: None)
        with Waits() as waits:
            batch.step(torch.arange(10) + 4)
    assert waits.found == []


@pytest.mark.parametrize("case", [pytest.param(name, marks=gpu) for name in FAMILY])
def test_answers_with_cuda_graphs_equal_those_without_graphs(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = made(case).to("cuda")
    try:
        plain, graphed = (
            generate(model, WORDS, PROMPTS, n=2, max_new_tokens=100, temperature=0, cuda_graphs=used)
            for used in (False, True)
        )
        trunk = trunk_of_family(model)
        assert trunk is not None
        batches = [LlamaBatch(trunk, PROMPTS, n=2, limit=9, capture=one) for one in (None, CudaGraph)]
        for batch in batches:
            batch.read(lambda: None)
        for step in range(8):
            tokens = (torch.arange(10, device="cuda") + step) % 60 + 4
            ours, own = (batch.step(tokens) for batch in reversed(batches))
            torch.testing.assert_close(ours, own, atol=2e-5, rtol=1e-4)
    finally:
        model.to("cpu")
    assert plain == graphed
    assert "without CUDA graphs" not in caplog.text
