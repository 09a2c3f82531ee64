"""The fields of a ranking in Rankloop's own format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from preferences.fields import (
    WHOLE_TEXT,
    annotator_of,
    bool_of,
    check_no_nul,
    given,
    int_of,
    label_of,
    list_of,
    object_of,
    text_of,
    tiers_from_ranks,
    tiers_of,
    time_of,
    whole_of,
)
from preferences.formats.training_fields import training_fields
from preferences.records import RankingRecord, Row, RowError, Tiers

RANKING_FIELDS = frozenset(
    {
        "tiers",
        "ranking",
        "annotator",
        "strength",
        "ratings",
        "flags",
        "choices",
        "confidence",
        "not_rankable",
        "all_bad",
        "comment",
        "rewrite",
        "duration_ms",
        "ranking_id",
        "preference_strength",
        "preference_statement",
        "given_at",
    }
)
# These fields alone are not a ranking. In a row without a ranking, they are kept as metadata.
BESIDE_A_RANKING = frozenset({"annotator", "strength", "duration_ms", "given_at", "ranking_id"})
ORDERED_BY = ("tiers", "ranking", "preference_strength", "not_rankable", "all_bad")
SMALLINT_MAX = 32_767


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return whole_of(value) is not None or (isinstance(value, str) and bool(WHOLE_TEXT.fullmatch(value)))


# What an annotator can say about the responses without ordering them.
STATEMENTS: dict[str, Callable[[object], bool]] = {
    "ratings": _is_object,
    "flags": _is_object,
    "choices": _is_object,
    "confidence": _is_whole,
    "comment": _is_text,
    "preference_statement": _is_text,
    "rewrite": _is_text,
}


def unread_statements(row: Row) -> frozenset[str]:
    """The fields of a row without an order that share a name with a part of a ranking but contain something
    else, such as `choices` that lists the answers to a test question. They are kept as metadata."""
    if any(given(row.get(name)) and row[name] is not False for name in ORDERED_BY):
        return frozenset()
    return frozenset(
        name for name, fits in STATEMENTS.items() if given(row.get(name)) and not fits(row[name])
    )


def ranking_of(row: Row, found: Sequence[Any]) -> RankingRecord | None:
    """The row's ranking; None if the row says nothing about its responses. `found` contains the responses as
    they are in the file."""
    tiers, ranks = (None if row.get(key) == "" else row.get(key) for key in ("tiers", "ranking"))
    not_rankable, all_bad = (bool_of(row.get(name), name) for name in ("not_rankable", "all_bad"))
    signed: int | None = None
    if tiers is not None and ranks is not None:
        raise RowError("`tiers` and `ranking` are both given; provide only one of them")
    if not_rankable:
        if tiers or ranks:
            raise RowError("`not_rankable` is true, but there is a ranking")
        if all_bad:
            raise RowError("`not_rankable` and `all_bad` are both true; set only one of them")
        judged: Tiers = ()
    elif tiers is not None:
        judged = tiers_of(tiers, len(found), partial=True)
        _check_unranked(row, judged, len(found))
    elif ranks is not None:
        judged = tiers_from_ranks(ranks, len(found))
    elif given(row.get("preference_strength")):
        judged, signed = _signed_preference(row, len(found))
    else:
        judged = ()
    strength = int_of(row.get("strength"), "strength", low=-SMALLINT_MAX, high=SMALLINT_MAX)
    rewrite = row.get("rewrite")
    comment = "comment" if given(row.get("comment")) else "preference_statement"
    ranking = RankingRecord(
        tiers=judged,
        annotator=annotator_of(row),
        strength=signed if strength is None else strength,
        ratings=_by_response(row, "ratings", found),
        flags=_by_response(row, "flags", found),
        choices=_choices(row),
        confidence=int_of(row.get("confidence"), "confidence", low=-SMALLINT_MAX, high=SMALLINT_MAX),
        not_rankable=not_rankable,
        all_bad=all_bad,
        comment=text_of(row[comment], comment) if given(row.get(comment)) else "",
        rewrite=None if rewrite is None else text_of(rewrite, "rewrite"),
        duration_ms=int_of(row.get("duration_ms"), "duration_ms", low=0, high=2**53),
        external_id=label_of(row.get("ranking_id"), "ranking_id"),
        metadata=object_of(row.get("ranking_metadata"), "ranking_metadata") if row.get("ranking_id") else {},
        given_at=time_of(row.get("given_at")),
        training=training_fields(row, responses_as_shown=True),
    )
    return ranking if ranking.has_order or ranking.says_something else None


def _check_unranked(row: Row, tiers: Tiers, count: int) -> None:
    """Check that the responses listed as unranked are exactly those in no tier."""
    unranked = list_of(row.get("unranked") or [], "unranked")
    left = sorted(set(range(count)) - {index for tier in tiers for index in tier})
    named = [index for index in map(whole_of, unranked) if index is not None]
    if unranked and (len(named) != len(unranked) or sorted(named) != left):
        raise RowError("`unranked` must list exactly the responses that are in no tier")


def _signed_preference(row: Row, count: int) -> tuple[Tiers, int | None]:
    """Read HelpSteer2's `preference_strength`: a negative number prefers the first of two responses, and a
    positive number prefers the second. The absolute value is the strength, and 0 is a tie."""
    signed = int_of(row["preference_strength"], "preference_strength", low=-SMALLINT_MAX, high=SMALLINT_MAX)
    if count != 2 or signed is None:
        raise RowError(f"`preference_strength` needs two responses; the row has {count}")
    return ((0, 1),) if signed == 0 else ((0,), (1,)) if signed < 0 else ((1,), (0,)), abs(signed) or None


def _choices(row: Row) -> dict[str, Any]:
    choices = object_of(row.get("choices"), "choices")
    check_no_nul(choices, "choices")
    return choices


def _by_response(row: Row, name: str, found: Sequence[Any]) -> dict[int, Any]:
    """Read `ratings` or `flags`, whose keys in the file are response IDs or indices."""
    ids = {
        str(item["id"]): index
        for index, item in enumerate(found)
        if isinstance(item, Mapping) and item.get("id")
    }
    ids |= {str(index): index for index in range(len(found)) if str(index) not in ids}
    values: dict[int, Any] = {}
    for key, value in object_of(row.get(name), name).items():
        if key not in ids:
            raise RowError(f"{name} refers to response {key!r}, which the row does not have")
        check_no_nul(value, f"{name}.{key}")
        values[ids[key]] = value
    return values
