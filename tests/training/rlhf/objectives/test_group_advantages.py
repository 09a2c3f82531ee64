"""The advantages of a prompt's answers are compared with their definitions, computed with loops in fp64."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

from training.rlhf.objectives import group_advantages as groups

EPSILON = 1e-4


def rewards(answers: int = 5, prompts: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 + 2 * torch.randn(prompts, answers, dtype=torch.float64, generator=generator)


def leave_one_out(row: list[float]) -> list[float]:
    return [r - statistics.fmean(row[:i] + row[i + 1 :]) for i, r in enumerate(row)]


def centred(row: list[float]) -> list[float]:
    return [r - statistics.fmean(row) for r in row]


def standardised(row: list[float]) -> list[float]:
    return [one / (statistics.stdev(row) + EPSILON) for one in centred(row)]


DEFINITIONS = {"rloo": leave_one_out, "grpo": standardised, "dr_grpo": centred}


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("answers", [2, 5])
def test_advantages_match_their_definition(kind: Any, answers: int) -> None:
    found = groups.group_advantages(rewards(answers), kind=kind, normalise=False)
    for row, expected in zip(found.tolist(), rewards(answers).tolist(), strict=True):
        assert row == pytest.approx(DEFINITIONS[kind](expected), abs=1e-12)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_advantages_are_normalised_with_the_mean_and_deviation_of_all_answers(kind: Any) -> None:
    flat = [one for row in rewards().tolist() for one in DEFINITIONS[kind](row)]
    mean, deviation = statistics.fmean(flat), statistics.stdev(flat)
    found = groups.group_advantages(rewards(), kind=kind, normalise=True)
    expected = [(one - mean) / (deviation + EPSILON) for one in flat]
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("normalise", [False, True])
def test_equal_rewards_lead_to_advantages_of_zero(kind: Any, normalise: bool) -> None:
    equal = torch.full((3, 4), 0.1)
    assert groups.group_advantages(equal, kind=kind, normalise=normalise).abs().max() == 0.0
    assert groups.share_without_spread(equal) == 1.0
    assert groups.share_without_spread(torch.cat([equal, rewards(4, 3).float()])) == 0.5


def test_leave_one_out_baseline_does_not_bias_the_policy_gradient() -> None:
    """The policy chooses between two answers, with logit x. The expected gradient of RLOO equals that of the
    expected reward, p(1 - p)(r1 - r0). GRPO's centred advantage gives (K - 1) / K of this gradient."""
    x, values, answers = 0.7, [1.0, 4.0], 3
    p = 1 / (1 + math.exp(-x))
    exact = p * (1 - p) * (values[1] - values[0])
    for kind, factor in (("rloo", 1.0), ("dr_grpo", (answers - 1) / answers)):
        expected = 0.0
        for drawn in range(2**answers):
            bits = [drawn >> i & 1 for i in range(answers)]
            chance = math.prod(p if bit else 1 - p for bit in bits)
            row = torch.tensor([[values[bit] for bit in bits]], dtype=torch.float64)
            [advantages] = groups.group_advantages(row, kind=kind, normalise=False).tolist()  # type: ignore[arg-type]
            scores = [bit - p for bit in bits]  # d log p(answer) / dx
            expected += chance * sum(a * s for a, s in zip(advantages, scores, strict=True)) / answers
        assert expected == pytest.approx(factor * exact, abs=1e-12)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_one_answer_per_prompt_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="responses_per_prompt must be at least 2"):
        groups.group_advantages(torch.ones(4, 1), kind=kind, normalise=False)


@pytest.mark.parametrize("kind", ["token_mean", "answer_mean", "fixed_length"])
def test_token_weights_match_the_reductions_in_the_papers(kind: Any) -> None:
    lengths, limit = [3, 1, 6], 8
    losses = [torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in lengths]
    expected = {
        "token_mean": float(torch.cat(losses).mean()),
        "answer_mean": statistics.fmean(float(one.mean()) for one in losses),
        "fixed_length": statistics.fmean(float(one.sum()) / limit for one in losses),
    }
    weights = groups.token_weights(
        torch.tensor(lengths), kind=kind, answers=len(lengths), tokens=sum(lengths), limit=limit
    )
    found = sum(float(one.sum()) * w for one, w in zip(losses, weights.tolist(), strict=True))
    assert found == pytest.approx(expected[kind], abs=1e-6)
