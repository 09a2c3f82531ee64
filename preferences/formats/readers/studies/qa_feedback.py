"""QA-feedback (fine-grained RLHF): four predictions and a judgement of each of the six pairs of predictions.

If all judgements of a row are consistent with a single order (possibly with ties), that order is the ranking.
In some rows, the judgements are inconsistent because a tie contradicts the judgements of other pairs. Each
pair of such a row becomes a separate ranking, so that every judgement is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from preferences.fields import check_response_count, given, int_of, list_of, metadata_of, text_of
from preferences.quirks import NO_WEAK_ORDER
from preferences.records import (
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
)

PREDICTION = "prediction "
FIRST, SECOND = 1, 2


def recognises(row: Row) -> bool:
    return "question" in row and f"{PREDICTION}1" in row and "preference" in row


def parse(row: Row) -> Parsed:
    names = [f"{PREDICTION}{number}" for number in range(1, 11) if given(row.get(f"{PREDICTION}{number}"))]
    check_response_count(len(names))
    responses = tuple(
        ResponseRecord(text_of(row[name], name), sampling={"prediction": name}) for name in names
    )
    pairs = list(combinations(range(len(names)), 2))
    wishes = list_of(row.get("preference"), "preference")
    if len(wishes) != len(pairs):
        raise RowError(
            f"preference has {len(wishes)} values, but {len(names)} predictions have {len(pairs)} pairs"
        )
    verdicts = {
        pair: int_of(wish, f"preference.{index}", low=0, high=2) or 0
        for index, (pair, wish) in enumerate(zip(pairs, wishes, strict=True))
    }
    messages = _question(row)
    metadata = metadata_of(row, frozenset({*names, "preference", "metadata"}))
    tiers = weak_order(len(names), verdicts)
    if tiers is not None:
        return [Record(messages, responses, (RankingRecord(tiers),), metadata=metadata, task_metadata={})]
    return [
        Record(
            messages,
            (responses[one], responses[two]),
            (RankingRecord(_tiers_of_pair(verdict)),),
            metadata=metadata,
            task_metadata={},
            quirks=(NO_WEAK_ORDER,) if (one, two) == (0, 1) else (),
        )
        for (one, two), verdict in verdicts.items()
    ]


def weak_order(count: int, verdicts: Mapping[tuple[int, int], int]) -> Tiers | None:
    """The tiers that are equivalent to these verdicts on pairs; None if no order with ties matches the
    verdicts."""
    losses = dict.fromkeys(range(count), 0)
    for (one, two), verdict in verdicts.items():
        losses[two] += verdict == FIRST
        losses[one] += verdict == SECOND
    # In a weak order, tied responses lose to the same set of responses, so the only possible tiers are
    # groups of responses with equal numbers of losses.
    tiers = tuple(
        tuple(index for index in range(count) if losses[index] == number)
        for number in sorted(set(losses.values()))
    )
    place = {index: number for number, tier in enumerate(tiers) for index in tier}
    said = {
        pair: 0 if place[pair[0]] == place[pair[1]] else FIRST if place[pair[0]] < place[pair[1]] else SECOND
        for pair in verdicts
    }
    return tiers if said == verdicts else None


def _tiers_of_pair(verdict: int) -> Tiers:
    return {0: ((0, 1),), FIRST: ((0,), (1,)), SECOND: ((1,), (0,))}[verdict]


def _question(row: Row) -> tuple[Message, ...]:
    """The passages and the question in one user turn, because the responses refer to the passages."""
    passages = [_passage(passage, index) for index, passage in enumerate(_passages(row))]
    question = text_of(row.get("question"), "question")
    if not question.strip():
        raise RowError("question is empty")
    return ({"role": "user", "content": "\n\n".join([*passages, question])},)


def _passages(row: Row) -> Sequence[Any]:
    return list_of(row["passages"], "passages") if given(row.get("passages")) else []


def _passage(value: object, index: int) -> str:
    """Format a passage, given as [title, sentence, sentence, …], without changing its text."""
    sentences = [text_of(text, f"passages.{index}") for text in list_of(value, f"passages.{index}")]
    return "\n".join([*sentences[:1], " ".join(sentences[1:])]) if sentences else ""


FORMAT = ImportFormat(
    name="qa-feedback",
    title="QA-feedback: four predictions with judgements of their six pairs (JSON)",
    reads="Each row becomes one ranking of all predictions, with ties. If the judgements of the pairs don't "
    "fit any such ranking, each pair becomes a ranking. The prompt contains the passages and the question.",
    loses="Nothing. The gold answer, the passages and the span feedback are kept with the prompt.",
    example='{"question": "…", "passages": [["Title", "Sentence."]], "prediction 1": "a", "prediction 2":'
    ' "b", "preference": [1]}',
    recognises=recognises,
    parse=parse,
)
