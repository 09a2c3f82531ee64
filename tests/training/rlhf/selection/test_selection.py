"""Answers are selected for imitation, and the expected reward of the best of n answers is estimated."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import pytest
import torch

from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.selection.selection import best_of_curve, best_of_weights, kl_of_best_of, select

ALL = torch.ones(7, dtype=torch.bool)


def kept(scores: list[float], usable: list[bool] | None = None, texts: str = "", **changes: Any) -> list[int]:
    config = RejectionSamplingConfig(**changes)
    return select(config, scores, usable or [True] * len(scores), texts or "abcdefgh"[: len(scores)])


def test_best_usable_answer_or_the_first_of_equally_good_ones_is_kept() -> None:
    assert kept([1.0, 3.0, 9.0, 3.0], [True, True, False, True]) == [1]
    assert kept([math.nan, 3.0], [False, False]) == []


def test_top_k_keeps_the_best_distinct_answers_in_order() -> None:
    scores = [1.0, 4.0, 3.0, 4.0, 2.0]
    assert kept(scores, texts="abcbd", keep="top_k", k=3) == [1, 2, 4]
    assert kept(scores, texts="aaaaa", keep="top_k", k=3) == [1]
    assert kept(scores, [True, False, True, False, True], keep="top_k", k=3) == [2, 4, 0]


def test_threshold_keeps_every_distinct_answer_at_or_above_it() -> None:
    scores = [0.5, 1.0, 2.0, 2.0, 0.4]
    assert kept(scores, texts="abcce", keep="threshold", threshold=0.5) == [2, 1, 0]
    assert kept(scores, keep="threshold", threshold=2.5) == []


def test_lead_over_the_mean_of_the_usable_answers_must_reach_min_gain() -> None:
    assert kept([1.0, 3.0], min_gain=1.0) == [1]
    assert kept([1.0, 3.0], min_gain=1.5) == []
    assert kept([9.0, 1.0, 3.0], [False, True, True], min_gain=1.0) == [2]


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="only 4 answers are sampled per prompt"):
        RejectionSamplingConfig(keep="top_k", k=5, samples_per_prompt=4)
    with pytest.raises(ValueError, match="leave no room for a prompt"):
        RejectionSamplingConfig(max_new_tokens=64, max_length=64)


def expected_best(scores: list[float], usable: list[bool], values: list[float], n: int) -> float:
    """The mean value of the answer that `select` keeps, over all subsets of n answers that include a
    usable answer."""
    found = []
    for subset in itertools.combinations(range(len(scores)), n):
        for best in kept([scores[i] for i in subset], [usable[i] for i in subset]):
            found.append(values[subset[best]])
    return statistics.fmean(found)


@pytest.mark.parametrize("truncated", [(), (0, 3), (1, 2, 4, 5, 6)])
def test_best_of_n_curve_is_the_mean_over_all_subsets_that_keep_an_answer(
    truncated: tuple[int, ...],
) -> None:
    scores = [0.3, -1.2, 2.0, 2.0, -0.5, 0.3, 1.1]  # with ties
    gold = [5.0, 1.0, 2.0, 7.0, 3.0, 4.0, 6.0]
    usable = [i not in truncated for i in range(7)]
    own = best_of_curve(torch.tensor(scores), torch.tensor(usable))
    by_gold = best_of_curve(torch.tensor(scores), torch.tensor(usable), torch.tensor(gold))
    assert own is not None
    assert by_gold is not None
    for n in range(1, 8):
        assert float(own[n - 1]) == pytest.approx(expected_best(scores, usable, scores, n), abs=1e-6)
        assert float(by_gold[n - 1]) == pytest.approx(expected_best(scores, usable, gold, n), abs=1e-6)
    assert own.tolist() == sorted(own.tolist())


def test_prompt_without_a_usable_answer_has_no_curve() -> None:
    assert best_of_curve(torch.zeros(7), ~ALL) is None


def test_curve_is_an_unbiased_estimate_of_the_expected_maximum() -> None:
    draws = torch.rand(4000, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curves = draws.sort(dim=1).values @ best_of_weights(8, 0).T
    for n in (1, 2, 4):
        # The expected maximum of n uniform values is n / (n + 1).
        assert float(curves[:, n - 1].mean()) == pytest.approx(n / (n + 1), abs=0.01)


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_kl_formula_bounds_the_divergence_and_is_close_to_it_for_many_answers(n: int) -> None:
    """The best of n answers is the i-th of m equally likely, distinct answers with probability (i/m)^n -
    ((i-1)/m)^n. Beirami et al. 2024, theorem 1: the divergence is at most ln n - (n-1)/n."""
    for m, close in ((3, math.inf), (4000, 0.01)):
        share = torch.linspace(0, 1, m + 1, dtype=torch.float64)
        best = (share**n).diff()
        exact = float(torch.special.xlogy(best, best * m).sum())
        assert exact <= kl_of_best_of(n) + 1e-12
        assert kl_of_best_of(n) - exact < close
