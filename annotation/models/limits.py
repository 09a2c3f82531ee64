from __future__ import annotations

from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual


def at_most(field: str, characters: int) -> LessThanOrEqual[int]:
    """The condition that a text has at most this many characters. True for NULL."""
    return LessThanOrEqual(Length(field), characters)
