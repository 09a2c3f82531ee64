"""Imports datasets from the Hugging Face Hub. The Hub's client downloads the files, which are then imported
like local files. Code in a dataset is never executed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, errors, hf_hub_download

from config.problems import FieldProblem, Problem
from preferences.formats.containers.archive import is_data_file
from storage.space import is_full

KINDS = (
    (".parquet",),
    (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz"),
    (".csv", ".csv.gz"),
)
SUFFIXES = tuple(suffix for kind in KINDS for suffix in kind)
SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
MAX_NAMED = 20
HUB_SECONDS = 30.0  # timeout for listing the files
_SET_TOKEN = "set RANKLOOP_HUB_TOKEN for the import worker, or HF_TOKEN for manage.py import_responses"


def fetch_dataset(
    *,
    dataset: str,
    part: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
    token: str | bool | None = None,
    most_bytes: int | None = None,
) -> Iterator[tuple[str, Path]]:
    """Downloads a dataset's data files one by one and yields pairs (name on the Hub, local path).

    `part` is a configuration or a folder. The part and the split are recognised from the files' paths.
    `cache` is the folder of the downloaded files (default: the Hub's cache). `token` is an access token, or
    False for none (default: the token of the Hub's client). Raises Problem if the Hub can't be reached, the
    dataset doesn't exist, no file matches, or the files total more than `most_bytes` bytes.
    """
    with _refusals(dataset, revision):
        # The request is sent only once, because retries would take 23 s if there is no network connection.
        found = HfApi(endpoint=endpoint, token=token).dataset_info(
            dataset, revision=revision, timeout=HUB_SECONDS, files_metadata=most_bytes is not None
        )
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
    chosen = data_files(list(sizes), part=part, split=split)
    if not chosen:
        raise _nothing_fits(dataset, list(sizes), part, split)
    total = sum(sizes[name] for name in chosen)
    if most_bytes is not None and total > most_bytes:
        raise _refused(
            f"The chosen files of {dataset} total {total:,} bytes, but imports are limited to {most_bytes:,}"
            " bytes (RANKLOOP_IMPORT_MAX_BYTES). Choose a part or a split, or use"
            " manage.py import_responses --hub on the server."
        )
    for name in chosen:
        with _refusals(dataset, revision):
            path = hf_hub_download(
                dataset,
                name,
                repo_type="dataset",
                revision=found.sha,
                endpoint=endpoint,
                cache_dir=cache,
                token=token,
            )
        yield name, Path(path)


@contextmanager
def _refusals(dataset: str, revision: str | None) -> Iterator[None]:
    """Converts the errors of the Hub's client to Problem."""
    try:
        yield
    except errors.GatedRepoError as error:
        raise _refused(f"{dataset} is gated: request access on its page, then {_SET_TOKEN}.") from error
    except errors.RepositoryNotFoundError as error:
        raise _refused(
            f"The Hub has no dataset {dataset}, or the dataset is private. An ID has the form OWNER/NAME. For"
            f" a private dataset, {_SET_TOKEN}."
        ) from error
    except (errors.RevisionNotFoundError, errors.RevisionResolutionError) as error:
        raise _refused(f"{dataset} has no revision {revision}.") from error
    except errors.HFValidationError as error:
        raise _refused(f"{dataset!r} is not the ID of a dataset; an ID has the form OWNER/NAME.") from error
    except (
        httpx2.HTTPError,
        errors.HfHubHTTPError,
        errors.OfflineModeIsEnabled,
        errors.LocalEntryNotFoundError,
        OSError,
    ) as error:
        if is_full(error):
            raise
        cause = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise Problem(
            f"The Hub can't be reached, so {dataset} can't be downloaded ({cause}). Download its files on a"
            " machine that can reach the Hub"
            f" (hf download --repo-type dataset {dataset}), copy them here, and import them as files.",
            type="hub-unreachable",
            status=503,
        ) from error


def data_files(names: Sequence[str], *, part: str | None = None, split: str | None = None) -> list[str]:
    """Returns the files that contain the requested part and split. If the same rows exist in several formats,
    only one format is used: Parquet, else JSON Lines, else CSV."""
    found = [
        name
        for name in sorted(names)
        if is_data_file(name)
        and (part is None or _is_in(name, part))
        and (split is None or _split_of(name) == split)
    ]
    for suffixes in KINDS:
        of_one_kind = [name for name in found if name.endswith(suffixes)]
        if of_one_kind:
            return of_one_kind
    return []


def _is_in(name: str, part: str) -> bool:
    path = PurePosixPath(name)
    return part in path.parts[:-1] or path.name.split(".")[0] == part


def _split_of(name: str) -> str | None:
    """The split named in a path such as `data/train-00000-of-00002.parquet`, `harmless/train.jsonl.gz` or
    `test/0000.parquet`."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((word for word in reversed(words) if word in SPLITS), None)


def _nothing_fits(dataset: str, names: Sequence[str], part: str | None, split: str | None) -> Problem:
    wanted = "".join(f" {name} {value}" for name, value in (("in part", part), ("of split", split)) if value)
    found = ", ".join(sorted(names)[:MAX_NAMED]) or "no files"
    return _refused(f"{dataset} has no data file{wanted} ({', '.join(SUFFIXES)}); its files are {found}.")


def _refused(reason: str) -> Problem:
    return Problem(reason, type="hub-refused", errors=[FieldProblem("hub", reason)])
