"""Downloads a dataset from the Hub for an import."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, cast

from django.conf import settings

from annotation.content.import_jobs.transitions import store_download
from annotation.content.import_jobs.uploads import download_folder, upload_path
from annotation.models import Import
from storage import durable
from storage.digests import sha256_of
from storage.space import naming_full_disk


class HubDataset(TypedDict, total=False):
    """A dataset on the Hub (see `annotation.content.importing.hub.fetch_dataset`)."""

    dataset: str
    part: str | None
    split: str | None
    revision: str | None


def download_dataset(*, found: Import, attempt: int, check: Callable[[], None]) -> None:
    """Stores the dataset's files like an upload. A single file is stored unchanged, and several files are
    stored in one archive.

    `check` is called before each file; an exception stops the download. Does nothing if an earlier attempt
    has downloaded the dataset. Raises Problem if the dataset can't be downloaded.
    """
    # Loaded only when needed, because loading the Hub's client takes longer than importing a small file.
    from annotation.content.importing.hub import fetch_dataset

    target = upload_path(found.pk)
    if target.exists():
        return
    for left in target.parent.glob(f"{found.pk}.download-*"):
        shutil.rmtree(left, ignore_errors=True)  # left behind by a killed worker
    folder = download_folder(found.pk, attempt)
    durable.make_folders(folder, mode=0o700)
    hub = cast(HubDataset, found.hub)
    try:
        with naming_full_disk(folder):
            files = []
            check()
            for name, path in fetch_dataset(
                **hub,
                endpoint=os.environ.get("HF_ENDPOINT"),
                cache=folder,
                # Every manager can import all datasets that the token can read. HF_TOKEN, which the Hub's
                # client would use by default, can be the operator's own token and is therefore never used.
                token=settings.HUB_TOKEN or False,
                most_bytes=settings.IMPORT_MAX_BYTES,
            ):
                files.append((name, path.resolve()))
                check()
            packed = _packed(files, folder)
        check()
        # The checksum is stored first. If this worker is killed before the file is moved to its final path,
        # the next attempt downloads the dataset again.
        found.size, found.sha256 = packed.stat().st_size, sha256_of(packed)
        if store_download(import_id=found.pk, attempt=attempt, size=found.size, sha256=found.sha256):
            durable.publish(packed, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _packed(files: Sequence[tuple[str, Path]], folder: Path) -> Path:
    """The only file, or an archive of all files. The archive contains the files under their names on the Hub,
    because files with the same content share one path in the Hub's cache."""
    if len(files) == 1:
        return files[0][1]
    packed = folder / "packed"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, path in files:
            archive.write(path, name)
    return packed
