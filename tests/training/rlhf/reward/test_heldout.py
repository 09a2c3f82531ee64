"""One process and several processes produce the same report on held-out rankings."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import HELDOUT
from training.rlhf.data.batching import Group
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.tokens import chat
from training.rlhf.report.scored import ScoredRankings
from training.rlhf.reward.heldout import report_heldout, score_rankings
from training.rlhf.reward.scoring import load_for_training, score, score_groups

LONG = dataclasses.replace(
    HELDOUT[0], messages=({"role": "user", "content": tiny.words(*range(50))},), prompt_hash=""
)
ROOT = Path(__file__).resolve().parents[4]
# torchrun starts its workers with `elastic_launch`. With "fork", the workers need not import torch again.
_PARTS = """
import sys, torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tests.training.rlhf.reward.test_reward_model import HELDOUT
from training.rlhf.core import distributed
from training.rlhf.reward.heldout import report_heldout
from training.rlhf.models.loading.opening import load_reward_model

torch.set_num_threads(1)

def part(model, out_dir):
    with distributed.process_group():
        report = report_heldout(load_reward_model(model), HELDOUT, out_dir)
        print(f"process {distributed.rank()} of {distributed.count()}: {report.accuracy.value}", flush=True)

here = {"min_nodes": 1, "max_nodes": 1, "nproc_per_node": 2, "run_id": "heldout"}
config = LaunchConfig(**here, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
elastic_launch(config, part)(*sys.argv[1:])
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    policy = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    torch.manual_seed(4)
    return save_model(*load_for_training(policy), tmp_path / "rm")


def test_two_processes_divide_the_scoring_and_one_writes_the_report(model: Path, tmp_path: Path) -> None:
    alone = report_heldout(load_reward_model(model), HELDOUT, tmp_path / "alone")
    assert alone is not None
    both = tmp_path / "both"
    done = subprocess.run(
        [sys.executable, "-c", _PARTS, str(model), str(both)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("process")) == [
        f"process {rank} of 2: {alone.accuracy.value}" for rank in (0, 1)
    ]
    kept = ScoredRankings.load(both / "heldout.parquet")
    assert kept.rewards == pytest.approx(score_rankings(model, HELDOUT)[0].rewards, abs=1e-6)
    assert json.loads((both / "report.json").read_text())["pairs"] == alone.pairs


def test_prompts_are_truncated_to_the_training_length(model: Path) -> None:
    """Prompts are truncated as in training, because the model was not trained on longer prompts."""
    loaded = load_reward_model(model)
    whole = score_rankings(loaded, [LONG])[0].rewards[0]
    plain = score(loaded.model, loaded.tokenizer, [(LONG.messages, LONG.responses)])[0]
    assert whole == pytest.approx(plain.tolist(), abs=1e-6)
    loaded.model.config.rankloop = {"max_length": 20}
    cut = score_rankings(loaded, [LONG])[0].rewards[0]
    assert abs(cut - whole).max() > 1e-3


def test_truncated_prompts_of_an_encoder_keep_their_first_token(tmp_path: Path) -> None:
    """The reward head reads the state of an encoder's first token."""
    kind = next(iter(tiny.ENCODERS))
    base = save_model(tiny.ENCODERS[kind](), tiny.encoder_tokenizer(), tmp_path / "encoder")
    loaded = load_for_training(base)
    loaded.model.config.rankloop = {"max_length": 20}
    found = score_rankings(loaded, [LONG])[0].rewards[0]
    prompt = chat.encode_prompt(loaded.tokenizer, LONG.messages)
    responses = [chat.encode_response(loaded.tokenizer, text) for text in LONG.responses]
    room = 20 - max(map(len, responses))
    assert len(prompt) > room
    kept = Group([prompt[0], *prompt[-(room - 1) :]], responses, [])
    (by_hand,) = score_groups(loaded.model, [kept], pad_id=chat.pad_id(loaded.tokenizer))
    assert found == pytest.approx(by_hand.tolist(), abs=1e-6)
