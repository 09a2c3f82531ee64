"""The program and the command in the guide on PPO run unchanged, and the guide explains every metric."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.ppo.test_ppo import PROMPTS, reward_model
from training.rlhf.core.messages import Demonstration
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo
from training.rlhf.recipes.ppo import PPOConfig

GUIDE = (Path(__file__).resolve().parents[5] / "docs" / "ppo.md").read_text()


def test_guide_program_improves_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")
    reward_model(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/ppo.md", "exec"), {})
    assert re.search(r"^score: -?\d.* KL: -?\d", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "models" / "ppo" / "model.safetensors").exists()


def test_guide_command_sets_settings_of_the_recipe() -> None:
    [given] = re.findall(r"launch_run ppo .*--set (.*)$", GUIDE, re.MULTILINE)
    assert PPOConfig.model_validate(dict(pair.split("=") for pair in given.split()))


def test_guide_explains_every_metric(tmp_path: Path) -> None:
    report = ListReporter()
    settings = {"steps": 2, "rollout_prompts": 4, "max_new_tokens": 4, "critic_warmup_steps": 0}
    more = {"kl_ceiling": 5.0, "ptx_coefficient": 0.1, "temperature_end": 0.9}
    result = ppo.train(
        PPOConfig.model_validate(settings | more),
        policy=Loaded(tiny.policy(), tiny.tokenizer()),
        reward_model=reward_model(tmp_path),
        prompts=PROMPTS,
        demonstrations=[Demonstration(PROMPTS[0], tiny.words(1))],
        out_dir=tmp_path / "out",
        report=report,
    )
    found = {name for _, row in report.metric_rows for name in row} | result.metrics.keys()
    assert len(found) > 30
    listed = set(re.findall(r"`([\w/]+)`", GUIDE))
    assert {name for name in found if not name.endswith("_first")} <= listed
