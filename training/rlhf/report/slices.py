"""Where a reward model is right more often, and where less: by what is known of a pair. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.rlhf.report.resampling import Estimate, Floats, Ints, PromptBootstrap
from training.rlhf.report.scored import NOT_KNOWN, Pairs, ScoredRankings

Labels = NDArray[np.str_]
MOST_VALUES = 30  # of a slice that isn't grouped (rounds, sources); more make no table that anybody reads
TWO_THIRDS = 2 / 3
# Characters of the preferred response over those of the other, and what it then is.
LENGTH_EDGES = (2 / 3, 0.9, 1 / 0.9, 1.5)
LENGTHS = ("much_shorter", "shorter", "alike", "longer", "much_longer")


@dataclass(frozen=True, slots=True)
class Slice:
    """Of preferences of one kind: ``by`` what, and ``of`` which; ``confidence`` is the mean chance of the
    side that the model expects to be preferred, if one is. Where it is above the accuracy the model is too
    sure of itself."""

    by: str
    of: str
    pairs: int
    prompts: int
    accuracy: Estimate
    confidence: float


@dataclass(frozen=True, slots=True)
class People:
    """Preferences of which other rankings of the same two responses speak, too: how often most of the others
    say the same (as many against as for: a half), and how often the model does. Nobody who answers by the
    responses alone can be right more often than people agree."""

    pairs: int
    prompts: int
    others: Estimate
    model: Estimate


class SaidOfPair(NamedTuple):
    """(P,) each, of everything that was said of a pair's two responses: verdicts as this one, the other way
    round, and in all, this one included."""

    alike: Ints
    against: Ints
    verdicts: Ints

    def where(self, chosen: NDArray[np.bool_]) -> SaidOfPair:
        return SaidOfPair(*(column[chosen] for column in self))


def slices_of(
    scored: ScoredRankings, pairs: Pairs, said: SaidOfPair, expected: Floats, bootstrap: PromptBootstrap
) -> tuple[Slice, ...]:
    """Of strict ``pairs``; ``expected`` (P,) is the chance of the side that the model expects. What is the
    same of all of them makes no slices."""
    found: list[Slice] = []
    for by, labels, order in _kinds(scored, pairs, said):
        present = [name for name in order if (labels == name).any()]
        if len(present) < 2 or len(present) > MOST_VALUES:
            continue
        for name in present:
            inside = labels == name
            ranking = pairs.ranking[inside]
            found.append(
                Slice(
                    by=by,
                    of=name,
                    pairs=int(inside.sum()),
                    prompts=bootstrap.prompts_in(ranking),
                    accuracy=bootstrap.share(pairs.credit[inside], ranking),
                    confidence=float(expected[inside].mean()),
                )
            )
    return tuple(found)


def _kinds(scored: ScoredRankings, pairs: Pairs, said: SaidOfPair) -> Iterator[tuple[str, Labels, list[str]]]:
    """(by what, the label of each pair, all labels in the order they are to be told)."""
    yield "agreement", *_grouped(_agreement(said), ["unanimous", "most", "split", "asked_once"])
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


def _agreement(said: SaidOfPair) -> Labels:
    """By the share of the commonest verdict among all that was said of the two responses, ties included."""
    ties = said.verdicts - said.alike - said.against
    commonest = np.maximum(np.maximum(said.alike, said.against), ties) / np.maximum(said.verdicts, 1)
    labels: Labels = np.select(
        [said.verdicts < 2, commonest == 1, commonest >= TWO_THIRDS],
        ["asked_once", "unanimous", "most"],
        "split",
    )
    return labels


def _length(scored: ScoredRankings, pairs: Pairs) -> Labels:
    first = scored.lengths[pairs.ranking, pairs.first].clip(min=1)
    second = scored.lengths[pairs.ranking, pairs.second].clip(min=1)
    ratio = np.where(pairs.verdict == 1, first / second, second / first)
    return np.asarray(np.array(LENGTHS)[np.digitize(ratio, LENGTH_EDGES)], dtype=np.str_)


def said_of(scored: ScoredRankings, pairs: Pairs) -> SaidOfPair:
    """What was said of each pair's two responses in all these rankings."""
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
    return SaidOfPair(alike.astype(np.int64), against.astype(np.int64), every[pair].astype(np.int64))


def people_of(pairs: Pairs, said: SaidOfPair, bootstrap: PromptBootstrap) -> People | None:
    """Of strict ``pairs``; None where of no two responses a second preference was stated."""
    others = said.alike - 1 + said.against
    asked = others > 0
    if not asked.any():
        return None
    ranking = pairs.ranking[asked]
    credit = (1 + np.sign(said.alike - 1 - said.against)[asked]) / 2
    return People(
        pairs=int(asked.sum()),
        prompts=bootstrap.prompts_in(ranking),
        others=bootstrap.share(credit, ranking),
        model=bootstrap.share(pairs.credit[asked], ranking),
    )
