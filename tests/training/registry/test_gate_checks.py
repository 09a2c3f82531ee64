"""The outcome of each check of a gate changes at the check's bound. A check never passes if its figure is
missing."""

from __future__ import annotations

from typing import Any

import pytest

from training.registry.gates.checks import Answering, policy_checks, reward_model_checks
from training.registry.gates.preference import preference_of, scores_by_points


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def report(accuracy: dict[str, Any], ece: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": accuracy, "calibration": {"preference": {"ece": ece}}}


def verdicts(
    comparison: dict[str, Any] | None = None, *, of: dict[str, Any] | None, incumbent: str = ""
) -> Any:
    checks = reward_model_checks(
        report=of,
        comparison=comparison,
        incumbent=incumbent,
        max_accuracy_drop=0.05,
        max_calibration_error=0.2,
    )
    return {check.name: check.passed for check in checks}


GOOD = report(estimate(0.8, 0.7, 0.9), estimate(0.1, 0.05, 0.15))


@pytest.mark.parametrize(
    ("accuracy", "passed"),
    [
        (estimate(0.6, 0.51, 0.7), True),
        (estimate(0.6, 0.5, 0.7), False),
        (estimate(0.9), False),  # one prompt: no interval
    ],
)
def test_reward_model_must_be_better_than_chance(accuracy: dict[str, Any], passed: bool) -> None:
    assert verdicts(of=report(accuracy, estimate(0.1, 0.0, 0.2)))["accuracy"] is passed


@pytest.mark.parametrize(
    ("ece", "passed"),
    [
        (estimate(0.2, 0.1, 0.3), True),
        (estimate(0.3, 0.19, 0.4), True),  # not significantly above the maximum
        (estimate(0.3, 0.21, 0.4), False),
        (estimate(None), False),
    ],
)
def test_calibration_check_fails_only_if_calibration_is_significantly_bad(
    ece: dict[str, Any], passed: bool
) -> None:
    assert verdicts(of=report(estimate(0.8, 0.7, 0.9), ece))["calibration"] is passed


@pytest.mark.parametrize(
    ("difference", "passed"),
    [
        (estimate(0.02, -0.03, 0.07), True),
        (estimate(-0.05, -0.12, 0.02), True),
        (estimate(-0.06, -0.14, 0.02), False),  # the drop is larger than the maximum
        (estimate(-0.03, -0.05, -0.01), False),  # the drop is small but significant
    ],
)
def test_reward_model_must_not_be_worse_than_the_current_one(
    difference: dict[str, Any], passed: bool
) -> None:
    found = verdicts({"difference": difference, "pairs": 200, "slices": []}, of=GOOD, incumbent="rm-1")
    assert found["accuracy_against_current"] is passed


@pytest.mark.parametrize(
    ("change", "p_value", "passed"),
    [(-0.2, 0.05, False), (-0.2, 0.051, True), (0.2, 0.001, True)],
)
def test_reward_model_must_not_fall_significantly_in_any_slice(
    change: float, p_value: float, passed: bool
) -> None:
    fine = {"by": "turns", "of": "1", "pairs": 90, "difference": estimate(0.1, 0.0, 0.2), "p_value": 0.04}
    other = {
        "by": "length",
        "of": "much_longer",
        "pairs": 41,
        "difference": estimate(change),
        "p_value": p_value,
    }
    checks = reward_model_checks(
        report=GOOD,
        comparison={"difference": estimate(0.02, -0.03, 0.07), "pairs": 200, "slices": [fine, other]},
        incumbent="rm-1",
        max_accuracy_drop=0.05,
        max_calibration_error=0.2,
    )
    [check] = [check for check in checks if check.name == "slices"]
    assert check.passed is passed
    assert ("length much longer (-0.200 on 41 pairs, corrected p-value 0.050)" in check.detail) is not passed


def test_missing_figures_fail_the_gate() -> None:
    assert verdicts(of=None) == {"accuracy": False}
    assert verdicts(None, of=GOOD, incumbent="rm-1")["accuracy_against_current"] is False


def test_policy_checks_pass_at_their_bounds_and_fail_beyond_them() -> None:
    def found(kl: float | None, tokens: float, repetition: float) -> list[bool]:
        checks = policy_checks(
            new=Answering(tokens, repetition),
            current=Answering(50.0, 0.1),
            kl=kl,
            max_kl=20.0,
            max_length_ratio=2.0,
            max_repetition_increase=0.25,
        )
        return [check.passed for check in checks]

    assert found(20.0, 100.0, 0.35) == [True, True, True]
    assert found(20.1, 100.1, 0.36) == [False, False, False]
    assert found(None, 50.0, 0.1) == [False, True, True]


def test_comparison_is_decided_as_soon_as_its_interval_excludes_one_half() -> None:
    assert preference_of([1.0] * 4, budget=40, level=0.95).verdict == "open"
    better = preference_of([1.0] * 20, budget=40, level=0.95)
    assert (better.verdict, better.wins, better.win_rate) == ("better", 20, 1.0)
    assert preference_of([0.0] * 20, budget=40, level=0.95).verdict == "worse"
    even = [1.0, 0.0, 0.5, 0.5] * 10
    assert preference_of(even, budget=41, level=0.95).verdict == "open"
    assert preference_of(even, budget=40, level=0.95).verdict == "undecided"
    assert preference_of([], budget=40, level=0.95, ended=True).verdict == "undecided"


def test_answers_beyond_the_budget_do_not_count() -> None:
    assert preference_of([0.5] * 10 + [1.0] * 90, budget=10, level=0.95).answers == 10


def test_policies_are_compared_only_on_prompts_that_both_answered() -> None:
    assert scores_by_points({"a": 2.0, "b": 1.0, "c": 0.0, "d": 9.0}, {"a": 1.0, "b": 1.0, "c": 3.0}) == [
        1.0,
        0.5,
        0.0,
    ]
