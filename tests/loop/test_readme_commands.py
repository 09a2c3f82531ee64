"""The commands in the README, run exactly as written, complete one round of the loop."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest

from tests.embedded.running import Stack, manage
from tests.loop.policies import first_model_judged_by_gold, judged_by_gold
from training.rlhf.generation.evaluation import compare

pytestmark = [pytest.mark.loop, pytest.mark.timeout(1500)]

README = Path(__file__).resolve().parents[2] / "README.md"
_PREFIX = [".venv/bin/python", "manage.py"]


@pytest.fixture(scope="module")
def demo_stack(own_demo_stack: Stack) -> Stack:
    return own_demo_stack


def commands(marker: str) -> list[list[str]]:
    """The manage.py commands in the README's code block after the given HTML comment, without
    `.venv/bin/python manage.py`."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found, f"README.md has no code block under <!-- {marker} -->"
    lines = [shlex.split(line) for line in found[1].splitlines()]
    assert all(line[:2] == _PREFIX for line in lines)
    return [line[2:] for line in lines]


def test_readme_commands_import_and_export_the_data_of_a_user(demo_stack: Stack, tmp_path: Path) -> None:
    given, out = tmp_path / "responses.jsonl.gz", tmp_path / "first.jsonl"
    answers = ["It opens at nine.", "No idea."]
    line = {"prompt": "When does the shop open?", "responses": answers, "tiers": [[0], [1]]}
    given.write_bytes(gzip.compress(json.dumps(line).encode() + b"\n"))
    files = {given.name: str(given), out.name: str(out)}
    for command in commands("tests/loop runs these lines with a small file"):
        done = manage(demo_stack.state, *(files.get(word, word) for word in command))
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    (row,) = [json.loads(text) for text in out.read_text().splitlines()]
    assert [row["chosen"][-1]["content"], row["rejected"][-1]["content"]] == answers


def test_readme_commands_run_one_round_of_the_loop(demo_stack: Stack) -> None:
    said = ""
    for command in commands("tests/loop runs these lines as they stand"):
        done = manage(demo_stack.state, *command, timeout=900)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    # The evaluation covers the newest policy.
    _, by_rejection_sampling, by_ppo = re.findall(r"made (\S+)", said)
    (judged,) = re.findall(r"\(evaluate\) succeeded\.\s+policy: (\S+)", said)
    assert judged == by_ppo
    assert re.search(r"gold/mean \d", said)
    # Each new policy is better than the first policy by more than the standard error of the difference. The
    # policies are compared prompt by prompt, because the errors of two independent means would hide the gain
    # of a short run.
    first = first_model_judged_by_gold(demo_stack)
    for policy in (by_rejection_sampling, by_ppo):
        gain = compare(judged_by_gold(demo_stack, policy), first)
        assert gain.difference > gain.standard_error, (policy, gain)
