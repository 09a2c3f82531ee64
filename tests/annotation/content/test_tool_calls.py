"""Tool calls in a file are stored, exported and compared as text. Importing the file again adds nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import export_snapshot
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Prompt, Response
from annotation.projects.projects import create_project

pytestmark = pytest.mark.django_db


def calling(name: str) -> dict[str, Any]:
    call = {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def block(name: str) -> str:
    return f'```tool_calls\n{{"arguments": {{}}, "name": "{name}"}}\n```'


ASK = {"role": "user", "content": "How warm is it in Oslo?"}
ROW = {
    "prompt": [
        {"role": "system", "content": "Be brief."},
        ASK,
        calling("ask"),
        {"role": "tool", "content": "?"},
    ],
    "chosen": [calling("get_temp")],
    "rejected": [calling("delete_all")],
    "tools": [{"type": "function", "function": {"name": "get_temp"}}],
}


def test_tool_calls_survive_import_and_export(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"
    project = create_project(slug="wishes")
    report = import_file(project=project, file=io.BytesIO(json.dumps(ROW).encode()))
    assert (report.rankings, report.failed) == (1, 0), report.errors
    prompt = Prompt.objects.get()
    assert prompt.messages[2] == {"role": "assistant", "content": block("ask")}
    assert prompt.metadata == {
        "tools": ROW["tools"],
        "turn_fields": [{"turn": 2, "tool_calls": calling("ask")["tool_calls"]}],
    }
    assert {response.text: response.metadata for response in Response.objects.all()} == {
        block(name): {"turn_fields": [{"turn": 0, "tool_calls": calling(name)["tool_calls"]}]}
        for name in ("get_temp", "delete_all")
    }
    snapshot = freeze_snapshot(project=project, name="v1")
    (line,) = b"".join(export_snapshot(snapshot=snapshot, format="trl_preference")).splitlines()
    pair = json.loads(line)
    assert pair["prompt"] == prompt.messages
    assert pair["chosen"] == [{"role": "assistant", "content": block("get_temp")}]
    assert pair["rejected"] == [{"role": "assistant", "content": block("delete_all")}]
    for format in ("ranking", "csv", "parquet", "trl_preference"):
        data = b"".join(export_snapshot(snapshot=snapshot, format=format))
        again = import_file(project=project, file=io.BytesIO(data))
        assert (again.failed, again.prompts, again.responses, again.rankings) == (0, 0, 0, 0), format
