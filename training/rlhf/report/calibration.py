"""Calibration of predicted verdicts: reliability diagrams, ECE, log loss and Brier score.

The order within a pair is arbitrary. For example, a file might always list the preferred response first. Each
pair is therefore counted in both orders: P(i ≻ j) is compared with "i was preferred", and P(j ≻ i) with "j
was preferred". Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rlhf.report.answer_link import VerdictProbabilities
from training.rlhf.report.resampling import Estimate, Floats, Ints, PromptBootstrap, mid_ranks

BINS = 10
DRAWS_IF_RIGHT = 100
# The lower bound on a probability, reached at a reward difference of about 690, keeps every loss finite.
TINY = 1e-300

Verdicts = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Bin:
    """Events with a predicted probability from ``low`` to ``high``: their number, their mean probability, and
    the share that occurred."""

    low: float
    high: float
    events: int
    predicted: float
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability of predictions. ``ece`` is the mean of |predicted − observed| over events, where both
    figures are those of the event's bin. There are ten bins of equal width (Naeini 2015; Guo 2017, arXiv
    1706.04599 eq. 3).

    Sampling error alone makes ECE positive, especially with few pairs. ``ece_if_right`` is the ECE that would
    be expected if the predicted probabilities were correct. This figure is the mean ECE over simulated
    verdicts, which are drawn from the predicted probabilities independently for each pair.
    """

    ece: Estimate
    ece_if_right: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of verdicts on pairs.

    ``ties_counted``: whether the model predicts ties. If the model does not predict ties, tied pairs are left
    out. ``log_loss``: −log of the probability of the stated verdict, in nats per pair. ``brier``:
    (probability − occurred)², summed over the verdicts; from 0 to 2.
    """

    ties_counted: bool
    pairs: int
    log_loss: Estimate
    brier: Estimate
    preference: Reliability


def calibration_of(
    probabilities: VerdictProbabilities,
    verdicts: Verdicts,
    ranking: Ints,
    bootstrap: PromptBootstrap,
    *,
    ties_counted: bool,
    seed: int = 0,
) -> Calibration:
    """Return the calibration on P pairs.

    ``verdicts`` has shape (P,): 1 if the first response is preferred, −1 if the second is preferred, and 0
    for a tie. ``ranking``, with shape (P,), contains the index of the ranking that each pair comes from.
    """
    said = stated_probability(probabilities, verdicts)
    happened = np.stack((verdicts == 1, verdicts == -1, verdicts == 0))
    squared = ((np.stack(probabilities) - happened) ** 2).sum(axis=0)
    predicted, preferred, of = both_orders(probabilities, verdicts, ranking)
    return Calibration(
        ties_counted=ties_counted,
        pairs=len(verdicts),
        log_loss=bootstrap.mean(-np.log(np.maximum(said, TINY)), ranking),
        brier=bootstrap.mean(squared, ranking),
        preference=reliability_of(
            predicted,
            preferred,
            of,
            bootstrap,
            redraw=lambda rng: both_orders(probabilities, draw_verdicts(probabilities, rng), ranking)[1],
            seed=seed,
        ),
    )


def both_orders(
    probabilities: VerdictProbabilities, verdicts: Verdicts, ranking: Ints
) -> tuple[Floats, NDArray[np.bool_], Ints]:
    """Return each pair in both orders, as three arrays with shape (2P,).

    The arrays contain the probability that the first response is preferred, whether that response was
    preferred, and the index of the ranking that the pair comes from.
    """
    return (
        np.concatenate((probabilities.first, probabilities.second)),
        np.concatenate((verdicts == 1, verdicts == -1)),
        np.concatenate((ranking, ranking)),
    )


def stated_probability(probabilities: VerdictProbabilities, verdicts: Verdicts) -> Floats:
    """Return the predicted probability of the stated verdict, with shape (P,)."""
    return np.select(
        [verdicts == 1, verdicts == -1], [probabilities.first, probabilities.second], probabilities.tie
    )


def draw_verdicts(probabilities: VerdictProbabilities, rng: np.random.Generator) -> Verdicts:
    """Draw a verdict for each of the P pairs, independently of the other pairs."""
    u = rng.random(len(probabilities.first))
    return np.where(
        u < probabilities.first, 1, np.where(u < probabilities.first + probabilities.second, -1, 0)
    ).astype(np.int8)


def reliability_of(
    predicted: Floats,
    happened: NDArray[np.bool_],
    ranking: Ints,
    bootstrap: PromptBootstrap,
    *,
    redraw: Callable[[np.random.Generator], NDArray[np.bool_]],
    seed: int = 0,
) -> Reliability:
    """Return the reliability of E events, given their ``predicted`` probabilities, whether they ``happened``,
    and the index of the ``ranking`` that each event comes from. ``redraw`` draws outcomes from the predicted
    probabilities."""
    place, counts, probabilities, hits = _binned(predicted, happened, ranking, bootstrap)
    with np.errstate(invalid="ignore", divide="ignore"):
        ece = np.abs(probabilities - hits).sum(axis=1) / counts.sum(axis=1)
    rng = np.random.default_rng(seed)
    if_right = [
        np.abs(probabilities[0] - np.bincount(place, weights=redraw(rng), minlength=BINS)).sum()
        / len(predicted)
        for _ in range(DRAWS_IF_RIGHT if len(predicted) else 0)
    ]
    bins = tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            events=int(counts[0, number]),
            predicted=float(probabilities[0, number] / counts[0, number]),
            observed=bootstrap.share(happened[place == number], ranking[place == number]),
        )
        for number in range(BINS)
        if counts[0, number] > 0
    )
    return Reliability(bootstrap.estimate(ece, ranking), float(np.mean(if_right)) if if_right else 0.0, bins)


def ece_of_draws(
    predicted: Floats, happened: NDArray[np.bool_], ranking: Ints, bootstrap: PromptBootstrap
) -> Floats:
    """Return the ECE of the data and of each bootstrap draw, with shape (1 + samples,)."""
    _, counts, probabilities, hits = _binned(predicted, happened, ranking, bootstrap)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.abs(probabilities - hits).sum(axis=1) / counts.sum(axis=1)
    return found


def _binned(
    predicted: Floats, happened: NDArray[np.bool_], ranking: Ints, bootstrap: PromptBootstrap
) -> tuple[Ints, Floats, Floats, Floats]:
    """Return each event's bin, with shape (E,), and three arrays with shape (1 + samples, BINS).

    The three arrays contain each bin's number of events, sum of probabilities and sum of outcomes.
    """
    place = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    counts, probabilities, hits = (
        bootstrap.totals_by(place, BINS, column, ranking)
        for column in (np.ones(len(predicted)), predicted, happened)
    )
    return place, counts, probabilities, hits


def area_under_curve(scores: Floats, happened: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve: the probability that an event that happened has a higher score
    than an event that did not happen. Equal scores count as one half.

    Source: Mann & Whitney 1947. Returns None if all events happened or none did.
    """
    yes = int(happened.sum())
    no = len(happened) - yes
    if not yes or not no:
        return None
    return float((mid_ranks(scores)[happened].sum() - yes * (yes + 1) / 2) / (yes * no))
