from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from preferences.statistics import bradley_terry
from preferences.statistics.bradley_terry import (
    ground_of,
    half_ties,
    resampled,
    table_of,
)


def fit(wins: NDArray[np.float64] | NDArray[np.int64], prior: float = 0.0) -> NDArray[np.float64]:
    found = bradley_terry.fit(np.asarray(wins, dtype=np.float64), prior=prior)
    assert found.convergence.converged
    return found.strength


def _draw(strengths: NDArray[np.float64], games: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    wins = np.zeros((len(strengths), len(strengths)), dtype=np.int64)
    for i in range(len(strengths)):
        for j in range(i):
            won = rng.binomial(games, 1 / (1 + np.exp(strengths[j] - strengths[i])))
            wins[i, j], wins[j, i] = won, games - won
    return wins


def test_strengths_of_two_models_match_the_closed_form() -> None:
    # 30 wins to 10: odds of 3, so the strengths are ±ln(3)/2.
    np.testing.assert_allclose(fit(np.array([[0, 30], [10, 0]])), [np.log(3) / 2, -np.log(3) / 2], atol=1e-9)


def test_strength_differences_along_a_chain_add_up() -> None:
    # A beats B 2:1, and B beats C 4:1. A and C were never compared. Therefore s_A − s_C = ln 2 + ln 4.
    wins = np.array([[0, 20, 0], [10, 0, 40], [0, 10, 0]])
    strengths = fit(wins)
    np.testing.assert_allclose(strengths[0] - strengths[2], np.log(8), atol=1e-9)
    np.testing.assert_allclose(strengths.sum(), 0, atol=1e-9)


def test_expected_wins_equal_observed_wins_at_the_maximum() -> None:
    wins = _draw(np.array([1.5, 0.3, 0.0, -0.4, -1.4]), 200, seed=3).astype(np.float64)
    strengths = fit(wins)
    expected = (wins + wins.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    np.testing.assert_allclose((expected * (1 - np.eye(5))).sum(1), wins.sum(1), atol=1e-6)


def test_known_strengths_are_recovered() -> None:
    truth = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
    np.testing.assert_allclose(fit(_draw(truth, 20_000, seed=1)), truth, atol=0.04)


def test_prior_keeps_strengths_finite_and_has_little_effect_on_large_samples() -> None:
    wins = np.array([[0, 50], [0, 0]])
    with pytest.raises(ValueError, match="prior"):
        fit(wins)
    strengths = fit(wins, prior=0.5)
    assert 2 < strengths[0] < 8
    many = _draw(np.array([1.0, 0.0, -1.0]), 5000, seed=2)
    np.testing.assert_allclose(fit(many, prior=0.5), fit(many), atol=0.002)


def test_unconnected_models_need_a_prior() -> None:
    wins = np.array([[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3], [0, 0, 2, 0]])
    with pytest.raises(ValueError, match="prior"):
        fit(wins)
    np.testing.assert_allclose(fit(wins, prior=0.5)[0], fit(wins, prior=0.5)[2], atol=1e-9)


def test_batched_fits_equal_separate_fits() -> None:
    batch = np.stack([_draw(np.array([0.5, 0.0, -0.5]), 50, seed=seed) for seed in range(4)])
    np.testing.assert_allclose(fit(batch, prior=0.5), [fit(one, prior=0.5) for one in batch], atol=1e-9)


def test_tie_counts_as_half_a_win_for_each_model() -> None:
    ties = np.array([[0, 10], [10, 0]])
    strengths = fit(half_ties(np.array([[0, 20], [0, 0]]), ties), prior=0.0001)
    np.testing.assert_allclose(strengths[0] - strengths[1], np.log(25 / 5), atol=1e-3)


def test_models_without_comparisons_have_equal_strengths() -> None:
    np.testing.assert_array_equal(fit(np.zeros((2, 2)), prior=0.5), np.zeros(2))


@pytest.mark.parametrize(
    "wins", [np.zeros(3), np.zeros((2, 3)), np.array([[0, -1], [1, 0]]), np.full((2, 2), np.nan)]
)
def test_input_with_the_wrong_shape_or_sign_is_rejected(wins: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="wins"):
        fit(wins, prior=0.5)


def test_strengths_match_choix_and_evalica_and_crowd_kit() -> None:
    import choix
    import evalica
    from crowdkit.aggregation import BradleyTerry as CrowdKit

    wins = _draw(np.array([1.2, 0.5, 0.0, -0.6, -1.1]), 80, seed=4)
    pairs = [(i, j) for i in range(5) for j in range(5) for _ in range(wins[i, j])]
    ours = fit(wins.astype(np.float64))
    np.testing.assert_allclose(ours, choix.opt_pairwise(5, pairs), atol=1e-4)
    np.testing.assert_allclose(ours, choix.ilsr_pairwise(5, pairs), atol=1e-6)
    xs, ys = zip(*pairs, strict=True)
    scores = evalica.bradley_terry(xs, ys, [evalica.Winner.X] * len(xs), tolerance=1e-12, limit=5000).scores
    known = np.log(scores.loc[range(5)].to_numpy())
    np.testing.assert_allclose(ours, known - known.mean(), atol=1e-4)
    frame = pd.DataFrame({"worker": 0, "left": xs, "right": ys, "label": xs})
    # crowd-kit's stopping rule compares an array with itself, so by default, the fit stops after two steps.
    # A tolerance of 0 disables the stopping rule.
    known = np.log(CrowdKit(n_iter=3000, tol=0).fit(frame).scores_.loc[range(5)].to_numpy())
    np.testing.assert_allclose(ours, known - known.mean(), atol=1e-6)


def test_strengths_with_ties_as_half_wins_match_evalica() -> None:
    import evalica

    rng = np.random.default_rng(6)
    preferred, other = rng.integers(0, 4, (2, 600))
    apart = preferred != other
    preferred, other, tied = preferred[apart], other[apart], rng.random(600)[apart] < 0.3
    ours = fit(half_ties(*table_of(preferred, other, tied, 4)))
    winners = [evalica.Winner.Draw if tie else evalica.Winner.X for tie in tied]
    scores = evalica.bradley_terry(
        preferred.tolist(), other.tolist(), winners, tolerance=1e-12, limit=5000
    ).scores
    known = np.log(scores.loc[range(4)].to_numpy())
    np.testing.assert_allclose(ours, known - known.mean(), atol=1e-4)


def test_comparisons_divide_the_models_into_groups_and_levels() -> None:
    # A and B beat each other. C lost to A and B and never won. D and E were compared only with each other. F
    # was compared with no other model.
    wins = np.zeros((6, 6))
    wins[0, 1] = wins[1, 0] = wins[0, 2] = wins[1, 2] = wins[3, 4] = wins[4, 3] = 1
    ground = ground_of(wins)
    assert ground.group.tolist() == [0, 0, 0, 1, 1, 2]
    assert ground.level.tolist() == [0, 0, 1, 2, 2, 3]
    assert ground_of(wins[:2, :2]).level.tolist() == [0, 0]
    assert ground_of(np.zeros((0, 0))).group.tolist() == []


def test_bootstrap_draws_whole_tasks() -> None:
    """If a task contains ten copies of each comparison, the interval is as wide as with one copy. Treating
    the copies as independent would make the interval narrower by a factor of √10."""
    rng = np.random.default_rng(8)
    first = rng.random(400) < 0.6
    preferred, other = np.where(first, 0, 1), np.where(first, 1, 0)
    none, tasks = np.zeros(400, dtype=bool), np.arange(400)
    widths = []
    for copies in (1, 10):
        drawn = resampled(
            *(np.repeat(column, copies) for column in (preferred, other, none, tasks)), 2, samples=500, seed=1
        )
        assert drawn.wins.sum((1, 2)).mean() == pytest.approx(400 * copies)
        widths.append(float(fit(half_ties(*drawn), prior=1e-6)[:, 0].std()))
    assert widths[0] == pytest.approx(widths[1], rel=0.05)


def test_intervals_have_their_nominal_coverage_with_many_tasks() -> None:
    truth = np.array([0.8, 0.0, -0.8])
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        # There are 1,500 tasks with three dependent comparisons each. Groups of tasks are resampled.
        one, two = np.array([[0, 1], [0, 2], [1, 2]])[rng.integers(0, 3, 1500)].T
        chance = 1 / (1 + np.exp(truth[two] - truth[one]))
        lean = rng.random(1500) < 0.5
        first = np.where(
            lean[:, None], (rng.random(1500) < chance)[:, None], rng.random((1500, 3)) < chance[:, None]
        )
        sides = np.stack(
            [np.where(first, one[:, None], two[:, None]), np.where(first, two[:, None], one[:, None])]
        )
        preferred, other = sides.reshape(2, -1)
        drawn = resampled(
            preferred,
            other,
            np.zeros(4500, dtype=bool),
            np.repeat(np.arange(1500), 3),
            3,
            samples=150,
            seed=seed + 500,
        )
        low, high = np.quantile(fit(half_ties(*drawn)), [0.025, 0.975], axis=0)
        held.append((low <= truth) & (truth <= high))
    assert 0.88 <= np.mean(held) <= 1.0
