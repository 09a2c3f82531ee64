"""Score a policy's answers with a run's reward models.

A reward's unit and its zero are arbitrary. A score is therefore the reward minus the mean of the reward
model's training rewards, divided by their standard deviation (`RewardScale`). Coefficients and limits such as
the KL coefficient then have the same meaning for every reward model, and the scores of several reward models
can be added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.memory import frozen_limit
from training.rlhf.core.messages import Messages
from training.rlhf.judging.floors import (
    FloorState,
    adapted_state,
    combined,
    combined_spread,
    initial_state,
    settled_state,
)
from training.rlhf.judging.judge import Asked, Judge, open_judge
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.recipes.parts.rewards import Floor, UsesRewards

__all__ = ["Asked", "Judge", "Judged", "Judges", "RewardSources", "open_judges", "sources_of"]

# One reward model, or several by name.
RewardSources: TypeAlias = ModelSource | Mapping[str, ModelSource]
ONLY = "reward_model"  # the default name if there is only one reward model


@dataclass(frozen=True, slots=True)
class Judged:
    """The scores of N answers, on the CPU, in the order of the prompts and of their answers.

    `scores`, with shape (N,), is the run's reward: in standard deviations, after the deduction for caution,
    and combined if there are several reward models. `spreads`, with shape (N,), contains the standard
    deviation of each score, in the same unit. The standard deviations are 0 without an uncertainty estimate.
    `parts` maps each reward model's name to its raw rewards. `standard` maps the name to the reward model's
    scores in standard deviations, and `deviations` maps the name to the uncertainty of these scores. All have
    shape (N,). `truncated` and `refused` count answers by reward model, as in `judge.Rewards`.
    """

    scores: Tensor
    spreads: Tensor
    parts: dict[str, Tensor]
    standard: dict[str, Tensor] = field(default_factory=dict)
    deviations: dict[str, Tensor] = field(default_factory=dict)
    truncated: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        """The mean score of each reward model, in standard deviations."""
        return {name: float(scores.mean()) for name, scores in self.standard.items()}

    @classmethod
    def merged(cls, parts: Sequence[Judged], places: Sequence[int]) -> Judged:
        """Join the scores of several parts. `places` are the positions of their answers in the result."""
        order = torch.tensor(places).argsort()

        def rows(name: str) -> dict[str, Tensor]:
            found = [getattr(part, name) for part in parts]
            return {each: torch.cat([one[each] for one in found])[order] for each in found[0]}

        return cls(
            torch.cat([part.scores for part in parts])[order],
            torch.cat([part.spreads for part in parts])[order],
            **{name: rows(name) for name in ("parts", "standard", "deviations")},
            truncated=_summed([part.truncated for part in parts]),
            refused=_summed([part.refused for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Judges:
    """The reward models of a run, with their weights and floors. `policy` is the policy's tokenizer.

    With floors, the reward depends on the previous steps. Loops keep the state of the floors and pass it to
    each call:

        state = judges.initial_state()            # or resumed.counters["floors"]
        judged = judges.score(asked, state)       # every step
        report.metrics(step, judges.metrics(judged, state))
        state = judges.adapted(state, judged)     # once per step; the state is JSON
    """

    judges: tuple[Judge, ...]
    policy: PreTrainedTokenizerBase
    weights: Mapping[str, float]
    floors: Mapping[str, Floor]
    floor_rate: float

    @property
    def estimates_uncertainty(self) -> bool:
        return any(judge.uncertainty is not None for judge in self.judges)

    def initial_state(self) -> FloorState:
        """The state before the first step."""
        return initial_state(self.floors)

    def score(self, asked: Sequence[Asked], state: FloorState | None = None) -> Judged:
        """Score the answers to each prompt. A run with floors needs the current `state`. Raises
        RewardNotFinite, and UnusableInput for floors without a state.
        """
        if state is None and self.floors:
            raise UnusableInput(
                "`reward_floors` is set, so the reward depends on the state of the floors. Pass `state`: "
                "`initial_state()` before the first step, and then the result of `adapted`"
            )
        state = state or self.initial_state()
        found = {judge.name: judge.rewards(asked, self.policy) for judge in self.judges}
        scales = {judge.name: judge.scale for judge in self.judges}
        standard = {name: (one.raw - scales[name].mean) / scales[name].std for name, one in found.items()}
        spreads = {name: one.spreads / scales[name].std for name, one in found.items()}
        return Judged(
            combined(standard, self.weights, state),
            combined_spread(spreads, self.weights, state),
            parts={name: one.raw for name, one in found.items()},
            standard=standard,
            deviations=spreads,
            truncated={name: one.truncated for name, one in found.items()},
            refused={name: one.refused for name, one in found.items()},
        )

    def adapted(self, state: FloorState, judged: Judged, *, acts: bool = True) -> FloorState:
        """Return the state after a step with these answers. The method must be called once per step. At the
        first step, the answers must come from the starting policy. `acts` is true if the step uses the
        rewards to update the policy. Otherwise, as during the critic's warm-up, the multipliers don't
        change."""
        if not self.floors:
            return state
        return adapted_state(
            state,
            self.floors,
            judged.means(),
            total_weight=sum(self.weights.values()),
            rate=self.floor_rate,
            acts=acts,
        )

    def settled(
        self, state: FloorState, judged: Judged, keep: Callable[[Tensor], Sequence[int]]
    ) -> FloorState:
        """Return the state for which a selection from these answers respects the floors. `keep` selects
        answers by their combined rewards (`floors.settled_state`). Rejection sampling uses this method
        instead of `adapted`, because the rewards don't affect which answers it samples. A floor that `state`
        contains keeps its value. The other floors are relative to these answers, which must come from the
        starting policy."""
        known = {name: Floor(False, value) for name, value in state["floors"].items()}
        return settled_state(judged.standard, self.weights, {**self.floors, **known}, keep)

    def rescored(self, judged: Judged, state: FloorState) -> Judged:
        """Return the same answers with rewards that are combined according to another state."""
        return replace(
            judged,
            scores=combined(judged.standard, self.weights, state),
            spreads=combined_spread(judged.deviations, self.weights, state),
        )

    def metrics(self, judged: Judged, state: FloorState) -> dict[str, float]:
        """Metrics of a step, per reward model: `rewards/<name>/mean` and `floor` in standard deviations, and
        the `multiplier` that was used.

        `rewards/<name>/tokens` is the maximum number of token positions in a pass. It is present only if the
        device ran out of memory while this reward model was scoring. `truncated` and `refused` are counts of
        answers. They are present only if they are above 0. With one reward model, `tokens`, `truncated` and
        `refused` are the only metrics, because the loop itself reports the mean.
        """
        found: dict[str, float] = {}
        if len(self.judges) > 1:
            found |= {f"rewards/{name}/mean": mean for name, mean in judged.means().items()}
            found |= {f"rewards/{name}/floor": floor for name, floor in state["floors"].items()}
            found |= {f"rewards/{name}/multiplier": value for name, value in state["multipliers"].items()}
        for what, counts in (("truncated", judged.truncated), ("refused", judged.refused)):
            found |= {f"rewards/{name}/{what}": float(n) for name, n in counts.items() if n}
        return found | self.limits()

    def limits(self) -> dict[str, float]:
        """The metric `rewards/<name>/tokens` of each reward model for which this process ran out of device
        memory."""
        limits = {judge.name: frozen_limit(judge.model) for judge in self.judges}
        return {f"rewards/{name}/tokens": n for name, n in limits.items() if n != math.inf}

    def readable(self, prompts: Sequence[Messages]) -> list[Messages]:
        """The prompts that every reward model's chat template accepts."""
        return [messages for messages in prompts if all(judge.can_read(messages) for judge in self.judges)]


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in counts) for name in counts[0]}


def sources_of(reward_models: RewardSources) -> dict[str, ModelSource]:
    """Return the reward models by name. A single model gets the name `reward_model`."""
    return dict(reward_models) if isinstance(reward_models, Mapping) else {ONLY: reward_models}


def open_judges(
    reward_models: RewardSources, config: UsesRewards, *, policy: Loaded, dtype: torch.dtype = torch.float32
) -> Judges:
    """Load the run's reward models. If the policy is an adapter, reward models that are adapters of the same
    base share its trunk. The first reward model has weight 1 unless `reward_weights` lists it.

    Raises ModelNotFound. Raises ValueError for a reward model with constant rewards, for a weight or floor of
    an unknown reward model or, if `caution` is above 0, for a reward model without an uncertainty estimate.
    """
    sources = sources_of(reward_models)
    try:
        weights, floors = config.weights_and_floors(list(sources))
    except ValueError as error:
        raise UnusableInput(str(error)) from error
    return Judges(
        tuple(
            open_judge(name, one, caution=config.caution, policy=policy, dtype=dtype)
            for name, one in sources.items()
        ),
        policy.tokenizer,
        weights,
        floors,
        config.floor_rate,
    )
