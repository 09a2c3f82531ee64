"""A run killed at any moment resumes exactly from its last checkpoint.

Each run is a separate process. The process sends itself SIGKILL at a given Python audit event, such as
opening, renaming or removing a file. Kills during a write are therefore reproducible. All runs are forked
from one process that has already imported torch.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core.checkpoint import CheckpointRefused, Checkpoints
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading import save_model
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.reward_model import train

ROOT = Path(__file__).resolve().parents[4]
# Two epochs of four steps, with an evaluation after every second step. Checkpoints are saved after steps 2,
# 3, 4 … 8, some of them with the best weights. Annotator reliability is learned, so checkpoints include the
# answer model.
RECIPE = {
    **{"epochs": 2, "batch_rankings": 16, "learning_rate": 5e-3, "evaluations": 4},
    **{"annotators": "crowd_bt", "checkpoint_steps": 1, "checkpoint_minutes": None},
}

_RUN = """
import json, os, signal, sys
import torch
from tests.training.rlhf.core.test_checkpoints import named
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from tests.training.rlhf.list_reporter import ListReporter
from training.rlhf.reward.reward_model import train
from training.rlhf.recipes.reward_model import RewardModelConfig

recipe, folder, moments = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
torch.set_num_threads(1)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Telling(ListReporter):
    last = None
    def metrics(self, step, values):
        del values["tokens_per_second"]  # of the clock
        super().metrics(step, values)
        if step == self.last:
            die()

def run(name, event=None, part="", number=1):
    report = Telling()
    if event == "step":
        report.last = number
    elif event:
        left = [number]
        def hook(what, arguments):
            if what == event and part in str(arguments):
                left[0] -= 1
                if not left[0]:
                    die()
        sys.addaudithook(hook)
    checkpoints = None if name == "in-memory" else f"{folder}/{name}.checkpoints"
    result = train(
        RewardModelConfig(**recipe), base_model=f"{folder}/policy", rankings=named(RANKINGS),
        heldout=named(HELDOUT), out_dir=f"{folder}/{name}", checkpoints=checkpoints, report=report,
    )
    rows = {"metrics": report.metric_rows, "result": result.metrics, "progress": report.progress_rows}
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(rows, file)

def forked(*arguments):
    pid = os.fork()
    if not pid:
        run(*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

codes = {}
for name, events in moments.items():
    codes[name] = [forked(name, *event) for event in events] + [forked(name)]
print(json.dumps(codes))
"""

MOMENTS: dict[str, list[list[Any]]] = {
    "undisturbed": [],
    "in-memory": [],
    "before-the-first": [["step", "", 1]],
    "between": [["step", "", 5]],
    # The weights have been written and their digest is being computed. The optimiser moments, generators and
    # training state have not been written yet.
    "while-it-writes": [["open", ".partial-", 13]],
    "before-the-rename": [["os.rename", ".partial-", 4]],
    "after-the-rename": [["shutil.rmtree", "step-", 2]],
    "three-times": [["os.rename", ".partial-", 2], ["step", "", 4], ["os.rename", ".partial-", 3]],
}


def named(rankings: list[Ranking]) -> list[Ranking]:
    """Assign the rankings alternately to two annotators."""
    return [
        dataclasses.replace(ranking, annotator=f"a{number % 2}") for number, ranking in enumerate(rankings)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    save_model(tiny.policy(), tiny.tokenizer(), made / "policy")
    return made


def test_killed_run_ends_with_the_same_weights_and_metrics_after_resuming(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(RECIPE), str(folder), json.dumps(MOMENTS)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes == {name: [-9] * len(events) + [0] for name, events in MOMENTS.items()}, done.stderr
    whole = json.loads((folder / "undisturbed.json").read_text())
    weights = (folder / "undisturbed" / "model.safetensors").read_bytes()
    assert [step for step, _ in whole["metrics"]] == list(range(1, 9))
    for name in MOMENTS:
        resumed = json.loads((folder / f"{name}.json").read_text())
        assert (folder / name / "model.safetensors").read_bytes() == weights, name
        assert (folder / name / "config.json").read_bytes() == (
            folder / "undisturbed" / "config.json"
        ).read_bytes()
        assert resumed["result"] == whole["result"], name
        first = resumed["progress"][0][1]  # the step at which the run resumed
        assert resumed["metrics"] == whole["metrics"][first:], name
        if name != "in-memory":
            kept = sorted(path.name for path in (folder / f"{name}.checkpoints").iterdir())
            assert kept == ["step-00000007", "step-00000008"], name
    went_on = {name: json.loads((folder / f"{name}.json").read_text())["progress"][0][1] for name in MOMENTS}
    assert went_on["before-the-first"] == 0
    assert went_on["between"] == 4  # step 5 was reported, but its checkpoint was not saved
    assert went_on["before-the-rename"] == 3
    assert went_on["after-the-rename"] == 4
    assert 0 < went_on["while-it-writes"] < 8
    assert went_on["three-times"] > 4


class Small:
    """Checkpoints of a model with three parameters; the model's bias identifies the step."""

    def __init__(self, folder: Path, **of: Any) -> None:
        self.modules = {"model": nn.Linear(2, 1)}
        self.optimiser = torch.optim.AdamW(self.modules["model"].parameters())
        self.checkpoints = Checkpoints(folder, of=of)

    def step(self, number: int, *, best: bool = False) -> None:
        with torch.no_grad():
            self.modules["model"].bias.fill_(number)
        self.modules["model"](torch.ones(1, 2)).sum().backward()
        self.optimiser.step()
        self.checkpoints.save(number, self.modules, {"all": self.optimiser}, {"at": number}, best=best)

    def resume(self) -> dict[str, Any] | None:
        found = self.checkpoints.resume(self.modules, {"all": self.optimiser})
        return found and found.counters

    def bias(self) -> float:
        return round(self.modules["model"].bias.item(), 1)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("spoil", [truncate, flip, Path.unlink])
@pytest.mark.parametrize(
    "file", ["weights.safetensors", "moments.safetensors", "generators.safetensors", "state.json"]
)
def test_corrupt_checkpoint_is_logged_and_the_previous_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, spoil: Callable[[Path], None]
) -> None:
    run = Small(tmp_path)
    run.step(1)
    run.step(2)
    spoil(tmp_path / "step-00000002" / file)
    again = Small(tmp_path)
    assert again.resume() == {"at": 1}
    assert again.bias() == 1.0
    assert f"{file}" in caplog.text.replace(str(tmp_path), "")
    assert "step-00000002 is broken" in caplog.text
    again.step(2)
    assert Small(tmp_path).resume() == {"at": 2}


def test_best_weights_are_kept_after_their_checkpoint_is_deleted(tmp_path: Path) -> None:
    run = Small(tmp_path)
    run.step(1, best=True)
    for number in range(2, 6):
        run.step(number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000005"]
    again = Small(tmp_path)
    again.resume()
    assert again.bias() == 5.0
    again.step(6)
    again.checkpoints.load_best(again.modules)
    assert again.bias() == 1.0


def test_resume_fails_if_all_checkpoints_are_corrupt_and_deletes_none(tmp_path: Path) -> None:
    run = Small(tmp_path)
    run.step(1)
    run.step(2)
    truncate(tmp_path / "step-00000001" / "moments.safetensors")
    flip(tmp_path / "step-00000002" / "weights.safetensors")
    with pytest.raises(CheckpointRefused) as refused:
        Small(tmp_path).resume()
    assert "step-00000002: weights.safetensors was changed after it was written" in str(refused.value)
    assert "step-00000001: moments.safetensors has" in str(refused.value)
    assert "Remove the folder" in str(refused.value)
    assert len(list(tmp_path.iterdir())) == 2


def test_error_for_checkpoints_of_another_run_names_the_difference(folder: Path, tmp_path: Path) -> None:
    def run(
        base_model: Path = folder / "policy", rankings: list[Ranking] = RANKINGS, **settings: Any
    ) -> None:
        train(
            RewardModelConfig(epochs=1, batch_rankings=64, **settings),
            base_model=base_model,
            rankings=rankings,
            heldout=HELDOUT,
            out_dir=tmp_path / "rm",
            checkpoints=tmp_path / "checkpoints",
        )

    run()
    assert all(
        path.suffix in {".safetensors", ".json"} for path in (tmp_path / "checkpoints").glob("step-*/*")
    )
    other = save_model(tiny.policy(seed=1), tiny.tokenizer(), tmp_path / "other")
    with pytest.raises(CheckpointRefused, match=r"recipe\.label_smoothing was 0\.0 and is 0\.1"):
        run(label_smoothing=0.1)
    with pytest.raises(CheckpointRefused, match=r"another run: rankings was"):
        run(rankings=RANKINGS[1:])
    with pytest.raises(CheckpointRefused, match=r"another run: base model was"):
        run(base_model=other)
    run(checkpoint_minutes=1.0)  # the checkpoint interval does not affect training
