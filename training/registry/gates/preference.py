"""Whether new answers are preferred to current ones, according to people or to a judge's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from preferences.statistics.sequential import confidence_sequence

EVEN = 0.5
Verdict = Literal["better", "worse", "open", "undecided"]


@dataclass(frozen=True, slots=True)
class Preference:
    """The win rate of the new policy. A win counts as 1, a tie as ½ and a loss as 0. The confidence interval
    from `low` to `high` is valid after any number of answers. `budget` is the number of answers after which
    the comparison ends."""

    answers: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    low: float
    high: float
    budget: int
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def preference_of(scores: Sequence[float], *, budget: int, level: float, ended: bool = False) -> Preference:
    """Return the state of a comparison after `scores`, each 1, ½ or 0, in the order of the answers.

    The comparison is decided as soon as the interval excludes an even win rate. If the interval still
    includes an even win rate when `ended` is true or the budget is used up, the comparison is undecided.
    """
    used = scores[:budget]
    interval = confidence_sequence(used, level=level)
    verdict: Verdict = "open"
    if interval.low > EVEN:
        verdict = "better"
    elif interval.high < EVEN:
        verdict = "worse"
    elif ended or len(used) >= budget:
        verdict = "undecided"
    return Preference(
        answers=len(used),
        wins=sum(score > EVEN for score in used),
        ties=sum(score == EVEN for score in used),
        losses=sum(score < EVEN for score in used),
        win_rate=interval.mean,
        low=interval.low,
        high=interval.high,
        budget=budget,
        verdict=verdict,
    )


def scores_by_points(new: Mapping[str, float], current: Mapping[str, float]) -> list[float]:
    """The score 1, ½ or 0 for each prompt that is in both mappings. Each mapping contains a judge's points by
    prompt."""
    return [
        1.0 if new[prompt] > current[prompt] else 0.0 if new[prompt] < current[prompt] else EVEN
        for prompt in new
        if prompt in current
    ]
