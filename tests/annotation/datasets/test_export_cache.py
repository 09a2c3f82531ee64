"""A repeated export is read from a stored file, which contains the same bytes as the first export."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pytest_django import Settings

from annotation.datasets.export_cache import UNFINISHED, export_checksum, kept_export
from annotation.datasets.exports import export_snapshot
from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.models import DatasetSnapshot, Project, RankingTask, User
from tests.annotation.answering import rank_next


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.EXPORT_CACHE = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture
def snapshot(project: Project, tasks: list[RankingTask], alice: User) -> DatasetSnapshot:
    for _ in tasks:
        rank_next(project, alice, [0], [1], [2])
    return freeze_snapshot(project=project, name="first")


def export(snapshot: DatasetSnapshot, format: str = "ranking", **options: str) -> bytes:
    return b"".join(kept_export(snapshot=snapshot, format=format, options=options))


def test_repeated_export_does_not_convert_the_snapshot_again(snapshot: DatasetSnapshot, folder: Path) -> None:
    converted = b"".join(export_snapshot(snapshot=snapshot, format="ranking", options={}))
    assert export(snapshot) == converted
    snapshot_path(snapshot).unlink()  # a conversion would now fail
    assert export(snapshot) == converted
    assert [path.read_bytes() for path in folder.iterdir()] == [converted]


def test_checksum_of_an_export_is_computed_from_the_stored_file(snapshot: DatasetSnapshot) -> None:
    size, sha256 = export_checksum(snapshot=snapshot, format="ranking")
    snapshot_path(snapshot).unlink()  # a conversion would now fail
    data = export(snapshot)
    assert (size, sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert export_checksum(snapshot=snapshot, format="ranking") == (size, sha256)


def test_each_combination_of_format_and_options_is_cached_separately(
    snapshot: DatasetSnapshot, folder: Path
) -> None:
    for format, options in (("ranking", {}), ("trl_preference", {}), ("trl_preference", {"split": "train"})):
        for _ in range(2):
            converted = b"".join(export_snapshot(snapshot=snapshot, format=format, options=options))
            assert export(snapshot, format, **options) == converted
    assert len(list(folder.iterdir())) == 3


def test_interrupted_export_is_not_kept(snapshot: DatasetSnapshot, folder: Path) -> None:
    chunks = kept_export(snapshot=snapshot, format="ranking", options={})
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert list(folder.iterdir()) == []


def test_least_recently_used_exports_are_removed(
    snapshot: DatasetSnapshot, folder: Path, settings: Settings
) -> None:
    first = export(snapshot, "ranking")
    settings.EXPORT_CACHE_BYTES = len(first) + 10
    (oldest,) = folder.iterdir()
    os.utime(oldest, (0, 0))
    abandoned = folder / f"x{UNFINISHED}"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    export(snapshot, "csv")
    assert oldest not in set(folder.iterdir())
    assert abandoned not in set(folder.iterdir())


def test_export_larger_than_the_limit_is_not_kept(
    snapshot: DatasetSnapshot, folder: Path, settings: Settings
) -> None:
    settings.EXPORT_CACHE_BYTES = 10
    assert export(snapshot) == export(snapshot)
    assert list(folder.iterdir()) == []


def test_export_succeeds_even_if_it_cannot_be_cached(snapshot: DatasetSnapshot, folder: Path) -> None:
    folder.write_text("This file is where the folder would be.")
    assert export(snapshot) == b"".join(export_snapshot(snapshot=snapshot, format="ranking", options={}))
