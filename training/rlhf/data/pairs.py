"""Rows with a ``chosen`` and a ``rejected`` response, as rows of rankings: what TRL, RewardBench 2 and
hh-rlhf call preference data, and what the exporter writes for them.

- ``prompt``: messages, or one user's text. Without it (hh-rlhf; TRL's implicit prompts) chosen and rejected
  are whole conversations, which must be the same but for their last answer.
- ``chosen``, ``rejected``: messages that end with the answer, its text, or a list of texts (RewardBench 2):
  the best of them, and all below, of which nothing more is said.
- ``margin``: where it is a whole number above 0 it is the strength.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

COLUMNS = ("chosen", "rejected")
MORE_COLUMNS = ("prompt", "margin")
ROLES = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"\n\n(Human|Assistant): ?")

Conversation = list[dict[str, str]]


def is_pair(row: Mapping[str, Any]) -> bool:
    return "tiers" not in row and all(name in row for name in COLUMNS)


def as_ranking(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with messages, responses and tiers. Raises ValueError."""
    told = [_told(row.get("prompt"), row[name], name) for name in COLUMNS]
    (asked, best), (again, rest) = told
    if asked != again:
        raise ValueError("chosen and rejected don't answer the same prompt")
    margin = row.get("margin")
    whole = isinstance(margin, (int, float)) and margin >= 1 and margin == int(margin)
    places = list(range(len(best) + len(rest)))
    below = places[len(best) :]
    return {
        **row,
        "messages": asked,
        "responses": [*best, *rest],
        "tiers": [places[: len(best)]] + ([below] if len(below) == 1 else []),
        "unranked": below if len(below) > 1 else [],
        "strength": int(margin) if whole and margin is not None else row.get("strength"),
    }


def _told(prompt: Any, given: Any, name: str) -> tuple[Conversation, list[str]]:
    """The conversation up to the answer, and the answers."""
    if prompt is not None and isinstance(given, list) and given and all(isinstance(g, str) for g in given):
        return _turns(prompt, "prompt"), given
    if prompt is not None and isinstance(given, str):
        return _turns(prompt, "prompt"), [given]
    turns = _turns(given, name)
    if not turns or turns[-1].get("role") != "assistant":
        raise ValueError(f"{name} must end with an answer of the assistant")
    before = _turns(prompt, "prompt") if prompt is not None else []
    asked = [*before, *turns[:-1]]
    return asked, [turns[-1]["content"]]


def _turns(given: Any, name: str) -> Conversation:
    if isinstance(given, list) and all(isinstance(turn, Mapping) and "content" in turn for turn in given):
        return [dict(turn) for turn in given]
    if not isinstance(given, str):
        raise ValueError(f"{name} must be a text or a list of messages")
    if name == "prompt":
        return [{"role": "user", "content": given}]
    first, *parts = TURN.split(given)
    if first.strip() or not parts:
        raise ValueError(f'{name} has no prompt: give one, or begin it with "\\n\\nHuman: "')
    return [
        {"role": ROLES[role], "content": text} for role, text in zip(parts[::2], parts[1::2], strict=True)
    ]
