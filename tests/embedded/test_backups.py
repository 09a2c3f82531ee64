"""The commands in docs/operations.md back up a stack and restore it into a new state folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.postgres import find_binaries
from embedded.servers import Servers
from embedded.state import StateFolder
from tests.embedded.running import ROOT, environment

# Creates a project with an imported ranking, a frozen snapshot and a registered model.
_MAKE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
from io import BytesIO
from annotation.content.importing.imports import import_file
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import User
from annotation.projects.projects import create_project
from storage.digests import manifest_of
from training.models import ModelVersion
from django.conf import settings

User.objects.create_user(username="ada", password="correct horse battery")
project = create_project(slug="support", name="Support", preset="ranking")
row = b'{"prompt": "Q", "responses": ["yes", "no"], "tiers": [[1], [0]], "annotator": "kim"}'
import_file(project=project, file=BytesIO(row))
freeze_snapshot(project=project, created_by=None, name="v1")
folder = settings.ARTEFACTS / "models" / "first"
folder.mkdir(parents=True)
(folder / "model.safetensors").write_bytes(bytes(range(256)) * 1000)
ModelVersion.objects.create(
    project=project, name="first", kind="policy", base_model="demo-world", path="models/first",
    files=manifest_of(folder),
)
"""
# Reads everything back. The checksums of the snapshot and the model are verified.
_READ = """
import json
from django.conf import settings
from annotation.datasets.snapshots import snapshot_path
from annotation.models import AuditEntry, Comparison, DatasetSnapshot, Ranking, User
from preferences.formats.snapshot_parquet import is_snapshot
from training.models import ModelVersion
from training.runs.model_files import verify_model

model, ranking = ModelVersion.objects.get(), Ranking.objects.get()
verify_model(model)
print("found", json.dumps({
    "snapshot": is_snapshot(snapshot_path(DatasetSnapshot.objects.get())),
    "model": (model.folder / "model.safetensors").read_bytes() == bytes(range(256)) * 1000,
    "place": str(model.folder),
    "tiers": [len(tier) for tier in ranking.tiers],
    "comparisons": Comparison.objects.count(),
    "password": User.objects.get(username="ada").check_password("correct horse battery"),
    "audited": AuditEntry.objects.filter(table="annotation_ranking").count(),
    "secret_key": settings.SECRET_KEY,
}))
"""


def documented(place: int) -> str:
    """One of the shell scripts that the guide marks for these tests, selected by its position."""
    guide = (ROOT / "docs" / "operations.md").read_text()
    scripts = re.findall(r"<!-- tests/embedded runs these lines -->\n```sh\n(.*?)```", guide, re.DOTALL)
    return str(scripts[place])


def run(script: str, folder: Path, **variables: str) -> None:
    path = f"{find_binaries()}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), script


def shell(state: Path, code: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=ROOT,
        env=environment(state) | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(state: Path, secret_key: str, **variables: str) -> None:
    found = json.loads(shell(state, _READ, **variables).split("found ", 1)[1])
    assert found == {
        "snapshot": True,
        "model": True,
        "place": str(state / "artefacts" / "models" / "first"),
        "tiers": [1, 1],
        "comparisons": 1,
        "password": True,
        "audited": 1,
        "secret_key": secret_key,
    }


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that any account can enter, because root's Postgres runs as `nobody`."""
    path = Path(tempfile.mkdtemp(prefix="rl-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def servers(home: Path) -> Iterator[Servers]:
    """The running servers of a stack with data. The servers don't sync files, so the migrations are
    faster."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE_URL", "BROKER_URL"):
            environment.delenv(name)
        started = Servers(StateFolder(home / "old"), durable=False)
        started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def state(servers: Servers) -> Path:
    shell(servers.state.path, _MAKE, **servers.environment)
    return servers.state.path


def test_running_server_is_dumped_and_restored_into_an_empty_database(
    servers: Servers, state: Path, home: Path
) -> None:
    new, key = home / "other", "key of the installation"
    url = servers.database_url
    new_url = url.replace("/postgres?", "/restored?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
    run(documented(2), home, DATABASE_URL=url, RANKLOOP_STATE=str(state))
    run(documented(3), home, NEW_DATABASE_URL=new_url, NEW_STATE=str(new))
    check(new, key, SECRET_KEY=key, DATABASE_URL=new_url, BROKER_URL=servers.broker_url)


def test_stopped_embedded_stack_is_restored_into_a_new_state_folder(
    servers: Servers, state: Path, home: Path
) -> None:
    new, key = home / "new", StateFolder(state).secret_key()
    servers.stop()
    run(documented(0), home, RANKLOOP_STATE=str(state))
    run(documented(1), home, NEW_STATE=str(new))
    assert not (new / "logs").exists()
    check(new, key)
