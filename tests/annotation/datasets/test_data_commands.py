"""Commands report the changes they make. With --json, commands report these changes as JSON. If a
command fails, it prints the reason."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from annotation.accounts.tokens import token_holder
from annotation.datasets.snapshots import snapshot_path
from annotation.models import ApiToken, Membership, Project, RankingTask, User
from tests.annotation.real_data import real_file

pytestmark = pytest.mark.django_db

RANKED = {"prompt": "Q", "responses": ["a", "b", "c"], "tiers": [[1], [0, 2]], "annotator": "kim"}


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def run_json(*words: str) -> dict[str, Any]:
    document = json.loads(run(*words, "--json"))
    assert isinstance(document, dict)
    return document


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({**RANKED, "prompt": f"Question {number}"}) for number in range(3)]
    path.write_text("\n".join([*lines[:2], "{broken", lines[2]]) + "\n")
    return path


@pytest.fixture
def wishes(rows: Path) -> None:
    run("create_project", "wishes")
    run("import_responses", str(rows), "--project", "wishes")


def test_project_is_created_with_its_preset_and_overlap() -> None:
    assert "Created project wishes (preset ranking, overlap 3)" in run(
        "create_project", "wishes", "--overlap", "3"
    )
    project = Project.objects.get()
    assert (project.slug, project.preset, project.overlap) == ("wishes", "ranking", 3)
    document = run_json("create_project", "others", "--preset", "ranking", "--name", "Others")
    assert (document["slug"], document["name"], document["overlap"]) == ("others", "Others", 1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["wishes"], "A project named wishes already exists"),
        (["new", "--preset", "nope"], "There is no preset 'nope'"),
        (["new", "--overlap", "0"], "overlap"),
        (["Not a slug"], "slug"),
    ],
)
def test_invalid_project_is_refused_with_a_reason(words: list[str], reason: str) -> None:
    run("create_project", "wishes")
    with pytest.raises(CommandError, match=reason):
        run("create_project", *words)
    assert Project.objects.count() == 1


def test_created_user_gets_a_working_token_and_a_membership() -> None:
    run("create_project", "wishes")
    document = run_json("create_user", "rita", "--project", "wishes", "--role", "reviewer")
    user = User.objects.get(username="rita")
    holder = token_holder(token=document["token"])
    assert holder is not None
    assert holder.user == user
    assert user.check_password(document["password"])
    assert Membership.objects.get(user=user).role == "reviewer"
    assert not user.is_admin
    lines = run("create_user", "ada", "--admin").splitlines()
    assert lines[0] == "Created admin ada."
    assert [line.split()[0] for line in lines[1:3]] == ["password", "token"]
    assert lines[3].startswith("The token is valid until ")
    assert User.objects.get(username="ada").is_admin


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["rita", "--role", "manager"], "--role needs --project"),
        (["rita", "--project", "nope"], "There is no project 'nope'; available: wishes"),
        (["taken"], "A user named taken already exists"),
        (["no spaces allowed"], "username"),
    ],
)
def test_creating_an_invalid_user_changes_nothing(words: list[str], reason: str) -> None:
    run("create_project", "wishes")
    run("create_user", "taken")
    with pytest.raises(CommandError, match=reason):
        run("create_user", *words)
    assert (User.objects.count(), ApiToken.objects.count()) == (1, 1)


def test_import_prints_counts_and_invalid_lines(rows: Path) -> None:
    run("create_project", "wishes")
    out, err = io.StringIO(), io.StringIO()
    call_command("import_responses", str(rows), "--project", "wishes", stdout=out, stderr=err)
    assert (
        "Imported 4 rows (rankloop) into wishes: 3 new prompts, 9 responses, 3 tasks, 3 rankings"
        in out.getvalue()
    )
    assert "0 unchanged, 1 failed" in out.getvalue()
    assert err.getvalue().startswith("line 3: ")
    document = run_json("import_responses", str(rows), "--project", "wishes")
    assert (document["read"], document["unchanged"], document["failed"], document["rankings"]) == (4, 3, 1, 0)
    assert document["errors"][0]["line"] == 3


def test_import_options_apply_to_the_tasks() -> None:
    run("create_project", "wishes")
    path = str(real_file("kway/oasst-8-models.jsonl.gz"))
    document = run_json(
        "import_responses", path, "--project", "wishes", "--overlap", "2", "--round", "1", "--priority", "5"
    )
    assert document["tasks"] == RankingTask.objects.filter(overlap=2, round=1, priority=5).count() == 177


@pytest.mark.parametrize(
    ("content", "words", "reason"),
    [
        ('{"foo": 1}', [], "(?s)not recognised.*hh-rlhf.*oasst-models.*rankloop.*prompts"),
        ("", [], "empty"),
        (None, [], "can't be read: No such file"),
        (
            '{"prompt": 1, "responses": ["a", "b"]}',
            [],
            "None of the file's rows could be imported as rankloop",
        ),
        (json.dumps(RANKED), ["--overlap", "99"], "overlap is out of bounds"),
        (json.dumps(RANKED), ["--round", "-1"], "round is out of bounds"),
        (json.dumps(RANKED), ["--project", "nope"], "There is no project 'nope'"),
    ],
)
def test_invalid_import_is_refused_with_a_reason(
    tmp_path: Path, content: str | None, words: list[str], reason: str
) -> None:
    run("create_project", "wishes")
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CommandError, match=reason):
        run("import_responses", str(path), "--project", "wishes", *words)


def test_commands_report_the_contents_of_snapshots_and_exports(wishes: None, tmp_path: Path) -> None:
    frozen = run("freeze_snapshot", "--project", "wishes", "--name", "v1")
    assert "Froze 3 rankings as v1: 9 comparisons (3 ties), 3 prompts, 1 annotator." in frozen
    out = tmp_path / "pairs.jsonl"
    said = run("export_snapshot", "v1", "--format", "trl_preference", "--out", str(out))
    assert "6 pairs, 3 ties left out" in said
    assert len(out.read_text().splitlines()) == 6
    document = run_json("export_snapshot", "v1", "--format", "ranking", "--out", str(out))
    data = out.read_bytes()
    assert document["sha256"] == hashlib.sha256(data).hexdigest()
    assert (document["rankings"], document["bytes"]) == (3, len(data))
    assert [path.name for path in tmp_path.glob(".pairs*")] == []


def test_freeze_accepts_a_selection(wishes: None) -> None:
    document = run_json("freeze_snapshot", "--project", "wishes", "--name", "kims", "--annotator", "kim")
    assert (document["rankings"], document["selection"]) == (3, {"annotators": ["kim"]})
    with pytest.raises(CommandError, match="contains no rankings"):
        run("freeze_snapshot", "--project", "wishes", "--name", "none", "--round", "7")
    with pytest.raises(CommandError, match=r"selection.after: Use a date"):
        run("freeze_snapshot", "--project", "wishes", "--name", "none", "--after", "soon")
    with pytest.raises(CommandError, match="already has a snapshot kims"):
        run("freeze_snapshot", "--project", "wishes", "--name", "kims")


def test_snapshot_name_used_in_two_projects_requires_the_project_option(
    wishes: None, rows: Path, tmp_path: Path
) -> None:
    run("freeze_snapshot", "--project", "wishes", "--name", "v1")
    run("create_project", "others")
    run("import_responses", str(rows), "--project", "others")
    document = run_json("freeze_snapshot", "--project", "others", "--name", "v1")
    out = str(tmp_path / "out.parquet")
    with pytest.raises(CommandError, match="choose one with --project"):
        run("export_snapshot", "v1", "--format", "parquet", "--out", out)
    assert (
        run_json("export_snapshot", "v1", "--project", "others", "--format", "parquet", "--out", out)[
            "project"
        ]
        == "others"
    )
    assert (
        run_json("export_snapshot", document["id"], "--format", "parquet", "--out", out)["sha256"]
        == document["sha256"]
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["v1", "--format", "xlsx", "--out", "x"], "There is no export format 'xlsx'"),
        (["v2", "--format", "ranking", "--out", "x"], "There is no snapshot 'v2'; available: v1"),
        (["v1", "--format", "ranking", "--out", "/no/such/folder/x"], "can't be written: No such file"),
    ],
)
def test_invalid_export_is_refused_with_a_reason(wishes: None, words: list[str], reason: str) -> None:
    run("freeze_snapshot", "--project", "wishes", "--name", "v1")
    with pytest.raises(CommandError, match=reason):
        run("export_snapshot", *words)


def test_damaged_snapshot_is_not_exported_and_the_old_file_is_kept(wishes: None, tmp_path: Path) -> None:
    from annotation.models import DatasetSnapshot

    run("freeze_snapshot", "--project", "wishes", "--name", "v1")
    out = tmp_path / "out.jsonl"
    out.write_text("the old file")
    path = snapshot_path(DatasetSnapshot.objects.get())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CommandError, match="has changed since it was stored: expected SHA-256"):
        run("export_snapshot", "v1", "--format", "ranking", "--out", str(out))
    assert out.read_text() == "the old file"
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".out")] == []
