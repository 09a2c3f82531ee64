"""The program in the guide on supervised fine-tuning runs unchanged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model

GUIDE = (Path(__file__).resolve().parents[5] / "docs" / "sft.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_guide_program_trains_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(block("json"))
    rows = [{"messages": [{"role": "user", "content": f"w{n}"}], "response": "w1"} for n in range(40)]
    (tmp_path / "demonstrations.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [row, *rows, row]))
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "base")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "docs/sft.md", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"^loss \d+\.\d+ held out \d+\.\d+ left out \{'repeated': 1\}$", said, re.MULTILINE)
    assert "padding_share 0" in said
    assert load_policy(tmp_path / "models" / "policy").model.config.vocab_size
