"""Each method finds the best policy of an environment in which the best policy is known exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.configurations import CONFIGURATIONS
from tests.training.rlhf.policy.optimum.known_optimum import EOS, World
from tests.training.rlhf.policy.optimum.solvers import BETA, SOLVERS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world() -> World:
    return known_optimum.world(0)


def test_world_lists_every_answer_and_its_optimum_matches_the_closed_form(world: World) -> None:
    assert torch.allclose(world.reference.exp().sum(dim=1), torch.ones(4, dtype=torch.float64), atol=1e-5)
    best = world.answers[int(world.rewards[0].argmax())]
    assert best.ids == [known_optimum.GOOD, known_optimum.GOOD, EOS]
    assert world.share_of_best_reward(world.start.model) == pytest.approx(0, abs=1e-6)
    assert world.share_of_optimum(world.start.model, BETA) == pytest.approx(0, abs=1e-6)
    # The closed form is the maximum: no mixture of it with another distribution has a higher objective.
    tilted = torch.log_softmax(world.reference + world.rewards / BETA, dim=1)
    closed = BETA * torch.logsumexp(world.reference + world.rewards / BETA, dim=1)

    def objective(log_probabilities: torch.Tensor) -> torch.Tensor:
        values = world.rewards - BETA * (log_probabilities - world.reference)
        return known_optimum.expected(log_probabilities, values)

    assert torch.allclose(objective(tilted), closed, atol=1e-5)
    for share in (0.01, 0.1):
        other = torch.logaddexp(
            tilted + torch.tensor(1 - share).log(), world.reference + torch.tensor(share).log()
        )
        assert bool((objective(other) < closed).all())


# benchmarks/known_optimum.py runs every method in every configuration, on five seeds.
CASES = [
    *((method, "all weights") for method in ("rloo", "ppo", "rejection_sampling", "dpo")),
    ("grpo", "separate rows"),
    ("rloo", "adapter"),
    ("rloo", "bfloat16"),
    ("ppo", "one trunk, bfloat16"),
]


@pytest.mark.parametrize(("method", "configuration"), CASES)
def test_method_reaches_95_percent_of_the_optimum(method: str, configuration: str, tmp_path: Path) -> None:
    """The saved policy is measured in float32, so the share includes the rounding of bfloat16 weights."""
    assert SOLVERS[method].solve(CONFIGURATIONS[configuration], 0, tmp_path) > 0.95
