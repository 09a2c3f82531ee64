"""SQuALITY's human evaluation: three summaries of a story, each reviewed and ranked by several workers.

Each worker's overall ranks form one ranking. The story is not in the file, so the prompt contains the story's
ID. Without the ID, the same question about two stories would become one prompt with twice as many responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import (
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    plain_of,
    text_of,
    tiers_from_ranks,
)
from preferences.records import ImportFormat, Parsed, RankingRecord, Record, ResponseRecord, Row, RowError

KNOWN_FIELDS = frozenset({"question_text", "responses", "metadata"})
RATING = "-rating"
RANK = "overall-rank"


def recognises(row: Row) -> bool:
    responses = row.get("responses")
    return (
        "question_text" in row
        and isinstance(responses, list)
        and bool(responses)
        and all(isinstance(item, dict) and "reviews" in item for item in responses)
    )


def parse(row: Row) -> Parsed:
    given_responses = list_of(row.get("responses"), "responses")
    check_response_count(len(given_responses))
    responses, reviews = [], []
    for index, item in enumerate(given_responses):
        where = f"responses.{index}"
        if not isinstance(item, Mapping):
            raise RowError(f"{where} must be an object with response and reviews, not {kind(item)}")
        overall = object_of(item.get("overall"), f"{where}.overall")
        responses.append(
            ResponseRecord(
                text_of(item.get("response"), f"{where}.response"),
                label_of(item.get("system"), f"{where}.system"),
                metadata={"overall": plain_of(overall, f"{where}.overall")} if overall else {},
            )
        )
        reviews.append(_by_worker(list_of(item.get("reviews"), f"{where}.reviews"), f"{where}.reviews"))
    question = text_of(row.get("question_text"), "question_text")
    story = label_of(row.get("passage_id"), "passage_id")
    about = [{"role": "system", "content": f"About the story {story} of the SQuALITY data set."}]
    return [
        Record(
            messages=(*(about if story else []), {"role": "user", "content": question}),
            responses=tuple(responses),
            rankings=tuple(_ranking(worker, [by.get(worker) for by in reviews]) for worker in reviews[0]),
            metadata=metadata_of(row, KNOWN_FIELDS),
            task_metadata={},
        )
    ]


def _by_worker(reviews: Sequence[Any], where: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for index, review in enumerate(reviews):
        if not isinstance(review, Mapping) or not given(review.get("worker_id")):
            raise RowError(f"{where}.{index} must be an object with a worker_id")
        found[label_of(review["worker_id"], f"{where}.{index}.worker_id")] = review
    return found


def _ranking(worker: str, reviews: Sequence[Mapping[str, Any] | None]) -> RankingRecord:
    missing = [index for index, review in enumerate(reviews) if review is None]
    if missing:
        raise RowError(
            f"responses.{missing[0]} has no review by worker {worker}, who reviewed another response"
        )
    present = [review for review in reviews if review is not None]
    ratings = {
        index: {
            name.removesuffix(RATING): value
            for name, value in review.items()
            if name.endswith(RATING) and isinstance(value, (int, float))
        }
        for index, review in enumerate(present)
    }
    rest = {
        str(index): {
            name: value
            for name, value in review.items()
            if not name.endswith(RATING) and name not in {"worker_id", RANK} and given(value)
        }
        for index, review in enumerate(present)
    }
    return RankingRecord(
        tiers=tiers_from_ranks([review.get(RANK) for review in present], len(present), RANK),
        annotator=worker,
        ratings={index: values for index, values in ratings.items() if values},
        metadata={"reviews": plain_of(rest, "reviews")} if any(rest.values()) else {},
    )


FORMAT = ImportFormat(
    name="squality",
    title="SQuALITY human evaluation: three summaries, ranked by several workers (JSON)",
    reads="Each worker's overall ranks become a ranking, with each response's ratings on every scale.",
    loses="Nothing. Comments on spans and the ranks on other scales are kept with the ranking. The "
    "story is not in the file; the prompt contains the story's ID.",
    example='{"passage_id": "1", "question_text": "…", "responses": [{"system": "x", "response": "…",'
    ' "reviews": [{"worker_id": "7", "overall-rating": 80, "overall-rank": 1}]}, {"system": "y",'
    ' "response": "…", "reviews": [{"worker_id": "7", "overall-rating": 20, "overall-rank": 2}]}]}',
    recognises=recognises,
    parse=parse,
)
