"""Plain types shared by all packages. This module does not import torch, so that importing the types is
fast."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

# A conversation up to the point where the assistant must answer: [{"role": "user", "content": "…"}, …]
Messages: TypeAlias = Sequence[Mapping[str, str]]


class Demonstration(NamedTuple):
    """A conversation with an answer. In SFT, the model learns to imitate the answer exactly, regardless of
    the answer's quality."""

    messages: Messages
    response: str
