"""Data sets of the Hugging Face hub, as the files they are: fetched through its own client, then imported
like any file. No code of a data set is ever run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, errors, hf_hub_download

from config.problems import FieldProblem, Problem

KINDS = (
    (".parquet",),
    (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz"),
    (".csv", ".csv.gz"),
)
SUFFIXES = tuple(suffix for kind in KINDS for suffix in kind)
# Not data, though they are called .json.
NOT_DATA = {"dataset_infos.json", "dataset_info.json", "config.json", "state.json"}
SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
MAX_NAMED = 20
HUB_SECONDS = 30.0  # for the list of files


def fetch_dataset(
    *,
    dataset: str,
    part: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
) -> list[tuple[str, Path]]:
    """The data files of a data set (name there, file here), fetched into the hub's cache.

    `part` is a configuration or folder, `split` a split; both are told by the files' paths. Raises Problem
    when the hub can't be reached, has no such data set, or no file fits.
    """
    try:
        # One request, and no retries: they would keep somebody offline waiting for 23 s.
        found = HfApi(endpoint=endpoint).dataset_info(dataset, revision=revision, timeout=HUB_SECONDS)
        names = [file.rfilename for file in found.siblings or []]
        chosen = data_files(names, part=part, split=split)
        if not chosen:
            raise _nothing_fits(dataset, names, part, split)
        return [
            (
                name,
                Path(
                    hf_hub_download(dataset, name, repo_type="dataset", revision=found.sha, endpoint=endpoint)
                ),
            )
            for name in chosen
        ]
    except errors.GatedRepoError as error:
        raise _refused(f"{dataset} is gated: ask for access on its page, then set HF_TOKEN.") from error
    except errors.RepositoryNotFoundError as error:
        raise _refused(
            f"The hub has no data set {dataset}, or it is private (then set HF_TOKEN); the id is OWNER/NAME."
        ) from error
    except (errors.RevisionNotFoundError, errors.RevisionResolutionError) as error:
        raise _refused(f"{dataset} has no revision {revision}.") from error
    except errors.HFValidationError as error:
        raise _refused(f"{dataset!r} is no data set's id; it is OWNER/NAME.") from error
    except (
        httpx2.HTTPError,
        errors.HfHubHTTPError,
        errors.OfflineModeIsEnabled,
        errors.LocalEntryNotFoundError,
        OSError,
    ) as error:
        raise Problem(
            f"The hub can't be reached, so {dataset} can't be fetched ({str(error).splitlines()[0][:200]})."
            " Fetch its files where the hub can be reached (hf download --repo-type dataset"
            f" {dataset}), bring them here, and import them by their names.",
            type="hub-unreachable",
            status=503,
        ) from error


def data_files(names: Sequence[str], *, part: str | None = None, split: str | None = None) -> list[str]:
    """Those that hold rows of the part and the split. Where the same is there in several formats, one of
    them: Parquet before lines before CSV."""
    found = [
        name
        for name in sorted(names)
        if name.endswith(SUFFIXES)
        and PurePosixPath(name).name not in NOT_DATA
        and not any(folder.startswith(".") for folder in PurePosixPath(name).parts)
        and (part is None or _is_in(name, part))
        and (split is None or _split_of(name) == split)
    ]
    for suffixes in (
        (".parquet",),
        (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz"),
        (".csv", ".csv.gz"),
    ):
        of_one_kind = [name for name in found if name.endswith(suffixes)]
        if of_one_kind:
            return of_one_kind
    return []


def _is_in(name: str, part: str) -> bool:
    path = PurePosixPath(name)
    return part in path.parts[:-1] or path.name.split(".")[0] == part


def _split_of(name: str) -> str | None:
    """`data/train-00000-of-00002.parquet`, `harmless/train.jsonl.gz`, `test/0000.parquet`"""
    words = re.split(r"[^a-z]+", name.lower())
    return next((word for word in reversed(words) if word in SPLITS), None)


def _nothing_fits(dataset: str, names: Sequence[str], part: str | None, split: str | None) -> Problem:
    wanted = "".join(f" {what} {value}" for what, value in (("in part", part), ("of split", split)) if value)
    there = ", ".join(sorted(names)[:MAX_NAMED]) or "no files"
    return _refused(f"{dataset} has no data file{wanted} ({', '.join(SUFFIXES)}); it holds {there}.")


def _refused(reason: str) -> Problem:
    return Problem(reason, type="hub-refused", errors=[FieldProblem("hub", reason)])
