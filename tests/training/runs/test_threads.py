"""A run's operators use as many processors as its model has work for, and never more than they were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.runs.recipes.run_recipes import DEMO_WORLD
from training.runs.threads import BYTES_PER_THREAD, cpu_threads


@pytest.mark.parametrize(
    ("files", "threads"),
    [([1], 1), ([BYTES_PER_THREAD * 2], 2), ([BYTES_PER_THREAD] * 3, 3), ([BYTES_PER_THREAD * 90], 16)],
)
def test_the_size_of_the_weights_says_how_many(
    files: list[int], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    for number, size in enumerate(files):
        with (tmp_path / f"model-{number}.safetensors").open("wb") as file:
            file.truncate(size)
    assert cpu_threads(str(tmp_path)) == threads


def test_a_model_of_the_hub_may_use_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert cpu_threads("people/some-model") == 16


def test_the_demo_leaves_the_others_to_the_people_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert cpu_threads(DEMO_WORLD) == 1
