"""The code in the guide on trunks runs and gives the documented results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.models.parts.test_trunks import scores_here, scores_there
from tests.training.rlhf.reward.test_reward_model import RANKINGS
from training.rlhf.models.loading.saving import save_model

GUIDE = Path(__file__).parents[5] / "docs" / "trunks.md"


def test_guide_trains_an_adapter_and_loads_it_in_rankloop_and_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny.policy(), tiny.tokenizer(pad_is_eos=True), tmp_path / "models" / "policy")
    rows = [
        {"messages": [{"role": "user", "content": f"w0 w{n % 8} w{n // 8}"}], "responses": list(r.responses),
         "tiers": list(map(list, r.tiers))}
        for n, r in enumerate(RANKINGS)
    ]  # fmt: skip
    (tmp_path / "rankings.jsonl").write_text("\n".join(map(json.dumps, rows)))
    there: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S):
        exec(compile(code, str(GUIDE), "exec"), there)
    padded = scores_there(there["adapted"], there["tokenizer"])
    assert torch.allclose(scores_here(Path("models/rm-1")), padded, atol=1e-5)
    whole = re.search(r"`(save_model\(\*load_reward_model.*?\))`", GUIDE.read_text())
    assert whole is not None
    exec(whole[1], there | {"save_model": save_model})
    assert torch.allclose(scores_here(Path("models/whole")), padded, atol=1e-5)
