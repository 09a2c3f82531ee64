"""Settings of the loops that improve a policy with reward models."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import Field, field_validator

from training.rlhf.recipes.parts.base import Recipe

START = "start"
MAX_WEIGHT = 100.0
MAX_FLOOR = 100.0  # standard deviations
_FLOOR_FROM_START = re.compile(rf"{START}\s*(?:([+-])\s*(\S+))?")
_WEIGHTS_EXAMPLE = "Write weights as helpful-rm=1, harmless-rm=0.5"
_FLOORS_EXAMPLE = "Write floors as harmless-rm=start, harmless-rm=start-0.2 or harmless-rm=0.5"


class Floor(NamedTuple):
    """The lowest acceptable mean of a reward model's scores, in standard deviations of its training rewards.

    With `from_start`, `value` is added to the mean score of the starting policy's answers. Otherwise, `value`
    is measured from the mean of the training rewards.
    """

    from_start: bool
    value: float


class UsesRewards(Recipe):
    """Settings for scoring answers."""

    caution: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Each score is reduced by this multiple of its standard deviation. Answers with"
        " uncertain scores are then favoured less. Values above 0 require a reward model"
        " with an uncertainty setting other than none.",
    )
    reward_weights: str = Field(
        "",
        max_length=1000,
        description="Weights of several reward models, such as helpful-rm=1, harmless-rm=0.5. The reward is"
        " the weighted mean of their scores, in standard deviations. The input reward model has weight 1"
        " unless it is listed here. If empty, only the input reward model has a weight.",
    )
    reward_floors: str = Field(
        "",
        max_length=1000,
        description="Lower limits for the mean scores of some reward models, such as harmless-rm=start. start"
        " is the mean score of the starting policy's answers, and start-0.2 is 0.2 standard deviations below"
        " it. A number without start is measured in standard deviations from the reward model's training"
        " mean. The reward model's share of the reward rises until its mean score reaches the floor.",
    )
    floor_rate: float = Field(
        0.3,
        gt=0,
        le=10,
        description="With reward_floors: how strongly PPO and RLOO react to a mean score below its floor. If"
        " a reward model's mean score is one standard deviation below its floor, each step increases the"
        " reward model's weight by this multiple of the sum of all weights.",
    )

    @field_validator("reward_weights")
    @classmethod
    def _weights_can_be_read(cls, text: str) -> str:
        _weights_in(text)
        return text

    @field_validator("reward_floors")
    @classmethod
    def _floors_can_be_read(cls, text: str) -> str:
        _floors_in(text)
        return text

    def weights_of(self) -> dict[str, float]:
        """Parse `reward_weights` into a dictionary that maps names to weights."""
        return _weights_in(self.reward_weights)

    def floors_of(self) -> dict[str, Floor]:
        """Parse `reward_floors` into a dictionary that maps names to floors."""
        return _floors_in(self.reward_floors)

    def rewards_named(self) -> list[str]:
        """Return the names of all reward models in `reward_weights` and `reward_floors`, without
        repetition."""
        return list(dict.fromkeys([*self.weights_of(), *self.floors_of()]))

    def weights_and_floors(self, names: Sequence[str]) -> tuple[dict[str, float], dict[str, Floor]]:
        """Return the weights and floors of the run's reward models, which have these names. The first reward
        model has weight 1 unless it is listed. A reward model that has only a floor has weight 0. Raises
        ValueError if the settings don't fit the reward models."""
        listed, floors = self.weights_of(), self.floors_of()
        for setting, given in (("reward_weights", listed), ("reward_floors", floors)):
            if unknown := [name for name in given if name not in names]:
                raise ValueError(
                    f"`{setting}` lists {', '.join(unknown)}, but the run's reward models are: "
                    f"{', '.join(names)}"
                )
        weights = dict.fromkeys(names, 0.0) | {names[0]: 1.0} | listed
        if unused := [name for name in names if not weights[name] and name not in floors]:
            raise ValueError(
                f"the reward models {', '.join(unused)} have neither a weight nor a floor. List them in "
                "`reward_weights` or `reward_floors`"
            )
        if floors and len(names) == 1:
            raise ValueError(
                f"`reward_floors` lists {names[0]}, the run's only reward model. The run already maximises "
                "this reward. Add another reward model to `reward_weights`, or leave `reward_floors` empty"
            )
        return weights, floors


def _weights_in(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, number in _entries("reward_weights", text, _WEIGHTS_EXAMPLE):
        weight = _number(number)
        if weight is None or not 0 < weight <= MAX_WEIGHT:
            raise ValueError(
                f"`reward_weights` contains {name}={number}. A weight must be a number above 0 and at most "
                f"{MAX_WEIGHT:g}"
            )
        found[name] = weight
    return found


def _floors_in(text: str) -> dict[str, Floor]:
    found: dict[str, Floor] = {}
    for name, floor in _entries("reward_floors", text, _FLOORS_EXAMPLE):
        relative = _FLOOR_FROM_START.fullmatch(floor)
        sign, distance = relative.groups() if relative else (None, floor)
        value = 0.0 if distance is None else _number(distance)
        if value is None or abs(value) > MAX_FLOOR:
            raise ValueError(
                f"`reward_floors` contains {name}={floor}. A floor must be {START}, {START} with a number "
                f"added or subtracted, or a number between {-MAX_FLOOR:g} and {MAX_FLOOR:g}. "
                f"{_FLOORS_EXAMPLE}"
            )
        found[name] = Floor(relative is not None, -value if sign == "-" else value)
    return found


def _entries(setting: str, text: str, example: str) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not name or not equals or not value or "=" in value:
            raise ValueError(f"`{setting}` contains {entry!r}. {example}")
        if name in seen:
            raise ValueError(f"`{setting}` contains {name} twice. List each reward model once")
        seen.add(name)
        yield name, value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
