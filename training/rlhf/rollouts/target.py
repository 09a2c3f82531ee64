"""`kl_target` at the end of a run: the KL of the saved policy does not exceed the target."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from training.rlhf.core import distributed
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.objectives.kl import kl_k1
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.reference import change_of, pull_back
from training.rlhf.rollouts.rollout import choose_prompts, sample_rollout
from training.rlhf.rollouts.state import OnPolicyState, Pulled
from training.rlhf.rollouts.steps import Progress, no_progress, observed

# Number of standard errors added to the estimate: with two, the KL exceeds the target in about one run in 40.
STANDARD_ERRORS = 2.0
# After a pull that covers at least LONG_PULL of the distance to the reference, the KL is measured again, but
# at most MEASUREMENTS times in total. Near the reference, the KL is proportional to the square of the
# distance (`objectives.kl.KLController`). Far from the reference, the power is lower, and is estimated from
# the measurements. A pull of 30 % that should have led to 1 nat led to 1.5 nats.
LONG_PULL, MEASUREMENTS = 0.04, 6
LEAST_POWER = 0.25


def end_within_target(
    config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts, progress: Progress = no_progress
) -> None:
    """Estimate the KL of the final policy, and move its weights back towards the reference if the KL may
    exceed ``kl_target``.

    The controller keeps the KL of each step near the target, within the noise of the step's answers. Without
    this correction, four runs of RLOO on the demo ended at 0.77 to 1.09 times their target. ``state.pulled``
    contains all results, so a run that is stopped here loses at most one rollout.
    """
    if config.kl_target is None:
        return
    while not state.pulled.ended:
        state.pulled = with_rollout(state.pulled, rollout_kl(config, state, prompts, progress))
        if state.pulled.rollouts == config.final_rollouts:
            state.pulled = with_pull(state.pulled, config.kl_target)
            pull_back(state.models.actor, state.models.reference, state.pulled.pull)
            state.metrics = state.metrics | {
                "kl_pull_final": 1 - state.pulled.kept,
                "objective/kl_final": (1 - state.pulled.pull) ** state.pulled.power * state.pulled.kl,
                **change_of(state.models.actor, state.models.reference, config.reference),
            }


def rollout_kl(
    config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts, progress: Progress
) -> Tensor:
    """Return the KL of each answer of the next rollout, in nats, with shape (N,).

    The estimate is k1. k3 varies less, but is up to one nat too low if the policy has moved far. Each
    measurement uses the same prompts and random numbers.
    """
    number, of = state.pulled.rollouts, config.final_rollouts
    count, position = config.rollout_prompts, state.position
    for _ in range(number + 1):
        chosen, position = choose_prompts(config.seed, position, count=count, of=len(prompts.ids))
    rollout = sample_rollout(
        config,
        state.models,
        prompts,
        chosen,
        step=config.steps + 1 + number,
        floors=state.floors,
        progress=lambda done, answers: progress(number * answers + done, of * answers),
    )
    kl = [kl_k1(seen.log_probs, seen.reference).sum(dim=1) for seen in observed(config, state, rollout)]
    return distributed.joined(kl)


def with_rollout(pulled: Pulled, kl: Tensor) -> Pulled:
    """Add a rollout to the current measurement. ``kl``, with shape (N,), contains the KL of each answer."""
    kl = kl.double()
    return replace(
        pulled,
        rollouts=pulled.rollouts + 1,
        answers=pulled.answers + len(kl),
        total=pulled.total + float(kl.sum()),
        squares=pulled.squares + float(kl.square().sum()),
    )


def with_pull(pulled: Pulled, target: float) -> Pulled:
    """Return the state after a complete measurement, with the next pull, which the measured KL determines."""
    kl, power = pulled.total / pulled.answers, pulled.power
    error = math.sqrt(max(pulled.squares / pulled.answers - kl**2, 0.0) / pulled.answers)
    if pulled.pull and 0 < kl < pulled.kl:
        power = min(max(math.log(kl / pulled.kl) / math.log(1 - pulled.pull), LEAST_POWER), 2.0)
    pull = pull_within(target, kl + STANDARD_ERRORS * error, power=power)
    measurements = pulled.measurements + 1
    return Pulled(
        measurements=measurements,
        ended=pull < LONG_PULL or measurements == MEASUREMENTS,
        kl=kl,
        power=power,
        pull=pull,
        kept=pulled.kept * (1 - pull),
    )


def pull_within(target: float, kl: float, *, power: float = 2.0) -> float:
    """Return the fraction of the distance to the reference by which a policy with this KL must move back to
    reach the target KL, or 0 if the KL does not exceed the target. The KL is assumed to be proportional to a
    power of the distance of the weights from the reference.
    """
    return 1 - (target / kl) ** (1 / power) if kl > target else 0.0
