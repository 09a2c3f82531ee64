"""Packed demonstrations have the same losses and gradients as demonstrations in separate rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.rlhf import tiny
from training.rlhf.data.batching import LAYOUTS, Layout
from training.rlhf.data.demonstrations import Row
from training.rlhf.data.packing import collate, layout_for, micro_batches
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.logprobs import token_log_probs

CHANCE = torch.Generator().manual_seed(1)


def drawn(low: int, high: int) -> list[int]:
    length = int(torch.randint(low, high, (1,), generator=CHANCE))
    return [int(token) for token in torch.randint(4, 60, (length,), generator=CHANCE)]


ROWS = [Row([2, *drawn(0, 20)], [*drawn(1, 12), 1]) for _ in range(11)]


def learn(model: Any, rows: Sequence[Row], layout: Layout, *, max_tokens: int = 80) -> tuple[float, Tensor]:
    """Return the summed loss and its gradient."""
    if layout == "flat":
        assert segments.attend_by_segment(model)
    total = 0.0
    for batch in micro_batches(rows, layout=layout, max_tokens=max_tokens, pad_id=0):
        found = token_log_probs(model, batch.inputs, temperature=1.0)
        (-found.sum()).backward()
        total -= float(found.detach().sum())
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    return total, gradient


@pytest.mark.parametrize("kind", ["llama", "qwen", "gpt2", "neox"])
def test_packing_changes_neither_loss_nor_gradients(kind: str) -> None:
    expected, wanted = 0.0, torch.zeros(())
    for row in ROWS:  # without any padding
        loss, gradient = learn(tiny.POLICIES[kind](), [row], "separate")
        expected, wanted = expected + loss, wanted + gradient
    layouts: tuple[Layout, ...] = ("separate", "packed", "flat")
    for layout in layouts:
        loss, gradient = learn(tiny.POLICIES[kind](), ROWS, layout)
        assert loss == pytest.approx(expected, rel=1e-5), layout
        scale = float(wanted.abs().max())
        torch.testing.assert_close(gradient / scale, wanted / scale, rtol=0, atol=1e-5, msg=layout)


@pytest.mark.parametrize("layout", ["packed", "flat"])
def test_demonstrations_in_one_row_do_not_attend_to_each_other(layout: Layout) -> None:
    model = tiny.gpt2_policy()
    assert segments.attend_by_segment(model)

    def scored(rows: list[Row]) -> Tensor:
        batch = collate([rows], layout=layout, pad_id=0)
        assert batch.ids.shape == (1, sum(row.length for row in rows))
        found = token_log_probs(model, batch.inputs, temperature=1.0)
        return found.detach()

    first, second, third, other = ROWS[:4]
    end = len(first.response)
    torch.testing.assert_close(scored([first, second, third])[:end], scored([first])[:end])
    after = scored([first, second, third])[-len(third.response) :]
    torch.testing.assert_close(after, scored([other, third])[-len(third.response) :])
    torch.testing.assert_close(after, scored([third]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("max_tokens", [1, 40, 90, 1000])
def test_every_row_is_in_exactly_one_batch_within_the_limit(layout: Layout, max_tokens: int) -> None:
    found: list[tuple[int, ...]] = []
    for batch in micro_batches(ROWS, layout=layout, max_tokens=max_tokens, pad_id=0):
        texts = _texts(batch.ids, batch.wanted)
        assert batch.places <= max_tokens or len(texts) == 1
        assert batch.tokens == sum(map(len, texts))
        assert layout != "flat" or batch.places == batch.tokens
        found += texts
    assert sorted(found) == sorted((*row.prompt, *row.response) for row in ROWS)


def _texts(ids: Tensor, wanted: Tensor) -> list[tuple[int, ...]]:
    """The demonstrations in a batch. In these tests, each demonstration starts with token 2 and ends with
    token 1."""
    found: list[tuple[int, ...]] = []
    for row, response in zip(ids.tolist(), wanted.tolist(), strict=True):
        start = 0
        for column, (token, is_response) in enumerate(zip(row, response, strict=True)):
            start = column if token == 2 else start
            if token == 1:
                assert is_response
                found.append(tuple(row[start : column + 1]))
    return found


def test_model_with_a_sliding_window_gets_a_row_per_demonstration() -> None:
    assert layout_for(tiny.policy(), "auto") == "flat"
    assert layout_for(tiny.policy(), "off") == "separate"
    assert layout_for(tiny.ettin_policy(), "auto") == "separate"
    loss, _ = learn(tiny.ettin_policy(), ROWS, "separate")
    alone = sum(learn(tiny.ettin_policy(), [row], "separate")[0] for row in ROWS)
    assert loss == pytest.approx(alone, rel=1e-5)
