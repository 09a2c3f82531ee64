"""The model from which the policy's KL is measured, and copies of weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.rollout import Models


def move_reference(config: RolloutConfig, models: Models, step: int) -> None:
    """Move the reference after the update of a step, if the recipe says so.

    With a moving reference, a long run can move further from the initial policy, although the KL from the
    current reference is limited. The KL is then no longer the distance from the initial policy.
    """
    reference, actor = weights_of(models.reference), weights_of(models.actor)
    if config.reference == "ema":
        for name, weight in reference.items():
            weight.lerp_(actor[name], 1.0 - config.reference_decay)
    elif config.reference == "reset" and step % config.reference_steps == 0:
        fill_weights(models.reference, actor)


def pull_back(models: Models, share: float) -> None:
    """Move the policy's weights this share of the way back to the reference's."""
    if share > 0:
        reference = weights_of(models.reference)
        for name, weight in weights_of(models.actor).items():
            weight.lerp_(reference[name], share)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's own weights by name, tied weights only once. Copy them to keep their values."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def fill_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy the named weights into the module."""
    places = weights_of(module)
    for name, weight in weights.items():
        places[name].copy_(weight)
