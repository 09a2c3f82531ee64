from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from annotation.statistics.bradley_terry import fit, fit_with_intervals


def _draw(strengths: NDArray[np.float64], games: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    wins = np.zeros((len(strengths), len(strengths)), dtype=np.int64)
    for i in range(len(strengths)):
        for j in range(i):
            won = rng.binomial(games, 1 / (1 + np.exp(strengths[j] - strengths[i])))
            wins[i, j], wins[j, i] = won, games - won
    return wins


def test_two_models_have_the_closed_form() -> None:
    # 30 wins to 10: odds of 3, so the strengths are ±ln(3)/2.
    np.testing.assert_allclose(fit(np.array([[0, 30], [10, 0]])), [np.log(3) / 2, -np.log(3) / 2], atol=1e-9)


def test_a_chain_is_the_sum_of_its_links() -> None:
    # A beats B 2:1 and B beats C 4:1, A and C never met: s_A − s_C = ln 2 + ln 4.
    wins = np.array([[0, 20, 0], [10, 0, 40], [0, 10, 0]])
    strengths = fit(wins)
    np.testing.assert_allclose(strengths[0] - strengths[2], np.log(8), atol=1e-9)
    np.testing.assert_allclose(strengths.sum(), 0, atol=1e-9)


def test_at_the_maximum_expected_wins_are_the_wins() -> None:
    wins = _draw(np.array([1.5, 0.3, 0.0, -0.4, -1.4]), 200, seed=3).astype(np.float64)
    strengths = fit(wins)
    expected = (wins + wins.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    np.testing.assert_allclose((expected * (1 - np.eye(5))).sum(1), wins.sum(1), atol=1e-6)


def test_known_strengths_are_recovered() -> None:
    truth = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
    np.testing.assert_allclose(fit(_draw(truth, 20_000, seed=1)), truth, atol=0.04)


def test_a_prior_keeps_a_model_that_always_won_finite_and_moves_others_little() -> None:
    wins = np.array([[0, 50], [0, 0]])
    with pytest.raises(ValueError, match="prior"):
        fit(wins)
    strengths = fit(wins, prior=0.5)
    assert 2 < strengths[0] < 8
    many = _draw(np.array([1.0, 0.0, -1.0]), 5000, seed=2)
    np.testing.assert_allclose(fit(many, prior=0.5), fit(many), atol=0.002)


def test_models_that_never_met_need_a_prior() -> None:
    wins = np.array([[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3], [0, 0, 2, 0]])
    with pytest.raises(ValueError, match="prior"):
        fit(wins)
    np.testing.assert_allclose(fit(wins, prior=0.5)[0], fit(wins, prior=0.5)[2], atol=1e-9)


def test_many_problems_at_once_are_solved_as_one_by_one() -> None:
    batch = np.stack([_draw(np.array([0.5, 0.0, -0.5]), 50, seed=seed) for seed in range(4)])
    np.testing.assert_allclose(fit(batch, prior=0.5), [fit(one, prior=0.5) for one in batch], atol=1e-9)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = np.array([0.8, 0.0, -0.8])
    held = []
    for seed in range(60):
        wins = _draw(truth, 100, seed)
        found = fit_with_intervals(wins, np.zeros_like(wins), prior=0.01, samples=100, seed=seed)
        held.append((found.low <= truth) & (truth <= found.high))
    assert 0.88 <= np.mean(held) <= 1.0  # 95 % of 180, four standard deviations are 6.5 %


def test_intervals_are_the_same_for_the_same_seed_and_narrow_with_data() -> None:
    few, many = (_draw(np.array([0.5, 0.0, -0.5]), games, seed=5) for games in (20, 2000))
    one, two = (fit_with_intervals(few, few * 0, prior=0.5) for _ in range(2))
    np.testing.assert_array_equal(one.low, two.low)
    wide, narrow = one, fit_with_intervals(many, many * 0, prior=0.5)
    assert ((narrow.high - narrow.low) < (wide.high - wide.low) / 5).all()


def test_ties_are_half_a_win_each() -> None:
    ties = np.array([[0, 10], [10, 0]])
    found = fit_with_intervals(np.array([[0, 20], [0, 0]]), ties, prior=0.0001)
    np.testing.assert_allclose(found.strength[0] - found.strength[1], np.log(25 / 5), atol=1e-3)


def test_nothing_compared_is_all_equal() -> None:
    found = fit_with_intervals(np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2), dtype=np.int64), prior=0.5)
    np.testing.assert_array_equal(found, np.zeros((3, 2)))


@pytest.mark.parametrize(
    "wins", [np.zeros(3), np.zeros((2, 3)), np.array([[0, -1], [1, 0]]), np.full((2, 2), np.nan)]
)
def test_input_of_a_wrong_shape_or_sign_is_refused(wins: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="wins"):
        fit(wins, prior=0.5)
