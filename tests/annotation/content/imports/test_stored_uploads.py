"""An uploaded file that changes between the upload and the import is not imported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.import_jobs.uploads import remove_orphaned_uploads, upload_path
from annotation.ids import uuid7
from annotation.models import Import, Project, Prompt, User
from tests.annotation.content.imports.jobs import executed, upload

ROW = b'{"prompt": "Q", "responses": ["yes", "no"]}\n'


@pytest.fixture
def manager(
    project: Project,
    mona: User,
    client_of: Callable[[User | None], APIClient],
    settings: Settings,
    tmp_path: Path,
) -> APIClient:
    settings.ARTEFACTS = tmp_path
    return client_of(mona)


def test_changed_upload_is_refused_and_the_error_shows_both_checksums(manager: APIClient) -> None:
    response = upload(manager, ROW)
    path = upload_path(Import.objects.get().pk)
    path.write_bytes(ROW.replace(b"yes", b"no!"))
    done = executed(manager, response)
    assert (done["state"], done["problem"]["type"]) == ("failed", "upload-changed")
    expected, found = (hashlib.sha256(data).hexdigest() for data in (ROW, ROW.replace(b"yes", b"no!")))
    assert f"expected SHA-256 {expected}, found {found}. Start the import again." in done["problem"]["detail"]
    assert not Prompt.objects.exists()


def test_import_without_a_stored_checksum_is_executed(manager: APIClient) -> None:
    response = upload(manager, ROW)
    Import.objects.update(sha256="")
    assert executed(manager, response)["state"] == "succeeded"
    assert Prompt.objects.count() == 1


def test_upload_left_unfinished_by_a_killed_server_is_removed(manager: APIClient) -> None:
    assert upload(manager, ROW).status_code == 202
    kept = upload_path(Import.objects.get().pk)
    orphans = [kept.with_name(f".{id}.partial-0a1b") for id in (kept.name, uuid7())]
    for path in orphans:
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    remove_orphaned_uploads()
    # An unfinished import may still need the first file.
    assert sorted(kept.parent.iterdir()) == sorted([kept, orphans[0]])
