"""The recipe of each run kind, with the library's settings and the platform's own settings.

The platform's own settings choose the sources of prompts and initial models. This module does not import
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from preferences.text import MAX_RESPONSES, MIN_RESPONSES
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.parts.base import KeepsDevice, Recipe, ShardsModel
from training.rlhf.recipes.parts.pairs import Pair, parse_pairs
from training.rlhf.recipes.parts.servers import UsesServer
from training.rlhf.recipes.parts.varied import ChoosesVaried
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig

# The name of the tiny model that the demo world creates (training.demo_world). Nothing is downloaded.
DEMO_WORLD = "demo-world"


DAY_MINUTES = 24 * 60
MAX_WEIGHT = 1e9


def _max_minutes(days: int) -> Any:
    return Field(
        days * DAY_MINUTES,
        gt=0,
        le=366 * DAY_MINUTES,
        description="Time limit of the run in minutes, over all its attempts. A run that reaches the limit "
        "ends at its next step, keeps its newest checkpoint and can be resumed with a higher limit. If "
        "empty, there is no limit.",
    )


class Trains(Recipe):
    """A recipe for runs that train a model. Such runs can take days."""

    max_minutes: float | None = _max_minutes(days=7)
    processes: int = Field(
        1,
        ge=0,
        le=64,
        description="Number of processes on the worker's machine that share each step. With GPUs, each "
        "process uses one GPU, and 0 means one process per GPU. Without GPUs, the processes share the CPU's "
        "threads, and 0 means one process. Runs with a generation server use only one process.",
    )

    @model_validator(mode="after")
    def _server_has_one_process(self) -> Self:
        if self.processes > 1 and isinstance(self, UsesServer) and self.server:
            raise ValueError("a run with a server has only one process: set processes to 1")
        return self

    @model_validator(mode="after")
    def _shards_among_processes(self) -> Self:
        if self.processes == 1 and isinstance(self, ShardsModel) and self.sharding == "full":
            raise ValueError(
                "`sharding` divides the model among several processes: set `processes` to at least 2, or to "
                "0 for one process per GPU"
            )
        return self


class Answers(KeepsDevice):
    """A recipe for runs that only generate answers."""

    max_minutes: float | None = _max_minutes(days=1)


class StartsFromPolicy(Recipe):
    """A recipe for runs that start from the input `policy`, unless the recipe names another model."""

    base_model: str = Field(
        "",
        max_length=500,
        description="The model that is used instead of the input policy: a hub name (Qwen/Qwen3-0.6B) or a "
        "folder on the worker's machine. If this field is empty, the run starts from the input policy.",
    )


@dataclass(frozen=True)
class PromptSelection:
    """Which of the project's prompts a run uses: those whose metadata matches the filter, in the proportions
    given by `weights`. The weights apply to the values of `key`. Without weights, the proportions are those
    of the project."""

    filter: tuple[Pair, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    key: str = ""


def parse_weights(text: str) -> dict[str, float]:
    """Parse `value=weight, value=weight`. Raises ValueError if a weight is not a positive number, or if a
    value occurs twice."""
    weights: dict[str, float] = {}
    for name, weight in parse_pairs(text):
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < MAX_WEIGHT:
            raise ValueError(f"the weight of {name} must be a number above 0, but is {weight!r}")
        if name in weights:
            raise ValueError(f"{name} is given twice")
        weights[name] = float(weight)
    return weights


class UsesPrompts(Recipe):
    """A recipe for runs that answer the project's own prompts."""

    max_prompts: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="Maximum number of the project's prompts to use, chosen at random with the seed.",
    )
    prompt_filter: str = Field(
        "",
        max_length=2000,
        description="Use only prompts with this metadata, for example language=en, source=support. Values "
        "for the same key are alternatives. A list in the metadata matches if it contains the value. If "
        "empty, all prompts are used.",
    )
    prompt_mixture: str = Field(
        "",
        max_length=2000,
        description="Weights of the values of mixture_key, for example support=2, coding=1. The selected "
        "prompts have these proportions, so their number can be below max_prompts. Prompts with other "
        "values are not used. If empty, prompts are used in the proportions of the project.",
    )
    mixture_key: str = Field(
        "source",
        min_length=1,
        max_length=200,
        description="The metadata key whose values are listed in prompt_mixture.",
    )

    @field_validator("prompt_filter")
    @classmethod
    def _filter_parses(cls, text: str) -> str:
        parse_pairs(text)
        return text

    @field_validator("prompt_mixture")
    @classmethod
    def _mixture_parses(cls, text: str) -> str:
        parse_weights(text)
        return text

    @property
    def used_split(self) -> str | None:
        """The split whose prompts are used, or None for both."""
        return "train"

    @property
    def selection(self) -> PromptSelection:
        return PromptSelection(
            tuple(parse_pairs(self.prompt_filter)), parse_weights(self.prompt_mixture), self.mixture_key
        )


class SFTRecipe(SFTConfig, Trains):
    """Supervised fine-tuning on demonstrations."""

    base_model: str = Field(
        DEMO_WORLD,
        min_length=1,
        max_length=500,
        description="The starting model if there is no input policy: a hub name (Qwen/Qwen3-0.6B) or a "
        "folder on the worker's machine. With demo-world, the run creates a new tiny model.",
    )
    demonstrations: Literal["demo_world", "best_responses", "rewrites", "all", "imported"] = Field(
        "demo_world",
        description="Source of the demonstrations. demo_world: conversations generated by the demo world. "
        "best_responses: the best responses of each ranking in the snapshot. rewrites: the answers that "
        "annotators wrote. all: a ranking's rewrite or, without a rewrite, its best responses. imported: the "
        "answers in imported files of demonstrations.",
    )
    max_demonstrations: int = Field(
        9_500,
        ge=1,
        le=10_000_000,
        description="Maximum number of demonstrations to use, chosen at random with the seed.",
    )


class RewardModelRecipe(StartsFromPolicy, RewardModelConfig, Trains):
    """A reward model trained on the rankings in a snapshot."""


class RejectionSamplingRecipe(UsesPrompts, ChoosesVaried, StartsFromPolicy, RejectionSamplingConfig, Trains):
    """Samples several responses per prompt and fine-tunes on the responses with the highest rewards."""


class RLOORecipe(UsesPrompts, ChoosesVaried, StartsFromPolicy, RLOOConfig, Trains):
    """REINFORCE leave-one-out (RLOO) or GRPO with the reward model."""


class PPORecipe(UsesPrompts, ChoosesVaried, StartsFromPolicy, PPOConfig, Trains):
    """Proximal policy optimisation with the reward model."""


class DPORecipe(StartsFromPolicy, DPOConfig, Trains):
    """Direct preference optimisation on the rankings in a snapshot, without a reward model."""


class SampleRecipe(UsesPrompts, StartsFromPolicy, SampleConfig, Answers):
    """Creates ranking tasks from the policy's responses."""

    responses_per_prompt: int = Field(
        4, ge=MIN_RESPONSES, le=MAX_RESPONSES, description="Number of distinct responses per task."
    )
    max_prompts: int = Field(
        32,
        ge=1,
        le=1_000_000,
        description="Maximum number of prompts to answer. Prompts with the fewest tasks come first.",
    )
    overlap: int = Field(1, ge=1, le=50, description="Number of annotators who rank each new task.")
    priority: int = Field(
        10,
        ge=-1000,
        le=1000,
        description="Tasks with a higher priority are assigned first. Imported tasks have priority 0.",
    )

    @property
    def used_split(self) -> str | None:
        return None


class EvaluateRecipe(UsesPrompts, StartsFromPolicy, EvaluateConfig, Answers):
    """Scores the policy's responses to prompts and reports the mean score with its standard error."""

    responses_per_prompt: int = Field(
        4,
        ge=1,
        le=64,
        description="Number of answers scored per prompt. More answers make the mean score more precise.",
    )
    judge: Literal["gold", "reward_model"] = Field(
        "gold",
        description="The judge that scores the answers. gold: the demo world's gold preference function, "
        "which works only with demo prompts. reward_model: the input reward model.",
    )
    split: Literal["heldout", "train", "all"] = Field(
        "heldout",
        description="Which prompts to use: the held-out prompts, the training prompts, or all prompts.",
    )

    @property
    def used_split(self) -> str | None:
        return None if self.split == "all" else self.split
