"""Report metrics are compared with manual calculations, brute force and simulations with known parameters."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from tests.training.rlhf.scored_rankings import answered_pairs, said, scored
from training.rlhf.data.rankings import RankingFileError
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.reward_report import RewardReport, report_on, save
from training.rlhf.report.scored import ScoredRankings
from training.rlhf.report.slices import LENGTHS, Slice

# Three annotators ranked responses to two prompts. In Q1, two of three annotators ranked `a` first. In Q2,
# one annotator declared a tie.
ROWS = (
    (said("Q1", ["a", "bb", "ccc"], [[0], [1], [2]], annotator="ann", strength=3, round=0), [2.0, 1.0, 0.0]),
    (said("Q1", ["bb", "a", "ccc"], [[1], [0], [2]], annotator="bob", strength=1, round=0), [1.0, 2.0, 0.0]),
    (said("Q1", ["ccc", "a", "bb"], [[0], [2], [1]], annotator="eve", round=1), [0.0, 2.0, 1.0]),
    (said("Q2", ["yes", "no"], [[0, 1]], annotator="ann", round=1), [0.5, 0.5]),
    (said("Q2", ["no", "maybe"], [[1], [0]], annotator="bob", round=1), [0.5, 0.5]),
)


def slices(report: RewardReport, by: str) -> dict[str, Slice]:
    return {one.of: one for one in report.slices if one.by == by}


def test_accuracy_counts_pairs_with_equal_rewards_as_half_correct() -> None:
    report = report_on(scored(*ROWS))
    # Correctly predicted pairs: 3 from Ann, 3 from Bob and 0 from Eve (ccc > bb > a). The pair "maybe" > "no"
    # has equal rewards and counts as half correct.
    assert report.accuracy.value == pytest.approx((3 + 3 + 0 + 0.5) / 10)
    assert (report.rankings, report.prompts, report.pairs, report.tied_pairs) == (5, 2, 10, 1)
    assert report.ties is None
    assert not report.calibration.ties_counted
    assert report.calibration.pairs == 10


def test_report_has_slices_by_agreement_and_strength_and_length_and_round() -> None:
    report = report_on(scored(*ROWS))
    # In Q1, Ann and Bob agree on each pair (a > bb, a > ccc and bb > ccc). The third annotator, Eve,
    # disagrees.
    agreement = slices(report, "agreement")
    assert {name: (one.pairs, one.accuracy.value) for name, one in agreement.items()} == {
        "most": (9, pytest.approx(6 / 9)),
        "asked_once": (1, 0.5),
    }
    # A strength applies only to pairs of the best tier and the second-best tier. Ann and Bob therefore each
    # have one pair with a strength.
    strength = slices(report, "strength")
    assert {name: (one.pairs, one.accuracy.value) for name, one in strength.items()} == {
        "not_stated": (8, pytest.approx((2 + 2 + 0 + 0.5) / 8)),
        "1": (1, 1.0),
        "3": (1, 1.0),
    }
    # Length ratios: "maybe" to "no" is 2.5, a to bb is 1/2, a to ccc is 1/3, and bb to ccc is 2/3.
    length = slices(report, "length")
    assert {name: one.pairs for name, one in length.items()} == {
        "much_shorter": 4, "shorter": 2, "much_longer": 2 + 1 + 1
    }  # fmt: skip
    assert slices(report, "round")["0"].accuracy.value == 1.0
    assert slices(report, "round")["1"].accuracy.value == pytest.approx(0.5 / 4)
    assert not slices(report, "turns")  # no slices, because all prompts have one turn
    assert [name for name in LENGTHS if name in length] == list(length)


def test_model_is_compared_with_annotators_on_pairs_ranked_more_than_once() -> None:
    people = report_on(scored(*ROWS)).people
    assert people is not None
    # Each of the 9 preferences in Q1 is compared with those of the two other annotators. Each of Ann's and
    # Bob's 6 preferences counts as 0.5, because one of the two other annotators agrees. Each of Eve's 3
    # preferences counts as 0, because neither Ann nor Bob agrees.
    assert (people.pairs, people.prompts) == (9, 1)
    assert people.others.value == pytest.approx(6 * 0.5 / 9)
    assert people.model.value == pytest.approx(6 / 9)
    assert report_on(scored(ROWS[0], ROWS[4])).people is None


def test_length_bias_of_model_and_annotators_is_reported() -> None:
    length = report_on(scored(*ROWS)).length
    assert length is not None
    # Annotators prefer the longer response in 4 of 10 pairs: Eve's 3 pairs, and "maybe" > "no". The model
    # prefers the shorter response in 9 pairs. In the remaining pair, the rewards are tied, so the pair counts
    # as half.
    assert length.pairs == 10
    assert length.by_people.value == pytest.approx(4 / 10)
    assert length.by_model.value == pytest.approx(0.5 / 10)
    assert length.excess.value == pytest.approx(0.05 - 0.4)
    # The correlations cover all responses except the two tied ones, between which there is no preference. The
    # first correlation uses the values themselves, and the second uses their deviations from the ranking's
    # mean.
    lengths = [1, 2, 3] * 3 + [2, 5]
    assert length.correlation.value == pytest.approx(
        stats.spearmanr([2, 1, 0] * 3 + [0.5, 0.5], lengths).statistic
    )
    deviations = [-1, 0, 1] * 3 + [-1.5, 1.5]
    assert length.within_rankings.value == pytest.approx(
        stats.spearmanr([1, 0, -1] * 3 + [0, 0], deviations).statistic
    )


def test_position_bias_is_reported_if_the_display_order_is_known() -> None:
    seen = (
        said("Q1", ["aa", "bb"], [[0], [1]], in_shown_order=True),
        said("Q2", ["aa", "bb"], [[1], [0]], in_shown_order=True),
        said("Q3", ["aa", "bb"], [[0], [1]], in_shown_order=True),
    )
    report = report_on(scored(*zip(seen, ([1.0, 0.0], [2.0, 0.0], [0.0, 1.0]), strict=True)))
    assert report.position is not None
    assert report.position.by_people.value == pytest.approx(2 / 3)
    assert report.position.by_model.value == pytest.approx(2 / 3)
    assert report.position.excess.value == 0
    assert report.length is None  # all responses have the same length
    assert report_on(scored(*ROWS)).position is None


@pytest.mark.parametrize("seed", range(4))
def test_best_of_four_averages_over_sets_of_one_best_and_three_worse_responses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, credits = [], []
    for number in range(12):
        k = int(rng.integers(3, 8))
        rewards = rng.integers(0, 4, size=k).astype(float)  # many rewards are equal
        tier = rng.integers(0, 3, size=k)
        tiers = [np.flatnonzero(tier == t).tolist() for t in range(3) if (tier == t).any()]
        rows.append((said(f"Q{number}", [f"r{i}" for i in range(k)], tiers), rewards.tolist()))
        rest = [i for below in tiers[1:] for i in below]
        sets = [(best, *others) for best in tiers[0] for others in itertools.combinations(rest, 3)]
        if sets:
            tops = [rewards[list(one)] == rewards[list(one)].max() for one in sets]
            credits.append(np.mean([top[0] / top.sum() for top in tops]))
    found = report_on(scored(*rows)).best_of_4
    assert found is not None
    assert (found.rankings, found.chance) == (len(credits), 0.25)
    assert found.accuracy.value == pytest.approx(np.mean(credits))


def test_responses_with_equal_top_rewards_share_the_credit() -> None:
    report = report_on(
        scored(
            # one of the two responses with the top reward is correct
            (said("Q1", ["a", "b", "c"], [[0], [1, 2]]), [1.0, 1.0, 0.0]),
            (said("Q2", ["a", "b", "c"], [[0, 1], [2]]), [1.0, 2.0, 0.0]),
            (said("Q3", ["a", "b"], [[0], [1]]), [0.0, 1.0]),
            (said("Q4", ["a", "b"], [[0, 1]]), [0.0, 1.0]),  # all responses are tied, so none is best
        )
    )
    assert report.top is not None
    assert report.top.accuracy.value == pytest.approx((0.5 + 1 + 0) / 3)
    assert report.top.chance == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert report.best_of_4 is None


def test_unranked_responses_rank_below_all_others_and_are_not_tied() -> None:
    top_two = said("Q1", ["a", "b", "c", "d"], [[0], [1], [2, 3]], rest_unranked=True)
    report = report_on(scored((top_two, [3.0, 2.0, 1.0, 1.0])))
    assert (report.pairs, report.tied_pairs) == (5, 0)
    assert report.accuracy.value == 1.0
    assert report.accuracy.low is None  # a single prompt has no interval


TIES = AnswerLink(ties="rao_kupper", tie_parameter=0.7)


def test_true_probabilities_achieve_the_expected_tie_metrics() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0, 2.0, 3000)
    found = report_on(answered_pairs(differences, TIES, rng), samples=300).ties
    assert found is not None
    probabilities = TIES.probabilities(differences)
    assert found.predicted == pytest.approx(probabilities.tie.mean())
    assert found.tied.low is not None
    assert found.tied.high is not None
    assert found.tied.low <= found.predicted <= found.tied.high
    assert found.gain.low is not None
    assert found.gain.low > 0.02
    assert (found.reliability.ece.value or 0) <= 0.03
    # The expected area under the curve, calculated from the probabilities alone.
    tie, other = probabilities.tie, 1 - probabilities.tie
    order = np.argsort(tie)
    below = np.cumsum(other[order]) - other[order] / 2
    assert found.area_under_curve == pytest.approx(
        float((tie[order] * below).sum() / (tie.sum() * other.sum())), abs=0.03
    )


def test_incorrect_tie_threshold_has_a_negative_gain() -> None:
    rng = np.random.default_rng(1)
    wide = AnswerLink(ties="rao_kupper", tie_parameter=2.5)
    found = report_on(answered_pairs(rng.normal(0, 2.0, 3000), wide, rng, says=TIES), samples=300).ties
    assert found is not None
    assert found.gain.high is not None
    assert found.gain.high < 0
    assert (found.reliability.ece.low or 0) > 0.1


GRADED = AnswerLink(ties="rao_kupper", tie_parameter=0.3, strength_thresholds=((1, 0.3), (2, 1.2), (4, 2.4)))


def strengths_stated(link: AnswerLink, says: AnswerLink, rng: np.random.Generator) -> ScoredRankings:
    """Simulate stated strengths for 2,500 pairs. The reward difference plus logistic noise determines each
    strength."""
    rows = []
    levels = [level for level, _ in says.strength_thresholds]
    edges = [at for _, at in says.strength_thresholds]
    for number, d in enumerate(rng.normal(0, 1.5, 2500)):
        heard = d + rng.logistic()
        place = int(np.searchsorted(edges, abs(heard)))
        tiers = [[0, 1]] if not place else [[0], [1]] if heard > 0 else [[1], [0]]
        rows.append(
            (said(f"Q{number}", ["a", "b"], tiers, strength=levels[place - 1] if place else None), [d, 0.0])
        )
    return scored(*rows, link=link)


def test_strengths_are_calibrated_only_with_the_true_thresholds() -> None:
    rng = np.random.default_rng(2)
    found = report_on(strengths_stated(GRADED, GRADED, rng), samples=300).strengths
    assert found is not None
    assert (found.reliability.ece.value or 1) <= 0.03
    assert found.reliability.ece.value == pytest.approx(found.reliability.ece_if_right, abs=0.01)
    assert [level.level for level in found.levels] == [1, 2, 4]
    for level in found.levels:
        assert level.stated.low is not None
        assert level.stated.high is not None
        assert level.stated.low - 0.01 <= level.predicted <= level.stated.high + 0.01
    assert found.levels[0].stated.value == found.levels[0].predicted == pytest.approx(1.0)

    mean = AnswerLink(
        ties="rao_kupper", tie_parameter=0.3, strength_thresholds=((1, 0.3), (2, 3.0), (5, 4.0))
    )
    off = report_on(strengths_stated(mean, GRADED, rng), samples=300).strengths
    assert off is not None
    assert (off.reliability.ece.low or 0) > 0.05 > 0.03 > off.reliability.ece_if_right
    assert off.not_known > 100  # the model was not trained on level 4


def test_probabilities_are_less_extreme_for_less_reliable_annotators() -> None:
    """The log loss of an incorrect verdict is lower for Bob, who is less reliable than Ann."""
    rows = [(said("Q1", ["a", "b"], [[1], [0]], annotator=who), [3.0, 0.0]) for who in ("ann", "bob")]
    link = AnswerLink(reliabilities={"ann": 0.95, "bob": 0.6}, usual_reliability=0.8)
    costs = [report_on(scored(row, link=link)).calibration.log_loss.value for row in rows]
    right = 1 / (1 + np.exp(-3.0))
    assert costs == pytest.approx(
        [-np.log(0.95 * (1 - right) + 0.05 * right), -np.log(0.6 * (1 - right) + 0.4 * right)]
    )


def test_report_is_saved_with_plots_and_its_scores_are_loaded(tmp_path: Path) -> None:
    held = answered_pairs(np.random.default_rng(3).normal(0, 2, 60), TIES, np.random.default_rng(3))
    report = report_on(held, left_out={"response_too_long": 2}, samples=100)
    kept = json.loads(save(report, tmp_path / "out").read_text())
    assert kept == report.as_json()
    assert kept["accuracy"]["value"] == report.accuracy.value
    assert (kept["best_of_4"], kept["left_out"]) == (None, {"response_too_long": 2})
    plots = sorted(path.name for path in (tmp_path / "out").glob("*.svg"))
    assert plots == ["reliability.svg", "slices.svg", "ties.svg"]
    drawn = ElementTree.parse(tmp_path / "out" / "reliability.svg").getroot()
    dots = [one for one in drawn.iter() if one.tag.endswith("circle")]
    assert len(dots) == len(report.calibration.preference.bins)

    held.save(tmp_path / "held.parquet")
    assert report_on(ScoredRankings.load(tmp_path / "held.parquet"), samples=100) == report_on(
        held, samples=100
    )
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(RankingFileError, match=r"broken.parquet contains no scored rankings"):
        ScoredRankings.load(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((), "none of the 0 rankings contains a preference"),
        (((said("Q", ["a", "b"], [[0, 1]]), [1.0, 0.0]),), "none of the 1 rankings contains a preference"),
        (
            ((said("Q", ["a", "b"], [[0], [1]]), [1.0]),),
            r"has 2 responses, but its rewards have shape \(1,\)",
        ),
        (
            ((said("Q", ["a", "b"], [[0], [1]], ranking_id="r7"), [1.0, np.nan]),),
            "r7 has rewards that are no",
        ),
    ],
)
def test_unusable_scores_are_rejected_with_a_reason(rows: tuple, reason: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=reason):
        report_on(scored(*rows))
