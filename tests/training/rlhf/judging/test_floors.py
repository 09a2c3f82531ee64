"""Floors: Lagrange multipliers keep a reward model's mean score above its floor."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.training.rlhf.judging.reward_models import asked, policy, reward_model
from training.rlhf.judging.floors import (
    MOST_OF_WEIGHTS,
    PROPORTIONAL_GAIN,
    FloorState,
    adapted_state,
    combined,
    initial_state,
    settled_state,
)
from training.rlhf.judging.judges import open_judges
from training.rlhf.recipes.parts.rewards import Floor, UsesRewards

torch.set_num_threads(1)
START = {"harmless": Floor(True, 0.0)}
WEIGHTS = {"helpful": 1.0, "harmless": 0.0}


def adapted(state: FloorState, mean: float, *, rate: float = 0.3, weight: float = 1.0) -> FloorState:
    return adapted_state(state, START, {"harmless": mean}, total_weight=weight, rate=rate)


def train(seed: int, *, steps: int, floors: dict[str, Floor]) -> tuple[float, float, FloorState]:
    """Train a categorical policy by policy gradient, with a KL penalty, on two opposed rewards. Return the
    mean helpful and harmless rewards over the last quarter of the steps, and the final state of the
    floors."""
    answers, rate, kl_coefficient, sampled = 12, 1.0, 0.1, 64
    generator = torch.Generator().manual_seed(seed)
    helpful = torch.linspace(-1.5, 1.5, answers)
    harmless = -0.8 * helpful + torch.tensor([0.9, -0.9]).repeat(answers // 2)
    logits, uniform = torch.zeros(answers), torch.full((answers,), 1 / answers)
    state = initial_state(floors)
    tail = torch.zeros(2)
    for step in range(steps):
        policy = logits.softmax(dim=0)
        chosen = torch.multinomial(policy, sampled, replacement=True, generator=generator)
        z = {"helpful": helpful[chosen], "harmless": harmless[chosen]}
        reward = combined(z, WEIGHTS, state) - kl_coefficient * (policy / uniform).log()[chosen]
        state = adapted_state(
            state, floors, {n: float(s.mean()) for n, s in z.items()}, total_weight=1.0, rate=0.3
        )
        advantages = (reward - reward.mean()) / (reward.std() + 1e-8)
        score = torch.nn.functional.one_hot(chosen, answers) - policy
        logits = logits + rate * (score * advantages[:, None]).mean(dim=0)
        if step >= 3 * steps // 4:
            tail += torch.stack([policy @ helpful, policy @ harmless]) / (steps / 4)
    return float(tail[0]), float(tail[1]), state


def test_multipliers_do_not_change_while_the_policy_is_not_trained_on_rewards() -> None:
    floors = {"harmless": Floor(True, 0.0), "polite": Floor(False, 1.0)}
    means = {"harmless": 0.3, "polite": -5.0}
    state = adapted_state(initial_state(floors), floors, means, total_weight=1.0, rate=0.3, acts=False)
    # The floor of "harmless" is nevertheless set to the mean of the starting policy.
    assert state["floors"] == {"harmless": 0.3, "polite": 1.0}
    assert state["multipliers"] == state["integrals"] == {"harmless": 0.0, "polite": 0.0}


def test_floor_holds_even_if_training_without_the_floor_would_violate_it() -> None:
    seeds = range(6)
    free = [train(seed, steps=80, floors={}) for seed in seeds]
    held = [train(seed, steps=80, floors=START) for seed in seeds]
    assert all(harmless < -1.0 for _, harmless, _ in free)
    for _, harmless, state in held:
        assert harmless == pytest.approx(state["floors"]["harmless"], abs=0.05)
    # The mean helpfulness still rises from about 0, its value for the starting policy.
    assert sum(helpful for helpful, _, _ in held) / len(held) > 0.6
    assert all(state["multipliers"]["harmless"] > 0 for *_, state in held)


def test_floor_relative_to_the_starting_policy_is_set_only_once() -> None:
    first = adapted(initial_state(START), 0.4)
    assert first["floors"] == {"harmless": 0.4}
    assert first["multipliers"] == {"harmless": 0.0}
    assert adapted(first, -0.2)["floors"] == {"harmless": 0.4}
    below = adapted_state(
        initial_state({"a": Floor(True, -0.25)}),
        {"a": Floor(True, -0.25)},
        {"a": 0.4},
        total_weight=1.0,
        rate=1.0,
    )
    assert below["floors"]["a"] == pytest.approx(0.15)


def test_multiplier_follows_the_formula_of_the_controller() -> None:
    state = FloorState(floors={"harmless": 0.5}, integrals={"harmless": 0.2}, multipliers={"harmless": 0.0})
    found = adapted(state, 0.1, rate=0.5, weight=1.5)
    assert found["integrals"]["harmless"] == pytest.approx(0.2 + 0.5 * 1.5 * 0.4)
    assert found["multipliers"]["harmless"] == pytest.approx(0.5 + PROPORTIONAL_GAIN * 1.5 * 0.4)
    assert adapted(state, 2.0)["multipliers"] == {"harmless": 0.0}


def test_multiplier_and_its_change_per_step_are_bounded() -> None:
    state = adapted(initial_state(START), 0.0)
    once = adapted(state, -50.0)
    assert once["integrals"]["harmless"] == pytest.approx(0.3)
    for _ in range(200):
        state = adapted(state, -50.0)
    assert state["multipliers"]["harmless"] == MOST_OF_WEIGHTS
    back = adapted(state, 50.0)
    assert back["integrals"]["harmless"] == pytest.approx(MOST_OF_WEIGHTS - 0.3)


def test_floors_continue_exactly_from_a_checkpoint() -> None:
    judges = open_judges(
        {"helpful": reward_model(1), "harmless": reward_model(2)},
        UsesRewards(reward_floors="harmless=start+0.5"),  # type: ignore[call-arg]
        policy=policy(),
    )
    state = judges.initial_state()
    judged = judges.score(asked(), state)
    assert torch.equal(judged.scores, judged.standard["helpful"])
    state = judges.adapted(state, judged)
    assert state["multipliers"]["harmless"] == pytest.approx(0.5 * (0.3 + PROPORTIONAL_GAIN))
    stored = json.loads(json.dumps(state))
    assert stored == state
    assert torch.equal(judges.score(asked(), stored).scores, judges.score(asked(), state).scores)
    assert not torch.equal(judges.score(asked(), state).scores, judged.scores)


def test_metrics_contain_each_mean_and_the_floors_with_their_multipliers() -> None:
    judges = open_judges(
        {"helpful": reward_model(1), "harmless": reward_model(2)},
        UsesRewards(reward_floors="harmless=0.5"),  # type: ignore[call-arg]
        policy=policy(),
    )
    state = judges.initial_state()
    judged = judges.score(asked(), state)
    found = judges.metrics(judged, state)
    assert set(found) == {
        "rewards/helpful/mean",
        "rewards/harmless/mean",
        "rewards/harmless/floor",
        "rewards/harmless/multiplier",
    }
    assert found["rewards/harmless/floor"] == 0.5
    assert found["rewards/harmless/multiplier"] == 0.0
    assert math.isclose(found["rewards/helpful/mean"], float(judged.standard["helpful"].mean()))


def candidates() -> tuple[dict[str, Tensor], Callable[[Tensor], list[int]]]:
    """Two conflicting rewards for eight answers to each of 40 prompts, and a function that selects the answer
    with the highest reward for each prompt."""
    generator = torch.Generator().manual_seed(0)
    helpful = torch.randn(40, 8, generator=generator)
    harmless = -0.7 * helpful + 0.7 * torch.randn(40, 8, generator=generator)

    def best(rewards: Tensor) -> list[int]:
        return (rewards.view(40, 8).argmax(dim=1) + 8 * torch.arange(40)).tolist()

    return {"helpful": helpful.flatten(), "harmless": harmless.flatten()}, best


def test_selection_respects_its_floor_with_the_smallest_sufficient_multiplier() -> None:
    z, best = candidates()
    state = settled_state(z, WEIGHTS, START, best)
    floor, multiplier = state["floors"]["harmless"], state["multipliers"]["harmless"]
    assert floor == float(z["harmless"].mean())

    def kept(multiplier: float) -> tuple[float, float]:
        tried = FloorState(floors=state["floors"], integrals={}, multipliers={"harmless": multiplier})
        rows = best(combined(z, WEIGHTS, tried))
        return float(z["helpful"][rows].mean()), float(z["harmless"][rows].mean())

    assert kept(0.0)[1] < floor - 0.5
    assert kept(multiplier)[1] >= floor
    assert kept(0.99 * multiplier)[1] < floor
    assert kept(multiplier)[0] > 0.5


def test_selection_that_already_respects_its_floor_is_not_changed() -> None:
    z, best = candidates()
    state = settled_state(z, WEIGHTS, {"harmless": Floor(False, -5.0)}, best)
    assert state["multipliers"] == {"harmless": 0.0}
    unreachable = settled_state(z, WEIGHTS, {"harmless": Floor(False, 50.0)}, best)
    assert unreachable["multipliers"] == {"harmless": MOST_OF_WEIGHTS}
