"""The gold preference function of the demo world: the quality of an answer, judged from its text alone.

    gold = fluency * (1.4 answer + (1/4 + 3/4 answer) (0.9 values + 0.7 courtesy + 0.5 brevity + 0.5 variety))

clipped to 0 … 4 points. Each part lies between 0 and 1 (courtesy: between -1 and 1):

    answer    the share of the correct answer's facts that are stated; the share is halved for every
              additional question that the text answers
    values    the share of the required slot values that are stated; each stated value that does not occur
              in the conversation costs as much as half a required value earns
    courtesy  ½ for a greeting and ½ for a closing; each rude line subtracts 1
    brevity   1 for 12 to 45 words, less for fewer or more words, and 0 for 90 words or more
    variety   1 minus twice the share of repeated word triples
    fluency   1 if nearly all pairs of adjacent words are also adjacent in some template; less for fewer pairs

Fluency multiplies all other parts. Lists of keywords, shuffled words and foreign text therefore earn nothing.
If no fact of the correct answer is stated, the other parts earn only a quarter of their points, so that
polite but empty answers do not score well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from training.demo_world import replies, slots
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS, Intent
from training.demo_world.scenario import Scenario, parse
from training.rlhf.core.messages import Messages

MAX_GOLD = 4.0  # points
SHORTEST_WORDS, LONGEST_WORDS, ENDLESS_WORDS = 12, 45, 90
# Fluency depends on how many of the answer's pairs of adjacent words occur in the templates: it is 1 if at
# least 95 % of the pairs do, and 0 if at most 60 % do.
FLUENT_SHARE, BROKEN_SHARE = 0.95, 0.6


@dataclass(frozen=True)
class Gold:
    """The parts of an answer's gold reward. `points` is the resulting reward."""

    answer: float
    values: float
    courtesy: float
    brevity: float
    variety: float
    fluency: float

    @property
    def points(self) -> float:
        manner = 0.9 * self.values + 0.7 * self.courtesy + 0.5 * self.brevity + 0.5 * self.variety
        total = self.fluency * (1.4 * self.answer + (0.25 + 0.75 * self.answer) * manner)
        return min(max(total, 0.0), MAX_GOLD)


def gold_reward(messages: Messages, text: str) -> float:
    """Return the gold reward, from 0 for a useless answer to 4 for a correct, polite and brief answer. An
    answer is correct only if it contains the correct values.

    Raises `UnknownPrompt` if the prompt is not from the demo world.
    """
    return judge(messages, text).points


def judge(messages: Messages, text: str) -> Gold:
    """Return the parts of the gold reward. Raises `UnknownPrompt` if the prompt is not from the demo
    world."""
    scenario = parse(messages)
    named = {value for message in messages for _, value in slots.find(message["content"])}
    words = _words(text)
    return Gold(
        answer=_answer(scenario.asked, " ".join(_plain_words(text))),
        values=_values(scenario, named, text),
        courtesy=_courtesy(text),
        brevity=_brevity(len(text.split())),
        variety=_variety(words),
        fluency=_fluency(words),
    )


def _answer(asked: Intent, plain: str) -> float:
    stated = sum(_states(fact, plain) for fact in asked.facts)
    others = sum(
        all(_states(fact, plain) for fact in intent.facts)
        for intent in (*INTENTS, *FOLLOW_UPS)
        if intent.name != asked.name
    )
    return stated / len(asked.facts) * 0.5**others


def _states(fact: tuple[str, ...], plain: str) -> bool:
    return any(f" {phrase} " in f" {plain} " for phrase in fact)


def _values(scenario: Scenario, named: set[str], text: str) -> float:
    mentioned = {value for _, value in slots.find(text)}
    required = set(scenario.required.values())
    foreign = len(mentioned - named)
    if not required:
        return max(0.0, 1.0 - 0.5 * foreign)
    return max(0.0, (len(required & mentioned) - 0.5 * foreign) / len(required))


def _courtesy(text: str) -> float:
    start, end = _sentences(text)[:1], _sentences(text)[-1:]
    greeting = any(
        _same_sentence(s, g) for s in start for g in (*replies.NAMED_GREETINGS, *replies.PLAIN_GREETINGS)
    )
    closing = any(_same_sentence(s, c) for s in end for c in replies.CLOSINGS)
    rude = sum(line.lower() in text.lower() for line in replies.RUDE_LINES)
    return max(-1.0, 0.5 * greeting + 0.5 * closing - rude)


def _brevity(words: int) -> float:
    if words < SHORTEST_WORDS:
        return words / SHORTEST_WORDS
    return min(1.0, max(0.0, (ENDLESS_WORDS - words) / (ENDLESS_WORDS - LONGEST_WORDS)))


def _variety(words: list[str]) -> float:
    triples = list(zip(words, words[1:], words[2:], strict=False))
    repeats = 1.0 - len(set(triples)) / len(triples) if triples else 0.0
    return max(0.0, 1.0 - 2.0 * repeats)


def _fluency(words: list[str]) -> float:
    if not words:
        return 0.0
    pairs = list(zip(["<start>", *words], [*words, "<end>"], strict=True))
    known = sum(pair in _known_pairs() for pair in pairs) / len(pairs)
    return min(1.0, max(0.0, (known - BROKEN_SHARE) / (FLUENT_SHARE - BROKEN_SHARE)))


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


@lru_cache(maxsize=65536)
def _same_sentence(sentence: str, template: str) -> bool:
    """Return whether the sentence is an instance of the template, with any slot values."""
    return _words(sentence) == _words(template)


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _words(text: str) -> list[str]:
    """Split the text into lower-case words, with `.` at sentence ends. Each value is replaced by a word for
    its kind: `Hi Nora,` -> `hi slotname`."""
    filled = re.sub(r"\{(\w+)\}", r"slot\1", slots.generalise(text)).lower()
    return re.findall(r"[a-z0-9]+|[.!?]", filled)


def all_templates() -> Iterator[str]:
    yield from (*replies.NAMED_GREETINGS, *replies.PLAIN_GREETINGS, *replies.CLOSINGS)
    yield from (*replies.RUDE_LINES, *replies.FILLERS, *replies.EVASIONS)
    for intent in (*INTENTS, *FOLLOW_UPS):
        yield from intent.answers
        for fact in intent.facts:
            yield f"{fact[0]}."


@cache
def _known_pairs() -> frozenset[tuple[str, str]]:
    """Return all pairs of adjacent words in the templates. For sentence boundaries, the result includes every
    possible pair, as if any sentence could follow any other sentence."""
    pairs: set[tuple[str, str]] = set()
    starts, ends = set(), set()
    for template in all_templates():
        words = _words(template)
        pairs.update(pairwise(words))
        starts.add(words[0])
        ends.add(words[-1])
    pairs.update((end, start) for end in ends for start in starts)
    pairs.update(("<start>", start) for start in starts)
    pairs.update((end, "<end>") for end in ends)
    return frozenset(pairs)
