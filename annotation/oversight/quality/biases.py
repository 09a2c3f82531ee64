"""Indicators of bias: how often a ranking prefers the response shown first, prefers the longer response,
matches the order shown, or was submitted without a change to the order shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annotation.oversight.quality.estimates import (
    Estimate,
)
from annotation.oversight.quality.shared_tasks import joined
from annotation.oversight.ranking_arrays import (
    IMPORTED,
    UNTOUCHED,
    Block,
    RankingArrays,
)
from preferences.statistics.biases import passed_on, wins_of_the_first_shown, wins_of_the_larger
from preferences.statistics.intervals import Shares, clustered_share, clustered_shares


class Counts(NamedTuple):
    """Counts for one kind of bias, with one element per ranking. `n` is the number of trials, and `won` is
    the number of trials that show the bias. `person` is the annotator."""

    person: NDArray[np.int64]
    won: NDArray[np.float64]
    n: NDArray[np.int64]


@dataclass(frozen=True)
class Biases:
    first_shown: Counts
    longer: Counts
    as_shown: Counts
    as_shown_by_chance: NDArray[np.float64]
    untouched: Counts

    @classmethod
    def of(cls, read: RankingArrays) -> Biases:
        shown = read.where(IMPORTED, present=False).blocks
        as_shown = [passed_on(block.places, block.shown) for block in shown]
        return cls(
            first_shown=counts_of(
                (block, *wins_of_the_first_shown(block.places, block.shown)) for block in shown
            ),
            longer=counts_of(
                (block, *wins_of_the_larger(block.places, read.characters[block.responses]))
                for block in read.blocks
            ),
            as_shown=counts_of(
                (block, found.as_shown.astype(np.int64), (found.by_chance > 0).astype(np.int64))
                for block, found in zip(shown, as_shown, strict=True)
            ),
            as_shown_by_chance=np.concatenate([np.zeros(0), *(found.by_chance for found in as_shown)]),
            untouched=counts_of(
                (block, block.has(UNTOUCHED).astype(np.int64), np.ones(len(block), dtype=np.int64))
                for block in shown
            ),
        )


def counts_of(parts: Iterator[tuple[Block, NDArray[Any], NDArray[np.int64]]]) -> Counts:
    rows = [(block.person, won, n) for block, won, n in parts]
    return Counts(*(joined([row[column] for row in rows]) for column in range(3)))


def pooled(counts: Counts) -> Estimate:
    return Estimate.of(*clustered_share(counts.won, counts.n)[0])


def of_people(counts: Counts, people: int) -> Shares:
    named = counts.person >= 0
    return clustered_shares(counts.won[named], counts.n[named], counts.person[named], people)
