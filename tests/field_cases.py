"""Small input files in the folder RANKLOOP_FIELD (by default ../shared/field). The files imitate the
structure of real public datasets. If the files are missing, the tests that read them are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FIELD = Path(os.environ.get("RANKLOOP_FIELD") or Path(__file__).resolve().parents[2] / "shared" / "field")


def case(name: str) -> Path:
    path = FIELD / name
    if not path.exists():
        pytest.skip(f"{name} is not in {FIELD} (set RANKLOOP_FIELD to the folder of the field cases)")
    return path
