"""After a restart of Postgres, the next query of each process succeeds, even with idle connections."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.db.utils import load_backend

from embedded.postgres import Postgres

pytestmark = pytest.mark.django_db
IDLE = 6
ALIAS = "restarted"


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A Postgres server that only this test uses."""
    folder = Path(tempfile.mkdtemp(prefix="rl-"))
    folder.chmod(0o711)
    server = Postgres(folder / "postgres", log=folder / "log", durable=False)
    server.launch()
    server.wait_ready()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_next_query_after_a_restart_succeeds(server: Postgres) -> None:
    url = urlsplit(server.url)
    at = {"HOST": parse_qs(url.query)["host"][0], "NAME": url.path.lstrip("/"), "USER": url.username}
    values: dict[str, Any] = connection.settings_dict | at | {"PASSWORD": "", "PORT": ""}
    backend = load_backend(str(settings.DATABASES["default"]["ENGINE"]))

    def open_connection() -> Any:
        opened = backend.DatabaseWrapper(values, alias=ALIAS)
        with opened.cursor() as cursor:
            cursor.execute("SELECT 1")
        return opened

    try:
        for used in [open_connection() for _ in range(IDLE)]:
            used.close()
        server.stop()
        server.launch()
        server.wait_ready()
        began = time.monotonic()
        open_connection().close()
        assert time.monotonic() - began < 5
    finally:
        opened = backend.DatabaseWrapper(values, alias=ALIAS)
        opened.close_pool()
