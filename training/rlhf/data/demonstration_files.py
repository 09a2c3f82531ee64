"""Read demonstrations from a snapshot of rankings, or from a file of JSON Lines.

A snapshot contains two kinds of good answers (`preferences.good_answers`): rewrites, which are better answers
that annotators wrote, and the best responses of rankings. This module does not import torch.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from preferences.formats import snapshot_parquet
from preferences.formats.containers.parquet_rows import damage
from preferences.good_answers import COLUMNS, best_responses, good_answers, rewrite_of
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.seeds import seed_for
from training.rlhf.data.rankings import RankingFileError
from training.rlhf.recipes.sft import SnapshotAnswers

READ = ("prompt_hash", "split", "messages", *COLUMNS)
NAMES = {"rewrite": "rewrites", "best": "best_responses"}


class Demonstrations(list[Demonstration]):
    """Demonstrations and their counts.

    `from/rewrites` and `from/best_responses` count the demonstrations by source. `left_out/heldout_prompts`
    counts rankings of held-out prompts, `left_out/no_good_answer` counts rankings without an answer worth
    imitating, and `left_out/repeated` counts answers that an earlier ranking of the same prompt already
    contributed.
    """

    def __init__(self, found: Iterable[Demonstration] = (), counts: Mapping[str, int] | None = None) -> None:
        super().__init__(found)
        self.counts: dict[str, int] = dict(counts or {})


def read_snapshot(path: str | Path, *, answers: SnapshotAnswers) -> Demonstrations:
    """Read the demonstrations of a snapshot's training prompts.

    `answers` selects the kind of good answers. With `all`, a ranking contributes its rewrite or, without a
    rewrite, its best responses. If several rankings of a prompt contribute the same answer, this answer
    becomes one demonstration. Held-out prompts are left out, because evaluations use them. Raises
    RankingFileError if the file can't be read.
    """
    file = Path(path)
    if not snapshot_parquet.is_snapshot(file):
        raise RankingFileError(f"{file.name} is not a snapshot of rankings")
    found: list[Demonstration] = []
    counts: Counter[str] = Counter()
    seen: set[int] = set()  # hashes, because the texts of a large snapshot take gigabytes
    try:
        for row in snapshot_parquet.read_rankings(file, READ):
            if row["split"] == "heldout":
                counts["left_out/heldout_prompts"] += 1
                continue
            given = list(_answers(row, answers))
            counts["left_out/no_good_answer"] += not given
            for text, source in given:
                if (key := hash((row["prompt_hash"], text))) in seen:
                    counts["left_out/repeated"] += 1
                    continue
                seen.add(key)
                counts[f"from/{NAMES[source]}"] += 1
                found.append(Demonstration(row["messages"], text))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RankingFileError(f"{file.name} can't be read: {damage(error)}") from error
    return Demonstrations(found, counts)


def _answers(row: Mapping[str, Any], answers: SnapshotAnswers) -> Iterator[tuple[str, str]]:
    if answers == "all":
        yield from good_answers(row)
    elif answers == "rewrites":
        yield from ((text, "rewrite") for text in [rewrite_of(row)] if text)
    else:
        yield from ((text, "best") for text in best_responses(row))


def read_json_lines(path: str | Path) -> list[Demonstration]:
    """Read demonstrations from JSON Lines: `{"messages": [{"role": "user", "content": "…"}], "response":
    "…"}`. Other fields are ignored. Raises ValueError with the number of the first broken line."""
    found = []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    found.append(_demonstration(json.loads(line)))
                except (ValueError, TypeError, KeyError) as error:
                    raise ValueError(
                        f"{Path(path).name}, line {number}: a demonstration needs `messages`, a list of "
                        f"objects with role and content, and `response`, a string ({error!r})"
                    ) from error
    return found


def _demonstration(row: Any) -> Demonstration:
    messages = [{"role": one["role"], "content": one["content"]} for one in row["messages"]]
    texts = [row["response"], *(text for message in messages for text in message.values())]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a message's role or content, or the response, is not a string")
    return Demonstration(messages, row["response"])


def choose(demonstrations: Sequence[Demonstration], limit: int, *, seed: int) -> list[Demonstration]:
    """Return at most `limit` demonstrations, chosen at random with the seed, in their original order."""
    if len(demonstrations) <= limit:
        return list(demonstrations)
    chosen = random.Random(seed_for(seed, "choice of demonstrations")).sample(
        range(len(demonstrations)), limit
    )
    return [demonstrations[index] for index in sorted(chosen)]
