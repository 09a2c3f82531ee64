"""The program and the command in the guide on RLOO run unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.ppo.test_ppo import reward_model
from training.rlhf.models.loading.saving import save_model
from training.runs.recipes.catalog import parse_recipe

GUIDE = (Path(__file__).resolve().parents[5] / "docs" / "rloo.md").read_text()


def test_guide_program_improves_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")
    reward_model(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/rloo.md", "exec"), {})
    assert re.search(r"^score: -?\d.* KL: -?\d", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "models" / "rloo" / "model.safetensors").exists()


def test_commands_in_the_guide_use_only_settings_of_the_recipe() -> None:
    commands = re.findall(r"launch_run rloo .*--set (.*)$", GUIDE, re.MULTILINE)
    assert len(commands) == 2
    for given in commands:
        assert parse_recipe(kind="rloo", settings=dict(pair.split("=") for pair in given.split()))
