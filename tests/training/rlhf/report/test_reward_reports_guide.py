"""The code in the guide on reward reports runs and produces the documented results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import RANKINGS
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training

GUIDE = Path(__file__).parents[4] / "docs" / "reward-reports.md"


def test_guide_scores_rankings_and_writes_reports_and_compares_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        policy = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
        torch.manual_seed(number)
        save_model(*load_for_training(policy), tmp_path / "models" / f"rm-{number}")
    rows = [
        {"messages": list(r.messages), "responses": list(r.responses), "tiers": list(map(list, r.tiers)),
         "prompt_hash": r.ranking_id}
        for r in RANKINGS
    ]  # fmt: skip
    (tmp_path / "rankings.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    exec(compile(code, str(GUIDE), "exec"), {})
    printed = capsys.readouterr().out
    assert "Estimate(value=" in printed
    assert "RewardComparison(" in printed
    kept = json.loads((tmp_path / "out" / "rm-1" / "report.json").read_text())
    assert 0 <= kept["accuracy"]["value"] <= 1
    assert {"reliability.svg", "slices.svg"} <= {file.name for file in (tmp_path / "out" / "rm-1").iterdir()}
    assert (tmp_path / "out" / "rm-1.parquet").is_file()
