"""The program and the command in the guide on adapters run unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.ppo.test_ppo import reward_model
from training.rlhf.models.files.adapters import is_adapter
from training.rlhf.models.loading.saving import save_model
from training.runs.recipes.catalog import parse_recipe, preset_settings

GUIDE = (Path(__file__).resolve().parents[5] / "docs" / "adapters.md").read_text()


def test_guide_program_trains_and_merges_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")
    reward_model(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/adapters.md", "exec"), {})
    assert re.search(r"^trained: \d+ change: \d+\.\d+$", capsys.readouterr().out, re.MULTILINE)
    assert is_adapter(tmp_path / "models" / "adapter")
    assert (tmp_path / "models" / "whole" / "model.safetensors").exists()


def test_guide_command_uses_a_preset() -> None:
    [(kind, preset)] = re.findall(r"launch_run (\w+) --project demo --preset (\w+)$", GUIDE, re.MULTILINE)
    assert parse_recipe(kind=kind, settings=preset_settings(kind=kind, preset=preset))
