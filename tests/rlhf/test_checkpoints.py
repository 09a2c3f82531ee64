"""A run that is killed, at whatever moment, goes on from its last checkpoint as if nothing had been.

Each run is a process of its own, killed by SIGKILL from inside at a moment that Python's audit events name (a
file about to be opened, renamed, removed), so that a moment in the middle of writing is hit each time. They
are forks of one process that has imported torch already.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rlhf import tiny
from training.rlhf.data import Ranking
from training.rlhf.loading import save_model

ROOT = Path(__file__).resolve().parents[2]
# Four steps of two epochs each, and an evaluation after every second: checkpoints of 2, 3, 4 … 8, some of
# them best ones. Annotators are learned, so that what is learned of the answers is in the checkpoint too.
RECIPE = {
    **{"epochs": 2, "batch_rankings": 16, "learning_rate": 5e-3, "evaluations": 4},
    **{"annotators": "crowd_bt", "checkpoint_steps": 1, "checkpoint_minutes": None},
}

_RUN = """
import json, os, signal, sys
import torch
from tests.rlhf.test_checkpoints import named
from tests.rlhf.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.report import ListReporter
from training.rlhf.reward_model import RewardModelConfig, train

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
    result = train(
        RewardModelConfig(**recipe), base_model=f"{folder}/policy", rankings=named(RANKINGS),
        heldout=named(HELDOUT), out_dir=f"{folder}/{name}", checkpoints=f"{folder}/{name}.checkpoints",
        report=report,
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
    "before-the-first": [["step", "", 1]],
    "between": [["step", "", 5]],
    # The weights are written, their digest is being taken: moments, chance and state are still to come.
    "while-it-writes": [["open", ".partial-", 13]],
    "before-the-rename": [["os.rename", ".partial-", 4]],
    "after-the-rename": [["shutil.rmtree", "step-", 2]],
    "three-times": [["os.rename", ".partial-", 2], ["step", "", 4], ["os.rename", ".partial-", 3]],
}


def named(rankings: list[Ranking]) -> list[Ranking]:
    """By two annotators in turn."""
    from dataclasses import replace

    return [replace(ranking, annotator=f"a{number % 2}") for number, ranking in enumerate(rankings)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    save_model(tiny.policy(), tiny.tokenizer(), made / "policy")
    return made


def test_a_killed_run_goes_on_to_the_same_weights_and_the_same_metrics(folder: Path) -> None:
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
        first = resumed["progress"][0][1]  # where it went on from
        assert resumed["metrics"] == whole["metrics"][first:], name
        kept = sorted(path.name for path in (folder / f"{name}.checkpoints").iterdir())
        assert kept == ["step-00000007", "step-00000008"], name
    went_on = {name: json.loads((folder / f"{name}.json").read_text())["progress"][0][1] for name in MOMENTS}
    assert went_on["before-the-first"] == 0
    assert went_on["between"] == 4  # step 5 was said, but not yet kept
    assert went_on["before-the-rename"] == 3
    assert went_on["after-the-rename"] == 4
    assert 0 < went_on["while-it-writes"] < 8
    assert went_on["three-times"] > 4
