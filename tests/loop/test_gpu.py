"""One round of the loop on a GPU: the README's commands launch runs. The Celery worker executes the
runs, which train a better policy."""

from __future__ import annotations

import shlex

import pytest
import torch

from tests.embedded.running import Stack, manage
from tests.loop.policies import first_model, first_model_judged_by_gold, judged_by_gold
from tests.loop.test_readme_commands import commands
from training.rlhf.generation.evaluation import compare

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.loop,
    pytest.mark.timeout(1500),
]

RUNS = (
    "SELECT kind, state, result->'machine'->>'device' AS device FROM training_trainingrun ORDER BY created_at"
)
NEWEST = "SELECT name FROM training_modelversion WHERE kind = 'policy' ORDER BY created_at DESC LIMIT 1"


@pytest.fixture(scope="module")
def demo_stack(own_demo_stack: Stack) -> Stack:
    return own_demo_stack


def test_training_on_a_gpu_creates_a_policy_better_than_the_first_policy(demo_stack: Stack) -> None:
    before = len(demo_stack.rows(RUNS))
    for command in commands("tests/loop runs these lines as they stand"):
        done = manage(demo_stack.state, *command, timeout=900)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    runs = demo_stack.rows(RUNS)[before:]
    assert [run["kind"] for run in runs] == ["reward_model", "rejection_sampling", "ppo", "evaluate"]
    assert {run["state"] for run in runs} == {"succeeded"}
    assert {run["device"] for run in runs} == {"cuda"}
    [newest] = demo_stack.rows(NEWEST)
    assert newest["name"] != first_model(demo_stack)
    gain = compare(judged_by_gold(demo_stack, newest["name"]), first_model_judged_by_gold(demo_stack))
    assert gain.difference > gain.standard_error, gain
