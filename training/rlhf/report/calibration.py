"""Whether chances come true: reliability diagrams, ECE, log loss and Brier score of predicted verdicts.

Which of a pair stands first is nobody's statement (a file may hold the preferred one first throughout), so a
pair counts in both orders: P(i ≻ j) against "i was preferred", and P(j ≻ i) against "j was". Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rlhf.report.answer_link import Chances
from training.rlhf.report.resampling import Estimate, Floats, Ints, PromptBootstrap, mid_ranks

BINS = 10
DRAWS_IF_RIGHT = 100
TINY = (
    1e-300  # a chance below it (rewards some 700 apart) counts as it, so that one pair leaves a finite loss
)

Verdicts = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Bin:
    """Events predicted with a chance from ``low`` to ``high``: how many, the mean chance, and the share of
    them that happened."""

    low: float
    high: float
    events: int
    predicted: float
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """``ece``: the mean over events of |predicted − observed| of their bin (Naeini 2015; Guo 2017, arXiv
    1706.04599 eq. 3), over ten bins of equal width.

    It is above 0 by chance alone, the more so the fewer the pairs: ``ece_if_right`` is its mean over verdicts
    drawn from the very chances predicted, each pair on its own.
    """

    ece: Estimate
    ece_if_right: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of verdicts on pairs. ``ties_counted``: a tie is one of the verdicts predicted, and counts; else tied
    pairs are left out. ``log_loss``: −log of the chance of what was said, in nats per pair; ``brier``: the
    sum over verdicts of (chance − happened)², 0 to 2."""

    ties_counted: bool
    pairs: int
    log_loss: Estimate
    brier: Estimate
    preference: Reliability


def calibration_of(
    chances: Chances,
    verdicts: Verdicts,
    ranking: Ints,
    bootstrap: PromptBootstrap,
    *,
    ties_counted: bool,
    seed: int = 0,
) -> Calibration:
    """``verdicts`` (P,): 1 the first is preferred, −1 the second, 0 a tie; ``ranking`` (P,)."""
    said = said_chance(chances, verdicts)
    happened = np.stack((verdicts == 1, verdicts == -1, verdicts == 0))
    squared = ((np.stack(chances) - happened) ** 2).sum(axis=0)
    predicted, preferred, of = both_orders(chances, verdicts, ranking)
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
            redraw=lambda rng: both_orders(chances, draw_verdicts(chances, rng), ranking)[1],
            seed=seed,
        ),
    )


def both_orders(
    chances: Chances, verdicts: Verdicts, ranking: Ints
) -> tuple[Floats, NDArray[np.bool_], Ints]:
    """(2P,) each: the chance that one is preferred to the other, whether it was, and of which ranking."""
    return (
        np.concatenate((chances.first, chances.second)),
        np.concatenate((verdicts == 1, verdicts == -1)),
        np.concatenate((ranking, ranking)),
    )


def said_chance(chances: Chances, verdicts: Verdicts) -> Floats:
    """(P,) the chance that was given to what was said."""
    return np.select([verdicts == 1, verdicts == -1], [chances.first, chances.second], chances.tie)


def draw_verdicts(chances: Chances, rng: np.random.Generator) -> Verdicts:
    """(P,) verdicts, each pair on its own."""
    u = rng.random(len(chances.first))
    return np.where(u < chances.first, 1, np.where(u < chances.first + chances.second, -1, 0)).astype(np.int8)


def reliability_of(
    predicted: Floats,
    happened: NDArray[np.bool_],
    ranking: Ints,
    bootstrap: PromptBootstrap,
    *,
    redraw: Callable[[np.random.Generator], NDArray[np.bool_]],
    seed: int = 0,
) -> Reliability:
    """Of E events: ``predicted`` chances, whether they ``happened``, the ``ranking`` each is of. ``redraw``
    draws what would happen if the chances were right."""
    place, counts, chances, hits = _binned(predicted, happened, ranking, bootstrap)
    with np.errstate(invalid="ignore", divide="ignore"):
        ece = np.abs(chances - hits).sum(axis=1) / counts.sum(axis=1)
    rng = np.random.default_rng(seed)
    if_right = [
        np.abs(chances[0] - np.bincount(place, weights=redraw(rng), minlength=BINS)).sum() / len(predicted)
        for _ in range(DRAWS_IF_RIGHT if len(predicted) else 0)
    ]
    bins = tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            events=int(counts[0, number]),
            predicted=float(chances[0, number] / counts[0, number]),
            observed=bootstrap.share(happened[place == number], ranking[place == number]),
        )
        for number in range(BINS)
        if counts[0, number] > 0
    )
    return Reliability(bootstrap.estimate(ece, ranking), float(np.mean(if_right)) if if_right else 0.0, bins)


def ece_of_draws(
    predicted: Floats, happened: NDArray[np.bool_], ranking: Ints, bootstrap: PromptBootstrap
) -> Floats:
    """(1 + samples,) the ECE of the data and of each draw of prompts."""
    _, counts, chances, hits = _binned(predicted, happened, ranking, bootstrap)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.abs(chances - hits).sum(axis=1) / counts.sum(axis=1)
    return found


def _binned(
    predicted: Floats, happened: NDArray[np.bool_], ranking: Ints, bootstrap: PromptBootstrap
) -> tuple[Ints, Floats, Floats, Floats]:
    """The bin of each event (E,); and (1 + samples, BINS) each: events, sums of chances, what happened."""
    place = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    counts, chances, hits = (
        bootstrap.totals_by(place, BINS, column, ranking)
        for column in (np.ones(len(predicted)), predicted, happened)
    )
    return place, counts, chances, hits


def area_under_curve(scores: Floats, happened: NDArray[np.bool_]) -> float | None:
    """How often a score of what happened is above one of what did not, equal ones counting half (Mann &
    Whitney 1947); None where all or nothing happened."""
    yes = int(happened.sum())
    no = len(happened) - yes
    if not yes or not no:
        return None
    return float((mid_ranks(scores)[happened].sum() - yes * (yes + 1) / 2) / (yes * no))
