"""Write the candidates of a rejection sampling run to a file, and read the training data from this file."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from storage import durable
from training.rlhf.core.messages import Messages
from training.rlhf.data.candidates import Candidate, PromptCandidates, read_candidates
from training.rlhf.data.demonstrations import Row
from training.rlhf.models.tokens import chat
from training.rlhf.selection.candidates import Candidates


def write_candidates(
    path: Path,
    rounds: Sequence[tuple[Candidates, Sequence[Sequence[int]]]],
    *,
    messages: Sequence[Messages],
    prompts: Sequence[list[int]],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write all rounds as gzipped JSON lines, one line per round and prompt. `rounds` contains each round's
    candidates and, for each prompt, the indices of the kept answers, best first.

    The same candidates always give the same bytes, so the file's digest identifies them.
    """
    durable.make_folders(path.parent)
    with (
        durable.new_file(path) as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
    ):
        for number, (candidates, kept) in enumerate(rounds, start=1):
            for index, answers in enumerate(_described(candidates, tokenizer)):
                for rank, position in enumerate(kept[index], start=1):
                    answers[position]["kept"] = rank
                line: PromptCandidates = {
                    "round": number,
                    "prompt": index,
                    "messages": [dict(message) for message in messages[index]],
                    "prompt_ids": prompts[index],
                    "candidates": answers,
                }
                packed.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def kept_rows(path: str | Path, *, round: int = 1) -> list[Row]:
    """Return the rows on which the policy was trained in the round, in the order in which they were passed to
    the fine-tuning."""
    rows = []
    for line in read_candidates(path):
        if line["round"] == round:
            kept = [(one["kept"], one["ids"]) for one in line["candidates"] if one["kept"]]
            rows += [Row(line["prompt_ids"], ids) for _, ids in sorted(kept)]
    return rows


def _described(candidates: Candidates, tokenizer: PreTrainedTokenizerBase) -> Iterator[list[Candidate]]:
    finished, scores = candidates.finished.tolist(), candidates.scores.tolist()
    spreads, gold = candidates.spreads.tolist(), candidates.gold.tolist()
    # Sorted, because a checkpoint doesn't preserve the order of the names.
    parts = {name: candidates.parts[name].tolist() for name in sorted(candidates.parts)}
    answers = candidates.answers()
    for start in range(0, len(answers), candidates.n):
        yield [
            {
                "text": chat.decode(tokenizer, answers[i]),
                "ids": answers[i],
                "finished": finished[i],
                "score": _number(scores[i]),
                "spread": _number(spreads[i]),
                "rewards": {name: _number(values[i]) for name, values in parts.items()},
                "gold": _number(gold[i]),
                "kept": None,
            }
            for i in range(start, start + candidates.n)
        ]


def _number(value: float) -> float | None:
    """Return the value, or None for NaN, because JSON has no NaN."""
    return None if math.isnan(value) else value
