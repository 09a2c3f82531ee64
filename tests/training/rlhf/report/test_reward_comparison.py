"""Two reward models are compared on the same pairs with an exact sign-flip test over prompts. Rankings are
matched by content.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from tests.training.rlhf.scored_rankings import answered_pairs, said, scored
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.reward_comparison import compare, holm, sign_flip_p
from training.rlhf.report.scored import ScoredRankings

PAIR = [said(f"Q{number}", ["a", "b"], [[0], [1]]) for number in range(40)]


def judged(right: list[bool]) -> ScoredRankings:
    """Scored rankings with one pair per prompt; `right` specifies the pairs that the model judges
    correctly."""
    return scored(
        *((ranking, [1.0, 0.0] if ok else [0.0, 1.0]) for ranking, ok in zip(PAIR, right, strict=False))
    )


def test_comparison_with_one_pair_per_prompt_equals_the_exact_mcnemar_test() -> None:
    first = judged([True] * 9 + [False] * 2 + [True] * 5 + [False] * 3)
    second = judged([False] * 9 + [True] * 2 + [True] * 5 + [False] * 3)
    found = compare(first, second)
    assert (found.only_first, found.only_second, found.pairs) == (9, 2, 19)
    assert found.p_value == pytest.approx(stats.binomtest(9, 11).pvalue)
    assert found.difference.value == pytest.approx(7 / 19)
    assert found.same_verdict.value == pytest.approx(8 / 19)
    assert compare(second, first).p_value == found.p_value


def test_sampled_p_value_agrees_with_the_exact_test() -> None:
    assert sign_flip_p(np.array([1.0] * 26 + [-1.0] * 12)) == pytest.approx(
        stats.binomtest(26, 38).pvalue, abs=0.01
    )
    assert sign_flip_p(np.zeros(5)) == 1.0
    assert sign_flip_p(np.ones(200)) == pytest.approx(1 / 10_001)  # a sampled p-value is never 0


def test_correlated_pairs_do_not_inflate_significance() -> None:
    """Compare two equally good models. For each prompt, one model orders all 10 pairs correctly and the other
    orders them all incorrectly.

    A valid significance test reports a difference in about 5% of the comparisons. A test that treats the 200
    pairs as independent reports a difference in most comparisons.
    """
    rng = np.random.default_rng(0)
    false, naive, runs = 0, 0, 120
    for _ in range(runs):
        lead = rng.choice([-1.0, 1.0], size=20) * 10  # the sign shows which model judges the prompt correctly
        false += sign_flip_p(lead, seed=1) <= 0.05
        won = int((lead > 0).sum()) * 10
        naive += stats.binomtest(won, 200).pvalue <= 0.05
    assert false / runs <= 0.10
    assert naive / runs > 0.3


def test_paired_difference_has_a_narrower_interval_than_an_unpaired_difference() -> None:
    """The same pairs are difficult for both models, so their errors are correlated."""
    rng = np.random.default_rng(1)
    true = rng.normal(0, 1.0, 3000)
    good = answered_pairs(true, AnswerLink(), rng)
    worse = dataclasses.replace(
        good, rewards=good.rewards + np.column_stack((rng.normal(0, 0.4, 3000), np.zeros(3000)))
    )
    found = compare(good, worse)
    widths = [(one.high or 0) - (one.low or 0) for one in (found.first, found.second, found.difference)]
    assert widths[2] < 0.65 * np.hypot(*widths[:2])
    assert (found.difference.value or 0) > 0
    assert found.p_value < 0.05
    assert (found.log_loss.low or 0) > 0  # the first model also has the better log loss
    assert found.difference.value == pytest.approx((found.first.value or 0) - (found.second.value or 0))


def test_better_calibrated_model_is_identified() -> None:
    rng = np.random.default_rng(2)
    right = answered_pairs(rng.normal(0, 1.5, 1500), AnswerLink(), rng)
    loud = dataclasses.replace(right, rewards=right.rewards * 3)
    found = compare(right, loud)
    assert (found.difference.value, found.p_value, found.same_verdict.value) == (0, 1.0, 1.0)
    assert (found.ece.low or 0) > 0.05
    assert (found.log_loss.low or 0) > 0


def test_identical_rankings_are_matched() -> None:
    everything = judged([True] * 20)
    shuffled = everything.at([5, 3, 19, 0])
    found = compare(everything, dataclasses.replace(shuffled, rewards=-shuffled.rewards))
    assert (found.rankings, found.only_first, found.only_second) == (4, 4, 0)
    again = scored((PAIR[0], [1.0, 0.0]), (PAIR[0], [0.0, 1.0]))  # the same ranking twice
    assert (compare(again, again).rankings, compare(again, again).p_value) == (2, 1.0)


def test_rankings_with_different_content_are_not_matched() -> None:
    other = [
        said("Q0", ["a", "b"], [[1], [0]]),
        said("Q0", ["a", "c"], [[0], [1]]),
        said("Q0", ["a", "b"], [[0], [1]], annotator="ann"),
        said("Q0", ["a", "b"], [[0], [1]], strength=2),
    ]
    for ranking in other:
        with pytest.raises(ValueError, match="1 and 1 rankings, but have none in common"):
            compare(judged([True]), scored((ranking, [1.0, 0.0])))
    tied = scored((said("Q", ["a", "b"], [[0, 1]]), [1.0, 0.0]))
    with pytest.raises(ValueError, match="contain no preference"):
        compare(tied, tied)


def test_models_with_and_without_ties_are_compared_on_preferences() -> None:
    """Conditional on a preference, the Rao–Kupper probabilities are slightly more extreme than the
    Bradley–Terry probabilities. With a tie threshold near zero, both models give almost equal
    probabilities."""
    rng = np.random.default_rng(3)
    narrow = AnswerLink(ties="rao_kupper", tie_parameter=1e-6)
    plain = answered_pairs(rng.normal(0, 1.5, 200), AnswerLink(), rng)
    found = compare(plain, dataclasses.replace(plain, link=narrow))
    assert found.log_loss.value == pytest.approx(0, abs=1e-5)
    assert found.ece.value == pytest.approx(0, abs=1e-5)


def test_p_values_are_adjusted_by_the_holm_procedure() -> None:
    """The example is computed by hand: 4 × 0.01, 3 × 0.02, then 2 × 0.03, and 0.04 is raised to 0.06."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_slice_in_which_a_model_falls_is_found_although_the_accuracies_are_equal_overall() -> None:
    """Of 30 pairs from each source, the first model gains 14 from one source and loses 14 from the other."""
    rankings = [
        said(f"Q{number}", ["a", "b"], [[0], [1]], source="api" if number % 2 else "browser")
        for number in range(60)
    ]
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    gained = [number < 28 and number % 2 == 0 for number in range(60)]
    lost = [number < 28 and number % 2 == 1 for number in range(60)]
    first = scored(*((one, wrong if gone else right) for one, gone in zip(rankings, lost, strict=True)))
    second = scored(*((one, wrong if gone else right) for one, gone in zip(rankings, gained, strict=True)))
    found = compare(first, second)
    assert (found.difference.value, found.p_value) == (0.0, 1.0)
    assert [(one.by, one.of, one.pairs, one.prompts) for one in found.slices] == [
        ("source", "api", 30, 30),
        ("source", "browser", 30, 30),
    ]
    api, browser = found.slices
    assert (api.difference.value, browser.difference.value) == pytest.approx((-14 / 30, 14 / 30))
    # Each slice has 14 non-zero differences of one sign, and the correction is for two slices.
    exact = 2 * stats.binomtest(14, 14).pvalue
    assert api.p_value == pytest.approx(exact, abs=4e-4)


def test_slices_with_few_prompts_are_not_compared() -> None:
    assert compare(judged([True] * 9), judged([False] * 9)).slices == ()
