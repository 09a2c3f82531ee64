"""Plain types shared by all packages. This module doesn't import torch, so importing it is cheap."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

# A conversation up to the point where the assistant must answer: [{"role": "user", "content": "…"}, …]
Messages: TypeAlias = Sequence[Mapping[str, str]]


class Demonstration(NamedTuple):
    """A conversation with an answer, which SFT imitates exactly, regardless of the answer's quality."""

    messages: Messages
    response: str
