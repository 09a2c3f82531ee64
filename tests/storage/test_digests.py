"""Changed, added and removed files are detected. A changed file is detected even if its size and modification
time are the same as before.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import digests
from storage.digests import FileChanged, manifest_of, sha256_of, verify_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights").write_bytes(b"weights" * 1000)
    (tmp_path / "inner" / "config").write_bytes(b"{}")
    return tmp_path


def settle(path: Path) -> None:
    """Wait until the file is old enough for its checksum to be remembered."""
    while time.time() - path.stat().st_ctime < 0.15:
        time.sleep(0.01)


def change_one_byte(folder: Path) -> None:
    with (folder / "weights").open("r+b") as file:
        file.write(b"W")


def change_and_restore_the_time(folder: Path) -> None:
    before = (folder / "weights").stat()
    change_one_byte(folder)
    os.utime(folder / "weights", ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_with_a_file_of_the_same_size(folder: Path) -> None:
    other = folder / ".other"
    other.write_bytes(b"heights" * 1000)
    before = (folder / "weights").stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(folder / "weights")


def truncate(folder: Path) -> None:
    os.truncate(folder / "weights", 10)


def add_a_file(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def remove_a_file(folder: Path) -> None:
    (folder / "inner" / "config").unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        change_one_byte,
        change_and_restore_the_time,
        swap_with_a_file_of_the_same_size,
        truncate,
        add_a_file,
        remove_a_file,
    ],
)
def test_change_is_found_even_if_the_checksums_were_remembered(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    settle(folder / "weights")
    manifest = manifest_of(folder)
    verify_folder(folder, manifest, what="model m")
    spoil(folder)
    with pytest.raises(FileChanged, match=r"The file \S+ of model m has changed .* expected .*, found "):
        verify_folder(folder, manifest, what="model m")


def test_change_right_after_the_first_read_is_found(tmp_path: Path) -> None:
    """A tick of the kernel's clock takes a few milliseconds. Two writes within one tick have the same
    time."""
    path = tmp_path / "file"
    for number in range(50):
        content = f"{number:08}".encode()
        path.write_bytes(content)
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_unchanged_file_is_read_only_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(folder / "weights")
    reads = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: reads.append(1) or real(*given))
    assert sha256_of(folder / "weights") == sha256_of(folder / "weights")
    assert len(reads) == 1


def test_number_of_remembered_checksums_is_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_KEPT", 1)
    settle(folder / "weights")
    manifest_of(folder)
    assert len(digests._known) <= 1


def test_hidden_files_are_ignored(folder: Path) -> None:
    manifest = manifest_of(folder)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "file").write_bytes(b"x")
    verify_folder(folder, manifest, what="model m")
    assert set(manifest) == {"weights", "inner/config"}
