"""Minimising each loss on answers simulated with known parameters recovers those parameters.

Rewards are linear in five features, so the fit has few parameters. The standard errors of the parameters come
from the curvature of the log-likelihood at its maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from training.rlhf.data.rankings import UNRANKED_TIER
from training.rlhf.reward import losses

WEIGHTS = torch.tensor([1.2, -0.8, 0.5, 0.0, -0.3], dtype=torch.float64)
FIRST_WINS = torch.tensor([0, 1])
SECOND_WINS = torch.tensor([1, 0])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread. For tensors this small, threading costs more time than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pairs(count: int, generator: torch.Generator) -> Tensor:
    """Features with shape (count, 2, 5). Each pair has two responses, and each response has five features."""
    return torch.randn(count, 2, len(WEIGHTS), dtype=torch.float64, generator=generator)


def fit(loss: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise the summed loss. Return (parameters at the minimum, their standard errors)."""
    found = start.clone().requires_grad_()
    # The loss is a sum over thousands of answers. A gradient of 0.01 therefore changes a parameter by much
    # less than the parameter's standard error.
    search = torch.optim.LBFGS([found], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=0.01)

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(found)
        value.backward()
        return value

    search.step(closure)
    curvature = torch.autograd.functional.hessian(loss, found.detach())
    return found.detach(), torch.linalg.inv(curvature).diagonal().sqrt()


def calibration_error(predicted: Tensor, happened: Tensor) -> float:
    """Expected calibration error over ten bins with equal numbers of predictions."""
    order = predicted.argsort()
    bins = zip(predicted[order].chunk(10), happened[order].double().chunk(10), strict=True)
    return sum(abs(float(p.mean() - h.mean())) * len(p) for p, h in bins) / len(predicted)


DATASETS = 6
HALF = torch.tensor([0.4, 1.1, 2.3], dtype=torch.float64)
EDGES = torch.cat((-HALF.flip(0), HALF))
ETA = torch.tensor([0.98, 0.9, 0.8, 0.65, 0.5, 0.2], dtype=torch.float64)


def covers(estimates: list[tuple[Tensor, Tensor]], true: Tensor) -> None:
    """Assert that intervals of two standard errors contain at least 90% of the true values (expected: 95%),
    and that the mean estimate over all datasets is unbiased.

    A single dataset is not enough. For every loss, at least one of eight intervals misses its true value in a
    third of all datasets.
    """
    found, errors = (torch.stack(kind) for kind in zip(*estimates, strict=True))
    assert float(((found - true).abs() <= 2 * errors).double().mean()) >= 0.9
    of_mean = errors.pow(2).sum(0).sqrt() / len(estimates)
    assert ((found.mean(0) - true).abs() <= 3 * of_mean).all()


def state_strengths(features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Simulate tiers and strength levels: the reward difference plus logistic noise is compared with the
    thresholds."""
    d = (features[:, 0] - features[:, 1]) @ WEIGHTS
    noise = torch.logit(torch.rand(len(d), dtype=torch.float64, generator=generator))
    said = torch.bucketize(d + noise, EDGES) - 3
    return torch.stack(((said < 0).long(), (said > 0).long()), dim=1), said.abs()


def test_weights_and_thresholds_are_recovered_from_strengths() -> None:
    estimates = []
    for seed in range(DATASETS):
        generator = torch.Generator().manual_seed(seed)
        features = pairs(3000, generator)
        tiers, levels = state_strengths(features, generator)

        def loss(parameters: Tensor, x: Tensor = features, t: Tensor = tiers, s: Tensor = levels) -> Tensor:
            half = parameters[5:].exp().cumsum(0)
            return losses.cumulative_strength(x @ parameters[:5], t, s, half, ties=True).sum()

        estimates.append(fit(loss, torch.zeros(8, dtype=torch.float64)))
    covers(estimates, torch.cat((WEIGHTS, HALF.diff(prepend=torch.zeros(1)).log())))
    assert max(float(errors.max()) for _, errors in estimates) < 0.06  # larger errors would hide a bias

    fresh = pairs(6000, generator)
    tiers, levels = state_strengths(fresh, generator)
    found = estimates[-1][0]
    d = (fresh[:, 0] - fresh[:, 1]) @ found[:5]
    half = found[5:].exp().cumsum(0)
    signed = levels * (tiers[:, 1] - tiers[:, 0])
    for level, threshold in enumerate(torch.cat((-half.flip(0), half)), start=-3):
        assert calibration_error(torch.sigmoid(threshold - d), signed <= level) <= 0.03


def test_weights_and_reliabilities_are_recovered() -> None:
    estimates = []
    for seed in range(DATASETS):
        generator = torch.Generator().manual_seed(seed)
        features = pairs(6000, generator)
        who = torch.randint(0, len(ETA), (len(features),), generator=generator)
        first_is_better = torch.sigmoid((features[:, 0] - features[:, 1]) @ WEIGHTS)
        chance = ETA[who] * first_is_better + (1 - ETA[who]) * (1 - first_is_better)
        first_won = torch.rand(len(features), dtype=torch.float64, generator=generator) < chance
        tiers = torch.where(first_won[:, None], FIRST_WINS, SECOND_WINS)

        def loss(p: Tensor, x: Tensor = features, t: Tensor = tiers, k: Tensor = who) -> Tensor:
            of_rankings = losses.bradley_terry(x @ p[:5], t, reliability=p[5:][k]).sum()
            return of_rankings + losses.beta_prior(p[5:], right=1.5, wrong=1.25).sum()

        estimates.append(fit(loss, torch.cat((torch.zeros(5), torch.ones(6))).double()))
    covers(estimates, torch.cat((WEIGHTS, torch.logit(ETA))))
    assert max(float(errors[:5].max()) for _, errors in estimates) < 0.12

    found = estimates[-1][0]
    fresh = pairs(6000, generator)
    chance = torch.sigmoid((fresh[:, 0] - fresh[:, 1]) @ WEIGHTS)
    happened = torch.rand(len(fresh), dtype=torch.float64, generator=generator) < chance
    predicted = torch.sigmoid((fresh[:, 0] - fresh[:, 1]) @ found[:5])
    assert calibration_error(predicted, happened) <= 0.03
    plain, _ = fit(lambda w: losses.bradley_terry(features @ w, tiers).sum(), torch.zeros(5).double())
    flat = torch.sigmoid((fresh[:, 0] - fresh[:, 1]) @ plain)
    assert calibration_error(flat, happened) > 0.1  # without reliabilities, the rewards are too small


TIE = torch.tensor([0.7], dtype=torch.float64)  # Rao and Kupper's threshold, and Davidson's log nu

VERDICTS = torch.tensor([[0, 1], [0, 0], [1, 0]])  # first preferred, tie, second preferred


def chances_by_the_book(model: str, d: Tensor, tie: Tensor) -> Tensor:
    """Return probabilities from the textbook formulas, with shape (3, pairs). The rows are: first preferred,
    tie, second preferred."""
    if model == "davidson":
        return torch.stack((d / 2, tie.expand_as(d), -d / 2)).softmax(dim=0)
    h = tie if model == "rao_kupper" else torch.zeros_like(tie)
    won, lost = torch.sigmoid(d - h), torch.sigmoid(-d - h)
    return torch.stack((won, (1 - won - lost).clamp(min=0), lost))


def loss_of(model: str, rewards: Tensor, tiers: Tensor, tie: Tensor) -> Tensor:
    if model == "bradley_terry":
        return losses.bradley_terry(rewards, tiers).sum()
    return (losses.rao_kupper if model == "rao_kupper" else losses.davidson)(rewards, tiers, tie[0]).sum()


@pytest.mark.parametrize("model", ["bradley_terry", "rao_kupper", "davidson"])
def test_weights_and_tie_parameters_are_recovered_from_pairs(model: str) -> None:
    true = WEIGHTS if model == "bradley_terry" else torch.cat((WEIGHTS, TIE))
    estimates = []
    for seed in range(DATASETS):
        generator = torch.Generator().manual_seed(seed)
        features = pairs(3000, generator)
        chances = chances_by_the_book(model, (features[:, 0] - features[:, 1]) @ WEIGHTS, TIE)
        tiers = VERDICTS[torch.multinomial(chances.T, 1, generator=generator)[:, 0]]

        def loss(p: Tensor, x: Tensor = features, t: Tensor = tiers) -> Tensor:
            return loss_of(model, x @ p[:5], t, p[5:])

        estimates.append(fit(loss, torch.cat((torch.zeros(5), torch.ones(len(true) - 5))).double()))
    covers(estimates, true)
    assert max(float(errors.max()) for _, errors in estimates) < 0.1

    fresh, found = pairs(6000, generator), estimates[-1][0]
    d = fresh[:, 0] - fresh[:, 1]
    said = torch.multinomial(chances_by_the_book(model, d @ WEIGHTS, TIE).T, 1, generator=generator)[:, 0]
    predicted = chances_by_the_book(model, d @ found[:5], found[5:] if len(found) > 5 else TIE)
    for verdict in range(3):
        assert calibration_error(predicted[verdict], said == verdict) <= 0.03


def orders(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features of five responses per ranking, and the responses' order by reward plus Gumbel noise
    (Plackett–Luce)."""
    features = torch.randn(count, 5, len(WEIGHTS), dtype=torch.float64, generator=generator)
    uniform = torch.rand(count, 5, dtype=torch.float64, generator=generator)
    noisy = features @ WEIGHTS - (-uniform.log()).log()
    return features, noisy.argsort(1, descending=True).argsort(1)


@pytest.mark.parametrize("ranked", [5, 2], ids=["all", "top two"])
def test_weights_are_recovered_from_complete_and_top_k_rankings(ranked: int) -> None:
    estimates = []
    for seed in range(DATASETS):
        generator = torch.Generator().manual_seed(seed)
        features, place = orders(1000, generator)
        tiers = torch.where(place < ranked, place, UNRANKED_TIER)
        choices = min(ranked, 4)  # the loss is the mean over choices

        def loss(w: Tensor, x: Tensor = features, t: Tensor = tiers, n: int = choices) -> Tensor:
            return n * losses.plackett_luce(x @ w, t).sum()

        estimates.append(fit(loss, torch.zeros(5).double()))
    covers(estimates, WEIGHTS)
    assert max(float(errors.max()) for _, errors in estimates) < 0.06

    fresh, place = orders(3000, generator)
    chosen_first = (fresh @ estimates[-1][0]).softmax(dim=1)
    assert calibration_error(chosen_first.flatten(), (place == 0).flatten()) <= 0.03
