"""The fields of a ranking in Rankloop's own format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from preferences.fields import (
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
# A row without any of these fields has no ranking, and none of its fields needs to be checked.
_READ = RANKING_FIELDS | {"unranked", "ranking_metadata", "weight", "round", "votes"}
# These fields alone are not a ranking. In a row without a ranking, they are kept as metadata.
BESIDE_A_RANKING = frozenset({"annotator", "strength", "duration_ms", "given_at", "ranking_id"})
ORDERED_BY = ("tiers", "ranking", "preference_strength", "not_rankable", "all_bad")
NO_TIERS: tuple[object, ...] = (None, "", [], (), "[]")
SMALLINT_MAX = 32_767
NONE: frozenset[str] = frozenset()


def unread_fields(row: Row, found: Sequence[Any]) -> frozenset[str]:
    """The fields that share a name with a part of a ranking but contain something else, such as a `choices`
    field that lists the answers to a test question. They are kept as metadata. In a row with an order, only a
    time can be such a field; any other value that can't be read is an error."""
    if _READ.isdisjoint(row):
        return NONE
    checked = ("given_at",) if _is_ordered(row) else PARSERS.keys() & row.keys()
    unread = {name for name in checked if given(row.get(name)) and not _fits(row, name, found)}
    if given(row.get("comment")) and given(row.get("preference_statement")) and "comment" not in unread:
        unread.add("preference_statement")
    return frozenset(unread) if unread else NONE


def _is_ordered(row: Row) -> bool:
    return (
        row.get("tiers") not in NO_TIERS
        or any(given(row.get(name)) for name in ("ranking", "preference_strength"))
        or any(bool_of(row.get(name), name) for name in ("not_rankable", "all_bad"))
    )


def _fits(row: Row, name: str, found: Sequence[Any]) -> bool:
    try:
        return PARSERS[name](row, name, found) is not None
    except RowError:
        return False


def ranking_of(row: Row, found: Sequence[Any]) -> RankingRecord | None:
    """The row's ranking; None if the row contains no judgement of its responses. `found` contains the
    responses as they are in the file."""
    if _READ.isdisjoint(row):
        return None
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
    strength = _small(row, "strength")
    rewrite = row.get("rewrite")
    comment = "comment" if given(row.get("comment")) else "preference_statement"
    ranking = RankingRecord(
        tiers=judged,
        annotator=annotator_of(row),
        strength=signed if strength is None else strength,
        ratings=by_response(row, "ratings", found),
        flags=by_response(row, "flags", found),
        choices=_object(row, "choices"),
        confidence=_small(row, "confidence"),
        not_rankable=not_rankable,
        all_bad=all_bad,
        comment=text_of(row[comment], comment) if given(row.get(comment)) else "",
        rewrite=None if rewrite is None else text_of(rewrite, "rewrite"),
        duration_ms=_duration(row),
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
    """Return the tiers and the strength that HelpSteer2's `preference_strength` expresses. If the number is
    negative, the first of the two responses is better. If it is positive, the second response is better. 0 is
    a tie, and the absolute value is the strength."""
    signed = int_of(row["preference_strength"], "preference_strength", low=-SMALLINT_MAX, high=SMALLINT_MAX)
    if count != 2 or signed is None:
        raise RowError(f"`preference_strength` needs two responses; the row has {count}")
    return ((0, 1),) if signed == 0 else ((0,), (1,)) if signed < 0 else ((1,), (0,)), abs(signed) or None


def _object(row: Row, name: str) -> dict[str, Any]:
    value = object_of(row.get(name), name)
    check_no_nul(value, name)
    return value


def _small(row: Row, name: str) -> int | None:
    return int_of(row.get(name), name, low=-SMALLINT_MAX, high=SMALLINT_MAX)


def _duration(row: Row) -> int | None:
    return int_of(row.get("duration_ms"), "duration_ms", low=0, high=2**53)


def by_response(row: Row, name: str, found: Sequence[Any]) -> dict[int, Any]:
    """Return the values of `ratings` or `flags` by response index. In the file, the keys are response IDs or
    indices. A model's name is also a valid key if only one response has this model."""
    given_values = object_of(row.get(name), name)
    if not given_values:
        return {}
    keys = {str(index): index for index in range(len(found))}
    models = [str(item.get("model") or "") if isinstance(item, Mapping) else "" for item in found]
    keys = {model: models.index(model) for model in models if models.count(model) == 1} | keys
    keys |= {
        str(item["id"]): index
        for index, item in enumerate(found)
        if isinstance(item, Mapping) and item.get("id")
    }
    values: dict[int, Any] = {}
    for key, value in given_values.items():
        if key not in keys:
            raise RowError(f"{name} refers to response {key!r}, which the row does not have")
        if values.get(keys[key], value) != value:
            raise RowError(f"{name} has different values for response {keys[key]}; keep one of them")
        check_no_nul(value, f"{name}.{key}")
        values[keys[key]] = value
    return values


# The parsers of the fields that can occur without an order. If a parser raises RowError or returns None, the
# field is not part of a ranking.
PARSERS: dict[str, Callable[[Row, str, Sequence[Any]], object]] = {
    "ratings": by_response,
    "flags": by_response,
    "choices": lambda row, name, found: _object(row, name),
    "confidence": lambda row, name, found: _small(row, name),
    "comment": lambda row, name, found: text_of(row[name], name),
    "preference_statement": lambda row, name, found: text_of(row[name], name),
    "rewrite": lambda row, name, found: text_of(row[name], name),
    "annotator": lambda row, name, found: annotator_of(row),
    "strength": lambda row, name, found: _small(row, name),
    "duration_ms": lambda row, name, found: _duration(row),
    "given_at": lambda row, name, found: time_of(row[name]),
    "ranking_id": lambda row, name, found: label_of(row[name], name),
    "ranking_metadata": lambda row, name, found: object_of(row[name], name),
    **dict.fromkeys(
        ("weight", "round", "votes"), lambda row, name, found: training_fields({name: row[name]})
    ),
}
