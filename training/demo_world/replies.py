"""An assistant's answers in the demo world: one correct style and eight flawed ones."""

import random
from collections.abc import Mapping

from training.demo_world import slots
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS
from training.demo_world.scenario import Scenario

NAMED_GREETINGS = (
    "Hello {name}, thank you for your message.",
    "Dear {name}, thanks for writing to us.",
    "Hi {name}, I am happy to help.",
)
PLAIN_GREETINGS = (
    "Hello, thank you for your message.",
    "Good day, thanks for writing to us.",
    "Hi, I am happy to help.",
)
CLOSINGS = (
    "Is there anything else I can do for you?",
    "Have a lovely day!",
    "Kind regards, your support team.",
)
RUDE_LINES = (
    "That is your own fault.",
    "Stop wasting my time.",
    "Read the website before you ask.",
    "Nobody else has this problem.",
)
FILLERS = (
    "We value every customer and every customer matters to us.",
    "As I said before, we care a lot about what you think.",
    "It goes without saying that quality is what we stand for.",
)
EVASIONS = (
    "I am sorry, I do not know that.",
    "I am afraid that I cannot say anything about it.",
)

# The weight of each style in the demonstrations. Only about a quarter of the demonstrations are good. A
# policy that imitates the demonstrations is therefore mediocre and shows every kind of failure. Annotators
# can then rank these failures lower.
STYLES: Mapping[str, float] = {
    "good": 0.28,
    "no_closing": 0.08,
    "plain": 0.10,
    "wrong_value": 0.10,
    "off_topic": 0.12,
    "rude": 0.12,
    "rambling": 0.10,
    "brief": 0.05,
    "evasive": 0.05,
}


def respond(scenario: Scenario, style: str, rng: random.Random) -> str:
    """Return one answer in the given style (a key of `STYLES`). Raises ValueError for any other style."""
    core = rng.choice(scenario.asked.answers).format(**scenario.values)
    match style:
        case "good":
            return " ".join([_greeting(scenario, rng), core, rng.choice(CLOSINGS)])
        case "no_closing":
            return f"{_greeting(scenario, rng)} {core}"
        case "plain":
            return core
        case "wrong_value":
            return _with_wrong_value(scenario, respond(scenario, "good", rng), rng)
        case "off_topic":
            return " ".join([_greeting(scenario, rng), _other_answer(scenario, rng), rng.choice(CLOSINGS)])
        case "rude":
            lines = rng.sample(RUDE_LINES, 2)
            return " ".join([lines[0], core, lines[1]] if rng.random() < 0.5 else [lines[0], core])
        case "rambling":
            filler = rng.choice(FILLERS)
            return " ".join([_greeting(scenario, rng), core, filler, core, filler])
        case "brief":
            fact = rng.choice(scenario.asked.facts)[0]
            return f"{fact[0].upper()}{fact[1:]}."
        case "evasive":
            return " ".join([_greeting(scenario, rng), rng.choice(EVASIONS), rng.choice(CLOSINGS)])
        case _:
            raise ValueError(f"unknown style {style!r}; the styles are {', '.join(STYLES)}")


def draw_style(rng: random.Random) -> str:
    return rng.choices(list(STYLES), weights=list(STYLES.values()))[0]


def _greeting(scenario: Scenario, rng: random.Random) -> str:
    if scenario.name:
        return rng.choice(NAMED_GREETINGS).format(name=scenario.name)
    return rng.choice(PLAIN_GREETINGS)


def _with_wrong_value(scenario: Scenario, text: str, rng: random.Random) -> str:
    """Return `text` with one of its values replaced by another value of the same kind. If the scenario has no
    values, the answer greets the customer by an invented name instead."""
    kinds = list(scenario.required)
    if not kinds:
        greeting = rng.choice(NAMED_GREETINGS).format(name=rng.choice(slots.NAMES))
        return f"{greeting} {text.split('. ', 1)[1]}" if ". " in text else f"{greeting} {text}"
    kind = rng.choice(kinds)
    right = scenario.required[kind]
    wrong = rng.choice([value for value in slots.VALUES[kind] if value != right])
    return text.replace(right, wrong)


def _other_answer(scenario: Scenario, rng: random.Random) -> str:
    """Return the correct answer to a different question, filled with the customer's values where they are
    known."""
    others = [intent for intent in (*INTENTS, *FOLLOW_UPS) if intent.name != scenario.asked.name]
    answer = rng.choice(rng.choice(others).answers)
    kinds = slots.in_template(answer)
    values = {kind: scenario.values.get(kind) or rng.choice(slots.VALUES[kind]) for kind in kinds}
    return answer.format(**values)
