"""The checksums of registered models, stored with each model and verified before the model is loaded.

Only models in the registry are verified. A model on the hub, or in a folder that an operator names as
base_model, has no stored checksums.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from django.conf import settings

from annotation.database.outages import through_outages
from storage.digests import FileChanged, Manifest, manifest_of, verify_folder
from training.models import ModelVersion
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.models.files import adapters

logger = logging.getLogger(__name__)
REMEDY = "Restore the model's folder from a backup, or use another model."


class ModelChanged(RunFailure):
    """Raised if a registered model's files are not the files that were stored."""

    kind = FailureKind.INPUT_CHANGED


def verify_models(*sources: str | Path) -> None:
    """Verify each registered model that is read when these folders or hub names are loaded: the model itself
    and, for an adapter, its base model. Raises ModelChanged.

    Hashing a large model takes minutes. Each access to the database therefore waits if the database can't be
    reached, so that the hashing done so far is not lost."""
    waiting, seen = [Path(source) for source in sources if source], set[Path]()
    while waiting:
        folder = waiting.pop().resolve()
        if folder in seen or not adapters.holds_model(folder):
            continue
        seen.add(folder)
        if model := through_outages(partial(registered_at, folder)):
            try:
                verify_model(model)
            except FileChanged as changed:
                raise ModelChanged(f"{changed} {REMEDY}") from changed
        waiting += _bases(folder)


def verify_model(model: ModelVersion) -> None:
    """Verify all files of the model. Raises FileChanged.

    For a model that was registered by a version without checksums, the checksums are computed and stored
    here. Later calls verify these checksums.
    """
    if model.files is None:
        through_outages(partial(_record_checksums, model, manifest_of(model.folder)))
    assert model.files is not None
    verify_folder(model.folder, model.files, what=f"model {model.name}")


def _record_checksums(model: ModelVersion, files: Manifest) -> None:
    if ModelVersion.objects.filter(pk=model.pk, files__isnull=True).update(files=files):
        logger.warning(
            "Model %s had no stored checksums. The checksums of its current files are now stored.", model.name
        )
    model.refresh_from_db(fields=["files"])


def verify_parts(model: ModelVersion, names: Collection[str]) -> None:
    """Verify only the files with these names. Raises FileChanged."""
    if model.files is not None:
        verify_folder(model.folder, model.files, what=f"model {model.name}", only=names)


def changed_size(model: ModelVersion) -> str:
    """Return the reason why the model can't be used: a file was added, removed or changed in size. The result
    is empty if the model can be used. Reading the contents would take seconds per gigabyte, so only the run
    itself verifies the contents, before it loads the model."""
    try:
        if model.files is not None:
            verify_folder(model.folder, model.files, what=f"model {model.name}", sizes_only=True)
    except FileChanged as changed:
        return f"{changed} {REMEDY}"
    return ""


def registered_at(folder: Path) -> ModelVersion | None:
    """Return the registered model whose files are in this folder, or None if there is none."""
    root = Path(settings.ARTEFACTS).resolve()
    if not folder.is_relative_to(root):
        return None
    return ModelVersion.objects.filter(path=str(folder.relative_to(root))).first()


def _bases(folder: Path) -> Iterator[Path]:
    """Yield the base models of the adapters in the folder."""
    members = (folder / adapters.UNCERTAINTY).glob(adapters.MEMBER.format("*"))
    for one in [*([folder] if adapters.is_adapter(folder) else []), *members]:
        try:
            base = adapters.base_of(one)
        except adapters.BrokenAdapter:
            continue  # loading the adapter reports the reason
        if adapters.looks_like_path(base):
            yield Path(base)
