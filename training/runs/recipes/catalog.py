"""The run kinds: what each is called, what it needs, and its recipe. Imports no torch, so the web process can
read it.

A platform recipe is the library's config plus what only the platform knows: where prompts and start models
come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from config.problems import FieldProblem, Problem
from preferences.text import MAX_RESPONSES, MIN_RESPONSES
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.recipes import (
    EvaluateConfig,
    PPOConfig,
    Recipe,
    RejectionSamplingConfig,
    RewardModelConfig,
    SampleConfig,
    SFTConfig,
)
from training.runs.recipes.presets import COMMON, PRESETS

# The name of the tiny model that the demo world builds for itself (training.demo_world), in place of a
# download.
DEMO_WORLD = "demo-world"


class StartsFromPolicy(Recipe):
    """A kind whose start is the input `policy`, unless the recipe names another model."""

    base_model: str = Field(
        "",
        max_length=500,
        description="A hub name (Qwen/Qwen3-0.6B) or a folder on the worker's machine to use in place of the "
        "policy among the inputs. Empty: the input.",
    )


class UsesPrompts(Recipe):
    """A kind that answers the project's own prompts."""

    max_prompts: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="How many of the project's prompts to use, drawn by the seed; all where there are fewer.",
    )


class SFTRecipe(SFTConfig):
    """Supervised fine-tuning on demonstrations."""

    base_model: str = Field(
        DEMO_WORLD,
        min_length=1,
        max_length=500,
        description="What to start from where no policy is among the inputs: a hub name (Qwen/Qwen3-0.6B), a "
        "folder on the worker's machine, or demo-world for a new tiny model.",
    )
    demonstrations: Literal["demo_world", "best_responses"] = Field(
        "demo_world",
        description="What to imitate: conversations made by the demo world, or the best response of each "
        "ranking of the snapshot.",
    )
    max_demonstrations: int = Field(
        9_500, ge=1, le=10_000_000, description="How many demonstrations to use; all where there are fewer."
    )


class RewardModelRecipe(StartsFromPolicy, RewardModelConfig):
    """A reward model from the rankings of a snapshot."""


class RejectionSamplingRecipe(UsesPrompts, StartsFromPolicy, RejectionSamplingConfig):
    """Several responses per prompt, the reward model's best of them, and fine-tuning on those."""


class PPORecipe(UsesPrompts, StartsFromPolicy, PPOConfig):
    """Proximal policy optimisation against the reward model."""


class SampleRecipe(UsesPrompts, StartsFromPolicy, SampleConfig):
    """The policy's responses become ranking tasks."""

    responses_per_prompt: int = Field(
        4, ge=MIN_RESPONSES, le=MAX_RESPONSES, description="Different responses wanted for each task."
    )
    max_prompts: int = Field(
        32,
        ge=1,
        le=1_000_000,
        description="How many prompts to answer: those with the fewest tasks come first.",
    )
    overlap: int = Field(1, ge=1, le=50, description="How many annotators rank each new task.")
    priority: int = Field(
        10,
        ge=-1000,
        le=1000,
        description="Tasks of a higher priority are served first; imported ones have 0.",
    )


class EvaluateRecipe(UsesPrompts, StartsFromPolicy, EvaluateConfig):
    """The mean score of the policy's responses to held-out prompts, with its standard error."""

    responses_per_prompt: int = Field(
        4,
        ge=1,
        le=64,
        description="Answers judged per prompt: more of them take the luck of the draw out of the mean.",
    )
    judge: Literal["gold", "reward_model"] = Field(
        "gold",
        description="Who scores: the demo world's gold preference function (demo prompts only), or the "
        "reward model.",
    )
    split: Literal["heldout", "train", "all"] = Field(
        "heldout", description="Which prompts: held out of all training, trained on, or both."
    )


@dataclass(frozen=True)
class RunKind:
    title: str
    description: str
    recipe: type[Recipe]
    inputs: tuple[str, ...]
    improves_policy: bool = False  # by the reward model


KINDS: dict[str, RunKind] = {
    TrainingRun.Kind.SFT: RunKind(
        "Supervised fine-tuning",
        "Teaches a policy to imitate demonstrations. The first step for a new model.",
        SFTRecipe,
        ("policy", "snapshot"),
    ),
    TrainingRun.Kind.REWARD_MODEL: RunKind(
        "Reward model",
        "Learns from rankings to score responses. Without a snapshot, the current rankings are frozen into "
        "one.",
        RewardModelRecipe,
        ("policy", "snapshot"),
    ),
    TrainingRun.Kind.REJECTION_SAMPLING: RunKind(
        "Rejection sampling",
        "Samples several responses per prompt, keeps the reward model's best and fine-tunes the policy on "
        "them.",
        RejectionSamplingRecipe,
        ("policy", "reward_model"),
        improves_policy=True,
    ),
    TrainingRun.Kind.PPO: RunKind(
        "PPO",
        "Improves the policy against the reward model by proximal policy optimisation, held near its start "
        "by a KL penalty.",
        PPORecipe,
        ("policy", "reward_model"),
        improves_policy=True,
    ),
    TrainingRun.Kind.SAMPLE: RunKind(
        "Sample",
        "The policy answers prompts; its responses become the next ranking tasks.",
        SampleRecipe,
        ("policy",),
    ),
    TrainingRun.Kind.EVALUATE: RunKind(
        "Evaluate",
        "Scores the policy's responses to held-out prompts: the mean, with its standard error.",
        EvaluateRecipe,
        ("policy", "reward_model"),
    ),
}
MODEL_INPUTS = {"policy": ModelVersion.Kind.POLICY, "reward_model": ModelVersion.Kind.REWARD_MODEL}


def kind_named(kind: str) -> RunKind:
    """Raises Problem for an unknown kind."""
    if kind not in KINDS:
        reason = f"{kind!r} is not a kind of run; it is one of {', '.join(KINDS)}."
        raise Problem(reason, errors=[FieldProblem("kind", reason)])
    return KINDS[kind]


def parse_recipe(*, kind: str, settings: Mapping[str, Any]) -> Recipe:
    """The typed recipe, defaults filled in. Raises Problem with one reason per wrong field."""
    try:
        return kind_named(kind).recipe.model_validate(dict(settings))
    except ValidationError as error:
        errors = [FieldProblem(_path(entry["loc"]), _reason(kind, entry)) for entry in error.errors()]
        raise Problem(
            f"The recipe of the {kind} run is not valid: "
            + "; ".join(f"{e.field}: {e.reason}" for e in errors),
            errors=errors,
        ) from None


def preset_settings(*, kind: str, preset: str) -> dict[str, Any]:
    """What the named preset changes. Raises Problem for a name that the kind doesn't have."""
    kind_named(kind)
    for one in PRESETS[kind]:
        if one.name == preset:
            return dict(one.settings)
    names = ", ".join(one.name for one in PRESETS[kind])
    reason = f"There is no preset {preset!r} of {kind}; there are {names}."
    raise Problem(reason, errors=[FieldProblem("preset", reason)])


def catalog() -> dict[str, dict[str, Any]]:
    """Every kind with the JSON Schema of its recipe, for forms and docs."""
    return {
        str(kind): {
            "title": entry.title,
            "description": entry.description,
            "schema": entry.recipe.model_json_schema(),
            "inputs": list(entry.inputs),
            "improves_policy": entry.improves_policy,
            "common": list(COMMON[kind]),
            "presets": [
                {
                    "name": preset.name,
                    "title": preset.title,
                    "description": preset.description,
                    "settings": dict(preset.settings),
                }
                for preset in PRESETS[kind]
            ],
        }
        for kind, entry in KINDS.items()
    }


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(["recipe", *map(str, location)])


def _reason(kind: str, entry: Any) -> str:
    if entry["type"] == "extra_forbidden":
        known = ", ".join(sorted(kind_named(kind).recipe.model_fields))
        return f"There is no such setting. The settings are: {known}."
    return f"{entry['msg']} (it is {entry['input']!r})" if entry["loc"] else str(entry["msg"])
