"""The plain types that all packages share. No torch, so importing them is cheap."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

# A conversation up to the point where the assistant must answer: [{"role": "user", "content": "…"}, …]
Messages: TypeAlias = Sequence[Mapping[str, str]]


class Demonstration(NamedTuple):
    """One answer to learn from, as it was given. SFT imitates it, whether it is good or not."""

    messages: Messages
    response: str
