"""Downloads a dataset from the Hub for an import."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

from django.conf import settings

from annotation.content.import_jobs.uploads import upload_path
from annotation.models import Import


class HubDataset(TypedDict, total=False):
    """A dataset on the Hub (see `annotation.content.hub.fetch_dataset`)."""

    dataset: str
    part: str | None
    split: str | None
    revision: str | None


def download_dataset(*, found: Import, check: Callable[[], None]) -> None:
    """Stores the dataset's files like an upload: a single file as it is, several files in one archive.

    `check` is called after each file; an exception stops the download. Does nothing if an earlier attempt has
    downloaded the dataset. Raises Problem if the dataset can't be downloaded.
    """
    # Loaded only when needed, because loading the Hub's client takes longer than importing a small file.
    from annotation.content.hub import fetch_dataset

    target = upload_path(found.pk)
    if target.exists():
        return
    hub = cast(HubDataset, found.hub)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        files = []
        for name, path in fetch_dataset(
            **hub,
            endpoint=os.environ.get("HF_ENDPOINT"),
            cache=Path(folder),
            most_bytes=settings.IMPORT_MAX_BYTES,
        ):
            files.append((name, path.resolve()))
            check()
        packed = Path(folder) / "packed"
        if len(files) == 1:
            shutil.move(files[0][1], packed)
        else:
            with zipfile.ZipFile(packed, "w") as archive:
                for name, path in files:
                    archive.write(path, name)
                    path.unlink()
        packed.replace(target)
    Import.objects.filter(pk=found.pk).update(size=target.stat().st_size)
