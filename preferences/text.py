"""Limits on texts, names and numbers of responses: one definition for imports, the API, forms and training.

The text limit is high so that it never rejects stored content: exported content must always be importable and
usable for training.
"""

from __future__ import annotations

# About 250,000 tokens. A longer text is a broken export, not something that a person can read and rank.
MAX_TEXT_CHARACTERS = 1_000_000
# Names and IDs, such as those of a model, an annotator, or a ranking in another system.
MAX_NAME_CHARACTERS = 200
MAX_MESSAGES = 400
MIN_RESPONSES = 2
MAX_RESPONSES = 10
ROLES = ("system", "user", "assistant", "tool")
NUL = "\x00"


def storage_fault(text: str) -> str | None:
    """The reason why Postgres can't store `text`, as a predicate ("holds …"), or None if it can.

    Postgres text has no NUL, and a lone surrogate has no UTF-8 encoding. JSON can contain both as escapes,
    and a byte that is not UTF-8 is read as a surrogate.
    """
    if NUL in text:
        return "holds a NUL character, which can't be stored"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate or a byte that is not UTF-8, so it is not valid Unicode text"
    return None


def name_fault(text: str) -> str | None:
    """The reason why `text` can't be a name or an ID, phrased as in :func:`storage_fault`, or None."""
    if len(text) > MAX_NAME_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_NAME_CHARACTERS}"
    return storage_fault(text)


def text_fault(text: str) -> str | None:
    """The reason why `text` can't be a message or a response, phrased as in :func:`storage_fault`, or
    None."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_TEXT_CHARACTERS:,}"
    return storage_fault(text)
