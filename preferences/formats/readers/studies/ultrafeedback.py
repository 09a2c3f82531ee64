"""UltraFeedback's completions: several completions per instruction, each rated on four aspects.

The completions are ranked by `fine-grained_score`, the mean of the ratings. `overall_score` is used only if
a completion has no fine-grained score: in the published file, some overall scores of 1 were written as 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preferences.fields import (
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    prompt_messages,
    text_of,
)
from preferences.formats.readers.table.votes import numbers_of
from preferences.records import ImportFormat, Parsed, RankingRecord, Record, ResponseRecord, Row, RowError

KNOWN_FIELDS = frozenset({"instruction", "completions", "models", "metadata"})
SCORES = ("fine-grained_score", "overall_score")
READ = frozenset({"response", "model", "metadata", *SCORES})


def recognises(row: Row) -> bool:
    completions = row.get("completions")
    return (
        given(row.get("instruction"))
        and isinstance(completions, list)
        and any(isinstance(item, dict) and "response" in item and _is_scored(item) for item in completions)
    )


def parse(row: Row) -> Parsed:
    completions: list[dict[str, Any]] = []
    for number, item in enumerate(list_of(row.get("completions"), "completions")):
        if not isinstance(item, Mapping):
            raise RowError(f"completions.{number} must be an object with response, not {kind(item)}")
        completions.append(object_of(item, f"completions.{number}"))
    check_response_count(len(completions))
    responses = tuple(
        ResponseRecord(
            text_of(item.get("response"), f"completions.{number}.response"),
            label_of(item.get("model"), f"completions.{number}.model"),
            metadata=metadata_of(item, READ),
        )
        for number, item in enumerate(completions)
    )
    ratings = {number: found for number, item in enumerate(completions) if (found := _ratings(item))}
    score = next((name for name in SCORES if all(given(item.get(name)) for item in completions)), None)
    if score is None:
        names = " or ".join(SCORES)
        raise RowError(f"a completion has no {names}, so the completions can't be ranked")
    verdict = numbers_of([item[score] for item in completions], score, higher_wins=True)
    assert verdict is not None  # there are at least two scores
    return [
        Record(
            messages=prompt_messages(row.get("instruction"), "instruction"),
            responses=responses,
            rankings=(RankingRecord(verdict.tiers, ratings=ratings),),
            metadata=metadata_of(row, KNOWN_FIELDS),
            task_metadata={},
        )
    ]


def _is_scored(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("annotations"), dict) or any(name in item for name in SCORES)


def _ratings(item: Mapping[str, Any]) -> dict[str, Any]:
    """The rating of each aspect, and the scores. "N/A" and missing ratings are left out."""
    found: dict[str, Any] = {}
    for aspect, annotation in object_of(item.get("annotations"), "annotations").items():
        rating = annotation.get("Rating") if isinstance(annotation, Mapping) else None
        if str(rating).isdecimal():
            found[aspect] = int(str(rating))
    return found | {name: item[name] for name in SCORES if given(item.get(name))}


FORMAT = ImportFormat(
    name="ultrafeedback",
    title="UltraFeedback: an instruction with scored completions (JSON Lines)",
    reads="Each row becomes a ranking by `fine-grained_score`, or by `overall_score` if a completion has no"
    " fine-grained score. Equal scores are ties. The rating of each aspect and the scores are kept as"
    " ratings.",
    loses="Nothing. The annotations with their rationales, the critique, the principle and the system prompt"
    " are kept as metadata of the response. Other fields are kept as metadata of the prompt.",
    example='{"instruction": "Q", "completions": [{"model": "x", "response": "a", "fine-grained_score": 4.5},'
    ' {"model": "y", "response": "b", "fine-grained_score": 3.25}]}',
    recognises=recognises,
    parse=parse,
)
