"""The answers of an evaluate run, in a file next to the run's log. The run's result contains the file's
digest."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from config.problems import Problem
from storage import durable
from storage.digests import FileChanged, verify_file
from training.models import TrainingRun
from training.runs.candidates import CandidatesFile

ANSWERS = "answers.jsonl.gz"


class AnsweredPrompt(TypedDict):
    """One line of the file: a prompt, the policy's answers, and the judge's points for each answer."""

    messages: list[dict[str, str]]
    responses: list[str]
    points: list[float]


def write_answers(rows: Iterable[AnsweredPrompt], path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def keep_answers(run: TrainingRun, made: CandidatesFile) -> dict[str, object]:
    """Put the file next to the run's log. Returns the part of the run's result that describes the file."""
    with durable.replacing(run.folder / ANSWERS) as partial:
        try:
            os.link(made.path, partial)
        except OSError:  # some file systems have no hard links
            shutil.copy2(made.path, partial)
    return {"sha256": made.sha256, "bytes": made.bytes}


def stored_answers(run: TrainingRun) -> Iterator[AnsweredPrompt]:
    """Yield the answers of a successful evaluate run. Raises Problem if the file is missing or has
    changed."""
    stored = run.result.get("answers")
    path = run.folder / ANSWERS
    if stored is None or not path.is_file():
        raise Problem(f"The file with the answers of run {run.id} is missing. Launch the evaluation again.")
    try:
        verify_file(path, sha256=stored["sha256"], what=f"The file {ANSWERS} of run {run.id}")
    except FileChanged as error:
        raise Problem(f"{error} Launch the evaluation again.") from error
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
