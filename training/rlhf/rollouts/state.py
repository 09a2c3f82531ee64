"""The state of a loop that trains on its own rollouts, and one step's rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from training.rlhf.core.checkpoint import Resumed
from training.rlhf.core.loop_state import Modules, Optimisers
from training.rlhf.core.masters import optimiser_over
from training.rlhf.core.rates import rate_for
from training.rlhf.core.sharding import divided
from training.rlhf.judging.floors import FloorState
from training.rlhf.models.loading.trainable import trained_module
from training.rlhf.objectives.kl import KLController
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.reference import fill, weights_of
from training.rlhf.rollouts.rollout import START, Models, Position, Rollout
from training.rlhf.rollouts.samples import SampleAnswer

# Adam's epsilon, as in OpenAI's code and CleanRL. With torch's default of 1e-8, the initial steps would be
# far larger.
ADAM_EPSILON = 1e-5


def adam(module: nn.Module, rate: float) -> torch.optim.Adam:
    return optimiser_over(module, partial(torch.optim.Adam, lr=rate, eps=ADAM_EPSILON, fused=True))


@dataclass(frozen=True, slots=True)
class Pulled:
    """The pulls of the final policy towards the reference (`rollouts.target`).

    ``rollouts``, ``answers``, ``total`` and ``squares`` belong to the current measurement of the KL: the
    number of rollouts and answers so far, and the sum and the sum of squares of the answers' KL. After a
    measurement, ``kl`` is the measured mean, ``pull`` is the fraction of the distance to the reference that
    the following pull covered, and the KL is assumed to be proportional to the distance raised to ``power``.
    ``kept`` is the share of the initial distance that remains after all pulls.
    """

    measurements: int = 0
    ended: bool = False
    rollouts: int = 0
    answers: int = 0
    total: float = 0.0
    squares: float = 0.0
    kl: float = 0.0
    power: float = 2.0
    pull: float = 0.0
    kept: float = 1.0


@dataclass(kw_only=True)
class OnPolicyState:
    """Everything that changes during a run.

    ``position`` is the place in the sequence of prompts from which the next rollout continues. ``floors`` is
    the state of the rewards' floors. ``episodes`` counts answers. ``before`` contains the sample answers of
    the initial policy, and ``sampled_at`` is the step of the newest samples. If there is a ``kl_ceiling``,
    ``kept`` contains the newest weights whose KL did not exceed the ceiling. If there is a ``kl_target``,
    ``pulled`` contains the pulls of the final policy. ``micro_batch_tokens`` is the recipe's limit, or less
    if the device ran out of memory.
    """

    models: Models
    policy_optimiser: torch.optim.Adam
    kl: KLController
    floors: FloorState
    micro_batch_tokens: int
    pulled: Pulled = Pulled()
    step: int = 0
    position: Position = START
    episodes: int = 0
    sampled_at: int = -1
    before: list[SampleAnswer] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def starting(cls, config: RolloutConfig, models: Models, **of_method: Any) -> Self:
        """Return the state before the first step. `of_method` contains the fields that a method adds."""
        rate = config.learning_rate or rate_for(models.actor, at_2m=4e-4, at_1b=1e-6, adapter=config.use_peft)
        return cls(
            models=models,
            policy_optimiser=adam(trained_module(models.actor), rate),
            kl=KLController.starting(config.kl_coefficient, config.kl_target),
            floors=models.judges.initial_state(),
            micro_batch_tokens=config.micro_batch_tokens,
            **of_method,
        )

    @property
    def modules(self) -> Modules:
        return {"policy": trained_module(self.models.actor)}

    @property
    def optimisers(self) -> Optimisers:
        return {"policy": self.policy_optimiser}

    def counters(self) -> dict[str, Any]:
        """Return the part of the state that can be saved as JSON, without tensors."""
        return {
            **{"kl": asdict(self.kl), "pulled": asdict(self.pulled)},
            **{"step": self.step, "position": self.position, "episodes": self.episodes},
            **{"sampled_at": self.sampled_at, "before": self.before},
            **{"first": self.first, "metrics": self.metrics, "floors": self.floors},
            "micro_batch_tokens": self.micro_batch_tokens,
        }

    def tensors(self, config: RolloutConfig) -> dict[str, Tensor]:
        """Return the state's tensors, except for the trained weights and the optimisers' moments."""
        moving = weights_of(self.models.actor) if config.reference != "fixed" else {}
        reference = self.models.reference.weights()
        return {f"reference.{name}": reference[name] for name in moving} | {
            f"kept.{name}": tensor for name, tensor in self.kept.items()
        }

    def restore(self, resumed: Resumed) -> None:
        saved, tensors = dict(resumed.counters), resumed.data
        if unknown := saved.keys() - self.counters().keys():
            raise KeyError(f"unknown counters: {', '.join(sorted(unknown))}")
        self.kl, self.pulled = KLController(**saved.pop("kl")), Pulled(**saved.pop("pulled"))
        self.position = Position(*saved.pop("position"))
        self.before = [SampleAnswer(*pair) for pair in saved.pop("before")]
        for name, value in saved.items():
            setattr(self, name, value)
        fill(self.models.reference.weights(), part_of(tensors, "reference."))
        trained = weights_of(self.models.actor)
        self.kept = {
            name: divided(tensor.to(trained[name].device), trained[name])
            for name, tensor in part_of(tensors, "kept.").items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicyBatch:
    """One step's rollout, ready for the update.

    ``position`` is the place in the sequence of prompts from which the next rollout continues, and ``floors``
    is the state of the floors after this rollout. ``kl`` is the KL controller, updated with the KL of these
    answers. If this KL exceeds ``kl_ceiling``, the step is a ``recovery``.
    """

    rollout: Rollout
    position: Position
    floors: FloorState
    kl: KLController
    recovery: bool
    metrics: dict[str, float]


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
