"""Read the candidates of a rejection sampling run from their file. This module does not import torch."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict


class Candidate(TypedDict):
    """One sampled answer. `ids` ends with exactly one EOS. `score` is in standard deviations of the reward
    model's training rewards, and None if the answer is too long for a reward model. `rewards` maps each
    reward model's name to its raw reward. `gold` is the gold function's score, or None if this score is
    unknown. `kept` is the answer's rank among the kept answers to its prompt, from 1, or None if the answer
    was not kept."""

    text: str
    ids: list[int]
    finished: bool
    score: float | None
    spread: float | None
    rewards: dict[str, float | None]
    gold: float | None
    kept: int | None


class PromptCandidates(TypedDict):
    """One line of the file: the answers to one prompt in one round, in sampling order."""

    round: int
    prompt: int
    messages: list[dict[str, str]]
    prompt_ids: list[int]
    candidates: list[Candidate]


def read_candidates(path: str | Path) -> Iterator[PromptCandidates]:
    """Yield the lines of a file that `selection.candidate_file` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
