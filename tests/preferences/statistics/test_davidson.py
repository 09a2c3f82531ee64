from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preferences.statistics import bradley_terry, davidson
from preferences.statistics.bradley_terry import Table


def _draw(seed: int, strengths: NDArray[np.float64], tie: float, games: int) -> Table:
    rng = np.random.default_rng(seed)
    m = len(strengths)
    wins, ties = np.zeros((m, m)), np.zeros((m, m))
    for i in range(m):
        for j in range(i):
            weight = np.exp([strengths[i], strengths[j], np.log(tie) + (strengths[i] + strengths[j]) / 2])
            wins[i, j], wins[j, i], ties[i, j] = rng.multinomial(games, weight / weight.sum())
            ties[j, i] = ties[i, j]
    return Table(wins, ties)


TRUTH = np.array([1.2, 0.4, 0.0, -0.5, -1.1])


def test_strengths_of_two_models_match_the_closed_form() -> None:
    # The model fits 30 wins, 10 losses and 20 ties exactly. Therefore π₁/π₂ = 3. The share of ties is 20/60 =
    # ν√3 / (1 + 3 + ν√3), so ν = 2/√3.
    found = davidson.fit(np.array([[0.0, 30], [10, 0]]), np.array([[0.0, 20], [20, 0]]))
    np.testing.assert_allclose(found.strength, [np.log(3) / 2, -np.log(3) / 2], atol=1e-9)
    assert found.tie == pytest.approx(2 / np.sqrt(3))


def test_known_parameters_are_recovered() -> None:
    found = [davidson.fit(*_draw(seed, TRUTH, 0.7, 100)) for seed in range(60)]
    strengths = np.array([one.strength for one in found])
    ties = np.array([one.tie for one in found])
    # The standard deviation of the 60 estimates is the standard error of one estimate. The standard error of
    # the estimates' mean is smaller by a factor of √60.
    assert (np.abs(strengths.mean(0) - TRUTH) < 2.6 * strengths.std(0) / np.sqrt(60)).all()
    assert abs(ties.mean() - 0.7) < 2.6 * ties.std() / np.sqrt(60)
    assert np.mean(np.abs(strengths - TRUTH) < 2 * strengths.std(0)) > 0.9


def test_expected_points_and_ties_match_observations_at_the_maximum() -> None:
    wins, ties = _draw(1, TRUTH, 0.5, 50)
    strength, tie, _ = davidson.fit(wins, ties)
    weight = np.exp(strength)
    middle = tie * np.sqrt(weight[:, None] * weight[None, :])
    total = weight[:, None] + weight[None, :] + middle
    games = (wins + wins.T + ties) * (1 - np.eye(5))
    expected = (games * (weight[:, None] + middle / 2) / total).sum(1)
    np.testing.assert_allclose(expected, (wins + ties / 2).sum(1), atol=1e-6)
    np.testing.assert_allclose((games * middle / total).sum(), ties.sum(), atol=1e-6)


def test_davidson_matches_evalica() -> None:
    """evalica's method (Newman 2023) uses the same model with v = ν/2. The method also uses a prior. With
    many games, the prior has almost no effect."""
    import evalica

    wins, ties = _draw(2, TRUTH, 0.6, 20_000)
    xs, ys, winners, weights = [], [], [], []
    for i in range(5):
        for j in range(5):
            xs += [i, i]
            ys += [j, j]
            winners += [evalica.Winner.X, evalica.Winner.Draw]
            weights += [wins[i, j], ties[i, j] / 2]
    kept = [n for n, weight in enumerate(weights) if weight > 0]
    known = evalica.newman(
        *([column[n] for n in kept] for column in (xs, ys, winners)),
        weights=[weights[n] for n in kept],
        tolerance=1e-12,
        limit=10_000,
    )
    found = davidson.fit(wins, ties)
    scores = np.log(known.scores.loc[range(5)].to_numpy())
    np.testing.assert_allclose(found.strength, scores - scores.mean(), atol=2e-3)
    assert found.tie == pytest.approx(2 * known.v, rel=2e-3)


def test_davidson_without_ties_equals_bradley_terry() -> None:
    wins = _draw(3, TRUTH, 1e-9, 200).wins
    none = np.zeros_like(wins)
    found = davidson.fit(wins, none, prior=0.5)
    np.testing.assert_allclose(found.strength, bradley_terry.fit(wins, prior=0.5).strength, atol=0.01)
    assert found.tie < 0.01
    with pytest.raises(ValueError, match="prior"):
        davidson.fit(wins, none)


def test_prior_keeps_strengths_finite_for_extreme_results() -> None:
    ties = np.array([[0.0, 9], [9, 0]])
    found = davidson.fit(np.zeros((2, 2)), ties, prior=0.5)
    np.testing.assert_allclose(found.strength, 0, atol=1e-9)
    assert 5 < found.tie < 100
    won = davidson.fit(np.array([[0.0, 50], [0, 0]]), np.zeros((2, 2)), prior=0.5)
    assert 1 < won.strength[0] < 8
    for wins in (np.zeros((2, 2)), np.array([[0.0, 50], [0, 0]])):
        with pytest.raises(ValueError, match="prior"):
            davidson.fit(wins, ties * 0)


def test_batched_fits_equal_separate_fits() -> None:
    tables = [_draw(seed, TRUTH[:3], 0.5, 30) for seed in range(4)]
    wins, ties = (np.stack(parts) for parts in zip(*tables, strict=True))
    found = davidson.fit(wins, ties, prior=0.5)
    for n, table in enumerate(tables):
        one = davidson.fit(*table, prior=0.5)
        np.testing.assert_allclose(found.strength[n], one.strength, atol=1e-8)
        np.testing.assert_allclose(found.tie[n], one.tie, rtol=1e-7)


@pytest.mark.parametrize(
    ("wins", "ties"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3))),
        (np.zeros((2, 2)), np.zeros((3, 3))),
        (-np.ones((2, 2)), np.zeros((2, 2))),
        (np.ones((2, 2)), np.array([[0, 1], [2, 0]])),
    ],
)
def test_invalid_input_is_rejected(wins: NDArray[np.float64], ties: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="ties"):
        davidson.fit(wins, ties, prior=0.5)
