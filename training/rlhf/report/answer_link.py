"""From scores to verdicts: the probability that a reward model assigns to each verdict on a pair.

The parameters were learned by `answer_model` together with the rewards, and are stored in the model's
``config.json``. Pure NumPy: reading a report needs neither the model nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TIES = ("ignore", "rao_kupper", "davidson")


class VerdictProbabilities(NamedTuple):
    """The probabilities of the three verdicts on each of P pairs: the first response is preferred, the second
    response is preferred, or the pair is tied. Each array has shape (P,). A pair's three probabilities sum
    to 1."""

    first: Floats
    second: Floats
    tie: Floats

    def untied(self) -> VerdictProbabilities:
        """Return the probabilities, given that the pair is not tied."""
        first, second = given_either(self.first, self.second)
        return VerdictProbabilities(first, second, np.zeros_like(self.tie))


@dataclass(frozen=True, slots=True)
class AnswerLink:
    """Converts reward differences to the probabilities of verdicts. Without learned parameters, the model is
    Bradley–Terry: σ(d).

    ``strength_thresholds``: pairs (level, ``a``). If the reward difference is ``a``, that level or a higher
    level has a probability of ½. Any preference has at least the lowest level. ``position_offsets``: the
    effect of each display position on a reward. Positions after the last offset also use that offset.
    ``reliabilities``: the probability that each annotator states their true preference. Annotators without an
    entry have ``usual_reliability``. Raises ValueError for an unknown ``ties``.
    """

    ties: str = "ignore"
    tie_parameter: float = 0.0
    strength_thresholds: tuple[tuple[int, float], ...] = ()
    position_offsets: tuple[float, ...] = ()
    reliabilities: Mapping[str, float] = field(default_factory=dict)
    usual_reliability: float = 1.0

    def __post_init__(self) -> None:
        if self.ties not in TIES:
            raise ValueError(f"ties is {self.ties!r}; it must be one of {', '.join(TIES)}")

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any] | None) -> AnswerLink:
        """Read the ``rankloop`` entry of a model's config.json. A reward model trained with other software
        has no such entry, and its probabilities are Bradley–Terry's."""
        notes = notes or {}
        ties = str(notes.get("ties", "ignore"))
        people = notes.get("annotators") or {}
        thresholds = notes.get("strength_thresholds") or {}
        return cls(
            ties=ties,
            tie_parameter=float(notes.get("tie_parameter", 0.0)) if ties != "ignore" else 0.0,
            strength_thresholds=tuple(sorted((int(level), float(at)) for level, at in thresholds.items())),
            position_offsets=tuple(float(offset) for offset in notes.get("position_offsets") or ()),
            reliabilities={name: float(one["reliability"]) for name, one in people.items()},
            usual_reliability=float(notes.get("usual_reliability", 1.0)) if people else 1.0,
        )

    def probabilities(self, difference: Floats, reliability: Floats | float = 1.0) -> VerdictProbabilities:
        """Return the probability of each verdict on P pairs. ``difference`` (P,) contains the reward
        differences r_i − r_j, including position effects.

        Without ties, the probabilities are σ(d), σ(−d) and 0. In the Rao–Kupper model (1967), they are
        σ(d − h), σ(−d − h) and 1 minus their sum. In the Davidson model (1970), they are e^{d/2}, e^{−d/2}
        and ν, each divided by the sum of all three. CrowdBT: an annotator of reliability η states the true
        verdict with probability η, and the reverse verdict with probability 1 − η. The reverse of a tie is a
        tie. The parameters are learned with the same formulas, in `losses`.
        """
        d = np.asarray(difference, dtype=np.float64)
        if self.ties == "davidson":
            logs = np.stack((d / 2, -d / 2, np.full_like(d, self.tie_parameter)))
            parts = np.exp(logs - logs.max(axis=0))
            first, second, tie = parts / parts.sum(axis=0)
        else:
            band = self._band()
            first, second = sigmoid(d - band), sigmoid(-d - band)
            # Computed as a product. Subtracting the other two probabilities from 1 would lose precision if
            # one response is nearly certain to be preferred. The factor e^{2h} can overflow, so its logarithm
            # is added instead.
            tie = np.zeros_like(d)
            if self.ties == "rao_kupper":
                tie = np.exp(log_sigmoid(d - band) + log_sigmoid(-d - band) + 2 * band) * -np.expm1(-2 * band)
        eta = np.asarray(reliability, dtype=np.float64)
        return VerdictProbabilities(eta * first + (1 - eta) * second, eta * second + (1 - eta) * first, tie)

    def at_least(self, difference: Floats, reliability: Floats | float = 1.0) -> Floats:
        """For each pair and strength level, return the probability that the first response is preferred with
        at least this level. The differences have shape (P,), and the result has shape (P, L).

        The formula is σ(d − a_s) (cumulative logits; see `losses.cumulative_strength`). Levels are in
        ascending order.
        """
        d = np.asarray(difference, dtype=np.float64)[:, None]
        at = np.array([threshold for _, threshold in self.strength_thresholds])
        eta = np.broadcast_to(np.asarray(reliability, dtype=np.float64), d.shape[:1])[:, None]
        found: Floats = eta * sigmoid(d - at) + (1 - eta) * sigmoid(-d - at)
        return found

    def offset_of(self, place: NDArray[np.int64]) -> Floats:
        """Return the effect of each display position on a reward; 0 if no offsets were learned."""
        if not self.position_offsets:
            return np.zeros(place.shape)
        offsets = np.array(self.position_offsets)
        return np.asarray(offsets[np.minimum(place, len(offsets) - 1)], dtype=np.float64)

    def reliability_of(self, annotators: Sequence[str]) -> Floats:
        """Return the probability that each annotator states their true preference, with shape (N,)."""
        return np.array([self.reliabilities.get(name, self.usual_reliability) for name in annotators])

    def _band(self) -> float:
        """Return half the width of the band of reward differences in which ties are expected. Only Rao &
        Kupper's tie model has such a band. For other tie models, the result is 0."""
        if self.ties != "rao_kupper":
            return 0.0
        return self.strength_thresholds[0][1] if self.strength_thresholds else self.tie_parameter


def given_either(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Divide two probabilities by their sum. If both underflow to 0, both results are ½."""
    either = first + second
    return (
        np.divide(first, either, out=np.full_like(either, 0.5), where=either > 0),
        np.divide(second, either, out=np.full_like(either, 0.5), where=either > 0),
    )


def log_sigmoid(x: Floats) -> Floats:
    return np.asarray(np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x))))


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + e^{−x}) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))
