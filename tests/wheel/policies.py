"""The demo's policies, asked through the command line as anyone would."""

from __future__ import annotations

import json

from tests.embedded.running import Stack, manage


def first_model(stack: Stack) -> str:
    """The policy the demo came with."""
    name: str = _said(stack, "create_demo", "--json")["models"][0]
    return name


def gold(stack: Stack, policy: str) -> tuple[float, float]:
    """(mean, standard error) of a policy's gold reward on the held-out prompts, in points."""
    evaluate = ["launch_run", "evaluate", "--project", "demo", "--wait", "--json"]
    metrics = _said(stack, *evaluate, "--input", f"policy={policy}")["result"]["metrics"]
    return metrics["gold/mean"], metrics["gold/standard_error"]


def _said(stack: Stack, *command: str) -> dict:
    done = manage(stack.state, *command, timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict = json.loads(done.stdout.splitlines()[-1])
    return said
