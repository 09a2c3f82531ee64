from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata

from preferences.statistics.agreement import meetings_of
from preferences.statistics.pairs import UNRANKED, verdicts_of
from preferences.statistics.rank_correlation import kendall_w_by_task, mid_ranks
from tests.preferences.statistics.helpers import concordance, tau_b


def test_tau_b_matches_scipy_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 4, (2, 200, 6))
    for a, b in zip(one, two, strict=True):
        assert tau_b(a, b) == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)


def test_tau_b_of_order_lists_counts_reversed_pairs() -> None:
    """In the lists ACDB and BCDA, five of the six pairs are in opposite order, so τ = −2/3. Treating the
    lists themselves as ranks would give +2/3."""
    order = {"one": "ACDB", "two": "BCDA"}
    places = [[order[who].index(item) for item in "ABCD"] for who in ("one", "two")]
    assert tau_b(*places) == pytest.approx(-2 / 3)


def test_tau_b_is_correct_for_all_576_pairs_of_rankings_of_four_items() -> None:
    for one, two in product(permutations(range(4)), repeat=2):
        concordant = sum((one[i] < one[j]) == (two[i] < two[j]) for i in range(4) for j in range(i + 1, 4))
        assert tau_b(one, two) == pytest.approx((2 * concordant - 6) / 6)


def test_listing_order_of_responses_does_not_change_the_correlation() -> None:
    rng = np.random.default_rng(1)
    places = rng.integers(0, 4, (30, 5))
    for listed in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        for one, two in zip(places[:15], places[15:], strict=True):
            np.testing.assert_allclose(tau_b(one[listed], two[listed]), tau_b(one, two))
        assert concordance(places[:, listed]) == pytest.approx(concordance(places))


def test_ranking_that_ties_everything_has_no_tau_b() -> None:
    assert np.isnan(tau_b([0, 0, 0], [0, 1, 2]))


def test_tau_b_of_two_rankings_counts_only_shared_pairs() -> None:
    rng = np.random.default_rng(2)
    places = rng.integers(0, 4, (60, 5)).astype(np.int8)
    first, second = np.arange(30), np.arange(30, 60)
    met = meetings_of(verdicts_of(places), first, second)
    known = [kendalltau(a, b).statistic for a, b in zip(places[:30], places[30:], strict=True)]
    np.testing.assert_allclose(met.tau_b, known, atol=1e-12)
    # Both rankings put the same two of five responses first. One ranking leaves the other three responses
    # unranked. The rankings therefore share 7 pairs and agree on each pair.
    top = np.array([[0, 1, UNRANKED, UNRANKED, UNRANKED], [0, 1, 2, 3, 4]], dtype=np.int8)
    met = meetings_of(verdicts_of(top), np.array([0]), np.array([1]))
    assert (met.shared[0], met.same[0], met.tau_b[0]) == (7, 7, 1.0)


def test_concordance_matches_a_manual_calculation() -> None:
    # Three judges rank four items. The rank sums are 4, 6, 8 and 12, so S = 35 and W = 12 · 35 / (9 · 60) =
    # 7/9.
    assert concordance([[0, 1, 2, 3], [0, 2, 1, 3], [1, 0, 2, 3]]) == pytest.approx(7 / 9)
    assert concordance([[0, 1, 2], [0, 1, 2]]) == 1
    assert concordance([[0, 1, 2], [2, 1, 0]]) == pytest.approx(0)
    assert np.isnan(concordance([[0, 1, 2]]))
    assert np.isnan(concordance([[0, 0, 0], [0, 0, 0]]))


def test_concordance_follows_from_the_mean_spearman_correlation() -> None:
    """Without ties, W = ((m − 1) r + 1) / m (Kendall 1948 §6), where r is the mean Spearman correlation of m
    judges. With ties, W equals the value computed from rank sums according to its definition."""
    rng = np.random.default_rng(3)
    m, k = 5, 7
    ranks = np.array([rng.permutation(k) for _ in range(m)])
    r = np.corrcoef(ranks)[np.triu_indices(m, 1)].mean()
    assert concordance(ranks) == pytest.approx(((m - 1) * r + 1) / m)
    tied = rng.integers(0, 4, (m, k))
    mids = np.array([rankdata(row) for row in tied])
    np.testing.assert_array_equal(mid_ranks(tied), mids)
    spread = ((mids.sum(0) - mids.sum() / k) ** 2).sum()
    ties = sum(t**3 - t for row in tied for t in np.unique(row, return_counts=True)[1])
    assert concordance(tied) == pytest.approx(12 * spread / (m**2 * (k**3 - k) - m * ties))


def test_concordance_by_task_equals_the_concordance_of_each_task_alone() -> None:
    rng = np.random.default_rng(4)
    places, tasks = rng.integers(0, 5, (200, 4)), rng.integers(0, 30, 200)
    each = kendall_w_by_task(places, tasks, 31)
    for task in range(30):
        np.testing.assert_allclose(each[task], concordance(places[tasks == task]))
    assert np.isnan(each[30])
