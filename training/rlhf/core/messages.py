"""Plain types shared by all packages. This module does not import torch, so that importing the types is
fast."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

# The plain format for a tokenizer without a chat template, as in most base models. A conversation reads:
# user: <content>\nassistant: <content>\n … assistant:
PLAIN_TURN = "{role}: {content}\n"
PLAIN_GENERATION_PROMPT = "assistant:"

# A conversation up to the point where the assistant must answer: [{"role": "user", "content": "…"}, …]
Messages: TypeAlias = Sequence[Mapping[str, str]]


class Demonstration(NamedTuple):
    """A conversation with an answer. In SFT, the model learns to imitate the answer exactly, regardless of
    the answer's quality."""

    messages: Messages
    response: str


def plain_text(turns: Iterable[Mapping[str, str]]) -> str:
    """Return the conversation in the plain format, up to the point where the assistant must answer."""
    return "".join(PLAIN_TURN.format(**turn) for turn in turns) + PLAIN_GENERATION_PROMPT
