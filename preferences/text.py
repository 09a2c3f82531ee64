"""Limits on texts, names and the number of responses, defined once for imports, the API, forms and training.

No stored text exceeds the text limit, because exported content must always be importable and usable for
training.
"""

from __future__ import annotations

# About 250,000 tokens. A longer text is probably the result of a broken export, and no annotator could read
# and rank it.
MAX_TEXT_CHARACTERS = 1_000_000
# The limit for names and IDs, such as the name of a model or an annotator, or a ranking's ID in another
# system.
MAX_NAME_CHARACTERS = 200
MAX_MESSAGES = 400
MIN_RESPONSES = 2
MAX_RESPONSES = 10
ROLES = ("system", "user", "assistant", "tool")
NUL = "\x00"


def storage_fault(text: str) -> str | None:
    """The reason why Postgres can't store `text`, as a predicate ("contains …"), or None if Postgres can
    store it.

    Postgres text can't contain NUL, and a lone surrogate has no UTF-8 encoding. JSON can contain both
    characters as escapes. A byte that is not valid UTF-8 also becomes a lone surrogate when the import
    decodes it.
    """
    if NUL in text:
        return "contains a NUL character, which can't be stored"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains a lone surrogate or a byte that is not UTF-8, so it is not valid Unicode text"
    return None


def printable(text: str) -> str:
    """`text` with escapes in place of characters that can't be stored or sent. An error message can contain
    such characters if it quotes a field's name."""
    if storage_fault(text) is None:
        return text
    return text.replace(NUL, r"\x00").encode(errors="backslashreplace").decode()


def name_fault(text: str) -> str | None:
    """The reason why `text` can't be a name or an ID, or None if `text` is valid. The reason is phrased as in
    :func:`storage_fault`."""
    if len(text) > MAX_NAME_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_NAME_CHARACTERS}"
    return storage_fault(text)


def text_fault(text: str) -> str | None:
    """The reason why `text` can't be a message or a response, or None if `text` is valid. The reason is
    phrased as in :func:`storage_fault`."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"has {len(text):,} characters; the maximum is {MAX_TEXT_CHARACTERS:,}"
    return storage_fault(text)
