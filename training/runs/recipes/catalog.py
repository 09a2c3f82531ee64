"""The run kinds: the name, description, inputs and recipe of each. This module does not import torch, so the
web process can import it.

A stored recipe outlives the code that validated it. A setting that is removed or renamed therefore moves to
RETIRED. Reading the recipe of an existing run (`stored_recipe`) ignores retired settings, and settings that
were added since then get their defaults. A new launch with a retired setting (`parse_recipe`) is refused, and
the error names the replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from config.problems import FieldProblem, Problem
from training.models import ModelVersion, TrainingRun
from training.rlhf.recipes.parts.base import Recipe
from training.runs.recipes.presets import COMMON, PRESETS
from training.runs.recipes.run_recipes import (
    DPORecipe,
    EvaluateRecipe,
    PPORecipe,
    RejectionSamplingRecipe,
    RewardModelRecipe,
    RLOORecipe,
    SampleRecipe,
    SFTRecipe,
)


@dataclass(frozen=True)
class RunKind:
    title: str
    description: str
    recipe: type[Recipe]
    inputs: tuple[str, ...]
    improves_policy: bool = False  # whether runs improve the policy with a reward model


KINDS: dict[str, RunKind] = {
    TrainingRun.Kind.SFT: RunKind(
        "Supervised fine-tuning",
        "Teaches a policy to imitate demonstrations. This is the first step for a new model.",
        SFTRecipe,
        ("policy", "snapshot"),
    ),
    TrainingRun.Kind.REWARD_MODEL: RunKind(
        "Reward model",
        "Learns from rankings to score responses. If no snapshot is given, a new snapshot of the current "
        "rankings is frozen.",
        RewardModelRecipe,
        ("policy", "snapshot"),
    ),
    TrainingRun.Kind.REJECTION_SAMPLING: RunKind(
        "Rejection sampling",
        "Samples several responses to each prompt and keeps those with the highest rewards. The policy is "
        "then fine-tuned on the kept responses. With several rounds (RAFT), these steps are repeated with "
        "the fine-tuned policy.",
        RejectionSamplingRecipe,
        ("policy", "reward_model"),
        improves_policy=True,
    ),
    TrainingRun.Kind.RLOO: RunKind(
        "RLOO",
        "Improves the policy with the reward model by comparing several responses to each prompt (RLOO or "
        "GRPO). RLOO needs less memory than PPO, because it trains no critic.",
        RLOORecipe,
        ("policy", "reward_model"),
        improves_policy=True,
    ),
    TrainingRun.Kind.PPO: RunKind(
        "PPO",
        "Improves the policy with the reward model by proximal policy optimisation. A KL penalty keeps the "
        "policy near its starting point.",
        PPORecipe,
        ("policy", "reward_model"),
        improves_policy=True,
    ),
    TrainingRun.Kind.DPO: RunKind(
        "DPO",
        "Improves the policy directly from rankings, without a reward model, by direct preference "
        "optimisation (DPO or IPO). Start from the policy that wrote the responses. If no snapshot is given, "
        "a new snapshot of the current rankings is frozen.",
        DPORecipe,
        ("policy", "snapshot"),
    ),
    TrainingRun.Kind.SAMPLE: RunKind(
        "Sample",
        "Lets the policy answer prompts and creates ranking tasks from its responses.",
        SampleRecipe,
        ("policy",),
    ),
    TrainingRun.Kind.EVALUATE: RunKind(
        "Evaluate",
        "Scores the policy's responses to held-out prompts and reports the mean score with its standard "
        "error.",
        EvaluateRecipe,
        ("policy", "reward_model"),
    ),
}
# Retired settings by run kind, each with a sentence that names the replacement.
_IN_TOKENS = "Use micro_batch_tokens, which limits the number of tokens in a forward pass."
RETIRED: Mapping[str, Mapping[str, str]] = {
    TrainingRun.Kind.SFT: {"micro_batch_size": _IN_TOKENS},
    TrainingRun.Kind.REJECTION_SAMPLING: {"micro_batch_size": _IN_TOKENS},
    TrainingRun.Kind.PPO: {
        "kl_horizon": "Use kl_target alone: kl_coefficient now adapts after every step, regardless of the "
        "number of answers."
    },
}
MODEL_INPUTS = {"policy": ModelVersion.Kind.POLICY, "reward_model": ModelVersion.Kind.REWARD_MODEL}


def kind_named(kind: str) -> RunKind:
    """Return the run kind with this name. Raises Problem for an unknown name."""
    if kind not in KINDS:
        reason = f"{kind!r} is not a run kind. The kinds are: {', '.join(KINDS)}."
        raise Problem(reason, errors=[FieldProblem("kind", reason)])
    return KINDS[kind]


def parse_recipe(*, kind: str, settings: Mapping[str, Any]) -> Recipe:
    """Return the validated recipe with defaults filled in. Raises Problem with one reason per invalid
    setting."""
    try:
        return kind_named(kind).recipe.model_validate(dict(settings))
    except ValidationError as error:
        errors = [FieldProblem(_path(entry["loc"]), _reason(kind, entry)) for entry in error.errors()]
        raise Problem(
            f"The recipe of the {kind} run is not valid: "
            + "; ".join(f"{e.field}: {e.reason}" for e in errors),
            errors=errors,
        ) from None


def stored_recipe(*, kind: str, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe of an existing run. An earlier version might have stored the run's settings. Retired
    settings are ignored. Raises Problem if this version refuses settings that the earlier version
    accepted."""
    retired = RETIRED.get(kind, {})
    try:
        return parse_recipe(
            kind=kind, settings={name: value for name, value in settings.items() if name not in retired}
        )
    except Problem as problem:
        raise Problem(
            f"{problem}. An earlier version of Rankloop accepted these settings. Launch a new run with other "
            "settings.",
            errors=problem.errors,
        ) from None


def preset_settings(*, kind: str, preset: str) -> dict[str, Any]:
    """Return the settings that the preset changes. Raises Problem if the kind has no such preset."""
    kind_named(kind)
    for one in PRESETS[kind]:
        if one.name == preset:
            return dict(one.settings)
    names = ", ".join(one.name for one in PRESETS[kind])
    reason = f"{kind} has no preset {preset!r}. The presets are: {names}."
    raise Problem(reason, errors=[FieldProblem("preset", reason)])


def catalog() -> dict[str, dict[str, Any]]:
    """Return every run kind with the JSON Schema of its recipe, for forms and docs."""
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
        instead = RETIRED.get(kind, {}).get(str(entry["loc"][0]))
        if instead is not None:
            return f"This setting no longer exists. {instead}"
        known = ", ".join(sorted(kind_named(kind).recipe.model_fields))
        return f"There is no such setting. The settings are: {known}."
    return f"{entry['msg']} (got {entry['input']!r})" if entry["loc"] else str(entry["msg"])
