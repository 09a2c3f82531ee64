"""The number of CPU threads depends on the model size and is limited by OMP_NUM_THREADS."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.runs.recipes.run_recipes import DEMO_WORLD
from training.runs.threads import BYTES_PER_THREAD, cpu_threads


@pytest.mark.parametrize(
    ("files", "threads"),
    [([1], 1), ([BYTES_PER_THREAD * 2], 2), ([BYTES_PER_THREAD] * 3, 3), ([BYTES_PER_THREAD * 90], 16)],
)
def test_thread_count_depends_on_the_size_of_the_weight_files(
    files: list[int], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    for number, size in enumerate(files):
        with (tmp_path / f"model-{number}.safetensors").open("wb") as file:
            file.truncate(size)
    assert cpu_threads(str(tmp_path)) == threads


def test_hub_model_uses_all_available_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert cpu_threads("people/some-model") == 16


def test_demo_model_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert cpu_threads(DEMO_WORLD) == 1
