"""A run killed at any moment resumes exactly from its last checkpoint.

Each attempt is a separate process that sends itself SIGKILL (`kills`).
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.rlhf import tiny
from tests.training.rlhf.core.kills import Ended, Killer, Moment
from tests.training.rlhf.core.kills_kinds import FEWEST_CHECKS, KINDS, make_inputs
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core import checkpoint
from training.rlhf.core.checkpoint import CheckpointRefused, Checkpoints, open_store
from training.rlhf.core.devices import DeviceDiffers
from training.rlhf.core.reporter import NullReporter
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.saving import save_model
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward.reward_model import train

WHILE_IT_WRITES: Moment = ("open", ".partial-", 13)
# For each case, the moments at which attempts of the reward model's loop are killed, and the steps after
# which the last attempt may resume. The loop saves a checkpoint after each of its eight steps.
MOMENTS: dict[str, tuple[list[Moment], range]] = {
    "in-memory": ([], range(0, 1)),
    "before-the-first": ([("step", "", 1)], range(0, 1)),
    # The metrics of step 5 are reported, but its checkpoint is not saved.
    "between": ([("step", "", 5)], range(4, 5)),
    # The weights have been written and their digest is being computed. The optimiser moments, generators and
    # training state have not been written yet.
    "while-it-writes": ([WHILE_IT_WRITES], range(1, 8)),
    "before-the-rename": ([("os.rename", ".partial-", 4)], range(3, 4)),
    "after-the-rename": ([("shutil.rmtree", "step-", 2)], range(4, 5)),
    "three-times": (
        [("os.rename", ".partial-", 2), ("step", "", 4), ("os.rename", ".partial-", 3)],
        range(5, 8),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    make_inputs(made)
    return made


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as started:
        yield started


@pytest.fixture(scope="module")
def whole(killer: Killer, folder: Path) -> Callable[[str], Ended]:
    """whole(kind): an uninterrupted run of the kind."""
    return cache(lambda kind: killer.run(kind, folder, f"whole-{kind}"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_loop_ends_the_same_after_a_cancellation_and_a_kill(
    kind: str, killer: Killer, folder: Path, whole: Callable[[str], Ended]
) -> None:
    expected = whole(kind)
    assert len(expected.metrics) > 3
    assert expected.checks > FEWEST_CHECKS[kind]
    chance = random.Random(kind)
    check = chance.randrange(expected.checks // 3, expected.checks * 2 // 3)
    # The cancelled attempt wrote a checkpoint. The second attempt is killed early, and the third finishes.
    tick = chance.randrange(1, expected.ticks // 12)
    resumed = killer.run(kind, folder, f"killed-{kind}", ("cancel", "", check), ("tick", "", tick))
    assert resumed.kills == 1
    assert resumed.result == expected.result
    assert resumed.reported[-1] < len(expected.metrics), "the last attempt started over"


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_run_ends_with_the_same_weights_and_metrics_after_resuming(
    name: str, killer: Killer, folder: Path, whole: Callable[[str], Ended]
) -> None:
    moments, expected = MOMENTS[name]
    resumed = killer.run("reward_model", folder, name, *moments)
    assert resumed.result == whole("reward_model").result
    assert [step for _, step, _ in resumed.metrics] == list(range(1, 9))
    assert len(resumed.resumed_after) == len(moments) + 1
    assert resumed.resumed_after[-1] in expected
    if name != "in-memory":
        kept = sorted(path.name for path in (folder / f"{name}.checkpoints").iterdir())
        assert kept == ["step-00000007", "step-00000008"]


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_with_counters_unknown_to_this_version_is_refused(
    kind: str, folder: Path, whole: Callable[[str], Ended], tmp_path: Path
) -> None:
    whole(kind)
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(folder / f"whole-{kind}.checkpoints", checkpoints)
    for file in checkpoints.glob("*/state.json"):
        state = json.loads(file.read_text())
        counters = state["loop"].get("progress", state["loop"])
        counters["of a later version"] = 1
        del state["seal"]
        seal = hashlib.sha256(json.dumps(state).encode()).hexdigest()
        file.write_text(json.dumps(state | {"seal": seal}))
    with pytest.raises(CheckpointRefused, match=r"can't read .*of a later version"):
        KINDS[kind](folder, tmp_path / "model", checkpoints, NullReporter())


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
def test_corrupt_checkpoint_is_logged_and_the_previous_checkpoint_is_used(
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


def test_checkpoint_is_due_after_the_steps_or_minutes_in_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: now))
    run = Small(tmp_path / "small")
    state = (run.modules, {"all": run.optimiser}, {})
    store = open_store(tmp_path / "run", SFTConfig(checkpoint_minutes=2.0, checkpoint_steps=3), of={})
    assert [store.due() for _ in range(3)] == [False, False, True]
    store.save(1, *state)
    now = 119.0
    assert not store.due()
    now = 120.0
    assert store.due()
    store.save(2, *state)
    assert not store.due()
    never = open_store(tmp_path / "other", SFTConfig(checkpoint_minutes=None), of={})
    now = 1e9
    assert not any(never.due() for _ in range(100))


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


def test_resuming_fails_and_deletes_nothing_if_all_checkpoints_are_corrupt(tmp_path: Path) -> None:
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
    with pytest.raises(CheckpointRefused, match=r"recipe\.label_smoothing was 0\.0 and is now 0\.1"):
        run(label_smoothing=0.1)
    with pytest.raises(CheckpointRefused, match=r"another run: rankings was"):
        run(rankings=RANKINGS[1:])
    with pytest.raises(CheckpointRefused, match=r"another run: base model was"):
        run(base_model=other)
    run(checkpoint_minutes=1.0)  # the checkpoint interval does not affect training


@pytest.mark.parametrize(
    ("written_on", "other_device", "resumes"),
    [("cpu", False, True), ("", False, True), ("cuda", False, False), ("cuda", True, True)],
)
def test_checkpoint_from_another_kind_of_device_is_refused_unless_allowed(
    written_on: str, other_device: bool, resumes: bool, tmp_path: Path
) -> None:
    modules = {"model": nn.Linear(2, 1)}
    optimisers = {"all": torch.optim.AdamW(modules["model"].parameters())}
    open_store(tmp_path, SFTConfig(), of={}).save(3, modules, optimisers, {"step": 3})
    record_device(tmp_path / "step-00000003" / "state.json", written_on)
    store = open_store(tmp_path, SFTConfig(other_device=other_device), of={})
    if resumes:
        assert store.resume(modules, optimisers) == ({"step": 3}, {})
    else:
        with pytest.raises(DeviceDiffers, match="started on a GPU, but would continue on a CPU"):
            store.resume(modules, optimisers)
        assert (tmp_path / "step-00000003").is_dir()


def record_device(file: Path, device: str) -> None:
    """Change a checkpoint's file as if the checkpoint had been written on `device`. If `device` is empty, the
    file records no device, as in earlier versions."""
    state = json.loads(file.read_text())
    assert state.pop("device") == "cpu"
    file.write_text(checkpoint._sealed(state | ({"device": device} if device else {})))
