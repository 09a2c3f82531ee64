"""Tulu's human evaluation: two completions, a preference on a five-step scale, and whether each completion
was acceptable.

Which model is on side `a` varies by row, even between evaluators of the same item. A ranking refers to
responses, so the side is recorded only as the display order. If an evaluator judged an item twice, the
later row replaces the earlier one.
"""

from __future__ import annotations

from preferences.fields import given, label_of, metadata_of, one_of, prompt_messages, text_of, time_of
from preferences.quirks import TIME_NOT_UNDERSTOOD, Quirk
from preferences.records import ImportFormat, Parsed, RankingRecord, Record, ResponseRecord, Row, Tiers

SIDES = ("a", "b")
KNOWN_FIELDS = frozenset(
    {
        "prompt",
        "model_a",
        "model_b",
        "completion_a",
        "completion_b",
        "completion_a_is_acceptable",
        "completion_b_is_acceptable",
        "preference",
        "evaluator",
        "comment",
        "metadata",
    }
)
PREFERENCES: dict[str, tuple[Tiers, int | None]] = {
    "a-is-better": (((0,), (1,)), 2),
    "a-is-slightly-better": (((0,), (1,)), 1),
    "tie": (((0, 1),), None),
    "b-is-slightly-better": (((1,), (0,)), 1),
    "b-is-better": (((1,), (0,)), 2),
}
ACCEPTABLE = {"yes": 1, "no": 0}


def recognises(row: Row) -> bool:
    return {"prompt", "completion_a", "completion_b", "preference"} <= row.keys()


def parse(row: Row) -> Parsed:
    tiers, strength = PREFERENCES[one_of(row.get("preference"), "preference", PREFERENCES)]
    time = row.get("timestamp")
    given_at = time_of(time)
    unread: tuple[Quirk, ...] = (TIME_NOT_UNDERSTOOD,) if given(time) and given_at is None else ()
    return [
        Record(
            messages=prompt_messages(row.get("prompt")),
            responses=tuple(
                ResponseRecord(
                    text_of(row.get(f"completion_{side}"), f"completion_{side}"),
                    label_of(row.get(f"model_{side}"), f"model_{side}"),
                )
                for side in SIDES
            ),
            rankings=(
                RankingRecord(
                    tiers=tiers,
                    annotator=label_of(row.get("evaluator"), "evaluator"),
                    strength=strength,
                    ratings=_ratings(row),
                    comment=text_of(row["comment"], "comment") if given(row.get("comment")) else "",
                    external_id=label_of(row.get("id"), "id"),
                    metadata=metadata_of(row, KNOWN_FIELDS),
                    given_at=given_at,
                ),
            ),
            task_metadata={},
            quirks=unread,
        )
    ]


def _ratings(row: Row) -> dict[int, dict[str, int]]:
    ratings = {}
    for index, side in enumerate(SIDES):
        name = f"completion_{side}_is_acceptable"
        answer = row.get(name)
        if not given(answer):
            continue
        ratings[index] = {"acceptable": ACCEPTABLE[one_of(answer, name, ACCEPTABLE)]}
    return ratings


FORMAT = ImportFormat(
    name="tulu-eval",
    title="Tulu human evaluation: pairs with a preference on a five-step scale (JSON)",
    reads="Each row becomes a ranking with its evaluator and time; a clear preference has strength "
    "2 and a slight preference has strength 1. The acceptability of each completion becomes "
    "the rating `acceptable` (1 or 0).",
    loses="Nothing; if an evaluator judged an item twice, the later row replaces the earlier one.",
    example='{"prompt": "…", "model_a": "x", "model_b": "y", "completion_a": "…", "completion_b": "…",'
    ' "completion_a_is_acceptable": "yes", "completion_b_is_acceptable": "no",'
    ' "preference": "a-is-slightly-better", "evaluator": "kl", "timestamp": "2023-05-19 13:11:45"}',
    recognises=recognises,
    parse=parse,
)
