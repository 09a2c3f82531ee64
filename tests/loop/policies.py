"""Evaluates a stack's policies, through the command line or directly from their files."""

from __future__ import annotations

import json

from tests.embedded.running import Stack
from training import demo_world
from training.rlhf.generation.evaluation import Evaluation, evaluate
from training.rlhf.recipes.answers import EvaluateConfig

# Prompts that were used neither for training nor for selection.
FRESH_PROMPTS, FRESH_SEED = 300, 77


def first_model(stack: Stack) -> str:
    """The name of the policy that was trained when the demo was created."""
    name: str = _said(stack, "create_demo", "--json")["models"][0]
    return name


def first_model_judged_by_gold(stack: Stack) -> Evaluation:
    return judged_by_gold(stack, first_model(stack))


def judged_by_gold(stack: Stack, policy: str) -> Evaluation:
    """Evaluates the policy on the same prompts as every other policy. Two policies can then be compared
    prompt by prompt. Hard prompts are hard for both policies. The standard error of the difference is
    therefore about half of that for two independent means."""
    return evaluate(
        EvaluateConfig(responses_per_prompt=2),
        policy=str(stack.state / "artefacts" / "models" / policy),
        prompts=demo_world.prompts(FRESH_PROMPTS, FRESH_SEED),
        judge=demo_world.gold_reward,
    )


def writers_of(stack: Stack, response_ids: list[str]) -> set[str]:
    """Reads the names of the models that wrote these responses from the database, because the annotator's
    page does not show model names."""
    sql = "SELECT DISTINCT model_name FROM annotation_response WHERE id = ANY(%s::uuid[])"
    return {row["model_name"] for row in stack.rows(sql, response_ids)}


def _said(stack: Stack, *command: str) -> dict:
    done = stack.manage(*command, timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict = json.loads(done.stdout.splitlines()[-1])
    return said
