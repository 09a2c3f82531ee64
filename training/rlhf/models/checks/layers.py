"""Find a model's layers from the names of its weights.

In a multimodal model, the layers of a vision or audio tower are also numbered from 0. In a model's files, the
names of a language model's weights can have a different prefix than in the loaded model and its adapters. For
example, `language_model.model.layers.0` in the files of Gemma 3 becomes `model.language_model.layers.0` in
the loaded model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

LAYER = re.compile(r"(?:^|\.)(?P<place>(?:layers|layer|h)\.(?P<number>\d+)\..+)$")
TOWER = re.compile(r"vision|visual|image|audio|speech|video|projector|connector")


class Place(NamedTuple):
    """Where a weight is: the kind of tower ("" for the language model), the number of the layer, and the part
    of the name that starts at the layer."""

    tower: str
    number: int
    name: str


def place_of(name: str) -> Place | None:
    """Return the place of a weight, or None if the weight is outside the layers."""
    found = LAYER.search(name)
    if found is None:
        return None
    tower = TOWER.search(name, 0, found.start())
    return Place(tower[0] if tower else "", int(found["number"]), found["place"])


def layers_in(names: Iterable[str]) -> dict[str, set[int]]:
    """Return the indices of the layers in each tower."""
    found: dict[str, set[int]] = {}
    for name in names:
        if place := place_of(name):
            found.setdefault(place.tower, set()).add(place.number)
    return found
