"""A token is picked where the cumulative distribution passes the random number, for a vocabulary of any
size."""

from __future__ import annotations

import math

import pytest
import torch

from training.rlhf.generation.picking import BLOCK, invert, pick_tokens, uniform_numbers

torch.set_num_threads(1)
QWEN = 151_936


def test_total_variation_distance_from_exact_sampling_is_below_a_millionth() -> None:
    """The interval of random numbers for which a token is picked is measured by bisection, for tokens at the
    start of a block and for other tokens. Half the sum of the errors of all interval lengths is the total
    variation distance."""
    logits = torch.randn(1, QWEN, generator=torch.Generator().manual_seed(0))
    exact = torch.softmax(logits.double(), dim=-1).cumsum(dim=-1)[0]
    groups = torch.arange(1, 17) * 36 * BLOCK, torch.arange(1, 17) * 36 * BLOCK + 100
    tokens = torch.cat(groups)
    ends = torch.cat([tokens - 1, tokens])  # a token's interval ends where the interval of the next ID begins
    low, high = exact[ends] - 1e-6, exact[ends] + 1e-6
    rows = torch.softmax(logits, dim=-1).expand(len(ends), -1)
    for _ in range(24):
        middle = (low + high) / 2
        above = invert(rows, middle) > ends
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    start, end = high.chunk(2)
    first, other = ((end - start) - (exact[tokens] - exact[tokens - 1])).abs().chunk(2)
    n_blocks = QWEN // BLOCK
    total_variation = float(n_blocks * first.mean() + (QWEN - n_blocks) * other.mean()) / 2
    assert 0 < total_variation < 1e-6


def test_top_p_keeps_exactly_the_smallest_set_in_a_large_vocabulary() -> None:
    """Of 4,096 equally likely tokens, 1,024 have a total probability of 0.25. Each probability is 2⁻¹², which
    is exact in floating point."""
    weights = torch.full((1, QWEN), 0.0)
    likely = torch.arange(4096) * 37
    weights[0, likely] = 2.0**-12
    uniform = torch.tensor([0.0, 0.5 - 2.0**-20, 1 - 2.0**-53], dtype=torch.float64)
    picked = pick_tokens(weights.log().expand(3, -1), uniform, temperature=1.0, top_p=0.25)
    assert picked.tolist() == likely[[0, 511, 1023]].tolist()


def test_extreme_random_numbers_never_pick_tokens_with_zero_probability() -> None:
    weights = torch.zeros(1, 1000)
    weights[0, 300:600] = torch.rand(300, generator=torch.Generator().manual_seed(2)) + 0.1
    ends = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    for scale in (1.0, 1 / 3, 3.7):
        assert invert((weights * scale).expand(2, -1), ends).tolist() == [300, 599]


def test_seeds_that_differ_only_above_32_bits_lead_to_different_numbers() -> None:
    one, other = uniform_numbers(1, 2, 3), uniform_numbers(1 + 2**40, 2, 3)
    assert one.dtype == torch.float64
    assert (one - other).abs().min() > 0
    assert torch.equal(uniform_numbers(1, 2, 3), one)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.0, 0.9), (0.0, 1.0)])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_no_token_is_picked_if_logits_are_not_finite(broken: float, temperature: float, top_p: float) -> None:
    """Without a check, the search for a token would return an index beyond the vocabulary."""
    logits = torch.zeros(3, 300)
    logits[1, 7] = broken
    uniform = torch.full((3,), 0.5, dtype=torch.float64)
    sound, unsound, also_sound = pick_tokens(logits, uniform, temperature=temperature, top_p=top_p).tolist()
    assert unsound == -1
    assert 0 <= sound == also_sound < 300
    logits[1, 7] = -math.inf  # a token with zero probability
    picked = pick_tokens(logits, uniform, temperature=temperature, top_p=top_p)
    assert ((picked >= 0) & (picked < 300)).all()
