"""A small separate file system, which a test can fill without filling the machine's disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *, size: str = "2m", inodes: int = 0) -> Iterator[Path]:
    """Mount a tmpfs of this size. Skip the test if mounting isn't possible."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=0755" + (f",nr_inodes={inodes}" if inodes else "")
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"a small file system can't be mounted here: {tried.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> None:
    """Fill the file system so that about `leave` bytes remain free."""
    block = b"x" * 4096
    free = os.statvfs(folder)
    with (folder / "filler").open("wb", buffering=0) as file:
        for _ in range(max(0, free.f_bavail * free.f_frsize - leave) // len(block)):
            file.write(block)
