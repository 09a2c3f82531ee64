"""Imports, snapshots and exports over HTTP: reports, the error format, and permissions."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.datasets.api import exports as export_api
from annotation.datasets.snapshots import snapshot_path
from annotation.models import DatasetSnapshot, Project, Prompt, Ranking, User
from tests.annotation.content.imports.jobs import executed, imported, upload
from tests.annotation.real_data import real_file

ClientOf = Callable[[User | None], APIClient]
RANKED = {"prompt": "Q", "responses": [{"text": "a", "model": "m"}, "b"], "tiers": [[1], [0]]}


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


def ranked(number: int) -> bytes:
    return json.dumps({**RANKED, "prompt": f"Question {number}"}).encode() + b"\n"


def freeze(client: APIClient, name: str = "v1", **fields: Any) -> Any:
    return client.post("/api/v1/projects/support/snapshots/", {"name": name, **fields}, format="json")


def body_of(response: Any) -> bytes:
    with warnings.catch_warnings():
        # The test client is synchronous; the server streams asynchronously.
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume asynchronous iterators")
        return b"".join(response)


def test_manager_imports_a_file_and_gets_the_report(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    report = imported(client_of(mona), ranked(1) + b"{broken\n" + ranked(2))
    assert report["errors"][0]["line"] == 2
    assert {key: report[key] for key in ("format", "read", "prompts", "responses", "tasks", "rankings")} == {
        "format": "rankloop",
        "read": 3,
        "prompts": 2,
        "responses": 4,
        "tasks": 2,
        "rankings": 2,
    }
    again = imported(client_of(mona), ranked(1) + ranked(2))
    assert (again["unchanged"], again["rankings"]) == (2, 0)


def test_uploaded_real_gzip_file_is_imported(project: Project, mona: User, client_of: ClientOf) -> None:
    data = real_file("kway/oasst-8-models.jsonl.gz").read_bytes()
    report = imported(client_of(mona), data, "oasst.jsonl.gz")
    assert (report["format"], report["tasks"], report["failed"]) == ("oasst-models", 177, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"foo": 1}\n', "not recognised"),
        (b"", "empty"),
        (b"\x1f\x8bnot gzip at all", "gzip data is truncated or damaged"),
        (b"PAR1 broken", "can't be opened"),
        (b"[]", "the file has no rows"),
    ],
)
def test_unreadable_file_is_reported_as_a_problem(
    project: Project, mona: User, client_of: ClientOf, data: bytes, reason: str
) -> None:
    response = upload(client_of(mona), data)
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert reason in response.json()["detail"]
    assert response.json()["errors"][0]["field"] == "file"
    assert not Prompt.objects.exists()


def test_upload_needs_a_file_and_a_known_format(project: Project, mona: User, client_of: ClientOf) -> None:
    missing = client_of(mona).post("/api/v1/projects/support/imports/", {}, format="multipart")
    unknown = upload(client_of(mona), ranked(1), format="tsv")
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "file")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "format")


def test_upload_with_scores_of_unknown_direction_requires_a_mapping(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "score_a": 3, "score_b": 5}
    data = json.dumps(row).encode()
    refused = upload(client_of(mona), data)
    assert refused.status_code == 422
    assert "score_a (it isn't known whether a higher number is better)" in refused.json()["detail"]
    assert not Prompt.objects.exists()
    wrong = upload(client_of(mona), data, mapping=json.dumps({"vote": ["score_a"]}))
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "mapping")
    mapping = json.dumps({"vote": "score_a,score_b", "direction": "higher"})
    report = imported(client_of(mona), data, mapping=mapping)
    assert (report["format"], report["rankings"], report["failed"]) == ("table", 1, 0)
    assert Ranking.objects.get().places == [1, 0]


def test_preview_shows_columns_and_tasks_and_stores_nothing(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    row = {"frage": "Best pet?", "x": "Cat", "y": "Dog", "wahl": "y", "wer": "mia"}

    def preview(**fields: str) -> Any:
        file = SimpleUploadedFile("rows.jsonl", json.dumps(row).encode())
        return client_of(mona).post(
            "/api/v1/projects/support/imports/preview", {"file": file, **fields}, format="multipart"
        )

    unknown = preview().json()
    assert unknown["format"] is None
    assert "wahl (no response columns were found)" in unknown["problem"]
    assert unknown["columns"][0] == {"name": "frage", "example": "Best pet?"}
    mapping = {"prompt": "frage", "responses": "x,y", "vote": "wahl", "annotator": "wer"}
    chosen = preview(mapping=json.dumps(mapping)).json()
    assert (chosen["format"], chosen["problem"], chosen["mapping"]) == ("table", "", mapping)
    [task] = chosen["tasks"]
    assert task["messages"] == [{"role": "user", "content": "Best pet?"}]
    assert [response["text"] for response in task["responses"]] == ["Cat", "Dog"]
    assert (task["tiers"], task["annotator"], task["all_bad"]) == ([[1], [0]], "mia", False)
    assert not Prompt.objects.exists()


def test_preview_shows_ratings_and_the_tasks_that_the_import_would_create(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    rated = {
        "prompt": "P",
        "responses": ["a", "b"],
        "ratings": {"1": {"help": 4}},
        "flags": {"0": ["unsafe"]},
    }
    ordered = {"prompt": "Q", "responses": ["c", "d", "e"], "tiers": [[2]], "strength": 3, "comment": "clear"}

    def tasks(*rows: object, **options: str) -> Any:
        file = SimpleUploadedFile("rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
        response = client_of(mona).post(
            "/api/v1/projects/support/imports/preview", {"file": file, **options}, format="multipart"
        )
        return response.json()["tasks"]

    first, second = tasks(rated, ordered)
    assert [(one["ratings"], one["flags"]) for one in first["responses"]] == [
        ({}, ["unsafe"]),
        ({"help": 4}, []),
    ]
    assert (first["tiers"], second["tiers"], second["strength"], second["comment"]) == ([], [[2]], 3, "clear")
    ignored = tasks(ordered, votes="ignore", responses_per_task="2")
    assert [[one["text"] for one in task["responses"]] for task in ignored] == [["c", "d"], ["d", "e"]]
    assert [task["tiers"] for task in ignored] == [None, None]


def test_preview_contains_the_inferred_mapping(project: Project, mona: User, client_of: ClientOf) -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "winner": 1}
    lines = "\n".join(json.dumps({**row, "winner": number}) for number in (1, 2))
    file = SimpleUploadedFile("rows.jsonl", lines.encode())
    found = (
        client_of(mona)
        .post("/api/v1/projects/support/imports/preview", {"file": file}, format="multipart")
        .json()
    )
    assert found["mapping"] == {
        "prompt": "prompt",
        "responses": "response_a,response_b",
        "vote": "winner",
        "direction": "from-1",
    }
    assert [task["tiers"] for task in found["tasks"]] == [[[0], [1]], [[1], [0]]]


def test_mapping_is_offered_for_the_next_file_with_the_same_columns(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "score_a": 3, "score_b": 5}
    mapping = {"vote": "score_a,score_b", "direction": "lower"}
    imported(client_of(mona), json.dumps(row).encode(), mapping=json.dumps(mapping), dry_run="true")
    imported(client_of(mona), json.dumps({**row, "prompt": "None?"}).encode(), mapping='{"vote": "none"}')
    project.refresh_from_db()
    assert project.import_mappings == []
    imported(client_of(mona), json.dumps(row).encode(), mapping=json.dumps(mapping))
    next_file = SimpleUploadedFile("next.jsonl", json.dumps({**row, "prompt": "Again?"}).encode())
    found = (
        client_of(mona)
        .post("/api/v1/projects/support/imports/preview", {"file": next_file}, format="multipart")
        .json()
    )
    assert (found["mapping"], found["remembered"]) == (mapping, True)
    assert found["tasks"][0]["tiers"] == [[0], [1]]
    other = SimpleUploadedFile("other.jsonl", json.dumps({**row, "topic": "pets"}).encode())
    found = (
        client_of(mona)
        .post("/api/v1/projects/support/imports/preview", {"file": other}, format="multipart")
        .json()
    )
    assert "it isn't known whether a higher number is better" in found["problem"]
    assert found["remembered"] is False


def test_upload_that_is_too_large_is_refused_with_advice(
    project: Project, mona: User, client_of: ClientOf, settings: Settings
) -> None:
    settings.IMPORT_MAX_BYTES = 10
    response = upload(client_of(mona), ranked(1))
    assert response.status_code == 413
    assert "limited to 10 bytes (RANKLOOP_IMPORT_MAX_BYTES)" in response.json()["detail"]
    assert "import_responses" in response.json()["detail"]
    preview = client_of(mona).post(
        "/api/v1/projects/support/imports/preview",
        {"file": SimpleUploadedFile("rows.jsonl", ranked(1))},
        format="multipart",
    )
    assert preview.status_code == 413


def test_snapshot_is_frozen_and_listed_and_its_name_is_unique(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    imported(client, ranked(1) + ranked(2))
    response = freeze(client)
    assert response.status_code == 201
    snapshot = response.json()
    assert (snapshot["project"], snapshot["rows"], snapshot["comparisons"]) == ("support", 2, 2)
    assert snapshot["created_by"] == "mona"
    assert client.get("/api/v1/projects/support/snapshots/").json()["results"] == [snapshot]
    assert freeze(client).status_code == 409
    assert freeze(client, "v2", selection={"sources": ["browser"]}).status_code == 422
    wrong = freeze(client, "v2", selection={"colour": 1})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "selection.colour")


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("trl_preference", "support-v1-trl_preference.jsonl"),
        ("trl_preference_parquet", "support-v1-trl_preference_parquet.parquet"),
        ("ranking", "support-v1-ranking.jsonl"),
        ("parquet", "support-v1-parquet.parquet"),
    ],
)
def test_export_is_a_download_with_its_checksum(
    project: Project, mona: User, client_of: ClientOf, format: str, name: str
) -> None:
    client = client_of(mona)
    imported(client, ranked(1) + ranked(2))
    id = freeze(client).json()["id"]
    response = client.get(
        f"/api/v1/snapshots/{id}/export?format={format}", headers={"Accept": "application/jsonl"}
    )
    assert response.status_code == 200
    data = body_of(response)
    said = client.head(f"/api/v1/snapshots/{id}/export?format={format}")
    assert said["X-Checksum"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert said["Content-Length"] == str(len(data))
    assert said["Content-Disposition"] == response["Content-Disposition"]
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.streaming


def test_unknown_export_format_is_reported_as_a_problem(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    imported(client, ranked(1))
    id = freeze(client).json()["id"]
    response = client.get(f"/api/v1/snapshots/{id}/export?format=xlsx")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "format"


def test_missing_snapshot_file_is_reported(project: Project, mona: User, client_of: ClientOf) -> None:
    client = client_of(mona)
    imported(client, ranked(1))
    id = freeze(client).json()["id"]
    snapshot_path(DatasetSnapshot.objects.get()).unlink()
    response = client.get(f"/api/v1/snapshots/{id}/export?format=parquet")
    assert "is missing" in response.json()["detail"]


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 403), ("rita", 403), ("oscar", 404), (None, 401), ("ada", 200)],
)
def test_only_managers_and_admins_can_access_data(
    project: Project,
    mona: User,
    client_of: ClientOf,
    request: pytest.FixtureRequest,
    who: str | None,
    status: int,
) -> None:
    imported(client_of(mona), ranked(1))
    id = freeze(client_of(mona)).json()["id"]
    client = client_of(request.getfixturevalue(who) if who else None)
    response = upload(client, ranked(2))
    assert response.status_code == (202 if status == 200 else status)
    assert client.get("/api/v1/projects/support/snapshots/").status_code == status
    assert freeze(client, "mine").status_code == (201 if status == 200 else status)
    assert client.get(f"/api/v1/snapshots/{id}/export?format=parquet").status_code == status
    if status == 200:
        executed(client, response)
    assert Prompt.objects.count() == (2 if status == 200 else 1)


def test_export_is_streamed_chunk_by_chunk() -> None:
    """Under ASGI, Django would read a synchronous iterator completely before sending the first byte. An
    export is therefore an asynchronous iterator."""
    import asyncio

    made: list[int] = []

    def chunks() -> Any:
        for number in range(3):
            made.append(number)
            yield b"x" * 10

    async def first() -> bytes:
        return await anext(aiter(export_api._served(chunks())))

    assert asyncio.run(first()) == b"x" * 10
    assert made == [0]


def test_gzipped_csv_upload_is_imported(project: Project, mona: User, client_of: ClientOf) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(b"prompt,response_1,response_2\nQ,a,b\n")
    report = imported(client_of(mona), packed.getvalue(), "rows.csv.gz")
    assert (report["format"], report["tasks"]) == ("rankloop", 1)


def test_format_list_contains_import_formats_and_export_formats(alice: User, client_of: ClientOf) -> None:
    body = client_of(alice).get("/api/v1/formats/").json()
    assert {"hh-rlhf", "rankloop"} <= {known["name"] for known in body["imports"]}
    by_name = {known["name"]: known for known in body["exports"]}
    assert [option["name"] for option in by_name["trl_unpaired"]["options"]] == [
        "split",
        "scale",
        "threshold",
    ]
    assert all(known["loses"] and known["use"] for known in body["exports"])


def test_export_options_are_applied_and_invalid_exports_are_refused(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    imported(client, ranked(1))
    plain = freeze(client, license="cc0-1.0", notes="From the pilot.").json()
    assert (plain["card"]["license"], plain["card"]["notes"]) == ("cc0-1.0", "From the pilot.")
    assert list(plain["refused_exports"]) == ["trl_unpaired"]
    refused = client.get(f"/api/v1/snapshots/{plain['id']}/export?format=trl_unpaired")
    assert (refused.status_code, refused.json()["type"]) == (422, "export-refused")
    rated = json.dumps({**RANKED, "prompt": "Rated", "ratings": {"0": {"help": 1}, "1": {"help": 5}}})
    imported(client, rated.encode())
    id = freeze(client, "v2").json()["id"]
    at = f"/api/v1/snapshots/{id}/export?format=trl_unpaired"
    data = body_of(client.get(f"{at}&threshold=4"))
    assert [json.loads(line)["label"] for line in data.splitlines()] == [False, True]
    for query, field in (("&threshold=x", "threshold"), ("&scale=wit", "scale"), ("&colour=red", "colour")):
        wrong = client.get(at + query)
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, field)
    assert freeze(client, "v3", license="a\nb").json()["errors"][0]["field"] == "license"
