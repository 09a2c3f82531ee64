"""The code in the guide on rejection sampling runs and gives the documented results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import LlamaForSequenceClassification

from tests.training.rlhf import tiny
from training.rlhf.data.candidates import read_candidates
from training.rlhf.models.loading.saving import save_model

torch.set_num_threads(1)
GUIDE = Path(__file__).parents[5] / "docs" / "rejection-sampling.md"


def test_guide_trains_a_policy_and_saves_its_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "models" / "policy")
    torch.manual_seed(4)
    judge = LlamaForSequenceClassification(tiny.policy(num_labels=1).config)
    save_model(judge, tiny.tokenizer(), tmp_path / "models" / "rm-1")
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    exec(compile(code, str(GUIDE), "exec"), {})
    answers = [one for line in read_candidates("candidates.jsonl.gz") for one in line["candidates"]]
    kept = sum(one["kept"] is not None for one in answers)
    assert (len(answers), kept > 0) == (16 * 16, True)
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{kept} {{1: ")
    assert (tmp_path / "models" / "better" / "model.safetensors").exists()
