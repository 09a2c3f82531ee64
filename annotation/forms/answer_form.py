"""The answer form: the questions that a project asks its annotators. Presets are in `forms.presets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from config.problems import FieldProblem, Problem
from preferences.text import MAX_RESPONSES, MIN_RESPONSES, storage_fault

MAX_CHOICES = 30

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9_]+$")]


def _storable(text: object) -> object:
    if isinstance(text, str) and (fault := storage_fault(text)):
        raise ValueError(f"It {fault}.")
    return text


Label = Annotated[str, BeforeValidator(_storable), Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Span(_Part):
    """The number of responses in a task."""

    min: int = Field(default=MIN_RESPONSES, ge=MIN_RESPONSES, le=MAX_RESPONSES)
    max: int = Field(default=MAX_RESPONSES, ge=MIN_RESPONSES, le=MAX_RESPONSES)

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.min > self.max:
            raise ValueError("'min' must not be greater than 'max'")
        return self

    def takes(self, count: int) -> bool:
        return self.min <= count <= self.max

    def __str__(self) -> str:
        return f"{self.min}" if self.min == self.max else f"{self.min} to {self.max}"


class TopK(_Part):
    """Only the best responses are ranked: at least `at_least` and at most `at_most` of them. All other
    responses rank below the ranked responses and are unordered among themselves."""

    at_least: int = Field(ge=1, le=MAX_RESPONSES)
    at_most: int = Field(ge=1, le=MAX_RESPONSES)

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.at_least > self.at_most:
            raise ValueError("'at_least' must not be greater than 'at_most'")
        return self


class Level(_Part):
    value: int = Field(ge=1, le=100)
    label: Label


class Strength(_Part):
    """How strongly the annotator prefers the first tier to the second tier, as one of `levels`. With two
    responses, the levels for preferring the one and the levels for preferring the other form one scale. If
    the form allows ties, a tie is in the middle of the scale."""

    levels: list[Level] = Field(min_length=1, max_length=MAX_CHOICES)
    required: bool = False


class Point(_Part):
    value: int
    label: Label


class Scale(_Part):
    """A rating of each response on its own, in whole steps. `points` labels some or all steps."""

    name: Name
    label: Label
    min: int = Field(ge=-1000, le=1000)
    max: int = Field(ge=-1000, le=1000)
    required: bool = False
    points: list[Point] = Field(default=[], max_length=MAX_CHOICES)

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.min >= self.max:
            raise ValueError("'min' must be less than 'max'")
        if outside := [str(point.value) for point in self.points if not self.min <= point.value <= self.max]:
            be = "is" if len(outside) == 1 else "are"
            raise ValueError(f"points: {', '.join(outside)} {be} outside the range {self.min} to {self.max}")
        _refuse_twice(points=[str(point.value) for point in self.points])
        return self


class Flag(_Part):
    name: Name
    label: Label


class Question(_Part):
    """A question about the whole task, with one choice as the answer."""

    name: Name
    label: Label
    choices: list[Flag] = Field(min_length=2, max_length=MAX_CHOICES)
    required: bool = False

    @model_validator(mode="after")
    def _choices_are_unique(self) -> Self:
        _refuse_twice(choices=[choice.name for choice in self.choices])
        return self


class Confidence(_Part):
    """The annotator's confidence in the answer."""

    levels: list[Level] = Field(min_length=2, max_length=MAX_CHOICES)
    required: bool = False


class AllBad(_Part):
    """The answer "None of these is good enough", and its effect on the order.

    With `asked`, an order is still required. With `none`, there is no order and there are no comparisons.
    With `tied`, all responses are tied, and the comparisons are ties ("both are bad" in the Arena).
    """

    label: Label = "None of these is good enough"
    order: Literal["asked", "none", "tied"] = "asked"


class Text(_Part):
    label: Label
    required: bool = False


class AnswerForm(_Part):
    responses: Span = Span()
    ties: bool = True
    tie_label: Label = "About equally good"
    top_k: TopK | None = None
    strength: Strength | None = None
    ratings: list[Scale] = Field(default=[], max_length=MAX_CHOICES)
    flags: list[Flag] = Field(default=[], max_length=MAX_CHOICES)
    questions: list[Question] = Field(default=[], max_length=MAX_CHOICES)
    confidence: Confidence | None = None
    not_rankable: bool = True
    all_bad: AllBad | None = None
    comment: Text | None = Text(label="Comment")
    rewrite: Text | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for part, levels in (("strength", self.strength), ("confidence", self.confidence)):
            if levels:
                _refuse_twice(**{f"{part} levels": [str(level.value) for level in levels.levels]})
        _refuse_twice(ratings=[scale.name for scale in self.ratings])
        _refuse_twice(flags=[flag.name for flag in self.flags])
        _refuse_twice(questions=[question.name for question in self.questions])
        if self.top_k and self.top_k.at_least > self.responses.min:
            raise ValueError(
                f"'top_k' requires at least {self.top_k.at_least} ranked responses,"
                f" but a task can have only {self.responses.min}"
            )
        if self.all_bad and self.all_bad.order == "tied" and not self.ties:
            raise ValueError("'all_bad' means a tie of all responses, but this form allows no ties")
        return self

    @classmethod
    def from_json(cls, form: object) -> Self:
        """Raises Problem with a reason for each invalid field."""
        try:
            return cls.model_validate(form)
        except ValidationError as error:
            errors = [
                FieldProblem(_path(e["loc"]), e["msg"].removeprefix("Value error, "))
                for e in error.errors(include_url=False)
            ]
            raise Problem("The answer form is invalid.", errors=errors) from None

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def _path(place: Sequence[int | str]) -> str:
    return ".".join(["form", *map(str, place)])


def _refuse_twice(**names: Sequence[str]) -> None:
    for part, given in names.items():
        if twice := {name for name in given if given.count(name) > 1}:
            raise ValueError(
                f"{part}: {', '.join(sorted(twice))} {'appears' if len(twice) == 1 else 'appear'} twice"
            )
