"""TRL loads the exports and trains on them. Rankings exported in a format that can be imported are unchanged
after the import."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from annotation.content.importing.imports import import_file
from annotation.datasets.export_cache import export_checksum
from annotation.datasets.exports import FORMAT_NAMES, export_name, export_snapshot
from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.forms.presets import PRESETS
from annotation.models import DatasetSnapshot, Project
from annotation.projects.projects import create_project
from config.problems import Problem
from tests.annotation.real_data import HH_FILES, hh_file

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTEFACTS = tmp_path / "artefacts"
    return tmp_path / "artefacts"


@pytest.fixture
def wishes() -> Project:
    return create_project(slug="wishes")


ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi – “you”"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "What is 2+2?\n"},
        ],
        "responses": [
            {"text": "4", "model": "m1"},
            {"text": "5", "model": "m2"},
            {"text": " four ", "model": "m1"},
        ],
        "tiers": [[0, 2], [1]],
        "annotator": "kim",
        "strength": 3,
        "ratings": {"0": {"helpful": 4}, "1": {"helpful": 1}},
        "flags": {"1": ["wrong"]},
        "comment": "five is wrong",
        "rewrite": "Four.",
        "duration_ms": 1234,
    },
    {"prompt": "All alike?", "responses": ["a", "b"], "tiers": [[0, 1]], "annotator": "kim"},
    {"prompt": "Neither", "responses": ["x", ""], "not_rankable": True, "annotator": "lee"},
    {"prompt": "Again?", "responses": ["a", "b"], "tiers": [[1], [0]], "annotator": "kim"},
    {"prompt": "Again?", "responses": ["a", "b"], "tiers": [[0], [1]], "annotator": "lee"},
]


def frozen(project: Project, rows: list[dict[str, Any]] | None = None, name: str = "v1") -> DatasetSnapshot:
    data = "\n".join(json.dumps(row) for row in rows or ROWS).encode()
    report = import_file(project=project, file=io.BytesIO(data))
    assert not report.failed
    return freeze_snapshot(project=project, name=name)


def exported(snapshot: DatasetSnapshot, format: str) -> bytes:
    return b"".join(export_snapshot(snapshot=snapshot, format=format))


def lines(snapshot: DatasetSnapshot, format: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(snapshot, format).splitlines()]


def test_trl_rows_contain_the_conversation_and_every_strict_pair(wishes: Project) -> None:
    snapshot = frozen(wishes)
    rows = lines(snapshot, "trl_preference")
    said = [
        (
            row["prompt"][-1]["content"],
            row["chosen"][0]["content"],
            row["rejected"][0]["content"],
            row["margin"],
        )
        for row in rows
    ]
    assert said == [
        ("What is 2+2?\n", "4", "5", 3.0),
        ("What is 2+2?\n", " four ", "5", 3.0),
        ("Again?", "b", "a", 0.0),
        ("Again?", "a", "b", 0.0),
    ]
    assert rows[0]["prompt"] == ROWS[0]["messages"]
    assert {row[side][0]["role"] for row in rows for side in ("chosen", "rejected")} == {"assistant"}
    assert (
        rows[0]["prompt_group"]
        == rows[1]["prompt_group"]
        != rows[2]["prompt_group"]
        == rows[3]["prompt_group"]
    )
    assert len(rows) == snapshot.comparisons - snapshot.card["ties"]
    assert snapshot.card["ties"] == 2


def test_margin_is_omitted_if_the_rankings_have_no_strengths(wishes: Project) -> None:
    rows = lines(frozen(wishes, ROWS[3:]), "trl_preference")
    assert [sorted(row) for row in rows] == [
        sorted(("prompt", "chosen", "rejected", "prompt_group", "ranking_id", "split"))
    ] * 2


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_export_is_reproducible_and_matches_its_checksum(wishes: Project, format: str) -> None:
    form = PRESETS["helpsteer2"].to_json()
    form["ratings"][0]["name"] = "helpful"
    wishes.form = form
    wishes.save()
    snapshot = frozen(wishes)
    data = exported(snapshot, format)
    assert data == exported(snapshot, format)
    assert export_checksum(snapshot=snapshot, format=format) == (len(data), hashlib.sha256(data).hexdigest())


def test_parquet_export_is_the_snapshot_file(wishes: Project) -> None:
    snapshot = frozen(wishes)
    assert exported(snapshot, "parquet") == snapshot_path(snapshot).read_bytes()
    assert export_checksum(snapshot=snapshot, format="parquet")[1] == snapshot.sha256


@pytest.mark.parametrize("format", ["ranking", "parquet"])
def test_exported_rankings_are_unchanged_by_import_into_another_project(wishes: Project, format: str) -> None:
    first = frozen(wishes)
    others = create_project(slug="others")
    report = import_file(project=others, file=io.BytesIO(exported(first, format)))
    assert (report.format, report.failed, report.rankings) == ("rankloop", 0, len(ROWS))
    second = freeze_snapshot(project=others, name="back")
    assert [_content(row) for row in lines(second, "ranking")] == [
        _content(row) for row in lines(first, "ranking")
    ]
    again = import_file(project=others, file=io.BytesIO(exported(first, format)))
    assert (again.rankings, again.tasks, again.unchanged) == (0, 0, len(ROWS))


def _content(row: dict[str, Any]) -> dict[str, Any]:
    """The content of a ranking, without its project's IDs and pseudonyms."""
    texts = {response["id"]: response["text"] for response in row["responses"]}
    kept = {
        key: row[key]
        for key in ("messages", "tiers", "strength", "not_rankable", "comment", "rewrite", "split")
    }
    return {
        **kept,
        "duration_ms": row["duration_ms"],
        "prompt_hash": row["prompt_hash"],
        "responses": [(response["text"], response["model"]) for response in row["responses"]],
        "ratings": {texts[id]: value for id, value in row["ratings"].items()},
        "flags": {texts[id]: value for id, value in row["flags"].items()},
    }


def test_import_of_an_export_into_its_own_project_adds_nothing(wishes: Project) -> None:
    snapshot = frozen(wishes)
    report = import_file(project=wishes, file=io.BytesIO(exported(snapshot, "ranking")))
    assert (report.rankings, report.tasks, report.unchanged, report.failed) == (0, 0, len(ROWS), 0)


def test_real_hh_comparisons_are_exported_unchanged(wishes: Project) -> None:
    pairs = set()
    for name in ("helpful-base.train", "helpful-rejection-sampled.test"):
        report = import_file(project=wishes, file=hh_file(name))
        assert report.read == HH_FILES[name][0]
    snapshot = freeze_snapshot(project=wishes, name="hh")
    others = create_project(slug="others")
    back = import_file(project=others, file=io.BytesIO(exported(snapshot, "ranking")))
    assert back.rankings == snapshot.rows
    for source in (snapshot, freeze_snapshot(project=others, name="back")):
        rows = lines(source, "trl_preference")
        assert len(rows) == snapshot.comparisons
        pairs.add(
            frozenset(
                (json.dumps(row["prompt"]), row["chosen"][0]["content"], row["rejected"][0]["content"])
                for row in rows
            )
        )
    assert len(pairs) == 1


def test_unknown_format_is_refused_before_the_first_byte(wishes: Project) -> None:
    snapshot = frozen(wishes)
    with pytest.raises(Problem, match="There is no export format 'xlsx'") as refusal:
        export_snapshot(snapshot=snapshot, format="xlsx")
    assert "trl_preference" in refusal.value.errors[0].reason


def test_export_has_a_portable_file_name(wishes: Project) -> None:
    snapshot = frozen(wishes, name='../a "b"\\ü;')
    assert export_name(snapshot=snapshot, format="trl_preference") == "wishes-..-a-b--trl_preference.jsonl"


@pytest.mark.parametrize("format", ["trl_preference", "trl_preference_parquet"])
def test_trl_reward_trainer_takes_one_step_on_the_export(
    wishes: Project, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    import datasets
    import torch
    import trl

    snapshot = frozen(wishes)
    path = tmp_path / export_name(snapshot=snapshot, format=format)
    path.write_bytes(exported(snapshot, format))
    loader = "parquet" if format.endswith("parquet") else "json"
    data = datasets.load_dataset(
        loader, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(data) == 4
    assert trl.data_utils.is_conversational(data[0])
    model, tokenizer = _tiny_reward_model()
    before = model.score.weight.detach().clone()
    config = trl.RewardConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=1,
        per_device_train_batch_size=4,
        learning_rate=0.1,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = trl.RewardTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    assert trainer.train_dataset["margin"] == [3.0, 3.0, 0.0, 0.0]
    result = trainer.train()
    assert result.global_step == 1
    # The rewards of an untrained model are near 0. If TRL uses the margins, the loss is therefore near the
    # mean of -log sigmoid(-margin).
    expected = -torch.nn.functional.logsigmoid(-torch.tensor([3.0, 3.0, 0.0, 0.0])).mean().item()
    assert result.training_loss == pytest.approx(expected, abs=0.5)
    assert not torch.equal(before, model.score.weight)


def _tiny_reward_model() -> tuple[Any, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

    characters = sorted({chr(code) for code in range(32, 127)} | {"\n"})
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<unk>", "<eos>", *characters])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=vocabulary["<pad>"],
    )
    return LlamaForSequenceClassification(config), tokenizer
