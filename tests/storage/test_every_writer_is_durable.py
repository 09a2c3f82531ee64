"""Everything that Rankloop renames into place is synced before the rename, and its folder afterwards."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import pytest
import torch
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from pytest_django import Settings

from annotation.content.import_jobs.uploads import keep_upload
from annotation.content.importing.imports import import_file
from annotation.datasets.export_cache import kept_export
from annotation.datasets.snapshots import freeze_snapshot
from annotation.ids import uuid7
from annotation.models import Project
from embedded.state import Running, StateFolder
from tests.storage.witness import Witness
from tests.training.rlhf.small_world import untrained_policy
from training.models import TrainingRun
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.generation.server.weights import Adapter
from training.rlhf.models.loading.saving import save_model
from training.runs.complete import NewModel, Outcome, complete_run
from training.runs.folders import CHECKPOINTS, take_over_checkpoints, work_folder
from training.runs.transitions import claim_run
from training.simulation import demo

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Place:
    folder: Path
    project: Project


@pytest.fixture
def place(tmp_path: Path, settings: Settings, project: Project) -> Place:
    settings.ARTEFACTS, settings.STATE = tmp_path / "artefacts", tmp_path / "state"
    settings.EXPORT_CACHE = tmp_path / "exports"
    (tmp_path / "artefacts").mkdir()
    ranked = {"prompt": "Q", "responses": ["a", "b"], "tiers": [[1], [0]], "annotator": "kim"}
    import_file(project=project, file=BytesIO(json.dumps(ranked).encode()))
    return Place(tmp_path, project)


def save_checkpoint(folder: Path, step: int) -> None:
    model = torch.nn.Linear(2, 1)
    optimisers = {"all": torch.optim.Adam(model.parameters())}
    Checkpoints(folder, of={}).save(step, {"model": model}, optimisers, {}, best=True)


def freeze(place: Place) -> None:
    freeze_snapshot(project=place.project, name="v1")


def export(place: Place) -> None:
    freeze(place)
    out = place.folder / "out.jsonl"
    call_command("export_snapshot", "v1", "--format", "ranking", "--out", str(out), stdout=StringIO())


def download(place: Place) -> None:
    """Freezes and exports a snapshot. The converted file is kept for later downloads."""
    freeze(place)
    for _ in kept_export(snapshot=place.project.snapshots.get(), format="ranking", options={}):
        pass


def upload(place: Place) -> None:
    keep_upload(id=uuid7(), file=SimpleUploadedFile("rows.jsonl", b"{}"))


def save_a_model(place: Place) -> None:
    save_model(*untrained_policy(), place.folder / "policy")


def replace_a_model(place: Place) -> None:
    save_model(*untrained_policy(seed=1), place.folder / "policy")
    save_model(*untrained_policy(seed=2), place.folder / "policy")


def share_an_adapter(place: Place) -> None:
    weights = {"base_model.model.head.weight": torch.ones(2, 2)}
    Adapter("rankloop-1", "{}", weights).write(place.folder / "adapters" / "rankloop-1")


def write_checkpoints(place: Place) -> None:
    for step in (1, 2):
        save_checkpoint(place.folder / "checkpoints", step)


def take_over(place: Place) -> None:
    run = a_run(place)
    save_checkpoint(work_folder(run, 1) / CHECKPOINTS, 1)
    take_over_checkpoints(run, 2)


def complete(place: Place) -> None:
    run = a_run(place)
    attempt = claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    made = work_folder(run, attempt) / "model"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    complete_run(run=run, attempt=attempt, outcome=Outcome(model=NewModel("policy", made, "base", None)))


def a_run(place: Place) -> TrainingRun:
    return TrainingRun.objects.create(project=place.project, kind="sft", recipe={}, inputs={})


def create_a_secret_key(place: Place) -> None:
    StateFolder(place.folder / "state").secret_key()


def announce(place: Place) -> None:
    state = StateFolder(place.folder / "state")
    state.create()
    state.announce(Running(1, "supervisor", "postgresql://", "redis://"))


def keep_the_logins_of_the_demo(place: Place) -> None:
    demo._keep_logins({"mona": "secret"})


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (freeze, 1),
        (export, 2),
        (download, 2),
        (upload, 1),
        (save_a_model, 1),
        (replace_a_model, 2),
        (share_an_adapter, 1),
        (write_checkpoints, 2),
        (take_over, 2),
        (complete, 1),
        (create_a_secret_key, 1),
        (announce, 1),
        (keep_the_logins_of_the_demo, 1),
    ],
)
def test_content_is_synced_before_the_rename_and_its_folder_afterwards(
    place: Place, write: Callable[[Place], None], names: int
) -> None:
    witness = Witness()
    with witness.watching():
        write(place)
    assert witness.missing == []
    assert len(witness.named) == names, witness.named


ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("annotation", "config", "embedded", "preferences", "training")
# Logs are renamed without a sync: losing some lines in a power failure costs less than syncing each line.
ALLOWED = {"embedded/log_writer.py", "embedded/processes.py"}


def renames_in(source: str) -> list[int]:
    """The numbers of the lines that rename a file. A call to `replace` with one positional argument renames a
    path; the `replace` methods of strings and dates take two arguments or keyword arguments."""
    if not re.search(r"rename|\.replace\([\w\s]|os\.replace|move\(", source):
        return []  # parsing all files takes seconds
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in {"rename", "renames", "move"}
            or (node.func.attr == "replace" and ast.unparse(node.func.value) == "os")
            or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords)
        )
    ]


def test_only_the_storage_package_renames_files() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if renames_in(path.read_text())
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line", ["os.replace(a, b)", "os.rename(a, b)", "a.rename(b)", "a.replace(b)", "shutil.move(a, b)"]
)
def test_every_way_to_rename_a_file_is_found(line: str) -> None:
    assert renames_in(line) == [1]
