"""A reward model's accuracy by properties of the pair. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.rlhf.report.resampling import Estimate, Floats, Ints, PromptBootstrap
from training.rlhf.report.scored import NOT_KNOWN, Pairs, ScoredRankings

Labels = NDArray[np.str_]
# A property with more than MOST_VALUES values, such as a long series of rounds, is not reported. Its table
# would be too long to be useful.
MOST_VALUES = 30
TWO_THIRDS = 2 / 3
# Bounds and names of the length ranges. A ratio is the preferred response's length divided by the other
# response's length, in characters.
LENGTH_EDGES = (2 / 3, 0.9, 1 / 0.9, 1.5)
LENGTHS = ("much_shorter", "shorter", "alike", "longer", "much_longer")


@dataclass(frozen=True, slots=True)
class Slice:
    """The accuracy on preferences whose property ``by`` has the value ``of``.

    ``confidence`` is the mean probability that the model assigns to the more likely preference, given that
    the pair is not tied. If the confidence is above the accuracy, the model is overconfident.
    """

    by: str
    of: str
    pairs: int
    prompts: int
    accuracy: Estimate
    confidence: float


@dataclass(frozen=True, slots=True)
class People:
    """Agreement on preferences whose two responses are also compared in other rankings.

    ``others``: how often the majority of the other rankings agrees with the preference. An even split counts
    as one half. ``model``: how often the model agrees with the preference. The model doesn't know which
    annotator decides, so it can't be expected to agree with annotators more often than annotators agree with
    one another.
    """

    pairs: int
    prompts: int
    others: Estimate
    model: Estimate


class PairStatements(NamedTuple):
    """Counts of the verdicts on each pair's two responses, in three arrays with shape (P,).

    The arrays count the verdicts that agree with the pair's own verdict, the verdicts that contradict the
    pair's own verdict, and all verdicts, including the pair's own.
    """

    alike: Ints
    against: Ints
    verdicts: Ints

    def where(self, chosen: NDArray[np.bool_]) -> PairStatements:
        return PairStatements(*(column[chosen] for column in self))


def slices_of(
    scored: ScoredRankings,
    pairs: Pairs,
    statements: PairStatements,
    expected: Floats,
    bootstrap: PromptBootstrap,
) -> tuple[Slice, ...]:
    """Return the slices of strict ``pairs``. ``expected`` (P,) contains the predicted probability of the
    more likely preference on each pair.

    A property with a single value has no slices.
    """
    return tuple(
        Slice(
            by=by,
            of=name,
            pairs=int(inside.sum()),
            prompts=bootstrap.prompts_in(pairs.ranking[inside]),
            accuracy=bootstrap.share(pairs.credit[inside], pairs.ranking[inside]),
            confidence=float(expected[inside].mean()),
        )
        for by, name, inside in members_of_slices(scored, pairs, statements)
    )


def members_of_slices(
    scored: ScoredRankings, pairs: Pairs, statements: PairStatements
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield (property, value, which of the P strict ``pairs`` have this value)."""
    for by, labels, order in _kinds(scored, pairs, statements):
        present = [name for name in order if (labels == name).any()]
        if 2 <= len(present) <= MOST_VALUES:
            yield from ((by, name, labels == name) for name in present)


def _kinds(
    scored: ScoredRankings, pairs: Pairs, statements: PairStatements
) -> Iterator[tuple[str, Labels, list[str]]]:
    """Yield (property, the label of each pair, all labels in display order)."""
    yield "agreement", *_grouped(_agreement(statements), ["unanimous", "most", "split", "asked_once"])
    yield "strength", *_numbered(pairs.strength, lambda level: str(level) if level else "not_stated")
    yield "length", *_grouped(_length(scored, pairs), list(LENGTHS))
    turns = scored.turns[pairs.ranking]
    yield "turns", *_numbered(np.minimum(turns, 4), lambda n: "4_or_more" if n == 4 else str(n))
    rounds = scored.rounds[pairs.ranking]
    yield "round", *_numbered(rounds, lambda n: "not_known" if n == NOT_KNOWN else str(n))
    sources = np.array([source or "not_known" for source in scored.sources])[pairs.ranking]
    yield "source", *_grouped(sources, sorted(set(sources.tolist())))
    votes = np.minimum(scored.votes[pairs.ranking], 5)
    yield "votes", *_numbered(votes, lambda n: "5_or_more" if n == 5 else str(n))


def _grouped(labels: Labels, order: list[str]) -> tuple[Labels, list[str]]:
    return labels, order


def _numbered(numbers: Ints, name: Callable[[int], str]) -> tuple[Labels, list[str]]:
    values, place = np.unique(numbers, return_inverse=True)
    names = [name(int(value)) for value in values]
    return np.array(names, dtype=np.str_)[place.reshape(-1)] if names else np.array([], dtype=np.str_), names


def _agreement(statements: PairStatements) -> Labels:
    """Label pairs by the share of the most common verdict among all verdicts on the two responses, including
    ties."""
    ties = statements.verdicts - statements.alike - statements.against
    commonest = np.maximum(np.maximum(statements.alike, statements.against), ties) / np.maximum(
        statements.verdicts, 1
    )
    labels: Labels = np.select(
        [statements.verdicts < 2, commonest == 1, commonest >= TWO_THIRDS],
        ["asked_once", "unanimous", "most"],
        "split",
    )
    return labels


def _length(scored: ScoredRankings, pairs: Pairs) -> Labels:
    first = scored.lengths[pairs.ranking, pairs.first].clip(min=1)
    second = scored.lengths[pairs.ranking, pairs.second].clip(min=1)
    ratio = np.where(pairs.verdict == 1, first / second, second / first)
    return np.asarray(np.array(LENGTHS)[np.digitize(ratio, LENGTH_EDGES)], dtype=np.str_)


def pair_statements(scored: ScoredRankings, pairs: Pairs) -> PairStatements:
    """Count the verdicts of all rankings on each pair of responses."""
    width = scored.rewards.shape[1]
    flat = np.array(
        [
            f"{prompt} {text}"
            for prompt, texts in zip(scored.prompts, scored.responses, strict=True)
            for text in (*texts, *[""] * (width - len(texts)))
        ],
        dtype=np.str_,
    )
    _, number = np.unique(flat, return_inverse=True)
    text = number.reshape(len(scored), width) if width else np.zeros((len(scored), 0), dtype=np.int64)
    a, b = text[pairs.ranking, pairs.first], text[pairs.ranking, pairs.second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    _, number = np.unique(low * (int(text.max(initial=0)) + 1) + high, return_inverse=True)
    pair = number.reshape(-1)
    verdict = np.where(a == low, pairs.verdict, -pairs.verdict)
    size = int(pair.max(initial=-1)) + 1
    up, down = (np.bincount(pair, weights=verdict == side, minlength=size) for side in (1, -1))
    every = np.bincount(pair, minlength=size)
    alike = np.where(verdict == 1, up[pair], np.where(verdict == -1, down[pair], 0))
    against = np.where(verdict == 1, down[pair], np.where(verdict == -1, up[pair], 0))
    return PairStatements(alike.astype(np.int64), against.astype(np.int64), every[pair].astype(np.int64))


def people_of(pairs: Pairs, statements: PairStatements, bootstrap: PromptBootstrap) -> People | None:
    """Return how often other annotators agree with the preferences in strict ``pairs``, and how often the
    model agrees with them. Return None if no pair of responses has more than one stated preference."""
    others = statements.alike - 1 + statements.against
    asked = others > 0
    if not asked.any():
        return None
    ranking = pairs.ranking[asked]
    credit = (1 + np.sign(statements.alike - 1 - statements.against)[asked]) / 2
    return People(
        pairs=int(asked.sum()),
        prompts=bootstrap.prompts_in(ranking),
        others=bootstrap.share(credit, ranking),
        model=bootstrap.share(pairs.credit[asked], ranking),
    )
