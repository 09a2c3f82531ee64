"""The code in the guide on uncertainty runs and produces the documented results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.training.rlhf import tiny
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training
from training.rlhf.reward.uncertainty import LastLayer, write

GUIDE = Path(__file__).parents[4] / "docs" / "uncertainty.md"


def test_guide_prints_scores_and_standard_deviations_and_preferences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    doubt = LastLayer(torch.eye(32), torch.zeros(32), torch.tensor(1.0), torch.tensor(1.0))
    loaded = load_for_training(policy)
    save_model(*loaded, tmp_path / "models" / "rm-1", add=lambda folder: write(doubt, folder))
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    exec(compile(code, str(GUIDE), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("tensor(") == 4
    assert "[0.5000," in printed  # a response compared with itself
