"""Report a reward model's quality as JSON and plots, computed from its scores for held-out rankings.

    from training.rlhf.data.files import read_rankings
    from training.rlhf.data.rankings import split_by_prompt
    from training.rlhf.reward.heldout import score_rankings
    from training.rlhf.report.reward_report import report_on, save

    _, heldout = split_by_prompt(read_rankings("rankings.jsonl"), heldout_fraction=0.1)
    scored, left_out = score_rankings("models/rm", heldout)
    save(report_on(scored, left_out=left_out), "out")

Accuracy is the share of pairs with a preference in which the preferred response has the higher reward. Each
pair counts once, and a pair with equal rewards counts as half correct. Intervals are 95 % confidence
intervals over whole prompts (`resampling`). Probabilities are the model's own predictions (`answer_link`).
Pure NumPy: the input consists of scores, not models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.rlhf.report.answer_link import VerdictProbabilities
from training.rlhf.report.bias import Bias, bias_towards, position_bias
from training.rlhf.report.calibration import (
    TINY,
    Calibration,
    Reliability,
    area_under_curve,
    calibration_of,
    draw_verdicts,
    reliability_of,
)
from training.rlhf.report.resampling import SAMPLES, Estimate, Floats, Ints, PromptBootstrap
from training.rlhf.report.scored import Pairs, ScoredRankings
from training.rlhf.report.slices import People, Slice, pair_statements, people_of, slices_of
from training.rlhf.report.svg import reliability_svg, slices_svg

VERSION = 1
JSON_NAME = "report.json"
SET_SIZE = 4  # responses per set in RewardBench 2: one correct, three incorrect


@dataclass(frozen=True, slots=True)
class TiePrediction:
    """Predictions of ties over all pairs: the share of tied pairs, and the mean predicted probability of a
    tie.

    ``area_under_curve``: how often a tied pair has a higher predicted tie probability than an untied pair
    (½ for random predictions). ``gain``: the log loss of a constant prediction minus the model's log loss,
    in nats per pair. The constant prediction is the share of tied pairs. If the gain is negative, the model
    is worse than this prediction.
    """

    pairs: int
    tied: Estimate
    predicted: float
    area_under_curve: float | None
    gain: Estimate
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class Level:
    """The share of pairs with at least this strength level, among the pairs with a stated strength. The
    predicted share is the mean predicted probability."""

    level: int
    stated: Estimate
    predicted: float


@dataclass(frozen=True, slots=True)
class StrengthPrediction:
    """Predictions of the strength, given that one response is preferred: P(this level or a higher one).

    ``not_known``: the number of pairs whose level does not occur in the training set. For each such pair, the
    next lower known level is used.
    """

    pairs: int
    not_known: int
    levels: tuple[Level, ...]
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class TopOfSet:
    """How often the best response has the highest reward in a set of responses.

    Sets contain ``size`` responses. If ``size`` is None, each set is an entire ranking. ``chance`` is the
    share expected for random rewards.
    """

    size: int | None
    rankings: int
    accuracy: Estimate
    chance: float


@dataclass(frozen=True, slots=True)
class RewardReport:
    """How well a reward model predicts held-out rankings.

    A figure is None if the rankings do not support it. For example, ``people`` needs repeated pairs,
    ``position`` needs a known display order, and ``best_of_4`` needs four responses. ``ties`` and
    ``strengths`` are also None if the model did not learn them. ``left_out``: the number of unscored rankings
    by reason.
    """

    rankings: int
    prompts: int
    pairs: int
    tied_pairs: int
    accuracy: Estimate
    top: TopOfSet | None
    best_of_4: TopOfSet | None
    people: People | None
    calibration: Calibration
    ties: TiePrediction | None
    strengths: StrengthPrediction | None
    length: Bias | None
    position: Bias | None
    slices: tuple[Slice, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    samples: int = SAMPLES
    version: int = VERSION

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON; None becomes null."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return found

    def figures(self) -> dict[str, float]:
        """Return the figures that are also stored as the model's metrics."""
        named = {
            "heldout/ece": self.calibration.preference.ece.value,
            "heldout/log_loss": self.calibration.log_loss.value,
            "heldout/best_of_4": self.best_of_4.accuracy.value if self.best_of_4 else None,
        }
        return {name: value for name, value in named.items() if value is not None}


def report_on(
    scored: ScoredRankings,
    *,
    left_out: Mapping[str, int] | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> RewardReport:
    """Return a report on the scores. The same scores and seed give the same report.

    Raises ValueError if no response is preferred to another.
    """
    bootstrap = PromptBootstrap(scored.prompts, seed=seed, samples=samples)
    pairs = scored.pairs()
    strict = pairs.where(pairs.verdict != 0)
    if not len(strict.ranking):
        raise ValueError(f"none of the {len(scored)} rankings contains a preference, so there is no report")
    models_ties = scored.link.ties != "ignore"
    judged = pairs if models_ties else strict
    probabilities, of_strict = scored.probabilities(judged), scored.probabilities(strict).untied()
    expected = np.maximum(of_strict.first, of_strict.second)
    statements = pair_statements(scored, pairs).where(pairs.verdict != 0)
    return RewardReport(
        rankings=len(scored),
        prompts=bootstrap.prompts,
        pairs=len(strict.ranking),
        tied_pairs=len(pairs.ranking) - len(strict.ranking),
        accuracy=bootstrap.share(strict.credit, strict.ranking),
        top=_top(scored, bootstrap, size=None),
        best_of_4=_top(scored, bootstrap, size=SET_SIZE),
        people=people_of(strict, statements, bootstrap),
        calibration=calibration_of(
            probabilities, judged.verdict, judged.ranking, bootstrap, ties_counted=models_ties, seed=seed
        ),
        ties=_ties(probabilities, judged, bootstrap, seed) if models_ties else None,
        strengths=_strengths(scored, strict, bootstrap, seed) if scored.link.strength_thresholds else None,
        length=bias_towards(scored, strict, scored.lengths.astype(np.float64), bootstrap),
        position=position_bias(scored, strict, bootstrap),
        slices=slices_of(scored, strict, statements, expected, bootstrap),
        left_out=dict(left_out or {}),
        seed=seed,
        samples=samples,
    )


def save(report: RewardReport, folder: str | Path) -> Path:
    """Write ``report.json`` and the plots, such as ``reliability.svg``, to a folder. The folder is created if
    needed."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    path = target / JSON_NAME
    path.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    for name, svg in _plots(report).items():
        (target / name).write_text(svg, encoding="utf-8")
    return path


def _plots(report: RewardReport) -> dict[str, str]:
    """Return the plots as {file name: SVG}."""
    found = {
        "reliability.svg": reliability_svg(
            report.calibration.preference, "P(preferred): predicted and observed"
        ),
        "slices.svg": slices_svg(report.accuracy, report.slices),
    }
    if report.ties:
        found["ties.svg"] = reliability_svg(report.ties.reliability, "P(tie): predicted and observed")
    if report.strengths:
        found["strengths.svg"] = reliability_svg(
            report.strengths.reliability, "P(this strength or higher): predicted and observed"
        )
    return found


def _ties(
    probabilities: VerdictProbabilities, pairs: Pairs, bootstrap: PromptBootstrap, seed: int
) -> TiePrediction:
    tied = pairs.verdict == 0
    share = float(tied.mean())
    chance = np.where(tied, probabilities.tie, 1 - probabilities.tie)
    usual = np.where(tied, share, 1 - share)
    gain = np.log(np.maximum(chance, TINY)) - np.log(np.maximum(usual, TINY))
    return TiePrediction(
        pairs=len(tied),
        tied=bootstrap.share(tied, pairs.ranking),
        predicted=float(probabilities.tie.mean()),
        area_under_curve=area_under_curve(probabilities.tie, tied),
        gain=bootstrap.mean(gain, pairs.ranking),
        reliability=reliability_of(
            probabilities.tie,
            tied,
            pairs.ranking,
            bootstrap,
            redraw=lambda rng: draw_verdicts(probabilities, rng) == 0,
            seed=seed,
        ),
    )


def _strengths(
    scored: ScoredRankings, pairs: Pairs, bootstrap: PromptBootstrap, seed: int
) -> StrengthPrediction | None:
    """Compare predictions with data for each strength level above the lowest, in both orders of each pair
    (see `calibration`)."""
    levels = np.array([level for level, _ in scored.link.strength_thresholds], dtype=np.int64)
    chosen = pairs.where(pairs.strength > 0)
    if len(levels) < 2 or not len(chosen.ranking):
        return None
    difference, eta = scored.shown_difference(chosen), scored.reliability(chosen)
    forwards, backwards = (scored.link.at_least(d, eta) for d in (difference, -difference))
    either = forwards[:, :1] + backwards[:, :1]  # the probability of a preference rather than a tie
    # If this probability is too small for a floating-point number, the lowest level is assumed.
    lowest = np.where(levels == levels[0], 0.5, 0.0)
    forwards, backwards = (
        np.divide(part, either, out=np.tile(lowest, (len(part), 1)), where=either > 0)
        for part in (forwards, backwards)
    )
    signed = chosen.strength * chosen.verdict
    count = len(chosen.ranking)
    predicted = np.concatenate((forwards[:, 1:], backwards[:, 1:])).T.reshape(-1)

    def reached(stated: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
        both = np.concatenate((stated, -stated))
        return (both[None, :] >= levels[1:, None]).reshape(-1)

    def redraw(rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.bool_]]:
        # One random number determines both the preferred response and the strength level. Small numbers mean
        # high levels for the first response. Large numbers mean high levels for the second response.
        u = rng.random(count)[:, None]
        up = (u < forwards).sum(axis=1)
        down = (u >= 1 - backwards).sum(axis=1)
        return reached(np.where(up > 0, levels[up - 1], -levels[down - 1]))

    return StrengthPrediction(
        pairs=count,
        not_known=int((~np.isin(chosen.strength, levels)).sum()),
        levels=tuple(
            Level(
                level=int(level),
                stated=bootstrap.share(chosen.strength >= level, chosen.ranking),
                predicted=float((forwards[:, place] + backwards[:, place]).mean()),
            )
            for place, level in enumerate(levels)
        ),
        reliability=reliability_of(
            predicted,
            reached(signed),
            np.tile(np.concatenate((chosen.ranking, chosen.ranking)), len(levels) - 1),
            bootstrap,
            redraw=redraw,
            seed=seed,
        ),
    )


def _top(scored: ScoredRankings, bootstrap: PromptBootstrap, *, size: int | None) -> TopOfSet | None:
    """Return how often the best response has the highest reward in sets of ``size`` responses. If ``size`` is
    None, each set is an entire ranking.

    RewardBench 2 (Malik et al. 2025) scores sets of one correct and three incorrect responses. Here, a set
    combines one response of the best tier with ``size`` − 1 responses from lower tiers. All such sets of a
    ranking are scored. The results of a ranking's sets are averaged, so each ranking counts once, regardless
    of its number of responses. If m responses share the highest reward, a best response among them gets a
    credit of 1/m. A ranking is left out if all of its responses are tied, or if fewer than ``size`` − 1
    responses are in lower tiers.
    """
    credits: list[float] = []
    lots: list[float] = []
    chosen: list[int] = []
    for number, (rewards, tiers) in enumerate(zip(scored.rewards, scored.tiers, strict=True)):
        best, rest = rewards[tiers == 0], rewards[tiers > 0]
        if not len(best) or len(rest) < (1 if size is None else size - 1):
            continue
        if size is None:
            highest = max(best.max(), rest.max())
            credits.append(
                float((best == highest).sum() / ((best == highest).sum() + (rest == highest).sum()))
            )
            lots.append(len(best) / (len(best) + len(rest)))
        else:
            credits.append(float(np.mean([_set_credit(one, rest, size - 1) for one in best])))
            lots.append(1 / size)
        chosen.append(number)
    if not chosen:
        return None
    ranking = np.array(chosen, dtype=np.int64)
    return TopOfSet(
        size=size,
        rankings=len(chosen),
        accuracy=bootstrap.share(credits, ranking),
        chance=float(np.mean(lots)),
    )


def _set_credit(best: float, rest: Floats, others: int) -> float:
    """Return the mean credit of ``best`` over all choices of ``others`` responses from ``rest``.

    In some choices, t rewards equal ``best`` and all other rewards are below ``best``. There are
    C(equal, t) · C(below, others − t) such choices, each with a credit of 1/(t + 1).
    """
    below, equal = int((rest < best).sum()), int((rest == best).sum())
    won = sum(
        math.comb(equal, t) * math.comb(below, others - t) / (t + 1) for t in range(min(equal, others) + 1)
    )
    return won / math.comb(len(rest), others)
