"""The rule by which the simulated annotators rank answers, and by which all policies are measured.

The rule considers only the text. An answer's points are the sum of four parts:

- 1.5 points for an answer whose last sentence is complete
- up to 1 point for a short answer: 1 for 8 to 30 words, less for other lengths, and 0 for 50 words or more
- up to 1 point for the share of the prompt's content words that occur in the answer
- minus up to 2 points for repetition, in proportion to the share of repeated word triples

The rule does not check whether an answer is true. It represents a person's preferences in a form that a
benchmark can compute.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.rlhf.core.messages import Messages
from training.rlhf.generation.evaluation import repetition_rate

COMPLETE, SHORT, ABOUT, REPETITION = 1.5, 1.0, 1.0, 2.0
FEWEST_WORDS, ENOUGH_WORDS, TOO_MANY_WORDS = 8, 30, 50
SHORTEST_CONTENT_WORD, STEM = 4, 5  # letters
_COMMON = """
what when where which does with from that this have should would could about there their your into than
more make give write explain suggest name describe recommend tell sentence short long good best first many
much some they them were will been being very just also like difference between reasons please
"""
COMMON_WORDS = frozenset(_COMMON.split())
ENDS = (".", "!", "?")
CLOSING = "\"'”’)*_` \n"


@dataclass(frozen=True)
class Parts:
    """The parts of an answer's points."""

    complete: float
    short: float
    about: float
    repetition: float
    words: int

    @property
    def points(self) -> float:
        return (
            COMPLETE * self.complete + SHORT * self.short + ABOUT * self.about - REPETITION * self.repetition
        )


def parts_of(messages: Messages, text: str) -> Parts:
    words = len(text.split())
    return Parts(
        complete=float(text.rstrip(CLOSING).endswith(ENDS)),
        short=shortness(words),
        about=share_of_content_words(messages[-1]["content"], text),
        repetition=repetition_rate(text),
        words=words,
    )


def rule(messages: Messages, text: str) -> float:
    return parts_of(messages, text).points


def shortness(words: int) -> float:
    """1 for 8 to 30 words, less for fewer or more words, and 0 for 50 words or more."""
    if words <= ENOUGH_WORDS:
        return min(1.0, words / FEWEST_WORDS)
    return max(0.0, (TOO_MANY_WORDS - words) / (TOO_MANY_WORDS - ENOUGH_WORDS))


def share_of_content_words(prompt: str, text: str) -> float:
    """The share of the prompt's content words that the text contains, or 1 if the prompt has no content
    words. Words with the same first five letters count as equal."""
    wanted = stems(prompt)
    return len(wanted & stems(text)) / len(wanted) if wanted else 1.0


def stems(text: str) -> set[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return {word[:STEM] for word in words if len(word) >= SHORTEST_CONTENT_WORD and word not in COMMON_WORDS}


def careless(spread: float, seed: str) -> Callable[[Messages, str], float]:
    """The rule with random errors: each judgement has a normally distributed error whose standard deviation
    is `spread` points."""
    dice = random.Random(seed)
    return lambda messages, text: rule(messages, text) + dice.gauss(0.0, spread)


def agreement(scores: Sequence[Sequence[float]], points: Sequence[Sequence[float]]) -> tuple[int, int]:
    """The number of pairs that the scores and the points order in the same way, and the number of all pairs
    with different points. A pair is two answers to the same prompt."""
    right = pairs = 0
    for found, true in zip(scores, points, strict=True):
        for i in range(len(true)):
            for j in range(i):
                if true[i] != true[j]:
                    pairs += 1
                    right += (found[i] - found[j]) * (true[i] - true[j]) > 0
    return right, pairs
