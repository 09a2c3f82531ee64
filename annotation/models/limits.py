from __future__ import annotations

from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual


def at_most(field: str, characters: int) -> LessThanOrEqual[int]:
    """The condition of a check constraint that limits the text in `field` to `characters` characters. The
    constraint accepts NULL."""
    return LessThanOrEqual(Length(field), characters)
