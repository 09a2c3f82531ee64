"""The files that the walkthrough imports: human-written demonstrations, and prompts.

The demonstrations and some of the prompts come from public data in a local folder. The data is never copied
into the repository. The files are:

- `kway/oasst-en-ranked-trees.jsonl.gz`: message trees of Open-Assistant (Apache 2.0). The best-ranked reply
  to each prompt is a demonstration.
- `kway/qa-feedback-4way.jsonl.gz`: questions with human-written answers, from FineGrainedRLHF (Apache 2.0)
- `prompts/instructions.jsonl.gz`: one `prompt` per line, from several public datasets
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.smollm2 import prompts

TREES, QUESTIONS, INSTRUCTIONS = (
    Path("kway/oasst-en-ranked-trees.jsonl.gz"),
    Path("kway/qa-feedback-4way.jsonl.gz"),
    Path("prompts/instructions.jsonl.gz"),
)
# Demonstrations are short, because the walkthrough limits answers to 64 tokens.
LONGEST_DEMONSTRATION = 320  # characters
LONG_PROMPT, LONGEST_PROMPT = 1500, 3000  # characters


def rows_of(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_demonstrations(file: Path, data: Path, count: int) -> int:
    """Write up to `count` short demonstrations, starting with those of Open-Assistant. Return the number
    written."""
    from_trees = [demo for tree in rows_of(data / TREES) for demo in best_replies([tree["prompt"]])]
    from_questions = [
        ([{"role": "user", "content": row["question"]}], str(row["gold"]))
        for row in rows_of(data / QUESTIONS)
    ]
    draw = random.Random(0)
    chosen: list[dict[str, Any]] = []
    for source, demonstrations in (("oasst", from_trees), ("qa-feedback", from_questions)):
        short = [(turns, answer) for turns, answer in demonstrations if fits(answer)]
        draw.shuffle(short)
        chosen += [
            {"messages": [*turns, {"role": "assistant", "content": answer}], "set": "demo", "from": source}
            for turns, answer in short
        ]
    return write_lines(file, chosen[:count])


def fits(answer: str) -> bool:
    return 0 < len(answer) <= LONGEST_DEMONSTRATION and answer.rstrip().endswith((".", "!", "?"))


def best_replies(turns: list[dict[str, Any]]) -> Iterator[tuple[list[dict[str, str]], str]]:
    """Yield a conversation and the best-ranked reply to it for each prompt that has a ranked reply.

    `turns` is a path from the root of the message tree. The search covers the last of these turns and all
    turns below it."""
    last = turns[-1]
    replies = last.get("replies", [])
    if last["role"] == "prompter":
        ranked = [reply for reply in replies if reply.get("rank") is not None]
        if ranked:
            roles = {"prompter": "user", "assistant": "assistant"}
            said = [{"role": roles[turn["role"]], "content": turn["text"]} for turn in turns]
            yield said, min(ranked, key=lambda reply: int(reply["rank"]))["text"]
    for reply in replies:
        yield from best_replies([*turns, reply])


def write_prompts(file: Path, data: Path, *, public: int, long: int) -> int:
    """Write this benchmark's own prompts, and up to `public` short prompts and up to `long` long prompts from
    public data. Return the number written. The metadata field `set` distinguishes training prompts from test
    prompts."""
    found = [row["prompt"] for row in rows_of(data / INSTRUCTIONS)]
    draw = random.Random(0)
    draw.shuffle(found)
    short = [text for text in found if 20 <= len(text) <= 200][:public]
    longer = [text for text in found if LONG_PROMPT <= len(text) <= LONGEST_PROMPT][:long]
    lines = [
        *({"prompt": text, "set": "train", "source": "written"} for text in prompts.TRAIN),
        *({"prompt": text, "set": "train", "source": "public"} for text in [*short, *longer]),
        *({"prompt": text, "set": "test", "source": "written"} for text in prompts.TEST),
    ]
    return write_lines(file, lines)


def write_lines(file: Path, lines: Iterable[dict[str, Any]]) -> int:
    written = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    file.write_text("".join(written), encoding="utf-8")
    return len(written)
