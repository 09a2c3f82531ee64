"""The settings of a training loop. A single definition provides validation, JSON Schema and the form on the
Loop page. This module does not import torch."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import time
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from annotation.datasets.exports import FORMAT_NAMES
from config.problems import FieldProblem, Problem
from training.runs.recipes.catalog import parse_recipe

ImprovingKind = Literal["rejection_sampling", "dpo", "rloo", "ppo"]
StepKind = Literal["reward_model", "rejection_sampling", "dpo", "rloo", "ppo", "evaluate", "sample"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[str, ...] = get_args(Day)
IMPROVING: tuple[str, ...] = get_args(ImprovingKind)
# The recipe settings that the loop sets itself, because a round's steps depend on them.
FIXED = {"evaluate": ("split", "judge", "responses_per_prompt")}


# The sections of the form.
START: dict[str, JsonValue] = {"group": "start"}
IMPROVE: dict[str, JsonValue] = {"group": "improve"}
REWARD_MODEL_GATE: dict[str, JsonValue] = {"group": "reward_model_gate"}
POLICY_GATE: dict[str, JsonValue] = {"group": "policy_gate"}
BUDGETS: dict[str, JsonValue] = {"group": "budgets"}


EXPORT_FORMAT: dict[str, JsonValue] = {"type": "string", "enum": [*FORMAT_NAMES]}


class LoopSettings(BaseModel):
    """When a round starts, what the round does, and what a model must show to be promoted.

    A round uses the settings with which it started. Changes apply from the next round on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_new_comparisons: int | None = Field(
        200,
        ge=1,
        le=2**31 - 1,
        title="New comparisons",
        json_schema_extra=START,
        description="Start a round when there are this many comparisons that no earlier round has used. If "
        "empty, new comparisons start no round.",
    )
    schedule_time: str = Field(
        "",
        title="Time of day",
        json_schema_extra=START,
        description="Also start a round at this time of day (HH:MM). If the service is down at this time, "
        "the round starts when the service is running again. Without new comparisons, the round is skipped. "
        "If empty, there is no schedule.",
    )
    schedule_days: tuple[Day, ...] = Field(
        (),
        title="Days",
        json_schema_extra=START,
        description="Days of the week on which the schedule starts a round. If empty, every day.",
    )
    time_zone: str = Field(
        "UTC",
        title="Time zone",
        json_schema_extra=START,
        description="Time zone of the schedule, for example Europe/Berlin.",
    )
    improve_with: tuple[ImprovingKind, ...] = Field(
        ("ppo",),
        title="Improve the policy with",
        json_schema_extra=IMPROVE,
        description="How a round improves the policy. Several methods run one after another, and each result "
        "is compared with the production policy. If empty, a round trains only a reward model.",
    )
    start_from: Literal["production", "first"] = Field(
        "production",
        title="Start from",
        json_schema_extra=IMPROVE,
        description="The policy that a round improves. production: the production policy or, if there is "
        "none, the newest policy that no gate has refused. first: the project's oldest policy.",
    )
    recipes: dict[StepKind, dict[str, Any]] = Field(
        default_factory=dict,
        title="Recipe settings",
        json_schema_extra=IMPROVE,
        description="Recipe settings by run kind, for example the number of PPO steps. Omitted settings keep "
        "their defaults.",
    )
    ask_after_stop: bool = Field(
        True,
        title="Sample new tasks after a gate has stopped a round",
        json_schema_extra=IMPROVE,
        description="Sample new tasks from the production policy even if a gate stops the round. If false, "
        "the project can run out of tasks, and then no further round starts.",
    )
    export_formats: tuple[str, ...] = Field(
        (),
        title="Export formats",
        json_schema_extra={**IMPROVE, "items": EXPORT_FORMAT},
        description="Each round exports its snapshot in these formats into the folder `exports` of the "
        "artefacts. If empty, nothing is exported.",
    )
    reward_model_gate: Literal["automatic", "off"] = Field(
        "automatic",
        title="Gate of the reward model",
        json_schema_extra=REWARD_MODEL_GATE,
        description="automatic: a new reward model is promoted only if it passes the checks on held-out "
        "rankings. off: a round promotes every new reward model, and the record states that the model was "
        "not checked.",
    )
    max_accuracy_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Maximum drop in accuracy",
        json_schema_extra=REWARD_MODEL_GATE,
        description="A new reward model may be less accurate than the current one by at most this amount, on "
        "the same held-out pairs. A statistically significant drop is never accepted.",
    )
    max_calibration_error: float = Field(
        0.2,
        gt=0,
        le=1,
        title="Maximum calibration error",
        json_schema_extra=REWARD_MODEL_GATE,
        description="Maximum expected calibration error of a new reward model on held-out pairs. The gate "
        "stops the model only if the lower end of the error's interval is above this maximum.",
    )
    policy_gate: Literal["human", "automatic", "off"] = Field(
        "human",
        title="Gate of the policy",
        json_schema_extra=POLICY_GATE,
        description="human: a new policy is promoted only if people prefer its answers to the production "
        "policy's in a blind comparison, and if it passes the checks. automatic: only the checks decide, "
        "including the reward model's win rate. off: every new policy is promoted, and the record states "
        "that it was not checked.",
    )
    gate_prompts: int = Field(
        100,
        ge=10,
        le=10_000,
        title="Maximum number of prompts",
        json_schema_extra=POLICY_GATE,
        description="Maximum number of held-out prompts in a policy gate.",
    )
    gate_rankings: int = Field(
        100,
        ge=10,
        le=100_000,
        title="Maximum number of human comparisons",
        json_schema_extra=POLICY_GATE,
        description="Maximum number of human comparisons in a policy gate. The comparison ends earlier if it "
        "is decided. An undecided gate promotes nothing.",
    )
    gate_days: float = Field(
        7.0,
        gt=0,
        le=365,
        title="Days until the comparison ends",
        json_schema_extra=POLICY_GATE,
        description="Number of days after which an undecided human comparison ends.",
    )
    gate_level: float = Field(
        0.95,
        ge=0.5,
        le=0.999,
        title="Confidence level",
        json_schema_extra=POLICY_GATE,
        description="Confidence level of the comparisons' intervals. The intervals of human comparisons are "
        "valid after any number of answers.",
    )
    gate_annotators: tuple[str, ...] = Field(
        (),
        title="Annotators",
        json_schema_extra=POLICY_GATE,
        description="Usernames of the members who rank in a policy gate. If empty, all annotators.",
    )
    second_approval: bool = Field(
        False,
        title="Approval by an admin",
        json_schema_extra=POLICY_GATE,
        description="A policy that passes its gate is promoted only after an admin has approved the result. "
        "The admin who started the round can't approve it. Without an approval, the gate is undecided after "
        "as many days as the comparison may take.",
    )
    max_kl: float | None = Field(
        20.0,
        gt=0,
        title="Maximum KL divergence",
        json_schema_extra=POLICY_GATE,
        description="Maximum KL divergence of a new policy from its starting policy, in nats per answer. If "
        "empty, the KL divergence is not checked.",
    )
    max_length_ratio: float | None = Field(
        2.0,
        gt=1,
        title="Maximum length ratio",
        json_schema_extra=POLICY_GATE,
        description="Maximum ratio of the new policy's mean answer length to the production policy's. "
        "If empty, the length is not checked.",
    )
    max_repetition_increase: float | None = Field(
        0.1,
        gt=0,
        le=1,
        title="Maximum increase in repetition",
        json_schema_extra=POLICY_GATE,
        description="Maximum increase in the share of repeated word triples, compared with the production "
        "policy. If empty, repetition is not checked.",
    )
    max_rounds: int | None = Field(
        None,
        ge=1,
        le=100_000,
        title="Maximum number of rounds",
        json_schema_extra=BUDGETS,
        description="Number of rounds after which the loop starts no further round.",
    )
    max_gpu_hours: float | None = Field(
        None,
        gt=0,
        title="Maximum hours of training",
        json_schema_extra=BUDGETS,
        description="Hours of training after which the loop starts no further round.",
    )

    price_per_hour: float | None = Field(
        None,
        gt=0,
        title="Price of an hour of training",
        json_schema_extra=BUDGETS,
        description="Price of an hour of training, in any currency. A round's page shows its price.",
    )
    max_price: float | None = Field(
        None,
        gt=0,
        title="Maximum price",
        json_schema_extra=BUDGETS,
        description="Total price of training, in the same currency, after which the loop starts no further "
        "round.",
    )

    @field_validator("improve_with", "export_formats", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("improve_with", "schedule_days", "gate_annotators", "export_formats")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a value is listed twice")
        return value

    @field_validator("export_formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in FORMAT_NAMES]:
            raise ValueError(f"there is no format {unknown[0]!r}; the formats are {', '.join(FORMAT_NAMES)}")
        return names

    @field_validator("schedule_time")
    @classmethod
    def _time_of_day(cls, text: str) -> str:
        if text:
            try:
                return time.fromisoformat(text).strftime("%H:%M")
            except ValueError:
                raise ValueError("use the form HH:MM, for example 02:30") from None
        return text

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        if name not in zoneinfo.available_timezones():
            raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Berlin or UTC")
        return name

    @model_validator(mode="after")
    def _price_is_known(self) -> Self:
        if self.max_price is not None and self.price_per_hour is None:
            raise ValueError("`max_price` needs `price_per_hour`")
        return self

    @model_validator(mode="after")
    def _gate_can_end(self) -> Self:
        if self.policy_gate == "human" and self.gate_rankings < self.gate_prompts / 10:
            raise ValueError("`gate_rankings` must be at least a tenth of `gate_prompts`")
        return self

    def recipe_of(self, kind: str) -> dict[str, Any]:
        return dict(self.recipes.get(kind, {}))  # type: ignore[call-overload]


def parse_settings(settings: Mapping[str, Any]) -> LoopSettings:
    """Return the validated settings with defaults filled in. Raises Problem with a reason for each invalid
    setting, including those in recipes."""
    try:
        found = LoopSettings.model_validate(dict(settings))
    except ValidationError as error:
        errors = [
            FieldProblem(
                ".".join(str(part) for part in entry["loc"]) or "settings",
                entry["msg"].removeprefix("Value error, "),
            )
            for entry in error.errors()
        ]
        raise _invalid(errors) from None
    if errors := list(_wrong_recipes(found)):
        raise _invalid(errors)
    return found


def _wrong_recipes(settings: LoopSettings) -> list[FieldProblem]:
    errors = []
    for kind, recipe in settings.recipes.items():
        for name in FIXED.get(kind, ()):
            if name in recipe:
                errors.append(FieldProblem(f"recipes.{kind}.{name}", "The loop sets this value."))
        try:
            parse_recipe(kind=kind, settings=recipe)
        except Problem as problem:
            errors += [
                FieldProblem(f"recipes.{kind}.{one.field.removeprefix('recipe.')}", one.reason)
                for one in problem.errors
            ]
    return errors


def _invalid(errors: list[FieldProblem]) -> Problem:
    reasons = "; ".join(f"{one.field}: {one.reason}" for one in errors)
    return Problem(f"The loop's settings are not valid: {reasons}", errors=errors)
