from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from preferences.statistics.biases import passed_on, wins_of_the_first_shown, wins_of_the_larger
from preferences.statistics.intervals import clustered_share
from preferences.statistics.pairs import UNRANKED


def _rankings(seed: int, n: int, lean: float) -> tuple[np.ndarray, np.ndarray]:
    """Simulate random display orders of four responses, and random rankings. A response's score rises by
    `lean` for each position closer to the front."""
    rng = np.random.default_rng(seed)
    shown = np.argsort(rng.random((n, 4)), axis=1).astype(np.int8)
    score = rng.gumbel(size=(n, 4)) - lean * shown
    return np.argsort(np.argsort(-score, axis=1), axis=1).astype(np.int8), shown


def test_biases_match_a_manual_count() -> None:
    places = np.array([[0, 1, 2], [0, 0, 1], [0, UNRANKED, UNRANKED]], dtype=np.int8)
    shown = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]], dtype=np.int8)
    found = wins_of_the_first_shown(places, shown)
    # Strict pairs won by the response shown first: three of three in the first row, none of two in the second
    # row, and one of two in the third row. The two unranked responses in the third row form no pair.
    np.testing.assert_array_equal(found.won, [3, 0, 1])
    np.testing.assert_array_equal(found.n, [3, 2, 2])
    longer = wins_of_the_larger(places, np.array([[5, 9, 9], [7, 1, 1], [3, 3, 1]]))
    np.testing.assert_array_equal(longer.won, [0, 1, 1])
    np.testing.assert_array_equal(longer.n, [2, 1, 1])  # with equal lengths, neither side is longer


def test_known_position_bias_is_recovered() -> None:
    """With Gumbel noise, P(i before j) is exactly 1/(1 + exp(−lean · distance in positions)) for each
    pair."""
    lean = 0.3
    gaps = np.array([abs(i - j) for i in range(4) for j in range(i)])
    truth = np.mean(1 / (1 + np.exp(-lean * gaps)))
    off = []
    for seed in range(60):
        found = wins_of_the_first_shown(*_rankings(seed, 400, lean))
        interval, _ = clustered_share(found.won, found.n, level=0.9545)
        off.append(interval.low <= truth <= interval.high)
    assert np.mean(off) > 0.87


def test_without_position_bias_the_response_shown_first_wins_half_of_the_pairs() -> None:
    found = wins_of_the_first_shown(*_rankings(7, 20_000, 0.0))
    interval, _ = clustered_share(found.won, found.n)
    assert interval.low <= 0.5 <= interval.high


def test_straight_lining_is_detected() -> None:
    shown = np.array(list(permutations(range(3))), dtype=np.int8)
    found = passed_on(np.tile(np.array([0, 1, 2], dtype=np.int8), (6, 1)), shown)
    assert found.as_shown.sum() == 1
    np.testing.assert_allclose(found.by_chance, 1 / 6)
    # A ranking with a tie or an unranked response does not have exactly the order shown.
    tied = np.array([[0, 0, 1], [0, 1, UNRANKED]], dtype=np.int8)
    found = passed_on(tied, np.array([[0, 1, 2]] * 2, dtype=np.int8))
    assert found.as_shown.tolist() == [False, False]
    assert found.by_chance.tolist() == [0, pytest.approx(1 / 6)]
