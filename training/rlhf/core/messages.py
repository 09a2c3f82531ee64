"""The plain types that every part of the library passes around; no torch, so that they are cheap to
import."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

# A conversation up to the point where the assistant must answer: [{"role": "user", "content": "…"}, …]
Messages: TypeAlias = Sequence[Mapping[str, str]]


class Demonstration(NamedTuple):
    """One answer to learn from, as it was given; SFT imitates it, good or not."""

    messages: Messages
    response: str
