"""What a project asks of its annotators: the typed answer form, and ready-made ones."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.problems import FieldProblem, Problem

MAX_CHOICES = 30

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9_]+$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Level(_Part):
    value: int = Field(ge=1, le=100)
    label: Label


class Strength(_Part):
    """How much better the best tier is than the next: one of these levels, or nothing."""

    levels: list[Level] = Field(min_length=1, max_length=MAX_CHOICES)


class Scale(_Part):
    """A rating of each response by itself, in whole steps from `min` to `max`."""

    name: Name
    label: Label
    min: int = Field(ge=-1000, le=1000)
    max: int = Field(ge=-1000, le=1000)

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.min >= self.max:
            raise ValueError("min must be less than max")
        return self


class Flag(_Part):
    name: Name
    label: Label


class AnswerForm(_Part):
    ties: bool = True
    strength: Strength | None = None
    ratings: list[Scale] = Field(default=[], max_length=MAX_CHOICES)
    flags: list[Flag] = Field(default=[], max_length=MAX_CHOICES)
    not_rankable: bool = True
    comment: bool = True
    rewrite: bool = False

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        levels = [str(level.value) for level in self.strength.levels] if self.strength else []
        for part, names in (
            ("strength levels", levels),
            ("ratings", [scale.name for scale in self.ratings]),
            ("flags", [flag.name for flag in self.flags]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{part}: {', '.join(sorted(twice))} is there twice")
        return self

    @classmethod
    def from_json(cls, form: object) -> Self:
        """Raises Problem with a reason for each wrong field."""
        try:
            return cls.model_validate(form)
        except ValidationError as error:
            errors = [
                FieldProblem(".".join(["form", *map(str, e["loc"])]), e["msg"].removeprefix("Value error, "))
                for e in error.errors(include_url=False)
            ]
            raise Problem("The answer form can't be used as it is.", errors=errors) from None

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def _levels(*labels: str) -> Strength:
    return Strength(levels=[Level(value=value, label=label) for value, label in enumerate(labels, start=1)])


UNSAFE = Flag(name="unsafe", label="Unsafe or harmful")
BETTER = ("slightly better", "better", "significantly better")

# The interfaces that published preference data was gathered with, and `ranking`, the plain default.
PRESETS: dict[str, AnswerForm] = {
    "ranking": AnswerForm(flags=[UNSAFE]),
    "instructgpt": AnswerForm(
        ratings=[Scale(name="overall", label="Overall quality", min=1, max=7)],
        flags=[
            UNSAFE,
            Flag(name="fails_instruction", label="Fails to follow the instruction"),
            Flag(name="hallucination", label="States something untrue"),
            Flag(name="inappropriate", label="Inappropriate for a customer assistant"),
        ],
    ),
    "llama2": AnswerForm(
        ties=False, strength=_levels("negligibly better or unsure", *BETTER), flags=[UNSAFE]
    ),
    "hh": AnswerForm(
        ties=False,
        strength=_levels("barely better", "slightly better", "clearly better", "much better"),
        not_rankable=False,
        comment=False,
    ),
    "helpsteer2": AnswerForm(
        strength=_levels(*BETTER),
        ratings=[
            Scale(name=name, label=name.capitalize(), min=0, max=4)
            for name in ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
        ],
    ),
    "arena": AnswerForm(comment=False),
    "oasst": AnswerForm(ties=False, flags=[UNSAFE, Flag(name="spam", label="Spam")]),
}
DEFAULT_PRESET = "ranking"
