"""The web server, the workers and beat start without importing the training libraries, because importing
torch takes seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from django.conf import settings

_START = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in names:
            raise ImportError(f"{name} must not be imported here")

names = set(sys.argv[1:])
sys.meta_path.insert(0, Refuse())
import config.asgi
from django.urls import get_resolver
assert get_resolver().url_patterns
from config.celery import app
app.loader.import_default_modules()
print("tasks", len([name for name in app.tasks if not name.startswith("celery.")]))
"""


def test_web_server_and_workers_import_only_packages_in_the_web_image() -> None:
    dockerfile = (Path(settings.BASE_DIR) / "Dockerfile").read_text()
    (names,) = re.findall(r"grep -vE '\^\(([^)]+)\)=='", dockerfile)
    modules = [name.replace("-", "_") for name in names.split("|")]
    assert "torch" in modules
    modules.append("sentry_sdk")  # needed only with SENTRY_DSN
    started = subprocess.run(
        [sys.executable, "-c", _START, *modules],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert int(started.stdout.split()[-1]) >= 3
