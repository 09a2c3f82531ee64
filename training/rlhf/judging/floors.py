"""Combine several reward models into one reward, and keep the mean scores of some of them above floors.

A run maximises Σ wᵢ E[zᵢ], subject to E[zⱼ] ≥ floorⱼ for each reward model with a floor. zᵢ is a score in
standard deviations of reward model i's training rewards. With a Lagrange multiplier λⱼ ≥ 0 per floor, the
reward of an answer is

    r = (Σ wᵢ zᵢ + Σ λⱼ (zⱼ - floorⱼ)) / (Σ wᵢ + Σ λⱼ).

Dividing by the sum keeps the reward's scale while a multiplier grows, as in Safe RLHF (Dai et al. 2023, arXiv
2310.12773), whose updates are divided by 1 + λ. KL coefficients and clipping ranges therefore keep their
meaning.

After each step, a proportional-integral controller sets the multipliers (Stooke et al. 2020, arXiv
2007.03964, algorithm 2, without the derivative term). With the violation v = clip(floor - mean z, ±1) and
W = Σ wᵢ:

    integral ← clip(integral + rate · W · v, 0, 20 W)      λ ← clip(integral + 2 W v, 0, 20 W)

The integral alone is projected dual ascent, which oscillates: the multiplier continues to rise until the mean
has returned to the floor. In a simulation of 12 categorical policies over 40 steps of 64 answers, the deepest
violation was 1.00 standard deviations with the integral alone (rate 0.5), and 0.51 with both terms (rate
0.3). Bounding v bounds the change per step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from torch import Tensor

from training.rlhf.recipes.parts.rewards import Floor

LARGEST_VIOLATION = 1.0  # standard deviations
PROPORTIONAL_GAIN = 2.0  # per standard deviation, as a multiple of the sum of the weights
# The largest multiplier, as a multiple of the sum of the weights. A reward model with the largest multiplier
# provides about 95 % of the reward. Without the limit, the multiplier of a floor that can't be reached would
# rise without bound, and would then take as long to fall again as it took to rise.
MOST_OF_WEIGHTS = 20.0
SETTLING_ROUNDS, SETTLING_PRECISION = 4, 1e-3


class FloorState(TypedDict):
    """The part of the reward that changes during a run. All dictionaries are keyed by the name of the reward
    model. The state can be stored as JSON in a checkpoint's counters.

    `floors` are in standard deviations from the training mean. A floor that depends on the starting policy is
    missing until the first step has been measured.
    """

    floors: dict[str, float]
    integrals: dict[str, float]
    multipliers: dict[str, float]


def initial_state(floors: Mapping[str, Floor]) -> FloorState:
    """Return the state before the first step. All multipliers are 0."""
    known = {name: floor.value for name, floor in floors.items() if not floor.from_start}
    return FloorState(
        floors=known, integrals=dict.fromkeys(floors, 0.0), multipliers=dict.fromkeys(floors, 0.0)
    )


def adapted_state(
    state: FloorState,
    floors: Mapping[str, Floor],
    means: Mapping[str, float],
    *,
    total_weight: float,
    rate: float,
    acts: bool = True,
) -> FloorState:
    """Return the state after a step in which reward model j's scores had the mean `means[j]`.

    If the step did not use the rewards to update the policy (`acts` is false), the means don't reflect the
    effect of the multipliers, so the multipliers stay the same.

    A missing floor is set from the step's mean. In this case, the step's answers must come from the starting
    policy.
    """
    known, integrals, multipliers = dict(state["floors"]), {}, {}
    if not acts:
        known |= {name: means[name] + floor.value for name, floor in floors.items() if name not in known}
        return FloorState(floors=known, integrals=state["integrals"], multipliers=state["multipliers"])
    largest = MOST_OF_WEIGHTS * total_weight
    for name, floor in floors.items():
        known.setdefault(name, means[name] + floor.value)
        violation = clip(known[name] - means[name], -LARGEST_VIOLATION, LARGEST_VIOLATION)
        integrals[name] = clip(state["integrals"][name] + rate * total_weight * violation, 0.0, largest)
        multipliers[name] = clip(integrals[name] + PROPORTIONAL_GAIN * total_weight * violation, 0.0, largest)
    return FloorState(floors=known, integrals=integrals, multipliers=multipliers)


def settled_state(
    scores: Mapping[str, Tensor],
    weights: Mapping[str, float],
    floors: Mapping[str, Floor],
    keep: Callable[[Tensor], Sequence[int]],
) -> FloorState:
    """Return the state with the smallest multipliers for which the selected answers respect the floors.

    `scores` maps each reward model's name to the scores z of all sampled answers, with shape (N,). `keep`
    receives the combined rewards, with shape (N,), and returns the indices of the kept answers. A floor that
    depends on the starting policy is relative to the mean of all answers. These answers must therefore come
    from the starting policy. With several floors, the multipliers are computed in turn, SETTLING_ROUNDS
    times. If no multiplier is large enough to reach a floor, the floor gets the largest multiplier.
    """
    largest = MOST_OF_WEIGHTS * sum(weights.values())
    known = {
        name: floor.value + (float(scores[name].mean()) if floor.from_start else 0.0)
        for name, floor in floors.items()
    }
    multipliers = dict.fromkeys(floors, 0.0)

    def holds(name: str, multiplier: float) -> bool:
        tried = FloorState(floors=known, integrals={}, multipliers=multipliers | {name: multiplier})
        kept = list(keep(combined(scores, weights, tried)))
        return bool(kept) and float(scores[name][kept].mean()) >= known[name]

    for _ in range(SETTLING_ROUNDS if len(floors) > 1 else 1):
        for name in floors:
            low, high = 0.0, largest
            if holds(name, low):
                high = low
            while high - low > SETTLING_PRECISION * max(high, SETTLING_PRECISION):
                middle = (low + high) / 2
                low, high = (low, middle) if holds(name, middle) else (middle, high)
            multipliers[name] = high
    return FloorState(floors=known, integrals=dict(multipliers), multipliers=multipliers)


def shares_of(weights: Mapping[str, float], state: FloorState) -> dict[str, float]:
    """Return each reward model's share of the reward, (w + λ) / (Σ w + Σ λ). The shares add up to 1."""
    pulls = {name: weight + state["multipliers"].get(name, 0.0) for name, weight in weights.items()}
    total = sum(pulls.values())
    return {name: pull / total for name, pull in pulls.items()}


def combined(scores: Mapping[str, Tensor], weights: Mapping[str, float], state: FloorState) -> Tensor:
    """Return the reward r of each answer. `scores` maps each reward model's name to z; z and the result have
    shape (N,)."""
    shares = shares_of(weights, state)
    reward = sum((shares[name] * z for name, z in scores.items() if shares[name]), start=_nothing(scores))
    total = sum(weights.values()) + sum(state["multipliers"].values())
    below = sum(value * state["floors"][name] for name, value in state["multipliers"].items() if value)
    return reward - below / total if below else reward


def combined_spread(spreads: Mapping[str, Tensor], weights: Mapping[str, float], state: FloorState) -> Tensor:
    """Return the standard deviation of each combined reward, with shape (N,).

    The reward models' errors are assumed to be independent. If reward models share training data, their
    errors are correlated, and the true standard deviation is larger: at most Σ shareᵢ σᵢ.
    """
    if len(spreads) == 1:  # the square root of a square can differ in the last bit
        return next(iter(spreads.values()))
    shares = shares_of(weights, state)
    variance = sum(((shares[name] * s).square() for name, s in spreads.items()), start=_nothing(spreads))
    return variance.sqrt()


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _nothing(parts: Mapping[str, Tensor]) -> Tensor:
    return next(iter(parts.values())).new_zeros(())
