"""Find settings with which a run fits into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from training.rlhf.recipes.parts.base import Recipe

# The lowest limit tried for micro-batches. A lower limit would save little memory, because a micro-batch
# contains at least one prompt with its answers.
FEWEST_TOKENS = 512
GENERATION_MEMORIES = (8.0, 2.0, 0.5)  # GB
# For each changed setting, the values that other settings must then have. For example, `sharding` can't be
# used with an adapter.
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "critic": {"sharding": "none"},
    "use_peft": {"critic": "auto", "num_layers_unfrozen": None, "sharding": "none"},
}

Fits = Callable[[Recipe], bool | None]


def fitting_settings(recipe: Recipe, fits: Fits, *, stage: str) -> dict[str, Any] | None:
    """Return changes that make the recipe fit, or None if none of the changes tried is enough.

    The changes are tried in the order of their cost, each together with all previous changes. Smaller
    micro-batches and less memory for generation change the result only by rounding. Recomputing activations
    takes time. bfloat16 lowers the precision of the models. Processes that divide the model must exchange its
    weights. A shared critic or LoRA changes which weights are trained. Changes that turn out to be
    unnecessary are left out. `stage` is the largest stage. Settings that certainly fit are preferred over
    settings that might fit.
    """
    tried: list[dict[str, Any]] = []
    for changes in _changes(recipe, stage):
        tried.append((tried[-1] if tried else {}) | changes)
    some: tuple[set[bool | None], ...] = ({True}, {True, None})
    for accepted in some:
        for changes in tried:
            if _fit(recipe, changes, fits) in accepted:
                return _needed(recipe, changes, fits, accepted)
    return None


def _changes(recipe: Recipe, stage: str) -> Iterator[dict[str, Any]]:
    """Yield the changes to try with this recipe, in the order of their cost."""
    settings = recipe.model_dump()
    if stage == "generate" and "generation_memory" in settings:
        given = settings["generation_memory"]
        yield from ({"generation_memory": one} for one in GENERATION_MEMORIES if not given or one < given)
    tokens = settings.get("micro_batch_tokens", 0) // 2
    while tokens >= FEWEST_TOKENS:
        yield {"micro_batch_tokens": tokens}
        tokens //= 2
    wanted: Mapping[str, Any] = {
        "gradient_checkpointing": True,
        "dtype": "bfloat16",
        "precision": "bfloat16",
        "sharding": "full",
        "critic": "shared",
        "use_peft": True,
    }
    for name, value in wanted.items():
        if name not in settings or settings[name] == value:
            continue
        if name == "critic" and settings.get("use_peft"):
            continue  # the critic is already an adapter
        if name == "sharding" and settings.get("processes", 1) == 1:
            continue
        yield {name: value, **{key: one for key, one in BESIDE.get(name, {}).items() if key in settings}}


def _fit(recipe: Recipe, changes: Mapping[str, Any], fits: Fits) -> bool | None:
    """Return whether the changed recipe fits. The result is False if the changed settings contradict each
    other."""
    try:
        return fits(type(recipe).model_validate(recipe.model_dump() | dict(changes)))
    except ValidationError:
        return False


def _needed(
    recipe: Recipe, changes: Mapping[str, Any], fits: Fits, accepted: set[bool | None]
) -> dict[str, Any]:
    """Return the changes that are needed. Changes that equal the recipe's current settings are left out."""
    before = recipe.model_dump()
    kept = {name: value for name, value in changes.items() if before[name] != value}
    for name in list(kept):
        fewer = {other: value for other, value in kept.items() if other != name}
        if fewer and _fit(recipe, fewer, fits) in accepted:
            kept = fewer
    return kept
