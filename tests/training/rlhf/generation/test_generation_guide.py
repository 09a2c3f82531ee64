"""The code and the commands in the guide on generation work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.training.rlhf.models.broken_models import saved
from training.management.commands.launch_run import pairs
from training.runs.recipes.catalog import parse_recipe

GUIDE = Path(__file__).parents[4] / "docs" / "generation.md"


def test_guide_prints_sampled_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "models" / "policy")
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    exec(compile(code, str(GUIDE), "exec"), {})
    *answers, counts = capsys.readouterr().out.splitlines()
    assert 2 <= len(answers) <= 4
    assert {line.partition(" ")[0] for line in answers} <= {"True", "False"}
    assert counts == "0 0"


@pytest.mark.parametrize("line", re.findall(r"^    manage\.py (.*)$", GUIDE.read_text(), re.M))
def test_settings_in_the_guide_are_valid(line: str) -> None:
    command, kind, *options = shlex.split(line)
    parser = load_command_class("training", command).create_parser("manage.py", command)
    chosen = vars(parser.parse_args([kind, *options]))["chosen"]
    assert parse_recipe(kind=kind, settings=pairs(chosen)) != parse_recipe(kind=kind, settings={})
