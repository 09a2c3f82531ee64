"""Exports work with the tools that read them. The real `datasets` library loads each export. The real TRL
trainers take a training step on the exports for TRL. Rankloop trains reward models on exports with
preferences."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import FORMAT_NAMES
from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.models import Project
from preferences.formats.catalog import EXPORT_FORMATS
from tests.preferences.formats.exports import tiny_trl
from tests.preferences.formats.exports.exporting import ROWS, exported, frozen, saved
from training.rlhf.data.files import read_rankings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables that a suggested line of code can use. The line is run in the download folder."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return {"datasets": datasets}


@pytest.mark.parametrize("format", [name for name in FORMAT_NAMES if EXPORT_FORMATS[name].loader])
def test_suggested_line_of_code_loads_each_export(
    wishes: Project, tmp_path: Path, beside_the_file: dict[str, Any], format: str
) -> None:
    path = saved(frozen(wishes), format, tmp_path)
    assert path.suffix == EXPORT_FORMATS[format].suffix
    assert len(eval(EXPORT_FORMATS[format].loads_with(path.name), beside_the_file)) > 0


@pytest.mark.parametrize("format", [name for name in FORMAT_NAMES if EXPORT_FORMATS[name].trainer])
def test_suggested_line_of_code_trains_a_model(
    wishes: Project, tmp_path: Path, beside_the_file: dict[str, Any], format: str
) -> None:
    import trl

    known = EXPORT_FORMATS[format]
    path = saved(frozen(wishes), format, tmp_path)
    rewards = known.trainer == "RewardTrainer"
    model = tiny_trl.reward_model() if rewards else tiny_trl.policy()
    # The model is loaded from a folder, because KTO loads its reference model from the same folder.
    model.save_pretrained(tmp_path / "model")
    names = {
        "trl": trl,
        "model": type(model).from_pretrained(tmp_path / "model"),
        "args": getattr(trl, known.trainer.replace("Trainer", "Config"))(
            **tiny_trl.settings(tmp_path / "trl")
        ),
        "tokenizer": tiny_trl.tokenizer(),
    }
    result = eval(known.trains_with(path.name), beside_the_file | names)
    assert result.global_step == 1
    # An untrained policy equals its reference, so the loss of KTO is 1 − σ(0).
    assert known.trainer != "KTOTrainer" or result.training_loss == pytest.approx(0.5, abs=1e-3)


def test_unpacked_dataset_export_loads_with_its_card(wishes: Project, tmp_path: Path) -> None:
    import datasets

    rows = "\n".join(map(json.dumps, ROWS)).encode()
    import_file(project=wishes, file=io.BytesIO(rows))
    snapshot = freeze_snapshot(project=wishes, name="v1", license="cc-by-4.0", notes="Gathered in “spring”.")
    folder = tmp_path / "folder"
    with zipfile.ZipFile(io.BytesIO(exported(snapshot, "dataset"))) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    assert (folder / "rankings.parquet").read_bytes() == snapshot_path(snapshot).read_bytes()
    assert json.loads((folder / "card.json").read_text()) == snapshot.card
    readme = (folder / "README.md").read_text()
    assert 'license: "cc-by-4.0"\n' in readme
    assert "Gathered in “spring”." in readme
    data = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(data) == len(ROWS)
    assert data[0]["tiers"] == [[0, 2], [1]]


def test_dpo_trainer_takes_a_step_on_exported_preferences(wishes: Project, tmp_path: Path) -> None:
    import trl

    path = saved(frozen(wishes), "trl_preference", tmp_path)
    made = trl.DPOTrainer(
        model=tiny_trl.policy(),
        ref_model=tiny_trl.policy(),
        args=trl.DPOConfig(**tiny_trl.settings(tmp_path / "trl")),
        train_dataset=tiny_trl.loaded(path, tmp_path / "cache", loader="json"),
        processing_class=tiny_trl.tokenizer(),
    )
    result = made.train()
    assert result.global_step == 1
    # An untrained policy equals its reference, so the loss is ln 2.
    assert result.training_loss == pytest.approx(0.6931, abs=1e-3)


PREFERRED = {("4", "5"), ("four", "5"), ("b", "a"), ("b", "c"), ("x", "y"), ("Because.", "No.")}


@pytest.mark.parametrize(
    ("format", "lost"),
    [
        ("ranking", set()),
        ("parquet", set()),
        ("trl_preference", set()),
        ("trl_preference_parquet", set()),
        ("rewardbench", {("x", "y")}),
        ("hh_rlhf", {("Because.", "No.")}),
        ("csv", set()),
        ("dataset", set()),
        ("oasst_trees", {("Because.", "No.")}),
        ("label_studio_pairwise", set()),
        ("label_studio_ranker", set()),
        ("argilla", set()),
    ],
)
def test_reward_models_can_be_trained_on_exports_with_preferences(
    format: str, lost: set[tuple[str, str]], wishes: Project, tmp_path: Path
) -> None:
    """Training reads every preference except those that are documented as lost: preferences in all-bad
    answers, and preferences on prompts with a system turn."""
    rankings = read_rankings(saved(frozen(wishes), format, tmp_path))
    found = {
        (better, worse)
        for ranking in rankings
        for better, above in zip(ranking.responses, ranking.tier_of_each(), strict=True)
        for worse, below in zip(ranking.responses, ranking.tier_of_each(), strict=True)
        if above < below
    }
    assert found == PREFERRED - lost
    assert all(ranking.messages[-1]["role"] == "user" for ranking in rankings)
