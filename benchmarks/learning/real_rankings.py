"""Read real rankings from the data folder beside the repository.

The environment variable RANKLOOP_DATA contains the folder's path (default: ../shared/data). The contents of
the folder are never copied. The folder's README describes the origin and fields of each dataset. The
``source`` of a ranking is the name of its dataset.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.rlhf.data.rankings import Ranking

DATA = Path(os.environ.get("RANKLOOP_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
HH_SUBSETS = ("helpful-base", "helpful-online", "helpful-rejection-sampled")
HELDOUT_SHARE = 0.3  # share of held-out prompts; the small datasets have no split
PASSAGE_CHARACTERS = 600  # maximum length of the passages in a QA-feedback prompt


def available() -> bool:
    return (DATA / "hh-rlhf").is_dir()


def rows_of(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def hh_helpful(split: str) -> list[Ranking]:
    """Pairs of dialogues as rankings of two responses; pairs of identical dialogues are left out."""
    found = []
    for subset in HH_SUBSETS:
        for row in rows_of(f"hh-rlhf/{subset}.{split}.jsonl.gz"):
            prompt, chosen = row["chosen"].rsplit("\n\nAssistant:", 1)
            rejected = row["rejected"].rsplit("\n\nAssistant:", 1)[1]
            if chosen.strip() != rejected.strip():
                found.append(_ranking(_turns(prompt), [[chosen.strip()], [rejected.strip()]], f"HH {subset}"))
    return found


def oasst_trees() -> list[Ranking]:
    """Rankings from conversation trees: one for each message that has several ranked assistant answers."""

    def walk(message: dict[str, Any], before: list[dict[str, str]]) -> Iterator[Ranking]:
        turns = [*before, {"role": _role(message), "content": message["text"]}]
        ranked = [m for m in message["replies"] if m["role"] == "assistant" and m.get("rank") is not None]
        if len(ranked) > 1:
            order = sorted(ranked, key=lambda m: m["rank"])
            yield _ranking(turns, [[m["text"]] for m in order], "OASST")
        for reply in message["replies"]:
            yield from walk(reply, turns)

    return [
        ranking
        for row in rows_of("kway/oasst-en-ranked-trees.jsonl.gz")
        for ranking in walk(row["prompt"], [])
    ]


def qa_feedback() -> list[Ranking]:
    """Rankings of four answers to a question about passages. Rows are left out if their six verdicts do not
    form a weak order."""
    found = []
    for row in rows_of("kway/qa-feedback-4way.jsonl.gz"):
        answers = [row[f"prediction {n}"] for n in range(1, 5)]
        beats = [[0] * 4 for _ in range(4)]
        for (a, b), verdict in zip(itertools.combinations(range(4), 2), row["preference"], strict=True):
            beats[a][b], beats[b][a] = {1: (1, -1), 2: (-1, 1), 0: (0, 0)}[verdict]
        wins = [sum(line) for line in beats]
        if any(
            beats[a][b] != (wins[a] > wins[b]) - (wins[a] < wins[b])
            for a, b in itertools.combinations(range(4), 2)
        ):
            continue
        tiers = [
            [answers[n] for n in range(4) if wins[n] == level] for level in sorted(set(wins), reverse=True)
        ]
        passages = " ".join(" ".join(passage) for passage in row["passages"])[:PASSAGE_CHARACTERS]
        turns = [{"role": "user", "content": f"{passages}\n{row['question']}"}]
        found.append(_ranking(turns, tiers, "QA-feedback"))
    return found


def split(rankings: list[Ranking]) -> tuple[list[Ranking], list[Ranking]]:
    """Split into (train, held-out). The split uses a hash of the first turn, so that each conversation is in
    only one part."""

    def held_out(ranking: Ranking) -> bool:
        digest = hashlib.sha256(ranking.messages[0]["content"].encode()).hexdigest()
        return int(digest[:8], 16) < HELDOUT_SHARE * 2**32

    return [r for r in rankings if not held_out(r)], [r for r in rankings if held_out(r)]


def _ranking(turns: list[dict[str, str]], tiers: list[list[str]], source: str) -> Ranking:
    """Return a ranking whose responses are sorted by a hash of their text, so that their order carries no
    information."""
    texts = sorted(
        (text for tier in tiers for text in tier), key=lambda t: hashlib.sha256(t.encode()).digest()
    )
    left = list(range(len(texts)))
    places = []
    for tier in tiers:
        place = []
        for text in tier:
            index = next(i for i in left if texts[i] == text)
            left.remove(index)
            place.append(index)
        places.append(tuple(place))
    return Ranking(tuple(turns), tuple(texts), tuple(places), source=source)


def _turns(dialogue: str) -> list[dict[str, str]]:
    turns = []
    for part in dialogue.split("\n\nHuman:")[1:]:
        question, *answers = part.split("\n\nAssistant:")
        turns.append({"role": "user", "content": question.strip()})
        turns += [{"role": "assistant", "content": answer.strip()} for answer in answers]
    return turns


def _role(message: dict[str, Any]) -> str:
    return "assistant" if message["role"] == "assistant" else "user"
