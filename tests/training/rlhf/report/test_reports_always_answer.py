"""For any rewards and answers, reports and comparisons contain only finite numbers and raise no warning."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.rlhf.scored_rankings import said, scored
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.reward_comparison import compare
from training.rlhf.report.reward_report import report_on
from training.rlhf.report.scored import ScoredRankings

pytestmark = pytest.mark.filterwarnings("error")
anything = settings(max_examples=80, deadline=None, derandomize=True)
K = 4

rewards = st.lists(
    st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.1, 40.0, -1000.0, 3e38, -3e38]), min_size=K, max_size=K
)
links = st.builds(
    AnswerLink,
    ties=st.sampled_from(["ignore", "rao_kupper", "davidson"]),
    tie_parameter=st.sampled_from([0.0, 0.5, -900.0, 900.0]).map(abs),
    strength_thresholds=st.sampled_from([(), ((1, 0.0), (2, 1.0)), ((1, 900.0), (3, 1000.0))]),
    position_offsets=st.sampled_from([(), (0.0, -0.5, 2000.0)]),
    reliabilities=st.sampled_from([{}, {"ann": 0.0, "bob": 1.0}, {"ann": 0.5}]),
)


@st.composite
def heldout(draw: st.DrawFn) -> ScoredRankings:
    """Up to eight rankings of one to three prompts, from unanimous to contradictory, with or without ties."""
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        order = draw(st.permutations(range(K)))
        cuts = draw(st.sets(st.integers(1, K - 1)))
        bounds = [0, *sorted(cuts), K]
        tiers = [order[low:high] for low, high in itertools.pairwise(bounds)]
        prompt = f"Q{draw(st.integers(0, 2))}"
        more: dict[str, Any] = {
            "annotator": draw(st.sampled_from(["", "ann", "bob"])),
            "strength": draw(st.sampled_from([None, 1, 2, 9])),
            "in_shown_order": draw(st.booleans()),
        }
        rows.append((said(prompt, ["", "a", "bb", "c" * 50], tiers, **more), draw(rewards)))
    return scored(*rows, link=draw(links))


@anything
@given(heldout())
def test_reports_contain_only_finite_numbers(found: ScoredRankings) -> None:
    if not (found.pairs().verdict != 0).any():
        with pytest.raises(ValueError, match="contains a preference"):
            report_on(found)
        return
    report = report_on(found, samples=30)
    figures = json.loads(json.dumps(report.as_json(), allow_nan=False))
    accuracy = figures["accuracy"]
    assert 0 <= accuracy["value"] <= 1
    if report.prompts > 1 and accuracy["low"] is not None:
        assert 0 <= accuracy["low"] <= accuracy["high"] <= 1
    assert 0 <= figures["calibration"]["preference"]["ece"]["value"] <= 1
    assert np.isfinite(list(report.figures().values())).all()


@anything
@given(heldout(), rewards, links)
def test_comparisons_contain_only_finite_numbers(
    found: ScoredRankings, other: list[float], link: AnswerLink
) -> None:
    second = replace(found, rewards=np.tile(other, (len(found), 1))[:, : found.rewards.shape[1]], link=link)
    if not (found.pairs().verdict != 0).any():
        with pytest.raises(ValueError, match=r"none in common|contain no preference"):
            compare(found, second)
        return
    comparison = compare(found, second, samples=30)
    figures = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert 0 < figures["p_value"] <= 1
    assert 0 <= figures["same_verdict"]["value"] <= 1
    assert compare(found, found, samples=30).difference.value == 0
