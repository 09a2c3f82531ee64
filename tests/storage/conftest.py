from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.small_disk import mounted
from tests.training.conftest import lab, make_run

__all__ = ["lab", "make_run"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 2 MB."""
    with mounted(tmp_path / "disk") as disk:
        yield disk
