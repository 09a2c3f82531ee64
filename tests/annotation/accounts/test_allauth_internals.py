"""allauth's internal modules can change in any release, so only one file in Rankloop imports them."""

from __future__ import annotations

import re

from django.conf import settings

INTERNAL = re.compile(r"^\s*(?:from|import) allauth[.\w]*\.internal\b", re.MULTILINE)


def test_only_one_file_imports_internal_modules_of_allauth() -> None:
    files = [
        path
        for app in ("annotation", "training", "config")
        for path in settings.BASE_DIR.glob(f"{app}/**/*.py")
    ]
    found = [path for path in files if INTERNAL.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in found] == ["allauth_internals.py"]
