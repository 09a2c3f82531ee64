"""An ensemble of small reward heads is trained on known features.

The ensemble's members disagree where the rankings provide no information and agree elsewhere. The preferences
averaged over the members are calibrated even with few rankings.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from tests.training.rlhf import known_rewards as known
from training.rlhf.core.reporter import Cancelled
from training.rlhf.reward import heads
from training.rlhf.reward.laplace import Part

WIDTH, SPREAD = 4, 1.5
FRESH = known.features(-1, 1, 80, width=WIDTH)[0].float()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(*, seed: int = 0, members: int = 12, width: int = WIDTH) -> heads.Heads:
    return heads.draw_heads(
        members=members, centre=torch.zeros(width), scale=torch.ones(()), prior_spread=SPREAD, seed=seed
    )


@cache
def fitted(rankings: int, seed: int = 0) -> heads.Heads:
    responses = known.features(seed, rankings, 3, width=WIDTH)
    tiers = known.ranked(seed, responses @ known.weights(seed, width=WIDTH, spread=SPREAD))

    def draw(chosen: Tensor) -> Part:
        return known.part(responses[chosen].float(), tiers[chosen])

    return heads.fit_heads(drawn(seed=seed), draw, rankings, seed=seed)


def spread_of_pairs(ensemble: heads.Heads, responses: Tensor) -> float:
    """Pair the first half of the responses with the second half. Return the standard deviation of the
    members' reward differences, averaged over the pairs."""
    first, second = heads.outputs(ensemble, responses).chunk(2)
    return float((first - second).std(dim=1).mean())


def test_rewards_before_the_fit_have_the_prior_standard_deviation() -> None:
    many = drawn(members=200, width=64)
    typical = known.features(0, 1, 200, width=64)[0].float()
    assert heads.outputs(many, typical).std().item() == pytest.approx(SPREAD, rel=0.05)
    per_member = heads.outputs(many, typical).std(dim=1)
    assert per_member.min() > 0.8 * SPREAD


def test_members_agree_more_if_there_are_more_rankings() -> None:
    spreads = [spread_of_pairs(one, FRESH) for one in (drawn(), fitted(10), fitted(200))]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < spreads[1] / 2


def test_members_disagree_far_from_the_rankings() -> None:
    ensemble = fitted(200)
    assert spread_of_pairs(ensemble, 4 * FRESH) > 3 * spread_of_pairs(ensemble, FRESH)
    flat = known.features(0, 200, 3, width=WIDTH)
    flat[..., 0] = 0.0  # the ranked responses do not vary in this direction
    tiers = known.ranked(0, flat @ known.weights(0, width=WIDTH, spread=SPREAD))
    ensemble = heads.fit_heads(
        drawn(), lambda chosen: known.part(flat[chosen].float(), tiers[chosen]), 200, seed=0
    )
    along = torch.zeros(2, WIDTH)
    along[0, 0] = 2.0
    across = torch.zeros(2, WIDTH)
    across[0, 1] = 2.0
    assert spread_of_pairs(ensemble, along) > 2 * spread_of_pairs(ensemble, across)


def test_mean_of_the_members_recovers_the_rewards() -> None:
    found = heads.outputs(fitted(200), FRESH).mean(dim=1)
    true = FRESH @ known.weights(0, width=WIDTH, spread=SPREAD).float()
    assert torch.corrcoef(torch.stack([found, true]))[0, 1] > 0.97


def test_averaging_over_members_improves_calibration_with_few_rankings() -> None:
    plain, averaged, true = [], [], []
    for seed in range(5):
        responses = known.features(seed, 12, 3, width=WIDTH)
        head = known.weights(seed, width=WIDTH, spread=SPREAD)
        part = known.part(responses, known.ranked(seed, responses @ head))
        trained = known.mode(part, precision=0.1).float()
        d = (FRESH[:40] - FRESH[40:]) @ trained
        first, second = heads.outputs(fitted(12, seed), FRESH).chunk(2)
        deviations = (first - second) - (first - second).mean(dim=1, keepdim=True)
        plain.append(torch.sigmoid(d))
        averaged.append(torch.sigmoid(d[:, None] + deviations).mean(dim=1))
        true.append(torch.sigmoid((FRESH[:40] - FRESH[40:]) @ head.float()))
    p, q = torch.cat(true), [torch.cat(plain), torch.cat(averaged)]
    errors = [known.calibration_error(said, p) for said in q]
    surprise = [float(torch.nn.functional.binary_cross_entropy(said, p)) for said in q]
    assert errors[1] < 0.9 * errors[0]
    assert surprise[1] < surprise[0] - 0.01


def test_fit_is_determined_by_its_seed_and_can_be_cancelled() -> None:
    again = fitted.__wrapped__(10)
    assert all(torch.equal(*both) for both in zip(again, fitted(10), strict=True))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled("enough")

    responses = known.features(0, 10, 3, width=WIDTH)
    part = known.part(responses.float(), known.ranked(0, responses.sum(dim=2)))
    with pytest.raises(Cancelled):
        heads.fit_heads(drawn(), lambda chosen: part, 10, seed=0, check=check)
    assert calls == 3


def test_fits_with_consecutive_seeds_use_different_random_numbers() -> None:
    orders: list[Tensor] = []

    def draw(chosen: Tensor) -> Part:
        orders.append(chosen)
        raise Cancelled("the first order is enough")

    with pytest.raises(Cancelled):
        heads.fit_heads(drawn(), draw, 40, seed=0)
    next_seed = torch.Generator().manual_seed(1)
    torch.empty(40, 12).exponential_(generator=next_seed)  # the rankings' weights are drawn first
    assert orders[0].tolist() != torch.randperm(40, generator=next_seed).tolist()
