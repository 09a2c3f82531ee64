"""The consensus of several rankings is the majority order if the majorities on pairs are consistent. The
Borda count resolves cycles. A response that beats every other response is first. If all rankings are
complete, unanimous preferences are kept."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preferences.consensus import consensus
from preferences.pairs import comparisons_of, unranked_of

A, B, C, D = range(4)


@pytest.mark.parametrize(
    ("rankings", "tiers", "rule"),
    [
        ([[[A], [B], [C]]] * 3, [[A], [B], [C]], "majority"),
        ([[[A], [B], [C]], [[A], [C], [B]], [[B], [A], [C]]], [[A], [B], [C]], "majority"),
        ([[[A, B], [C]], [[B, A], [C]]], [[A, B], [C]], "majority"),
        # One ranking prefers A and the other prefers B, so A and B are tied.
        ([[[A], [B], [C]], [[B], [A], [C]]], [[A, B], [C]], "majority"),
        # One ranking ties A and B, and the other ranking prefers A, so A wins.
        ([[[A, B], [C]], [[A], [B], [C]]], [[A], [B], [C]], "majority"),
        # In this Condorcet cycle, all responses have the same Borda count.
        ([[[A], [B], [C]], [[B], [C], [A]], [[C], [A], [B]]], [[A, B, C]], "borda"),
        # Both rankings prefer A to B, but A and B each tie with C: a cycle. Mean ranks: A 1.5, C 2, B 2.5.
        ([[[A], [B], [C]], [[C], [A], [B]]], [[A], [C], [B]], "borda"),
    ],
)
def test_consensus_follows_the_majority(rankings: Any, tiers: list[list[int]], rule: str) -> None:
    found = consensus(rankings, 3)
    assert (found.tiers, found.unranked, found.decided_by) == (tiers, [], rule)


def test_cycle_is_ordered_by_borda_and_other_pairs_keep_their_majority() -> None:
    """All other responses beat D. A beats B, B beats C, and C beats A, each by 2:1."""
    rankings = [[[A], [B], [C], [D]], [[B], [C], [A], [D]], [[C], [A], [B], [D]]]
    assert consensus(rankings, 4).tiers == [[A, B, C], [D]]


def test_partial_rankings_affect_only_pairs_with_a_ranked_response() -> None:
    found = consensus([[[A], [B]], [[A]], [[B], [A]]], 4)
    assert (found.tiers, found.unranked) == ([[A], [B]], [C, D])
    # Two rankings leave B unranked below C, and one ranking puts B first, so C has the majority.
    assert consensus([[[C]], [[C]], [[B], [C]]], 3).tiers == [[C], [B]]
    assert consensus([], 3).tiers == []


@st.composite
def profiles(draw: Any) -> tuple[int, list[list[list[int]]]]:
    count = draw(st.integers(2, 5))
    rankings = []
    for _ in range(draw(st.integers(1, 5))):
        places = draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
        tiers = [[i for i in range(count) if places[i] == place] for place in sorted(set(places))]
        rankings.append(tiers[: draw(st.integers(1, len(tiers)))])
    return count, rankings


def _said(rankings: list[list[list[int]]], one: int, two: int) -> list[int]:
    count = max(one, two, *(i for tiers in rankings for tier in tiers for i in tier)) + 1
    found = []
    for tiers in rankings:
        for pair in comparisons_of(tiers, None, unranked_of(range(count), tiers)):
            if {pair.preferred, pair.other} == {one, two}:
                found.append(0 if pair.is_tie else 1 if pair.preferred == one else -1)
    return found


@settings(max_examples=300, deadline=None)
@given(profiles())
def test_consensus_satisfies_the_condorcet_and_pareto_criteria(profile: Any) -> None:
    count, rankings = profile
    found = consensus(rankings, count)
    place = {index: number for number, tier in enumerate(found.tiers) for index in tier}
    assert sorted([*place, *found.unranked]) == list(range(count))
    sums = {}
    for one, two in combinations(sorted(place), 2):
        said = _said(rankings, one, two)
        sums[one, two], sums[two, one] = sum(said), -sum(said)
        if said and len(said) == len(rankings) and len(set(said)) == 1 and said[0]:
            better, worse = (one, two) if said[0] > 0 else (two, one)
            # With complete rankings, unanimous preferences are kept; with partial rankings, a cycle can
            # override them.
            if all(len({i for t in tiers for i in t}) == count for tiers in rankings):
                assert place[better] < place[worse]
        if found.decided_by == "majority":
            assert (place[one] < place[two]) - (place[one] > place[two]) == (sum(said) > 0) - (sum(said) < 0)
    for winner in place:
        others = [other for other in place if other != winner]
        if others and all(sums[winner, other] > 0 for other in others):
            assert found.tiers[0] == [winner]
    assert consensus(rankings[::-1], count) == found
