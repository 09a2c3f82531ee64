"""An error about a full disk names the folder, the file system and the free space, and no partly written file
remains."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage import durable
from storage.space import DiskFull, is_full, naming_full_disk, size_text
from tests.storage.small_disk import fill, mounted


def test_error_names_the_full_disk_and_the_required_space(small_disk: Path) -> None:
    folder = small_disk / "models"
    folder.mkdir()
    durable.write_text(folder / "old", "old")
    with pytest.raises(DiskFull) as full, durable.new_file(folder / "old", needed=9_000_000) as file:
        file.write(bytes(9_000_000))
    assert (
        f"the file system {small_disk}, which contains {folder}, has 0 bytes free, but 9.0 MB are needed"
        in str(full.value)
    )
    assert "Free space there" in str(full.value)
    assert full.value.errno == errno.ENOSPC
    assert os.listdir(folder) == ["old"]
    assert (folder / "old").read_text() == "old"


def test_error_names_a_disk_without_free_inodes(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", inodes=4) as disk:
        for name in ("a", "b"):
            (disk / name).touch()
        durable.write_text(disk / "c", "text")
        with pytest.raises(DiskFull, match="MB free and no free inodes"):
            durable.write_text(disk / "d", "text")
        with pytest.raises(DiskFull):
            durable.make_folders(disk / "one" / "two")


def test_error_names_the_folder_whose_disk_quota_is_used_up(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match=f"The disk quota for {tmp_path} is used up"),
        naming_full_disk(tmp_path),
    ):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_other_errors_are_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), naming_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_error_names_a_folder_that_does_not_exist_yet(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(DiskFull, match=str(small_disk)), naming_full_disk(small_disk / "not" / "yet"):
        (small_disk / "file").write_bytes(b"x")


def test_full_disk_is_recognised_in_the_cause_of_an_error() -> None:
    class Foreign(Exception):
        pass

    for cause in (OSError(errno.ENOSPC, "x"), Foreign("I/O error: No space left on device (os error 28)")):
        error = RuntimeError("saving failed")
        error.__cause__ = cause
        assert is_full(error)
    assert not is_full(OSError(errno.EIO, "Input/output error"))


def test_sizes_are_shown_in_suitable_units() -> None:
    assert [size_text(size) for size in (0, 999, 1_000, 3_100_000, 5 * 10**15)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "3.1 MB",
        "5000.0 TB",
    ]
