"""Best-of-N rows in the RewardBench 2 format: a prompt, the best responses, and all others.

The file does not order the other responses, so all of them rank below the best responses, without an order
among themselves. If a row has more responses than a task can show, the row becomes several rankings.
Together, these rankings contain every pair of a best response and another response.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from preferences.fields import (
    annotator_of,
    label_of,
    list_of,
    metadata_of,
    object_of,
    text_of,
)
from preferences.formats.readers.pairs.sides import SIDES, blind_order, strength_of
from preferences.formats.readers.prompts import has_prompt, prompt_metadata, prompt_of
from preferences.formats.training_fields import training_fields
from preferences.quirks import MARGIN_NOT_WHOLE, TOO_MANY_RESPONSES
from preferences.records import (
    ImportFormat,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
)
from preferences.text import MAX_RESPONSES

COUNTS = ("num_correct", "num_incorrect", "total_completions")
KNOWN_FIELDS = frozenset({"id", "chosen", "rejected", "margin", "annotator", "metadata", "models", *COUNTS})


def recognises(row: Row) -> bool:
    return has_prompt(row) and all(_is_texts(row.get(side)) for side in SIDES)


def parse(row: Row) -> Parsed:
    best, others = ([text_of(text, side) for text in _texts(row, side)] for side in SIDES)
    models = _models(row, len(best) + len(others))
    responses = [ResponseRecord(text, model) for text, model in zip([*best, *others], models, strict=True)]
    prompt = prompt_of(row, in_pair=True)
    metadata = prompt_metadata(row, prompt, KNOWN_FIELDS)
    if "models" in row and not any(models):
        metadata = {**metadata, **metadata_of({"models": row["models"]}, frozenset())}
    strength, rest = strength_of(row)
    inner = object_of(row.get("additional_metadata"), "additional_metadata")
    training = training_fields({"split": inner.get("split"), **row})
    parts = list(_parts(len(best), len(others)))
    quirks = (*([MARGIN_NOT_WHOLE] if rest else []), *([TOO_MANY_RESPONSES] if len(parts) > 1 else []))
    records = []
    for number, (top, below) in enumerate(parts):
        shown = [responses[index] for index in (*top, *below)]
        order = blind_order([response.text for response in shown])
        place = {index: order.index(position) for position, index in enumerate((*top, *below))}
        first = tuple(sorted(place[index] for index in top))
        tiers: Tiers = (first, (place[below[0]],)) if len(below) == 1 else (first,)
        ranking = RankingRecord(
            tiers=tiers,
            annotator=annotator_of(row),
            strength=strength,
            external_id=label_of(row.get("id"), "id"),
            metadata=rest,
            training=training,
        )
        records.append(
            Record(
                prompt.messages,
                tuple(shown[position] for position in order),
                (ranking,),
                metadata=metadata,
                quirks=quirks if number == 0 else (),
            )
        )
    return records


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _texts(row: Row, side: str) -> Sequence[Any]:
    texts = list_of(row.get(side), side)
    if not texts:
        raise RowError(f"{side} is empty")
    return texts


def _models(row: Row, count: int) -> list[str]:
    """The model of each response; empty strings if the row does not have as many models as responses."""
    given = row.get("models")
    if not isinstance(given, list) or len(given) != count:
        return [""] * count
    return [label_of(model, "models") for model in given]


def _parts(best: int, others: int) -> Iterator[tuple[range, range]]:
    """Divide the responses into parts of at most MAX_RESPONSES. The indices of the other responses follow
    those of the best responses. Each part consists of two ranges of indices: some best responses and some
    other responses."""
    top = (
        best if best + others <= MAX_RESPONSES else min(best, max(MAX_RESPONSES // 2, MAX_RESPONSES - others))
    )
    below = MAX_RESPONSES - top
    yield from product(_cut(0, best, top), _cut(best, best + others, below))


def _cut(start: int, end: int, size: int) -> list[range]:
    return [range(first, min(first + size, end)) for first in range(start, end, size)]


FORMAT = ImportFormat(
    name="rewardbench",
    title="RewardBench 2: a prompt, the best responses and all others (JSON Lines, Parquet)",
    reads="Each row becomes a task and a ranking. The `chosen` responses are tied. The `rejected` "
    "responses rank below them, without an order. `models` lists the model of each response, starting with "
    "the chosen responses.",
    loses="The response counts, which follow from the lists. A row with more than ten responses becomes "
    "several tasks. Together, the tasks contain every pair of a chosen and a rejected response.",
    example='{"id": "…", "prompt": "Q", "chosen": ["A"], "rejected": ["B", "C"], "subset": "…"}',
    recognises=recognises,
    parse=parse,
)
