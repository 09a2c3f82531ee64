"""Simulated annotators in any mixture: reliable, careless, inverse, constant and silent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Ints = NDArray[np.int64]
# The first three values are probabilities that a verdict is correct. The last two values stand for a constant
# annotator, who always prefers the first response, and a silent annotator, who gives no verdict.
RELIABLE, CARELESS, INVERSE, CONSTANT, SILENT = 0.95, 0.5, 0.05, -1.0, -2.0
MANNERS = (RELIABLE, 0.6, CARELESS, INVERSE, CONSTANT, SILENT)


@dataclass(frozen=True)
class Crowd:
    """N verdicts given by annotators. For each verdict, the arrays contain the pair, the annotator (`who`),
    the sign (1 if the first item of the pair is preferred, −1 if the second is) and the pair's two items. All
    arrays have shape (N,)."""

    pair: Ints
    who: Ints
    verdict: Ints
    first: Ints
    second: Ints
    n_pairs: int
    n_items: int
    people: int

    @property
    def preferred(self) -> Ints:
        return np.where(self.verdict > 0, self.first, self.second)

    @property
    def other(self) -> Ints:
        return np.where(self.verdict > 0, self.second, self.first)


@st.composite
def crowds(draw: st.DrawFn, most_people: int = 12, most_pairs: int = 60) -> Crowd:
    manner = np.array(draw(st.lists(st.sampled_from(MANNERS), max_size=most_people)))
    n_pairs = draw(st.integers(0, most_pairs))
    n_items = draw(st.sampled_from([2, 3, 8, 2 * n_pairs + 2]))
    overlap = draw(st.integers(1, max(1, len(manner))))
    # With separate groups, annotators share pairs only with annotators of their own group.
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = rng.integers(0, n_items, n_pairs)
    second = (first + rng.integers(1, n_items, n_pairs)) % n_items
    true = rng.choice([-1, 1], n_pairs)
    pair, who = (part.ravel() for part in np.indices((n_pairs, len(manner))))
    seat = np.argsort(np.argsort(rng.random((n_pairs, len(manner))), axis=1), axis=1).ravel()
    kept = (seat < overlap) & (pair % groups == who % groups) & (manner[who] != SILENT)
    pair, who = pair[kept], who[kept]
    right = rng.random(len(pair)) < manner[who]
    verdict = np.where(manner[who] == CONSTANT, 1, np.where(right, true[pair], -true[pair]))
    return Crowd(pair, who, verdict, first[pair], second[pair], n_pairs, n_items, len(manner))


def chance_crowd(
    seed: int, people: int, tasks: int, overlap: int, *, k: int = 4, right: float = 0.5
) -> tuple[Ints, Ints, Ints, Ints]:
    """Complete rankings of `k` responses by annotators whose verdicts are correct with probability `right`.
    Returns each verdict's pair, annotator, sign and task."""
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(k, 1)
    true = np.argsort(rng.random((tasks, k)), axis=1)
    who = np.argsort(rng.random((tasks, people)), axis=1)[:, :overlap]
    attentive = rng.random((tasks, overlap, 1)) < 2 * right - 1
    order = np.where(attentive, true[:, None, :], np.argsort(rng.random((tasks, overlap, k)), axis=2))
    verdict = np.sign(order[:, :, j] - order[:, :, i])
    task = np.broadcast_to(np.arange(tasks)[:, None, None], verdict.shape)
    pair = task * len(i) + np.arange(len(i))
    return (
        pair.ravel(),
        np.broadcast_to(who[:, :, None], verdict.shape).ravel(),
        verdict.ravel(),
        task.ravel(),
    )
