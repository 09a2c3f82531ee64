"""The parts of a step that do not depend on the method: the next rollout and its metrics, the order of the
minibatches, the optimisers' steps, and the state after the step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol, Self, TypeVar

import torch

from training.rlhf.core import distributed
from training.rlhf.core.alive import counting
from training.rlhf.core.masters import optimised
from training.rlhf.core.memory import lowered_metric, until_it_fits
from training.rlhf.core.reporter import require_finite
from training.rlhf.core.seeds import generator_for
from training.rlhf.data.answers import Together, largest_divisible
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.objectives.kl import KLController
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.reference import change_of, move_reference, pull_back, weights_of
from training.rlhf.rollouts.rollout import (
    MicroBatch,
    Models,
    Position,
    Rollout,
    choose_prompts,
    counting_observations,
    observations,
    sample_rollout,
    split_rollout,
)
from training.rlhf.rollouts.state import OnPolicyBatch, OnPolicyState

Progress = Callable[[int, int], None]
Part = TypeVar("Part", bound="Divisible")
Result = TypeVar("Result")


def no_progress(done: int, total: int) -> None:
    pass


def next_rollout(
    config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts, progress: Progress = no_progress
) -> tuple[Rollout, Position]:
    """Answer the next prompts and score the answers. Return the rollout and the position after these prompts.
    Doesn't change the state."""
    chosen, position = choose_prompts(
        config.seed, state.position, count=config.rollout_prompts, of=len(prompts.ids)
    )
    rollout = sample_rollout(
        config, state.models, prompts, chosen, step=state.step + 1, floors=state.floors, progress=progress
    )
    return rollout, position


def rollout_metrics(
    config: RolloutConfig,
    state: OnPolicyState,
    rollout: Rollout,
    *,
    kl: float,
    controller: KLController,
    entropy: float,
) -> dict[str, float]:
    """Return the metrics that every method reports. ``kl`` and ``entropy`` are in nats per answer."""
    judges, beta = state.models.judges, controller.beta
    metrics = {
        "objective/scores": float(rollout.judged.scores.mean()),
        "objective/kl": kl,
        "objective/entropy": entropy,
        "objective/non_score_reward": -beta * kl,
        "objective/rlhf_reward": float(rollout.rewards(config).mean()) - beta * kl,
        "kl_coefficient": beta,
        "lengths/response_mean": float(rollout.lengths.float().mean()),
        "val/num_eos_tokens": float(rollout.finished.sum()),
        "eos_rate": float(rollout.finished.float().mean()),
    }
    if judges.estimates_uncertainty:
        metrics["objective/spread"] = float(rollout.judged.spreads.mean())
    if config.kl_target is not None:
        metrics["kl_pull"] = controller.pull
    if config.temperature_end is not None:
        metrics["temperature"] = rollout.temperature
    return metrics | judges.metrics(rollout.judged, state.floors)


def minibatches_of(config: RolloutConfig, state: OnPolicyState, rollout: Rollout) -> list[list[Together]]:
    """Divide a rollout's rows into minibatches, and these into micro-batches (see `split_rollout`)."""
    return split_rollout(config, state.models, rollout, max_tokens=state.micro_batch_tokens)


def observed_minibatches(
    config: RolloutConfig,
    state: OnPolicyState,
    rollout: Rollout,
    observe: Callable[[Sequence[Together]], Result],
) -> list[Result]:
    """Divide a rollout's rows into minibatches, and call ``observe`` with the micro-batches of each
    minibatch.

    If the device runs out of memory, the micro-batches are halved, and all of them are observed again
    (`until_it_fits`). The update then also uses the halved micro-batches.
    """

    def work() -> list[Result]:
        minibatches = minibatches_of(config, state, rollout)
        with counting_observations(minibatches):
            return [observe(parts) for parts in minibatches]

    def largest() -> int:
        parts = [part for parts in minibatches_of(config, state, rollout) for part in parts]
        return largest_divisible(rollout.rows, parts)

    return until_it_fits(work, state, largest=largest, what=f"step {rollout.step}")


def observed_parts(models: Models, rollout: Rollout, parts: Sequence[Together]) -> list[MicroBatch]:
    """Run micro-batches of a rollout through the policy and the reference."""
    return observations(models, rollout, parts, lambda seen, _: seen)


def observed(config: RolloutConfig, state: OnPolicyState, rollout: Rollout) -> list[MicroBatch]:
    """Run this process's share of a rollout's rows through the policy and the reference."""
    observe = partial(observed_parts, state.models, rollout)
    return [seen for part in observed_minibatches(config, state, rollout, observe) for seen in part]


def counting_updates(config: RolloutConfig, batch: Divided[Part]) -> AbstractContextManager[None]:
    """Inside the context, the answers in all passes of an update are counted (`core.alive.counting`)."""
    answers = sum(part.size for parts in batch.minibatches for part in parts)
    return counting(config.epochs * answers, "answers used for the update")


class Divisible(Protocol):
    """A micro-batch that can be split into halves."""

    @property
    def places(self) -> int: ...

    @property
    def size(self) -> int: ...

    def halves(self, models: Models, rollout: Rollout) -> list[Self]: ...


class Divided(Protocol[Part]):
    """A rollout's minibatches, as lists of micro-batches."""

    @property
    def rollout(self) -> Rollout: ...

    @property
    def minibatches(self) -> list[list[Part]]: ...


def within_memory(
    state: OnPolicyState, batch: Divided[Part], number: int, add_gradients: Callable[[Sequence[Part]], Result]
) -> Result:
    """Call ``add_gradients`` with the micro-batches of a minibatch, and return its result.

    If the device runs out of memory, all micro-batches of the rollout are halved, and the minibatch is
    computed again (`until_it_fits`). The gradient is the same except for rounding. Later steps also use the
    lower limit, which the checkpoints contain. A resumed run therefore uses the same micro-batches as the
    interrupted run, unless the resumed run runs out of memory at a different point.
    """

    def largest() -> int:
        return max((part.places for part in batch.minibatches[number] if part.size > 1), default=0)

    def divide() -> None:
        batch.minibatches[:] = [
            [half for part in parts for half in part.halves(state.models, batch.rollout)]
            for parts in batch.minibatches
        ]

    return until_it_fits(
        lambda: add_gradients(batch.minibatches[number]),
        state,
        largest=largest,
        divide=divide,
        optimisers=state.optimisers.values(),
        what=f"step {batch.rollout.step}",
    )


def minibatch_order(config: RolloutConfig, step: int, minibatches: int) -> Iterator[tuple[int, int]]:
    """Yield the epoch and the number of every minibatch in an update. Each epoch has its own random order."""
    for epoch in range(config.epochs):
        generator = generator_for(config.seed, "epoch", step, epoch)
        for number in torch.randperm(minibatches, generator=generator).tolist():
            yield epoch, number


def sizes(minibatch: Sequence[MicroBatch]) -> tuple[int, int]:
    """Return the numbers of tokens and of answers in a minibatch, over all processes."""
    mine = {
        "tokens": float(sum(int(part.mask.sum()) for part in minibatch)),
        "answers": float(sum(len(part.numbers) for part in minibatch)),
    }
    found = distributed.all_sum(mine)
    return int(found["tokens"]), int(found["answers"])


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate to a fraction of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = optimiser.defaults["lr"] * factor


def combine(found: defaultdict[str, float], *optimisers: torch.optim.Optimizer) -> defaultdict[str, float]:
    """Add up a minibatch's gradients and metrics over all processes. Return the metrics."""
    for optimiser in optimisers:
        distributed.sum_gradients(optimised(optimiser))
    return found if distributed.count() == 1 else distributed.add_up(found)


def take_step(
    config: RolloutConfig, step: int, found: defaultdict[str, float], *optimisers: torch.optim.Optimizer
) -> bool:
    """Take an optimiser step with the gradients of a minibatch, and clear the gradients. Return whether the
    step was taken.

    If the policy's KL from the sampling policy (``policy/approxkl_avg``) exceeds ``stop_kl``, no step is
    taken, and the update ends. Beyond that limit, clipped ratios carry little information. Raises
    TrainingDiverged if a value in ``found``, the minibatch's metrics, is not finite.
    """
    require_finite(step, found)
    stops = config.stop_kl is not None and found["policy/approxkl_avg"] > config.stop_kl
    for optimiser in optimisers:
        if not stops:
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return not stops


class Means:
    """The metrics of an update, averaged over its optimiser steps."""

    def __init__(self) -> None:
        self.steps, self._sums = 0, defaultdict[str, float](float)

    def add(self, values: Mapping[str, float]) -> None:
        self.steps += 1
        add(self._sums, values)

    def metrics(self) -> dict[str, float]:
        means = {name: value / self.steps for name, value in self._sums.items()}
        return means | {"updates": float(self.steps)}


def add(sums: defaultdict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        sums[name] += value


def end_step(
    config: RolloutConfig,
    state: OnPolicyState,
    batch: OnPolicyBatch,
    passes: Mapping[str, float],
) -> dict[str, float]:
    """Update the state at the end of a step, after all passes over its rollout. Return the step's metrics."""
    pull_back(state.models.actor, state.models.reference, state.kl.pull)
    # If the final KL will be compared with the ceiling, the last step does not move the reference.
    checked_last = config.kl_ceiling is not None and batch.rollout.step == config.steps
    if not batch.recovery and not checked_last:
        # The KL of the updated weights is not known yet. If they became the reference, their KL would be 0,
        # even if the update had moved the policy beyond the ceiling. The weights before the update were
        # within the ceiling.
        within = weights_of(state.models.actor) if config.kl_ceiling is None else state.kept
        move_reference(config, state.models.reference, within, batch.rollout.step)
    state.step, state.position, state.floors = batch.rollout.step, batch.position, batch.floors
    state.episodes += len(batch.rollout.rows)
    state.metrics = {**batch.metrics, **passes}
    state.metrics |= {
        "lr": float(state.policy_optimiser.param_groups[0]["lr"]),
        "episode": float(state.episodes),
        **change_of(state.models.actor, state.models.reference, config.reference),
    }
    state.metrics |= lowered_metric(state, config.micro_batch_tokens)
    if not state.first:
        state.first = {f"{name}_first": state.metrics[name] for name in ("objective/scores", "objective/kl")}
    return state.metrics
