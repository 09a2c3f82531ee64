"""The demo's policies, asked through the command line as anyone would."""

from __future__ import annotations

import json
import math

from tests.embedded.running import Stack, manage


def first_model(stack: Stack) -> str:
    """The policy the demo came with."""
    name: str = _said(stack, "create_demo", "--json")["models"][0]
    return name


Gold = tuple[float, float]  # mean and standard error on the held-out prompts, in points


def gold(stack: Stack, policy: str) -> Gold:
    evaluate = ["launch_run", "evaluate", "--project", "demo", "--wait", "--json"]
    return _gold_of(_said(stack, *evaluate, "--input", f"policy={policy}")["result"])


def first_gold(stack: Stack) -> Gold:
    """Of the policy the demo came with: it was evaluated, by the same recipe, when the demo was made."""
    code = (
        "import json; from training.models import TrainingRun;"
        " print(json.dumps(TrainingRun.objects.filter(kind='evaluate').earliest('created_at').result))"
    )
    return _gold_of(_said(stack, "shell", "-c", code))


def is_better(new: Gold, old: Gold) -> bool:
    """By more than the standard error of the difference."""
    return new[0] - old[0] > math.hypot(new[1], old[1])


def _gold_of(result: dict) -> Gold:
    return result["metrics"]["gold/mean"], result["metrics"]["gold/standard_error"]


def _said(stack: Stack, *command: str) -> dict:
    done = manage(stack.state, *command, timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict = json.loads(done.stdout.splitlines()[-1])
    return said
