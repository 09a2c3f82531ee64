"""How far annotators agree on pairs of responses. Pure NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class RawAgreement(NamedTuple):
    """`agreement`: share of `n_pairs` (two people, one item) with the same verdict; NaN when there are none.

    `by_annotator` and `n_by_annotator` say the same for the pairs each annotator is one half of.
    """

    agreement: float
    n_pairs: int
    by_annotator: NDArray[np.float64]
    n_by_annotator: NDArray[np.int64]


def raw_agreement(items: ArrayLike, annotators: ArrayLike, verdicts: ArrayLike) -> RawAgreement:
    """Observed agreement, ties being a verdict of their own; P_o of Fleiss (1971), weighted by pairs.

    items, annotators, verdicts: (N,) integers, one row per vote; annotators are 0…A−1, and nobody votes twice
    on an item. Raises ValueError for unlike lengths or a second vote.
    """
    item, annotator, verdict = (np.asarray(part, dtype=np.int64) for part in (items, annotators, verdicts))
    if item.ndim != 1 or not item.shape == annotator.shape == verdict.shape:
        raise ValueError("items, annotators and verdicts must be (N,) each.")
    if len(np.unique(np.stack([item, annotator]), axis=1).T) < len(item):
        raise ValueError("Somebody voted twice on one item.")
    _, item = np.unique(item, return_inverse=True)
    _, cell = np.unique(np.stack([item, verdict]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    others = np.bincount(item, minlength=1)[item] - 1 if len(item) else item
    same = np.bincount(cell, minlength=1)[cell] - 1 if len(item) else item
    people = int(annotator.max(initial=-1)) + 1
    n_by_annotator = np.bincount(annotator, weights=others, minlength=people).astype(np.int64)
    same_by_annotator = np.bincount(annotator, weights=same, minlength=people)
    n_pairs = int(others.sum()) // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        by_annotator = same_by_annotator / n_by_annotator
    agreement = float(same.sum()) / 2 / n_pairs if n_pairs else float("nan")
    return RawAgreement(agreement, n_pairs, by_annotator, n_by_annotator)
