from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preferences.statistics import bradley_terry, crowd_bt
from preferences.statistics.iterative.optimise import minimise

ETA = np.array([0.5, 0.65, 0.75, 0.85, 0.9, 0.95])


def _votes(
    seed: int, strengths: NDArray[np.float64], each: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Simulate verdicts on random pairs of items. `each` is the number of verdicts per annotator."""
    rng = np.random.default_rng(seed)
    n = each * len(ETA)
    who = np.arange(n) % len(ETA)
    one = rng.integers(0, len(strengths), n)
    two = (one + rng.integers(1, len(strengths), n)) % len(strengths)
    right = 1 / (1 + np.exp(strengths[two] - strengths[one]))
    first = rng.random(n) < ETA[who] * right + (1 - ETA[who]) * (1 - right)
    return np.where(first, one, two), np.where(first, two, one), who


def test_known_reliabilities_and_strengths_are_recovered() -> None:
    strengths = np.linspace(-3, 3, 12)
    z = []
    for seed in range(25):
        found = crowd_bt.fit(*_votes(seed, strengths, 500), n_items=12, n_annotators=len(ETA))
        logit = np.log(found.eta / (1 - found.eta))
        se = (np.log(found.high / (1 - found.high)) - np.log(found.low / (1 - found.low))) / (2 * 1.96)
        z.append((logit - np.log(ETA / (1 - ETA))) / se)
    z = np.array(z)
    # The nominal coverage of the 150 intervals is 95 %; 2.5 standard deviations are 4.5 percentage points.
    assert np.mean(np.abs(z) < 2) > 0.9
    # The estimates are unbiased. The mean of 25 estimates has a fifth of the standard error of one estimate.
    # The bound of 0.7 standard errors of one estimate is therefore 3.5 standard errors of the mean.
    assert (np.abs(z.mean(0)) < 0.7).all()
    large = crowd_bt.fit(*_votes(99, strengths, 20_000), n_items=12, n_annotators=len(ETA))
    np.testing.assert_allclose(large.eta, ETA, atol=0.015)
    np.testing.assert_allclose(large.strength - large.strength.mean(), strengths, atol=0.15)


def test_crowd_bt_with_one_reliable_annotator_matches_bradley_terry() -> None:
    """A single annotator's verdicts fit the model well, so η is near 1 and does not change the strengths."""
    strengths = np.array([1.0, 0.3, 0.0, -1.3])
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, 4, (2, 40_000))
    one, two = one[one != two], two[one != two]
    first = rng.random(len(one)) < 1 / (1 + np.exp(strengths[two] - strengths[one]))
    win, lose = np.where(first, one, two), np.where(first, two, one)
    found = crowd_bt.fit(win, lose, np.zeros(len(win), dtype=int), n_items=4, n_annotators=1, penalty=0.5)
    wins = bradley_terry.table_of(win, lose, np.zeros(len(win), dtype=bool), 4).wins
    # η and the scale of the strengths can offset each other, so predictions are compared.
    p = 1 / (1 + np.exp(found.strength[None, :] - found.strength[:, None]))
    p = found.eta[0] * p + (1 - found.eta[0]) * (1 - p)
    known = bradley_terry.fit(wins, prior=0.5).strength
    np.testing.assert_allclose(p, 1 / (1 + np.exp(known[None, :] - known[:, None])), atol=0.01)


def test_gradient_is_zero_at_the_solution() -> None:
    """An independent check: a small change in any strength or reliability increases the loss."""
    win, lose, who = _votes(3, np.linspace(-2, 2, 6), 200)
    found = crowd_bt.fit(win, lose, who, n_items=6, n_annotators=len(ETA))

    def loss(s: NDArray[np.float64], logit: NDArray[np.float64]) -> float:
        eta, right = 1 / (1 + np.exp(-logit[who])), 1 / (1 + np.exp(s[lose] - s[win]))
        value = -np.log(eta * right + (1 - eta) * (1 - right)).sum()
        for x, weight in ((s, crowd_bt.PENALTY), (logit, crowd_bt.ETA_PRIOR)):
            value += weight * (np.log1p(np.exp(x)) + np.log1p(np.exp(-x))).sum()
        return float(value)

    logit = np.log(found.eta / (1 - found.eta))
    best = loss(found.strength, logit)
    for step in (-0.02, 0.02):
        for i in range(6):
            assert loss(found.strength + step * (np.arange(6) == i), logit) > best
            assert loss(found.strength, logit + step * (np.arange(6) == i)) > best


def test_intervals_include_uncertainty_of_the_strengths() -> None:
    """Block elimination gives the same standard errors as inverting the complete numerical Hessian."""
    rng = np.random.default_rng(5)
    # Two sets of items, different in size and never compared with each other.
    win, lose, who = _votes(5, np.linspace(-1, 1, 4), 60)
    win2, lose2, who2 = _votes(6, np.linspace(-1, 1, 3), 60)
    win, lose, who = np.r_[win, win2 + 4], np.r_[lose, lose2 + 4], np.r_[who, who2]
    order = rng.permutation(len(win))
    win, lose, who = win[order], lose[order], who[order]
    found = crowd_bt.fit(win, lose, who, n_items=7, n_annotators=len(ETA))
    x = np.r_[found.strength, np.log(found.eta / (1 - found.eta))]

    def loss(x: NDArray[np.float64]) -> float:
        s, eta = x[:7], 1 / (1 + np.exp(-x[7:]))[who]
        right = 1 / (1 + np.exp(s[lose] - s[win]))
        weight = np.r_[np.full(7, crowd_bt.PENALTY), np.full(len(ETA), crowd_bt.ETA_PRIOR)]
        penalty = (weight * (np.log1p(np.exp(x)) + np.log1p(np.exp(-x)))).sum()
        return float(penalty - np.log(eta * right + (1 - eta) * (1 - right)).sum())

    step, eye = 1e-3, np.eye(len(x))
    hessian = np.array(
        [
            [
                (
                    loss(x + step * (a + b))
                    - loss(x + step * (a - b))
                    - loss(x - step * (a - b))
                    + loss(x - step * (a + b))
                )
                / (4 * step**2)
                for b in eye
            ]
            for a in eye
        ]
    )
    se = np.sqrt(np.diag(np.linalg.inv(hessian)))[7:]
    half = (np.log(found.high / (1 - found.high)) - np.log(found.low / (1 - found.low))) / (2 * 1.959964)
    np.testing.assert_allclose(half, se, rtol=1e-3)


def test_annotators_without_verdicts_get_nan_and_invalid_input_is_rejected() -> None:
    found = crowd_bt.fit([0, 1, 0], [1, 0, 1], [0, 0, 2], n_items=3, n_annotators=4)
    np.testing.assert_array_equal(np.isnan(found.eta), [False, True, False, True])
    np.testing.assert_array_equal(found.n, [2, 0, 1, 0])
    with pytest.raises(ValueError, match="range"):
        crowd_bt.fit([0], [5], [0], n_items=3, n_annotators=1)
    with pytest.raises(ValueError, match="each"):
        crowd_bt.fit([0], [1, 2], [0], n_items=3, n_annotators=1)
    with pytest.raises(ValueError, match="penalty"):
        crowd_bt.fit([0], [1], [0], n_items=3, n_annotators=1, penalty=0)


def test_minimiser_finds_the_minimum_of_the_rosenbrock_function() -> None:
    def rosenbrock(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
        gradient = np.zeros_like(x)
        gradient[:-1] = -400 * x[:-1] * a - 2 * b
        gradient[1:] += 200 * a
        return float((100 * a**2 + b**2).sum()), gradient

    found = minimise(
        rosenbrock, np.full(10, -1.0), scale=np.full(10, 1e-3), tolerance=1e-9, max_iterations=500
    )
    np.testing.assert_allclose(found.at, 1.0, atol=1e-5)
    assert found.convergence.converged
    start = np.full(10, -1.0)
    early = minimise(rosenbrock, start, scale=np.full(10, 1e-3), tolerance=1e-9, max_iterations=3)
    assert not early.convergence.converged
    assert early.convergence.steps == 3
    assert rosenbrock(early.at)[0] < rosenbrock(start)[0]
