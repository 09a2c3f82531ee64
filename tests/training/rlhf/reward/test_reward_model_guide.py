"""The program in the guide on reward models runs unchanged and produces the documented results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.training.rlhf import tiny
from training.rlhf.data.files import read_rankings
from training.rlhf.models.loading.saving import save_model

GUIDE = (Path(__file__).resolve().parents[4] / "docs" / "reward-models.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_guide_program_of_thirty_lines_trains_and_evaluates_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = block("python")
    assert len(program.splitlines()) <= 30
    row = json.loads(block("json"))
    rows = [
        row | {"messages": [{"role": "user", "content": f"w{n} ?"}], "responses": [f"w{n} good", "bad", "w7"]}
        for n in range(40)
    ]
    (tmp_path / "rankings.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [row, *rows]))
    assert read_rankings(tmp_path / "rankings.jsonl")[0].strength == 2
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")

    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/reward-models.md", "exec"), {})

    said = capsys.readouterr().out
    assert re.search(r"^train: \d+ held out: [1-9]\d* left out: ", said, re.MULTILINE)
    assert re.search(r"^accuracy Estimate\(value=0\.\d+|^accuracy Estimate\(value=1\.0", said, re.MULTILINE)
    assert re.search(r"^length \w+ \d+ Estimate", said, re.MULTILINE)
    assert re.search(
        r"^scores tensor\(.*spread tensor\(.*P\(first > second\) tensor\(0\.", said, re.MULTILINE
    )
    assert (tmp_path / "models" / "reward" / "report.json").exists()
