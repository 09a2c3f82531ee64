"""The checks of a gate, as pure functions of the figures from runs and reports.

A check fails if its figures were not measured, so missing measurements never let a model pass a gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BETTER_THAN_CHANCE = 0.5
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a model. `value` is the measured figure, or None if it was not measured. The figure's
    interval goes from `low` to `high`; both are None without an interval. `bound` is the limit."""

    name: str
    passed: bool
    detail: str
    value: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def reward_model_checks(
    *,
    report: Mapping[str, Any] | None,
    comparison: Mapping[str, Any] | None,
    incumbent: str,
    max_accuracy_drop: float,
    max_calibration_error: float,
) -> list[Check]:
    """The checks of a new reward model, which must be better than chance and calibrated. If there is a
    current reward model (`incumbent`), the new model's accuracy can be at most `max_accuracy_drop` lower, and
    must not be significantly lower, either overall or in a slice. `report` and `comparison` are the JSON
    forms of RewardReport and RewardComparison (new model first)."""
    if report is None:
        return [
            Check(
                "accuracy",
                False,
                "There are too few held-out rankings with a preference to check the reward model. Collect "
                "more rankings, or raise heldout_fraction in the recipe.",
            )
        ]
    checks = [_accuracy(report["accuracy"]), _calibration(report, max_calibration_error)]
    if incumbent:
        checks.append(_not_worse(comparison, incumbent, max_accuracy_drop))
    if incumbent and comparison is not None:
        checks.append(_no_slice_falls(comparison["slices"], incumbent))
    return checks


def _accuracy(accuracy: Mapping[str, Any]) -> Check:
    value, low = accuracy["value"], accuracy["low"]
    passed = low is not None and low > BETTER_THAN_CHANCE
    if low is None:
        detail = (
            "The accuracy has no confidence interval, because all held-out rankings have the same prompt."
        )
    else:
        verdict = "above" if passed else "not above"
        detail = (
            f"Accuracy {value:.3f} on held-out pairs. The lower end of its 95 % interval, {low:.3f}, is "
            f"{verdict} {BETTER_THAN_CHANCE}, the accuracy of random rewards."
        )
    return Check("accuracy", passed, detail, value, BETTER_THAN_CHANCE, low, accuracy["high"])


def _calibration(report: Mapping[str, Any], bound: float) -> Check:
    error = report["calibration"]["preference"]["ece"]
    value, low = error["value"], error["low"]
    if value is None:
        return Check("calibration", False, "The calibration error could not be measured.", None, bound)
    passed = (value if low is None else low) <= bound
    detail = f"Expected calibration error {value:.3f}; the maximum is {bound:g}."
    if passed and value > bound:
        detail += f" The error is not significantly above the maximum: its interval starts at {low:.3f}."
    return Check("calibration", passed, detail, value, bound, low, error["high"])


def _not_worse(comparison: Mapping[str, Any] | None, incumbent: str, max_drop: float) -> Check:
    name = "accuracy_against_current"
    if comparison is None:
        return Check(
            name,
            False,
            f"The model can't be compared with {incumbent} on the same held-out pairs, because the two "
            "models have no held-out rankings in common, or because the scores of one model were not saved.",
            None,
            -max_drop,
        )
    difference = comparison["difference"]
    value, low, high = difference["value"], difference["low"], difference["high"]
    significant = high is not None and high < 0
    passed = value >= -max_drop and not significant
    detail = (
        f"Difference in accuracy from {incumbent}: {value:+.3f} on {comparison['pairs']} "
        "common held-out pairs"
    )
    if significant:
        detail += ", a significant drop"
    detail = f"{detail}. The maximum drop is {max_drop:g}."
    return Check(name, passed, detail, value, -max_drop, low, high)


def _no_slice_falls(slices: Sequence[Mapping[str, Any]], incumbent: str) -> Check:
    fallen = [one for one in slices if one["difference"]["value"] < 0 and one["p_value"] <= SIGNIFICANT]
    if fallen:
        listed = "; ".join(_in_words(one) for one in fallen)
        detail = f"The accuracy is significantly lower than that of {incumbent} in some slices: {listed}."
    elif slices:
        detail = (
            f"The accuracy is not significantly lower than that of {incumbent} in any of the {len(slices)} "
            "slices."
        )
    else:
        detail = f"No slice has enough common held-out pairs for a comparison with {incumbent}."
    lowest = min((one["difference"]["value"] for one in fallen or slices), default=None)
    return Check("slices", not fallen, detail, lowest, 0.0)


def _in_words(slice: Mapping[str, Any]) -> str:
    name = f"{slice['by']} {slice['of'].replace('_', ' ')}"
    change = f"{slice['difference']['value']:+.3f} on {slice['pairs']} pairs"
    return f"{name} ({change}, corrected p-value {slice['p_value']:.3f})"


@dataclass(frozen=True, slots=True)
class Answering:
    """Figures of a policy's answers to the gate's held-out prompts, from its evaluate run."""

    mean_tokens: float
    repetition_rate: float


def policy_checks(
    *,
    new: Answering,
    current: Answering,
    kl: float | None,
    max_kl: float | None,
    max_length_ratio: float | None,
    max_repetition_increase: float | None,
) -> list[Check]:
    """The automatic checks of a new policy. `kl` is the KL divergence from the starting policy, in nats per
    answer."""
    checks = []
    if max_kl is not None:
        detail = (
            "The run did not measure the KL divergence."
            if kl is None
            else f"KL divergence from the starting policy: {kl:.2f} nats per answer; the maximum is "
            f"{max_kl:g}."
        )
        checks.append(Check("kl", kl is not None and kl <= max_kl, detail, kl, max_kl))
    if max_length_ratio is not None:
        ratio = new.mean_tokens / max(current.mean_tokens, 1.0)
        detail = (
            f"Answers have {new.mean_tokens:.1f} tokens on average, compared with "
            f"{current.mean_tokens:.1f} in production; the maximum ratio is {max_length_ratio:g}."
        )
        checks.append(Check("length", ratio <= max_length_ratio, detail, ratio, max_length_ratio))
    if max_repetition_increase is not None:
        increase = new.repetition_rate - current.repetition_rate
        detail = (
            f"Share of repeated word triples: {new.repetition_rate:.3f}, compared with "
            f"{current.repetition_rate:.3f} in production; the maximum increase is "
            f"{max_repetition_increase:g}."
        )
        passed = increase <= max_repetition_increase
        checks.append(Check("repetition", passed, detail, increase, max_repetition_increase))
    return checks
