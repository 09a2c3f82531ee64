"""The state of a loop that trains on its own rollouts, and operations on this state between steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from training.rlhf.core.checkpoint import Resumed
from training.rlhf.core.loop_state import Modules, Optimisers
from training.rlhf.core.reporter import Reporter
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.objectives.kl import KLController, kl_k3
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.reference import fill_weights, weights_of
from training.rlhf.rollouts.rollout import (
    START,
    MicroBatch,
    Models,
    Position,
    choose_prompts,
    observe,
    sample_rollout,
    split_rollout,
)
from training.rlhf.rollouts.samples import SampleAnswer, report_samples, sample_answers

Settings = TypeVar("Settings", bound=RolloutConfig)


@dataclass(kw_only=True)
class OnPolicyState:
    """Everything that changes during a run.

    ``position`` is the position in the prompts. ``floors`` is the state of the rewards' floors. ``episodes``
    counts answers. ``before`` contains the sample answers of the initial policy, and ``sampled_at`` is the
    step of the newest samples. If there is a ``kl_ceiling``, ``kept`` contains the newest weights whose
    answers did not exceed it.
    """

    models: Models
    policy_optimiser: torch.optim.Adam
    kl: KLController
    floors: FloorState
    step: int = 0
    position: Position = START
    episodes: int = 0
    sampled_at: int = -1
    before: list[SampleAnswer] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)

    @property
    def modules(self) -> Modules:
        return {"policy": self.models.actor}

    @property
    def optimisers(self) -> Optimisers:
        return {"policy": self.policy_optimiser}

    def counters(self) -> dict[str, Any]:
        """The state's numbers and texts, as JSON."""
        return {
            "kl": asdict(self.kl),
            **{"step": self.step, "position": self.position, "episodes": self.episodes},
            **{"sampled_at": self.sampled_at, "before": self.before},
            **{"first": self.first, "metrics": self.metrics, "floors": self.floors},
        }

    def tensors(self, config: RolloutConfig) -> dict[str, Tensor]:
        """The state's tensors apart from the trained weights and the optimisers' moments."""
        moving = weights_of(self.models.reference) if config.reference != "fixed" else {}
        return {f"reference.{name}": tensor for name, tensor in moving.items()} | {
            f"kept.{name}": tensor for name, tensor in self.kept.items()
        }

    def restore(self, resumed: Resumed) -> None:
        saved, tensors = dict(resumed.counters), resumed.data
        self.kl = KLController(**saved.pop("kl"))
        self.position = Position(*saved.pop("position"))
        self.before = [SampleAnswer(*pair) for pair in saved.pop("before")]
        for name, value in saved.items():
            setattr(self, name, value)
        fill_weights(self.models.reference, part_of(tensors, "reference."))
        device = self.models.actor.device
        self.kept = {name: tensor.to(device) for name, tensor in part_of(tensors, "kept.").items()}


def show_samples(
    config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts, report: Reporter
) -> None:
    """If samples are due, report answers of the current policy beside those of the initial policy."""
    due = state.step % config.sample_every == 0 or state.step == config.steps
    if not due or state.sampled_at == state.step:
        return
    after = sample_answers(
        config,
        state.models,
        prompts,
        state.models.actor,
        kl_coefficient=state.kl.beta,
        floors=state.floors,
    )
    state.before = state.before or after
    report_samples(report, state.step, prompts, state.before, after)
    state.sampled_at = state.step


def keep_below_ceiling(config: RolloutConfig, state: OnPolicyState, *, recovery: bool) -> None:
    """Before an update, keep the weights that sampled the rollout, unless the rollout's KL exceeded the
    ceiling."""
    if config.kl_ceiling is not None and not recovery:
        state.kept = {name: tensor.clone() for name, tensor in weights_of(state.models.actor).items()}


def update_settings(config: Settings, *, recovery: bool) -> Settings:
    """Return the settings of an update. In a recovery, the policy only moves back to the reference, so
    nothing else is added to its loss."""
    if not recovery:
        return config
    others = {"entropy_coefficient": 0.0, "ptx_coefficient": 0.0}
    return config.model_copy(update={k: v for k, v in others.items() if k in type(config).model_fields})


def stay_below_ceiling(config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts) -> None:
    """Measure the KL of the final policy on one more rollout. If the KL exceeds the ceiling, restore the
    newest weights whose KL was within the ceiling."""
    if config.kl_ceiling is None or "objective/kl_final" in state.metrics:
        return  # a run that resumes after the measurement keeps its result
    chosen, _ = choose_prompts(config.seed, state.position, count=config.rollout_prompts, of=len(prompts.ids))
    rollout = sample_rollout(
        config, state.models, prompts, chosen, step=config.steps + 1, floors=state.floors
    )
    kl = ceiling_kl(
        [
            observe(state.models, rollout, part)
            for parts in split_rollout(config, state.models, rollout)
            for part in parts
        ]
    )
    went_back = not kl <= config.kl_ceiling  # also true if the KL is NaN
    state.metrics = state.metrics | {"objective/kl_final": kl, "went_back": float(went_back)}
    if went_back:
        fill_weights(state.models.actor, state.kept)


def mean_kl(seen: Sequence[MicroBatch]) -> float:
    """Return the mean KL from the reference, in nats per answer (k1)."""
    return float(torch.cat([(one.log_probs - one.reference).sum(dim=1) for one in seen]).mean())


def ceiling_kl(seen: Sequence[MicroBatch]) -> float:
    """Return the estimate of the mean KL that is compared with ``kl_ceiling``, in nats per answer: the larger
    of the means of k1 and k3.

    Both are unbiased. Near the reference, the mean of k1 is noisy and can be negative. A negative value would
    be below any ceiling. k3 is never negative, and it is precise near the reference. However, if the policy
    always picks a token that the reference almost never picks, k3 is one nat too low in almost every sample,
    while k1 is exact.
    """
    k3 = [kl_k3(one.log_probs, one.reference).sum(dim=1) for one in seen]
    return max(mean_kl(seen), float(torch.cat(k3).mean()))


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
