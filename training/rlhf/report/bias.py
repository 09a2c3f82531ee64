"""Biases of a reward model towards longer responses and towards responses shown first. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.rlhf.report.resampling import Estimate, Floats, Ints, PromptBootstrap
from training.rlhf.report.scored import NOBODY, Pairs, ScoredRankings


@dataclass(frozen=True, slots=True)
class Bias:
    """A bias towards longer responses, or towards the response shown first.

    ``correlation``: Spearman's ρ over all responses. The value is positive if longer responses (or those
    shown earlier) get higher rewards. ``within_rankings``: Spearman's ρ after each ranking's mean is
    subtracted from both variables, so that differences between prompts do not affect the value.

    The shares ``by_model`` and ``by_people`` cover only preferences between responses that differ in length
    (or position). ``by_model``: the share in which the model assigns the higher reward to the longer response
    (or the response shown first). ``by_people``: the share in which annotators preferred that response.
    ``excess``: ``by_model`` minus ``by_people``. Only this excess is the model's own bias, because even an
    accurate model shares the annotators' bias.
    """

    pairs: int
    correlation: Estimate
    within_rankings: Estimate
    by_model: Estimate
    by_people: Estimate
    excess: Estimate


def bias_towards(
    scored: ScoredRankings, pairs: Pairs, sizes: Floats, bootstrap: PromptBootstrap
) -> Bias | None:
    """Measure the bias towards responses with larger sizes. ``sizes`` has shape (N, K).

    The measurements use the strict ``pairs`` and all responses in the rankings of these pairs.
    """
    larger = np.sign(sizes[pairs.ranking, pairs.first] - sizes[pairs.ranking, pairs.second])
    differ = larger != 0
    if not differ.any():
        return None
    ranking = pairs.ranking[differ]
    by_model = (1 + np.sign(pairs.difference[differ]) * larger[differ]) / 2
    by_people = (1 + pairs.verdict[differ] * larger[differ]) / 2
    among = np.zeros(len(scored), dtype=np.bool_)
    among[pairs.ranking] = True
    row, column = np.nonzero((scored.tiers != NOBODY) & among[:, None])
    rewards, values = scored.rewards[row, column], sizes[row, column]
    return Bias(
        pairs=int(differ.sum()),
        correlation=bootstrap.rank_correlation(rewards, values, row),
        within_rankings=bootstrap.rank_correlation(_from_mean(rewards, row), _from_mean(values, row), row),
        by_model=bootstrap.share(by_model, ranking),
        by_people=bootstrap.share(by_people, ranking),
        excess=bootstrap.mean(by_model - by_people, ranking),
    )


def position_bias(scored: ScoredRankings, pairs: Pairs, bootstrap: PromptBootstrap) -> Bias | None:
    """Measure the bias towards the response shown first, in rankings with a known display order."""
    shown = pairs.where(scored.in_shown_order[pairs.ranking])
    if not len(shown.ranking):
        return None
    places = np.broadcast_to(-np.arange(scored.rewards.shape[1], dtype=np.float64), scored.rewards.shape)
    return bias_towards(scored, shown, places, bootstrap)


def _from_mean(values: Floats, group: Ints) -> Floats:
    """Return each value minus the mean of the value's group, with shape (P,). If all values of a group are
    equal, the results are exactly 0."""
    total, count = np.bincount(group, weights=values), np.bincount(group)
    deviation = values - (total / np.maximum(count, 1))[group]
    return np.where(np.abs(deviation) <= 1e-12 * np.maximum(np.abs(values), 1.0), 0.0, deviation)
