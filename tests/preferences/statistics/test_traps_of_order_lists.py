"""Tests for common silent errors in computing agreement between rankings, each with the correct result
computed by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from preferences.statistics import bradley_terry
from preferences.statistics.agreement import between_annotators, by_ranking, meetings_of
from preferences.statistics.krippendorff import alpha_of_pairs, pair_counts
from preferences.statistics.pairs import UNRANKED, rankings_that_meet, verdicts_of


def test_agreement_compares_only_rankings_of_the_same_task() -> None:
    """Two annotators agree perfectly on the only task that both ranked. Each annotator has two other tasks.
    If the n-th tasks of the two annotators were compared, the agreement would be one third."""
    people = np.array([0, 0, 0, 1, 1, 1])
    tasks = np.array([1, 2, 3, 3, 4, 5])
    places = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 0, 2], [0, 1, 2], [0, 2, 1]], dtype=np.int8)
    met = meetings_of(verdicts_of(places), *rankings_that_meet(tasks))
    same, shared = between_annotators(met, people, 2)
    assert (same[0, 1], shared[0, 1]) == (3, 3)
    per_ranking = by_ranking(met, 6)
    np.testing.assert_array_equal(per_ranking[1], [0, 0, 3, 3, 0, 0])


def test_top_k_responses_rank_above_unranked_responses() -> None:
    """Of five responses, A is best, B is second and the others are unranked. A and B are therefore above C, D
    and E. There is no order among C, D and E. If only the responses listed in both rankings were compared,
    only one of the seven pairs would remain."""
    top, whole = [0, 1, UNRANKED, UNRANKED, UNRANKED], [4, 1, 0, 2, 3]
    met = meetings_of(verdicts_of(np.array([top, whole], dtype=np.int8)), np.array([0]), np.array([1]))
    # The complete ranking has C first and A last. The rankings therefore agree only on B before D and B
    # before E.
    assert (met.shared[0], met.same[0]) == (7, 2)


def test_agreement_ignores_names_and_order_of_responses() -> None:
    rng = np.random.default_rng(0)
    places, tasks = rng.integers(0, 3, (90, 4)).astype(np.int8), np.repeat(np.arange(30), 3)

    def found(order: tuple[int, ...]) -> list[float]:
        verdicts = verdicts_of(places[:, order])
        met = meetings_of(verdicts, *rankings_that_meet(tasks))
        counts = pair_counts(verdicts, tasks, 30)
        clusters = np.repeat(np.arange(30), 6)
        alphas = [alpha_of_pairs(counts, clusters, metric=metric).alpha for metric in ("nominal", "ordinal")]
        return [*alphas, float(met.same.sum()), float(np.nanmean(met.tau_b))]

    for order in permutations(range(4)):
        assert found(order) == pytest.approx(found((0, 1, 2, 3)))


def test_responses_in_a_cycle_of_votes_have_equal_strengths() -> None:
    """A beats B, B beats C and C beats A, so no response is ahead. Breaking the tie by ID would make one
    response the winner."""
    for order in permutations(range(3)):
        wins = np.zeros((3, 3))
        for a, b in ((0, 1), (1, 2), (2, 0)):
            wins[order[a], order[b]] = 1
        np.testing.assert_allclose(bradley_terry.fit(wins).strength, 0, atol=1e-9)


def test_pairwise_agreement_matches_a_count_over_all_votes() -> None:
    rng = np.random.default_rng(1)
    places, tasks = rng.integers(0, 3, (80, 4)).astype(np.int8), rng.permutation(np.repeat(np.arange(20), 4))
    people = np.zeros(80, dtype=np.int64)
    for task in range(20):
        people[tasks == task] = rng.permutation(6)[:4]
    verdicts = verdicts_of(places)
    met = meetings_of(verdicts, *rankings_that_meet(tasks))
    votes = [
        (task, pair, person, int(verdict))
        for task, person, row in zip(tasks, people, verdicts, strict=True)
        for pair, verdict in enumerate(row)
    ]
    pairs = [(a, b) for n, a in enumerate(votes) for b in votes[:n] if a[:2] == b[:2]]
    strict = [(a, b) for a, b in pairs if a[3] and b[3]]
    assert (int(met.shared.sum()), int(met.strict.sum())) == (len(pairs), len(strict))
    assert int(met.same.sum()) == sum(a[3] == b[3] for a, b in pairs)
    assert int(met.strict_same.sum()) == sum(a[3] == b[3] for a, b in strict)
    same, shared = between_annotators(met, people, 6)
    for person in range(6):
        own = [(a, b) for a, b in pairs if person in (a[2], b[2])]
        assert int(shared[person].sum()) == len(own)
        assert int(same[person].sum()) == sum(a[3] == b[3] for a, b in own)
