"""Create the demo world's conversations from templates, and parse conversations from their text."""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from training.demo_world import slots
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS, Intent
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages

NAMED_OPENINGS = ("Hi, this is {name}. ", "Hello, {name} here. ", "My name is {name}. ")
PLAIN_OPENINGS = ("", "Hello. ", "Good morning. ")
NAMED_SHARE = 0.75  # share of conversations in which the customer gives a name
FOLLOW_UP_SHARE = 0.3  # share of conversations with a follow-up question


class UnknownPrompt(UnusableInput):
    """Raised for a conversation that is not from the demo world and therefore has no known correct answer."""

    kind = FailureKind.GOLD_CANNOT_JUDGE


@dataclass(frozen=True)
class Scenario:
    """The customer's request. `asked` is the question to answer, and `values` are the slot values that the
    conversation names."""

    intent: Intent
    follow_up: Intent | None = None
    name: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    first_values: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> Intent:
        return self.follow_up or self.intent

    @property
    def required(self) -> dict[str, str]:
        """The values that a correct answer must contain, by kind: the values in the answer's template
        and the customer's name."""
        wanted = {kind: self.values[kind] for kind in slots.in_template(self.asked.answers[0])}
        return wanted | ({"name": self.name} if self.name else {})


def draw_scenario(rng: random.Random) -> Scenario:
    intent = rng.choice(INTENTS)
    first = _draw_values(rng, slots.in_template(intent.questions[0]))
    name = rng.choice(slots.NAMES) if rng.random() < NAMED_SHARE else None
    if rng.random() >= FOLLOW_UP_SHARE:
        return Scenario(intent=intent, name=name, values=first, first_values=first)
    follow_up = rng.choice([follow for follow in FOLLOW_UPS if _fits(follow, intent)])
    values = first | _draw_values(rng, slots.in_template(follow_up.questions[0]))
    return Scenario(intent=intent, follow_up=follow_up, name=name, values=values, first_values=first)


def write_messages(scenario: Scenario, rng: random.Random) -> list[dict[str, str]]:
    """Return the scenario's conversation: one user turn, or a user turn, an assistant turn and a second user
    turn."""
    opening = rng.choice(NAMED_OPENINGS if scenario.name else PLAIN_OPENINGS)
    question = rng.choice(scenario.intent.questions).format(**scenario.first_values)
    messages = [{"role": "user", "content": opening.format(name=scenario.name) + question}]
    if scenario.follow_up:
        answer = rng.choice(scenario.intent.answers).format(**scenario.first_values)
        messages.append({"role": "assistant", "content": answer})
        second = rng.choice(scenario.follow_up.questions).format(**scenario.values)
        messages.append({"role": "user", "content": second})
    return messages


def draw_conversations(n: int, rng: random.Random) -> Iterator[tuple[Scenario, list[dict[str, str]]]]:
    """Yield `n` conversations, no two of which have the same text."""
    seen: set[tuple[str, ...]] = set()
    while len(seen) < n:
        scenario = draw_scenario(rng)
        messages = write_messages(scenario, rng)
        key = tuple(message["content"] for message in messages)
        if key not in seen:
            seen.add(key)
            yield scenario, messages


def parse(messages: Messages) -> Scenario:
    """Return the scenario of a conversation, parsed from the user turns alone. Raises `UnknownPrompt` if the
    conversation is not from the demo world."""
    turns = [message["content"].strip() for message in messages if message["role"] == "user"]
    if not turns or messages[-1]["role"] != "user":
        raise UnknownPrompt("a demo-world prompt must end with a user's question")
    name, intent, first = _parse_first(turns[0])
    if len(turns) == 1:
        return Scenario(intent=intent, name=name, values=first, first_values=first)
    values = dict(first)
    for turn in turns[1:]:
        follow_up, named = _parse_follow_up(turn)
        values |= named
    missing = set(slots.in_template(follow_up.answers[0])) - set(values)
    if missing:
        raise UnknownPrompt(
            f"the answer to {turns[-1]!r} needs the {missing.pop()}, which the conversation does not name"
        )
    return Scenario(intent=intent, follow_up=follow_up, name=name, values=values, first_values=first)


def knows(messages: Messages) -> bool:
    """Return whether :func:`parse` can read the conversation."""
    try:
        parse(messages)
    except UnknownPrompt:
        return False
    return True


def _draw_values(rng: random.Random, kinds: tuple[str, ...]) -> dict[str, str]:
    return {kind: rng.choice(slots.VALUES[kind]) for kind in kinds}


def _fits(follow_up: Intent, intent: Intent) -> bool:
    """Return whether the conversation names every value that the answer to the follow-up question needs."""
    named = {*slots.in_template(follow_up.questions[0]), *slots.in_template(intent.questions[0])}
    return named.issuperset(slots.in_template(follow_up.answers[0]))


@cache
def _inverses(intents: tuple[Intent, ...], openings: tuple[str, ...]) -> list[tuple[re.Pattern[str], Intent]]:
    """Return one regular expression per template. Each expression matches exactly the texts that its template
    can produce."""
    return [
        (re.compile(_inverse(opening + question)), intent)
        for intent in intents
        for question in intent.questions
        for opening in openings
    ]


def _inverse(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{p}>{slots.PATTERNS[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts))


@lru_cache(maxsize=8192)
def _parse_first(text: str) -> tuple[str | None, Intent, dict[str, str]]:
    for pattern, intent in _inverses(INTENTS, NAMED_OPENINGS + PLAIN_OPENINGS):
        if match := pattern.fullmatch(text):
            values = match.groupdict()
            return values.pop("name", None), intent, values
    raise UnknownPrompt(f"not a demo-world question: {text[:200]!r}")


@lru_cache(maxsize=8192)
def _parse_follow_up(text: str) -> tuple[Intent, dict[str, str]]:
    for pattern, follow_up in _inverses(FOLLOW_UPS, ("",)):
        if match := pattern.fullmatch(text):
            return follow_up, match.groupdict()
    raise UnknownPrompt(f"not a demo-world follow-up question: {text[:200]!r}")
