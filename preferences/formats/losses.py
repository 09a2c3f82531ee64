"""The parts of a ranking that an export format can lose. A round-trip test verifies each format's list."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Part(StrEnum):
    """A part of a ranking, its task or its prompt. The value is the part's name in the documentation."""

    CONVERSATIONS = "conversations as separate turns"
    SYSTEM_TURNS = "system turns in prompts"
    TOOL_TURNS = "tool turns in prompts"
    PROMPT_METADATA = "prompt metadata"
    TASK_METADATA = "task metadata"
    KNOWN_ANSWERS = "known answers"
    SPLIT = "the split"
    RESPONSES = "responses"
    DISPLAY_ORDER = "the display order of the responses"
    MODELS = "model names"
    SAMPLING = "sampling parameters"
    RESPONSE_METADATA = "response metadata"
    PREFERENCES = "preferences between responses"
    LONG_ORDERS = "orders of more than two responses"
    TIES = "ties"
    UNRANKED = "the list of unranked responses"
    NOT_RANKABLE = "not-rankable answers"
    ALL_BAD = "all-bad answers"
    NO_ORDER = "rankings without an order"
    STRENGTH = "strength"
    RATINGS = "ratings"
    FLAGS = "flags"
    CHOICES = "choices"
    CONFIDENCE = "confidence"
    COMMENT = "comments"
    REWRITE = "rewrites"
    ANNOTATOR = "annotators"
    DURATION = "durations"
    GIVEN_AT = "the times in imported files"
    RANKING_ID = "ranking IDs"
    RANKING_METADATA = "ranking metadata"
    WEIGHT = "weights"
    ROUND = "rounds"
    SOURCE = "the source (browser, API or import)"
    VOTES = "the number of votes behind a majority"


ALL_PARTS = frozenset(Part)
# If a format keeps at most this many parts, the documentation lists the kept parts instead of the lost parts.
FEW_PARTS = 8


def all_but(*kept: Part) -> frozenset[Part]:
    return ALL_PARTS - set(kept)


def sentence_of(lost: Collection[Part]) -> str:
    """A sentence that names the lost parts, for the documentation."""
    if not lost:
        return "Nothing."
    kept = ALL_PARTS - set(lost)
    if len(kept) <= FEW_PARTS:
        return f"Everything except {_listed(kept)}."
    text = _listed(lost)
    return f"{text[0].upper()}{text[1:]}."


def _listed(parts: Collection[Part]) -> str:
    *names, last = [part.value for part in Part if part in parts]
    return f"{', '.join(names)} and {last}" if names else last
