"""Scores of answers to checks match values computed by hand from the definition in preferences/scoring.py."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from preferences.scoring import gold_score
from preferences.statistics.pairs import UNRANKED, gold_scores


@pytest.mark.parametrize(
    ("gold", "tiers", "score"),
    [
        ([["a"], ["b"], ["c"]], [["a"], ["b"], ["c"]], 1.0),
        ([["a"], ["b"], ["c"]], [["c"], ["b"], ["a"]], 0.0),
        # a>b and a>c are reproduced, but b>c is not
        ([["a"], ["b"], ["c"]], [["a"], ["c"], ["b"]], 2 / 3),
        # a tie scores ½: a=b ½, a>c 1, b>c 1
        ([["a"], ["b"], ["c"]], [["a", "b"], ["c"]], 2.5 / 3),
        ([["a"], ["b"], ["c"]], [["a", "b", "c"]], 0.5),
        # gold ties b and c, so any order of b and c is correct
        ([["a"], ["b", "c"]], [["a"], ["b"], ["c"]], 1.0),
        ([["a"], ["b", "c"]], [["a"], ["c"], ["b"]], 1.0),
        ([["a"], ["b", "c"]], [["b"], ["a"], ["c"]], 0.5),
        # an unranked item is below ranked items and tied with other unranked items
        ([["a"], ["b"], ["c"]], [["a"]], 2.5 / 3),
        ([["a"], ["b"], ["c"]], [["b"]], 1.5 / 3),
        # an empty ranking reproduces no pair
        ([["a"], ["b"]], [], 0.0),
    ],
)
def test_score_is_the_share_of_reproduced_pairs(
    gold: list[list[str]], tiers: list[list[str]], score: float
) -> None:
    assert gold_score(gold, tiers) == pytest.approx(score)


def test_gold_ranking_without_strict_pairs_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least one item above another"):
        gold_score([["a", "b"]], [["a"], ["b"]])


def test_score_without_ties_is_rescaled_kendall_tau() -> None:
    """The score is (τ + 1) / 2, with τ counted pair by pair according to Kendall's definition."""
    chance = random.Random(3)
    for _ in range(200):
        gold, answer = chance.sample(range(6), 6), chance.sample(range(6), 6)
        signs = [
            (gold.index(one) - gold.index(two)) * (answer.index(one) - answer.index(two))
            for one, two in combinations(range(6), 2)
        ]
        tau = sum(1 if sign > 0 else -1 for sign in signs) / len(signs)
        score = gold_score([[item] for item in gold], [[item] for item in answer])
        assert score == pytest.approx((tau + 1) / 2)


def test_batched_scores_match_single_scores() -> None:
    chance = random.Random(5)
    for k in range(2, 11):
        golds, answers = [], []
        for _ in range(100):
            golds.append([chance.randrange(k) for _ in range(k)])
            answers.append([chance.choice([UNRANKED, *range(k)]) for _ in range(k)])
        together = gold_scores(np.array(golds, dtype=np.int8), np.array(answers, dtype=np.int8))
        for gold, answer, score in zip(golds, answers, together.tolist(), strict=True):
            if len(set(gold)) == 1:
                assert np.isnan(score)
            else:
                assert score == pytest.approx(gold_score(tiers_of(gold), tiers_of(answer)))


def tiers_of(places: list[int]) -> list[list[int]]:
    levels = sorted(set(places) - {UNRANKED})
    return [[item for item, place in enumerate(places) if place == level] for level in levels]
