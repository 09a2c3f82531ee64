"""A dataset on the Hub is imported by its ID. If the import fails, the error message suggests a fix."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.importing.hub import data_files, fetch_dataset
from annotation.models import Project, Ranking, RankingTask, User
from config.problems import Problem
from tests.annotation.content.imports.jobs import executed
from tests.hub import FILES, hub_server


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub_server() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield address


@pytest.mark.django_db
def test_files_of_a_split_are_imported_one_by_one(project: Project, hub: str) -> None:
    out = io.StringIO()
    call_command(
        "import_responses", "people/pairs", "--hub", "--split", "train", "--project", "support", stdout=out
    )
    assert Ranking.objects.count() == 2
    assert "data/train-00001-of-00002.jsonl:\nImported 1 row (trl-preference) into support" in out.getvalue()


@pytest.mark.django_db
def test_missing_dataset_is_reported(project: Project, hub: str) -> None:
    with pytest.raises(CommandError, match="The Hub has no dataset people/nothing"):
        call_command("import_responses", "people/nothing", "--hub", "--project", "support")


def test_error_for_a_missing_part_names_the_existing_files(hub: str) -> None:
    with pytest.raises(
        Problem,
        match=r"no data file in part chat .*its files are README.md, data/same.jsonl, data/test.jsonl",
    ):
        list(fetch_dataset(dataset="people/pairs", part="chat", endpoint=hub))


def test_hub_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.content.importing.hub.HUB_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:  # accepts connections and never responds
        address = f"http://127.0.0.1:{hung.getsockname()[1]}"
        with pytest.raises(Problem, match=r"can't be reached.*timed out"):
            list(fetch_dataset(dataset="people/pairs", endpoint=address))


def test_unreachable_hub_is_reported_with_a_workaround(hub: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(Problem, match=r"can't be reached.*hf download --repo-type dataset people/pairs"):
        list(fetch_dataset(dataset="people/pairs", endpoint=nowhere))


def test_invalid_dataset_id_is_reported(hub: str) -> None:
    with pytest.raises(Problem, match="is not the ID of a dataset"):
        list(fetch_dataset(dataset="../../etc/passwd", endpoint=hub))


def test_dataset_above_the_size_limit_is_refused(hub: str) -> None:
    with pytest.raises(
        Problem, match=r"total 47 bytes, but imports are limited to 40 bytes \(RANKLOOP_IMPORT_MAX_BYTES"
    ):
        list(fetch_dataset(dataset="people/pairs", split="test", endpoint=hub, most_bytes=40))


def imported(client: APIClient, **fields: str) -> dict[str, Any]:
    """Imports the dataset over HTTP. Returns the import in the format of the API."""
    given = {"dataset": "people/pairs", **fields}
    return executed(client, client.post("/api/v1/projects/support/imports/hub", given, format="json"))


@pytest.mark.django_db
def test_dataset_is_imported_over_http(
    project: Project,
    mona: User,
    client_of: Callable[[User | None], APIClient],
    hub: str,
    settings: Settings,
    tmp_path: Path,
) -> None:
    settings.ARTEFACTS = tmp_path
    client = client_of(mona)
    one = imported(client, split="test", votes="keep")
    assert (one["state"], one["file_name"], one["report"]["rankings"]) == ("succeeded", "people/pairs", 1)
    assert one["hub"] == {"dataset": "people/pairs", "part": None, "split": "test", "revision": None}
    assert one["size"] == len(FILES["data/test.jsonl"])
    assert RankingTask.objects.get().state == "open"
    whole = imported(client)
    assert (whole["report"]["read"], whole["report"]["rankings"], whole["report"]["unchanged"]) == (4, 2, 2)
    assert list((tmp_path / "imports").iterdir()) == []
    refused = client.post("/api/v1/projects/support/imports/hub", {"split": "test"}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "dataset")


@pytest.mark.django_db
def test_import_of_a_dataset_that_does_not_exist_fails(
    project: Project,
    mona: User,
    client_of: Callable[[User | None], APIClient],
    hub: str,
    settings: Settings,
    tmp_path: Path,
) -> None:
    settings.ARTEFACTS = tmp_path
    found = imported(client_of(mona), dataset="people/nothing")
    assert (found["state"], found["problem"]["type"]) == ("failed", "hub-refused")
    assert "The Hub has no dataset people/nothing" in found["problem"]["detail"]
    assert list((tmp_path / "imports").iterdir()) == []


def test_files_of_a_part_or_split_are_found_by_their_paths() -> None:
    names = [
        "README.md",
        "dataset_infos.json",
        ".cache/x.jsonl",
        "harmless-base/train.jsonl.gz",
        "harmless-base/test.jsonl.gz",
        "helpful-base/train.jsonl.gz",
        "validation.csv",
    ]
    assert data_files(names, part="harmless-base") == names[4:2:-1]
    assert data_files(names, split="train") == [names[3], names[5]]
    assert data_files(names, split="validation") == ["validation.csv"]
    assert data_files([*names, "harmless-base/train.parquet"]) == ["harmless-base/train.parquet"]
