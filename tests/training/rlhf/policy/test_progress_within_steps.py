"""A long step reports its progress while answers are scored, while the models read the answers, and during an
update."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import LOOPS, Scene, build_scene
from training.rlhf.core import alive

torch.set_num_threads(1)
QUICK: dict[str, Any] = {"sample_prompts": 0, "kl_samples": 0}
OF_ROLLOUTS = ["answers scored", "answers compared with the reference", "answers used for the update"]
# What each loop counts within a step, and the settings with which a step has several micro-batches.
COUNTED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "sft": (["tokens of the batch", "held-out tokens"], QUICK | {"heldout_share": 0.5}),
    "rejection_sampling": (["answers scored", "tokens of the batch"], QUICK),
    "dpo": (["rankings of the batch", "held-out rankings"], QUICK | {"heldout_fraction": 0.5}),
    "rloo": (OF_ROLLOUTS, {"steps": 1, "epochs": 2, "samples": 0}),
    "ppo": (OF_ROLLOUTS, {"critic_warmup_steps": 1, "kl_ceiling": 50.0, "samples": 0}),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@pytest.mark.parametrize("kind", LOOPS)
def test_counts_within_a_long_step_rise_to_their_totals(
    kind: str, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "TELL_SECONDS", 0.0)
    report, (expected, settings) = ListReporter(), COUNTED[kind]
    settings = settings | {"micro_batch_tokens": 16, "checkpoint_steps": None}
    LOOPS[kind](scene, scene.base, tmp_path, report, **settings)
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for phase, step, total in report.progress_rows:
        if found := re.search(r": (\d+) of (\d+) (.+ .+)$", phase):
            counts[found[3]].append((int(found[1]), int(found[2])))
            assert 0 <= step <= total
    assert set(counts) == set(expected)
    for what, rows in counts.items():
        # Each count ends at its total, and the next count starts from the beginning.
        ends = [number for number, (done, of) in enumerate(rows) if done == of]
        assert ends, what
        assert ends[-1] == len(rows) - 1, what
        starts = [0, *(end + 1 for end in ends)]
        for start, end in zip(starts, ends, strict=False):
            done = [done for done, _ in rows[start : end + 1]]
            assert done == sorted(set(done)), what
    assert all(len(counts[what]) > sum(done == of for done, of in counts[what]) for what in expected[-1:])


def test_counts_are_reported_at_most_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = 0.0, list[str]()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr(alive, "time", Clock)
    with alive.told_by(told.append), alive.counting(90, "parts"):
        # `_Count` reads the clock when it is created, so the first report comes two seconds later.
        for _ in range(9):
            now += 0.5
            alive.counted(10)
    assert told == ["40 of 90 parts", "80 of 90 parts"]
    alive.counted(10)  # has no effect outside `counting`
