"""The limits of a text and of the numbers around it: one definition for imports, the API, forms and training.

The text limit is high because it must never refuse stored content: content that was exported can
always be imported again and trained on.
"""

from __future__ import annotations

# About 250,000 tokens. A longer text is a broken export, not something that a person can read and rank.
MAX_TEXT_CHARACTERS = 1_000_000
# Names and ids: of a model, an annotator, a ranking in another system.
MAX_NAME_CHARACTERS = 200
MAX_MESSAGES = 400
MIN_RESPONSES = 2
MAX_RESPONSES = 10
ROLES = ("system", "user", "assistant", "tool")
NUL = "\x00"


def storage_fault(text: str) -> str | None:
    """Why Postgres can't store `text`, as a clause whose subject is the text; None where it can.

    Postgres text has no NUL, and a lone surrogate has no UTF-8. JSON can spell both, and a byte that is not
    UTF-8 is read as a surrogate.
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
    """Why `text` can't be a name or an id, as in :func:`storage_fault`; None where it can."""
    if len(text) > MAX_NAME_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_NAME_CHARACTERS}"
    return storage_fault(text)


def text_fault(text: str) -> str | None:
    """Why `text` can't be a message or a response, as in :func:`storage_fault`; None where it can."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_TEXT_CHARACTERS:,}"
    return storage_fault(text)
