"""The program and the commands in the guide on rewards work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from tests.training.rlhf.judging.reward_models import reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.recipes.parts.rewards import Floor, UsesRewards

GUIDE = (Path(__file__).resolve().parents[4] / "docs" / "rewards.md").read_text()


def test_guide_program_scores_answers_and_adapts_the_multiplier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")
    for seed, name in enumerate(("helpful", "harmless")):
        save_model(*reward_model(seed), tmp_path / "models" / name)
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(program, "docs/rewards.md", "exec"), names)
    assert "rewards/harmless/multiplier" in capsys.readouterr().out
    assert set(names["state"]["floors"]) == {"harmless"}  # type: ignore[index]


def test_commands_contain_valid_settings() -> None:
    commands = [shlex.split(line) for line in re.findall(r"^    manage\.py (.*)$", GUIDE, re.MULTILINE)]
    assert [command[:2] for command in commands] == [["launch_run", "ppo"]] * 2
    settings = dict(command[-1].split("=", 1) for command in commands)
    recipe = UsesRewards.model_validate(settings)
    assert recipe.weights_of() == {"helpful-rm": 1.0, "harmless-rm": 0.5}
    assert recipe.floors_of() == {"harmless-rm": Floor(True, 0.0)}
