"""Scored rankings, specified manually or simulated with known parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.rlhf.data.rankings import Ranking
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.scored import ScoredRankings


def said(question: str, responses: Sequence[str], tiers: Sequence[Sequence[int]], **more: Any) -> Ranking:
    messages = ({"role": "user", "content": question},)
    return Ranking(messages, tuple(responses), tuple(map(tuple, tiers)), **more)


def scored(*rows: tuple[Ranking, Sequence[float]], link: AnswerLink | None = None) -> ScoredRankings:
    rankings, rewards = zip(*rows, strict=True) if rows else ((), ())
    return ScoredRankings.of(rankings, rewards, link or AnswerLink())


def answered_pairs(
    differences: NDArray[np.float64],
    link: AnswerLink,
    rng: np.random.Generator,
    *,
    says: AnswerLink | None = None,
    prompts: int | None = None,
) -> ScoredRankings:
    """Simulate verdicts on pairs with the given reward differences. The verdicts are drawn from ``says``
    (default: ``link``).

    The pairs are distributed over ``prompts`` prompts (default: one prompt per pair).
    """
    probabilities = (says or link).probabilities(differences)
    u = rng.random(len(differences))
    first, second = (
        u < probabilities.first,
        (u >= probabilities.first) & (u < probabilities.first + probabilities.second),
    )
    tiers = [[[0], [1]] if a else [[1], [0]] if b else [[0, 1]] for a, b in zip(first, second, strict=True)]
    rows = [
        (
            said(
                f"question {number % (prompts or len(differences))}",
                [f"a{number}", f"b{number}"],
                tiers[number],
            ),
            [d, 0.0],
        )
        for number, d in enumerate(differences)
    ]
    return scored(*rows, link=link)
