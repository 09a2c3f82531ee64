"""Rankloop's own format: a prompt, its responses, and (optionally) one ranking of them.

`prompt` (text) or `messages`; `responses`: a list of texts or of `{text, model, sampling}`, in CSV either a
JSON list or columns `response_1 … response_10` with `model_1 … model_10`. A ranking is `tiers` (lists of
response indices from 0, best first; several in one list are tied) or `ranking` (one rank number per response,
1 is best, equal is tied). The `ranking` export and a snapshot's Parquet file are this format too, so they can
be imported again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotation.formats.prompts import conversation_of
from annotation.formats.records import (
    MAX_RESPONSES,
    ImportFormat,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
    bool_of,
    check_no_nul,
    check_response_count,
    int_of,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    text_of,
    tiers_from_ranks,
    tiers_of,
)
from annotation.formats.snapshot_parquet import SCHEMA

RESPONSE_COLUMNS = tuple(f"response_{number}" for number in range(1, MAX_RESPONSES + 1))
MODEL_COLUMNS = tuple(f"model_{number}" for number in range(1, MAX_RESPONSES + 1))
RANKING_FIELDS = frozenset(
    {
        "tiers",
        "ranking",
        "annotator",
        "strength",
        "ratings",
        "flags",
        "not_rankable",
        "comment",
        "rewrite",
        "duration_ms",
        "ranking_id",
    }
)
KNOWN_FIELDS = (
    frozenset({"prompt", "messages", "responses", "gold_tiers", "metadata"})
    | RANKING_FIELDS
    | set(RESPONSE_COLUMNS)
    | set(MODEL_COLUMNS)
)
# What an exported ranking says about the database it came from; it has no meaning in another one.
EXPORTED_FIELDS = KNOWN_FIELDS | frozenset(SCHEMA.names)
SMALLINT_MAX = 32_767


def recognises(row: Row) -> bool:
    if "prompt" not in row and "messages" not in row:
        return False
    responses = row.get("responses")
    if isinstance(responses, list) and responses and isinstance(responses[0], dict):
        return "text" in responses[0]
    return bool(responses) or "response_1" in row


def parse(row: Row) -> Record:
    given = _given_responses(row)
    check_response_count(len(given))
    responses = tuple(_response(item, f"responses.{index}") for index, item in enumerate(given))
    gold = row.get("gold_tiers")
    return Record(
        messages=conversation_of(row),
        responses=responses,
        ranking=_ranking(row, given),
        gold_tiers=None if gold is None or gold == "" else tiers_of(gold, len(given), "gold_tiers"),
        metadata=metadata_of(row, EXPORTED_FIELDS if row.get("ranking_id") else KNOWN_FIELDS),
    )


def _given_responses(row: Row) -> Sequence[Any]:
    value = row.get("responses")
    if value is None or value == "":
        columns = [name for name in RESPONSE_COLUMNS if row.get(name)]
        if columns != list(RESPONSE_COLUMNS[: len(columns)]):
            raise RowError(f"{', '.join(columns)} are filled; response columns are filled from response_1 on")
        return [
            {"text": row[name], "model": row.get(model)}
            for name, model in zip(columns, MODEL_COLUMNS, strict=False)
        ]
    return list_of(value, "responses")


def _response(item: object, where: str) -> ResponseRecord:
    if isinstance(item, str):
        return ResponseRecord(text=text_of(item, where))
    if not isinstance(item, Mapping):
        raise RowError(f"{where} must be text or an object with text and model, not {kind(item)}")
    sampling = object_of(item.get("sampling"), f"{where}.sampling")
    check_no_nul(sampling, f"{where}.sampling")
    return ResponseRecord(
        text=text_of(item.get("text"), f"{where}.text"),
        model=label_of(item.get("model"), f"{where}.model"),
        sampling=sampling,
    )


def _ranking(row: Row, given: Sequence[Any]) -> RankingRecord | None:
    tiers, ranks = (None if row.get(key) == "" else row.get(key) for key in ("tiers", "ranking"))
    not_rankable = bool_of(row.get("not_rankable"), "not_rankable")
    if tiers is not None and ranks is not None:
        raise RowError("tiers and ranking are both given; give one of them")
    if not_rankable:
        if tiers or ranks:
            raise RowError("not_rankable is true, and yet there is a ranking")
        judged: Tiers = ()
    elif tiers is not None:
        judged = tiers_of(tiers, len(given))
    elif ranks is not None:
        judged = tiers_from_ranks(ranks, len(given))
    else:
        return None
    rewrite = row.get("rewrite")
    return RankingRecord(
        tiers=judged,
        annotator=label_of(row.get("annotator"), "annotator"),
        strength=int_of(row.get("strength"), "strength", low=-SMALLINT_MAX, high=SMALLINT_MAX),
        ratings=_by_response(row, "ratings", given),
        flags=_by_response(row, "flags", given),
        not_rankable=not_rankable,
        comment="" if row.get("comment") is None else text_of(row["comment"], "comment"),
        rewrite=None if rewrite is None else text_of(rewrite, "rewrite"),
        duration_ms=int_of(row.get("duration_ms"), "duration_ms", low=0, high=2**53),
        external_id=label_of(row.get("ranking_id"), "ranking_id"),
    )


def _by_response(row: Row, name: str, given: Sequence[Any]) -> dict[int, Any]:
    """`ratings` or `flags`, keyed in the file by a response's `id` or by its index."""
    ids = {
        str(item["id"]): index
        for index, item in enumerate(given)
        if isinstance(item, Mapping) and item.get("id")
    }
    ids |= {str(index): index for index in range(len(given)) if str(index) not in ids}
    found: dict[int, Any] = {}
    for key, value in object_of(row.get(name), name).items():
        if key not in ids:
            raise RowError(f"{name} names response {key!r}, which the row does not have")
        check_no_nul(value, f"{name}.{key}")
        found[ids[key]] = value
    return found


FORMAT = ImportFormat(
    name="rankloop",
    title="Rankloop's own: prompt, responses, optionally a ranking (JSON Lines, CSV, Parquet)",
    example='{"prompt": "…", "responses": [{"text": "…", "model": "…"}, "…"], "tiers": [[1], [0]]}',
    recognises=recognises,
    parse=parse,
)
