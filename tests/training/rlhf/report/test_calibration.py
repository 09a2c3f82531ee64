"""Calibration is compared with manual calculations, scikit-learn and simulations with known probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tests.training.rlhf.scored_rankings import answered_pairs
from training.rlhf.report.answer_link import AnswerLink, VerdictProbabilities
from training.rlhf.report.calibration import Calibration, area_under_curve, calibration_of
from training.rlhf.report.resampling import PromptBootstrap
from training.rlhf.report.scored import ScoredRankings


def of(scored: ScoredRankings, *, ties_counted: bool = False) -> Calibration:
    pairs = scored.pairs()
    judged = pairs if ties_counted else pairs.where(pairs.verdict != 0)
    return calibration_of(
        scored.probabilities(judged),
        judged.verdict,
        judged.ranking,
        PromptBootstrap(scored.prompts, samples=200),
        ties_counted=ties_counted,
    )


def test_calibration_matches_a_manual_calculation() -> None:
    """Pairs with probabilities .85, .85, .85 and .65. The first response wins two of the three pairs
    predicted at .85, and the only pair predicted at .65.

    Each pair is counted in both orders, so there are eight predictions. The first response wins 2 of 3 pairs
    at .85, 1 of 3 at .15, 1 of 1 at .65 and 0 of 1 at .35.
    """
    first = np.array([0.85, 0.85, 0.85, 0.65])
    verdicts = np.array([1, 1, -1, 1], dtype=np.int8)
    ranking = np.arange(4)
    found = calibration_of(
        VerdictProbabilities(first, 1 - first, first * 0),
        verdicts,
        ranking,
        PromptBootstrap(["a", "b", "c", "d"]),
        ties_counted=False,
    )
    gap = 0.85 - 2 / 3
    assert found.preference.ece.value == pytest.approx((3 * gap + 3 * gap + 0.35 + 0.35) / 8)
    assert [(b.low, b.events, b.observed.value) for b in found.preference.bins] == [
        (0.1, 3, pytest.approx(1 / 3)),
        (0.3, 1, 0.0),
        (0.6, 1, 1.0),
        (0.8, 3, pytest.approx(2 / 3)),
    ]
    assert found.log_loss.value == pytest.approx(-(2 * np.log(0.85) + np.log(0.15) + np.log(0.65)) / 4)
    assert found.brier.value == pytest.approx(2 * (2 * 0.15**2 + 0.85**2 + 0.35**2) / 4)


def test_calibration_matches_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scored = answered_pairs(rng.normal(0, 1.5, 800), AnswerLink(), rng)
    found = of(scored)
    pairs = scored.pairs()
    probabilities = scored.probabilities(pairs)
    predicted = np.concatenate((probabilities.first, probabilities.second))
    happened = np.concatenate((pairs.verdict == 1, pairs.verdict == -1))
    observed, mean = calibration_curve(happened, predicted, n_bins=10, strategy="uniform")
    assert [b.observed.value for b in found.preference.bins] == pytest.approx(observed.tolist())
    assert [b.predicted for b in found.preference.bins] == pytest.approx(mean.tolist())
    counts = np.histogram(predicted, bins=10, range=(0, 1))[0]
    assert found.preference.ece.value == pytest.approx(
        float((counts[counts > 0] * np.abs(observed - mean)).sum() / counts.sum())
    )
    assert found.log_loss.value == pytest.approx(log_loss(pairs.verdict == 1, probabilities.first))
    assert found.brier.value == pytest.approx(2 * brier_score_loss(pairs.verdict == 1, probabilities.first))
    assert area_under_curve(predicted.round(1), happened) == pytest.approx(
        roc_auc_score(happened, predicted.round(1))
    )
    assert area_under_curve(predicted, happened | True) is None


TIES = AnswerLink(ties="rao_kupper", tie_parameter=0.6)


@pytest.mark.parametrize("link", [AnswerLink(), TIES, AnswerLink(ties="davidson", tie_parameter=-0.2)])
def test_ece_of_true_probabilities_does_not_exceed_its_expectation(link: AnswerLink) -> None:
    rng = np.random.default_rng(1)
    found = of(answered_pairs(rng.normal(0, 1.5, 4000), link, rng), ties_counted=link.ties != "ignore")
    ece = found.preference.ece.value or 0
    assert ece <= 0.03
    assert ece == pytest.approx(found.preference.ece_if_right, abs=0.006)
    inside = [b.observed.low <= b.predicted <= b.observed.high for b in found.preference.bins]  # type: ignore[operator]
    assert sum(inside) >= len(inside) - 2


@pytest.mark.parametrize("stretch", [0.4, 2.5])
def test_rewards_in_the_correct_order_but_on_the_wrong_scale_are_miscalibrated(stretch: float) -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(0, 1.5, 4000)
    right, wrong = answered_pairs(true, AnswerLink(), rng), None
    pairs = right.pairs()
    wrong = calibration_of(
        AnswerLink().probabilities(pairs.difference * stretch),
        pairs.verdict,
        pairs.ranking,
        PromptBootstrap(right.prompts, samples=200),
        ties_counted=False,
    )
    assert wrong.preference.ece.low is not None
    assert wrong.preference.ece.low > 0.08 > 0.03 > wrong.preference.ece_if_right
    top = wrong.preference.bins[-1]
    assert top.observed.value is not None
    assert (top.observed.value < top.predicted) == (stretch > 1)  # overconfident if the rewards are stretched
    assert (wrong.log_loss.value or 0) > (of(right).log_loss.value or 0)


def test_model_without_ties_is_miscalibrated_if_annotators_declare_ties() -> None:
    """If ties are counted, the predicted preference probabilities are too high by the proportion of ties."""
    rng = np.random.default_rng(3)
    scored = answered_pairs(rng.normal(0, 1.0, 3000), AnswerLink(), rng, says=TIES)
    assert (of(scored, ties_counted=True).preference.ece.value or 0) > 0.1
    assert (of(scored).preference.ece.value or 1) < 0.06
