"""DPO and IPO losses are compared with their formulas in double precision, one pair at a time."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from training.rlhf.data.rankings import UNRANKED_TIER
from training.rlhf.objectives.preference_losses import PairLoss, best_response_loss, pair_loss, ranking_loss

# Two ties, a top-k ranking with unranked responses, one pair with padding, and a full tie.
TIERS = [[0, 1, 1, 0, 2], [1, 0, UNRANKED_TIER, UNRANKED_TIER, -1], [1, 0, -1, -1, -1], [0, 0, 0, -1, -1]]


def reference_pair(h: float, loss: str, beta: float, e: float) -> float:
    """Eq. 7 of arXiv 2305.18290 with Mitchell's smoothing, and eq. 17 of arXiv 2310.12036."""

    def stated(d: float) -> float:
        return math.log1p(math.exp(-beta * d)) if loss == "dpo" else (d - 1 / (2 * beta)) ** 2

    return (1 - e) * stated(h) + e * stated(-h)


def reference_ranking(
    ratios: list[float], tiers: list[int], loss: str, beta: float, e: float, ties: str
) -> float:
    values = []
    for i, j in itertools.combinations([k for k, tier in enumerate(tiers) if tier >= 0], 2):
        better, worse = (i, j) if tiers[i] < tiers[j] else (j, i)
        h = ratios[better] - ratios[worse]
        if tiers[i] != tiers[j]:
            values.append(reference_pair(h, loss, beta, e))
        elif ties == "half" and tiers[i] != UNRANKED_TIER:
            values.append(reference_pair(h, loss, beta, 0.5))
    return sum(values) / max(len(values), 1)


@pytest.mark.parametrize("ties", ["ignore", "half"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_loss_of_a_ranking_is_the_mean_loss_of_its_pairs(loss: PairLoss, smoothing: float, ties: str) -> None:
    ratios = 3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tiers = torch.tensor(TIERS)
    spoiled = ratios.masked_fill(tiers < 0, math.nan).float().requires_grad_()
    found = ranking_loss(
        spoiled,
        tiers,
        loss=loss,
        beta=0.3,
        label_smoothing=smoothing,
        ties=ties,  # type: ignore[arg-type]
    )
    expected = [
        reference_ranking(row, numbers, loss, 0.3, smoothing, ties)
        for row, numbers in zip(ratios.tolist(), TIERS, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert (found[3].item() == 0) == (ties == "ignore")
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert spoiled.grad is not None
    assert bool(spoiled.grad.isfinite().all())
    assert bool((spoiled.grad[tiers < 0] == 0).all())


@pytest.mark.parametrize(
    ("loss", "beta", "smoothing", "lowest"),
    [
        # With smoothing e, beta h is the log-odds of 1 - e. For a tie, beta h is 0.
        ("dpo", 0.5, 0.2, math.log(4) / 0.5),
        ("dpo", 0.5, 0.5, 0.0),
        # IPO's minimum is at (1 - 2e) / (2 beta): the mean of ±1 / (2 beta) with weights 1 - e and e.
        ("ipo", 0.25, 0.0, 2.0),
        ("ipo", 0.25, 0.2, 1.2),
        ("ipo", 0.25, 0.5, 0.0),
    ],
)
def test_loss_is_lowest_at_the_margin_that_the_method_aims_for(
    loss: PairLoss, beta: float, smoothing: float, lowest: float
) -> None:
    margin = torch.tensor(lowest, dtype=torch.float64, requires_grad=True)
    pair_loss(margin, loss=loss, beta=beta, label_smoothing=smoothing).backward()  # type: ignore[no-untyped-call]
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)
    around = torch.tensor([lowest - 0.1, lowest, lowest + 0.1], dtype=torch.float64)
    assert pair_loss(around, loss=loss, beta=beta, label_smoothing=smoothing).argmin() == 1


def test_dpo_loss_stays_finite_for_extreme_margins() -> None:
    margins = torch.tensor([-1e6, 1e6], requires_grad=True)
    found = pair_loss(margins, loss="dpo", beta=0.1)
    assert found.tolist() == [1e5, 0.0]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert margins.grad is not None
    assert margins.grad.tolist() == pytest.approx([-0.1, 0.0])


def test_supervised_term_covers_only_the_best_tier() -> None:
    log_probs = torch.tensor([[-4.0, -6.0, -9.0], [-2.0, -8.0, math.nan], [-1.0, -3.0, 0.0]])
    lengths = torch.tensor([[2.0, 2.0, 3.0], [2.0, 4.0, 0.0], [1.0, 1.0, 0.0]])
    tiers = torch.tensor([[0, 0, 1], [1, 0, -1], [0, 0, -1]])
    # Row 1 is the mean of 4/2 and 6/2, and row 2 is 8/4. Row 3 is 0, because a full tie has no preferred
    # response.
    assert best_response_loss(log_probs, lengths, tiers).tolist() == [2.5, 2.0, 0.0]
