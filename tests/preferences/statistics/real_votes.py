"""The votes in the real files as arrays, in the format described in ../shared/data/README.md."""

from __future__ import annotations

import gzip
import json
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.annotation.real_data import real_file


class Votes(NamedTuple):
    items: NDArray[np.int64]
    people: NDArray[np.int64]
    values: NDArray[np.int64]
    names: list[tuple[str, str]]
    """The two models of each item. In `values`, 1 means that the annotator prefers the first model, −1 means
    that the annotator prefers the second model, and 0 means a tie."""


def rows_of(name: str) -> list[dict[str, Any]]:
    with gzip.open(real_file(name), "rt") as lines:
        return [json.loads(line) for line in lines]


def _votes(rows: Iterable[tuple[Hashable, str, str, Hashable, int]]) -> Votes:
    """Build Votes from (item, model a, model b, annotator, value for a) rows. For each item, the two
    models are sorted by name. Only an annotator's first vote on each pair is kept."""
    first: dict[tuple[Any, Hashable], int] = {}
    for item, a, b, person, value in rows:
        one, two = sorted((a, b))
        first.setdefault(((item, one, two), person), value if a == one else -value)
    items: dict[Any, int] = {}
    people: dict[Hashable, int] = {}
    numbers = [
        (items.setdefault(item, len(items)), people.setdefault(person, len(people)), value)
        for (item, person), value in first.items()
    ]
    item, person, value = np.array(numbers).T
    return Votes(item, person, value, [(one, two) for _, one, two in items])


def mt_bench() -> Votes:
    sides = {"model_a": 1, "tie": 0, "model_b": -1}
    return _votes(
        (
            (row["question_id"], row["turn"]),
            row["model_a"],
            row["model_b"],
            row["judge"],
            sides[row["winner"]],
        )
        for row in rows_of("annotators/mt-bench-votes.jsonl.gz")
    )


def tulu() -> Votes:
    levels = {
        "a-is-better": 2,
        "a-is-slightly-better": 1,
        "tie": 0,
        "b-is-slightly-better": -1,
        "b-is-better": -2,
    }
    return _votes(
        (row["instance_id"], row["model_a"], row["model_b"], row["evaluator"], levels[row["preference"]])
        for row in rows_of("annotators/tulu1-human-eval.jsonl.gz")
    )
