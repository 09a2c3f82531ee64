"""Rankloop's own format: a prompt, its responses, and optionally one ranking of them.

The prompt is in `prompt` (text) or `messages`. The responses are in `responses`, a list of texts or of
`{text, model, sampling}`. In CSV, `responses` can be a JSON list. CSV can instead have the columns
`response_1 … response_10` and `model_1 … model_10`. Other common field names are recognised: `question`,
`completions`, `answer_a`, `output1`, …

A ranking is in `tiers` or `ranking`. `tiers` contains lists of response indices from 0, best first; responses
in the same list are tied. `ranking` contains one rank number per response; 1 is best, and equal numbers tie.
`gold_tiers` is the known answer. A row whose `task_kind` is `gold`, `attention` or `qualification` becomes a
check for annotators. `weight`, `split`, `round` and `votes` are used only to train a reward model on the
file. The `ranking` export and a snapshot's Parquet file are in this format, so they can be imported again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import (
    annotator_of,
    bool_of,
    check_no_nul,
    check_response_count,
    given,
    int_of,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    text_of,
    tiers_from_ranks,
    tiers_of,
    time_of,
    whole_of,
)
from preferences.formats.readers.prompts import PROMPT_NAMES, prompt_metadata, prompt_of
from preferences.formats.readers.table.votes import check_no_vote
from preferences.formats.snapshot_parquet import SCHEMA
from preferences.formats.training_fields import training_fields
from preferences.formats.turn_content import CALL_FIELDS, turn_text
from preferences.formats.writers import csv_file
from preferences.quirks import NO_ORDER
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

LIST_NAMES = ("responses", "completions", "answers", "candidates", "outputs", "generations")
TEXT_KEYS = ("text", "response", "content", "completion", "output", "answer")
# response_1, response1, answer_a, completion-2, "Output 3": a base name and a position.
RESPONSE_COLUMN = re.compile(
    r"(response|answer|completion|output|candidate|generation)[ _-]?(\d{1,2}|[a-j])", re.IGNORECASE
)
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
KNOWN_FIELDS = frozenset({"responses", "gold_tiers", "task_kind", "metadata"}) | RANKING_FIELDS
# Fields of an exported ranking that are meaningless in another database.
EXPORTED_FIELDS = KNOWN_FIELDS | frozenset(SCHEMA.names)
RESPONSE_FIELDS = frozenset({"model", "sampling", "metadata", "id"})
TASK_KINDS = ("ranking", "gold", "attention", "qualification")
SMALLINT_MAX = 32_767
# An annotator's statements about the responses. Without an order, they are kept as metadata.
UNORDERED_FIELDS = frozenset(
    {"ratings", "flags", "choices", "comment", "rewrite", "annotator", "confidence", "duration_ms"}
)
RANKED_BY = (
    "tiers",
    "ranking",
    "preference_strength",
    "not_rankable",
    "all_bad",
    "gold_tiers",
    "ranking_id",
)


def recognises(row: Row) -> bool:
    if not any(given(row.get(name)) for name in PROMPT_NAMES):
        return False
    name = _list_name(row)
    if name is None:
        return len(response_columns(row)) > 1
    items = row[name]
    if isinstance(items, list):
        return all(isinstance(item, str) or (isinstance(item, dict) and _text_key(item)) for item in items)
    return name == "responses" or (isinstance(items, str) and items.lstrip().startswith("["))


def has_ranking(row: Row) -> bool:
    """Whether the row gives a ranking, or a known answer, in this format's fields."""
    return any(given(row.get(name)) for name in RANKED_BY)


def parse(row: Row) -> Parsed:
    if csv_file.MARK in row:
        row = csv_file.row_of(row)
    if not has_ranking(row):
        check_no_vote(row)
    found = _given_responses(row)
    check_response_count(len(found))
    responses = tuple(_response(item, f"responses.{index}") for index, item in enumerate(found))
    gold = row.get("gold_tiers")
    gold = None if gold is None or gold == "" else tiers_of(gold, len(found), "gold_tiers")
    ranking = _ranking(row, found)
    prompt = prompt_of(row)
    known = EXPORTED_FIELDS if row.get("ranking_id") else KNOWN_FIELDS
    name = _list_name(row)
    columns = response_columns(row) if name is None else {}
    unordered = UNORDERED_FIELDS & row.keys() if ranking is None else frozenset()
    known = (known - unordered).union((str(name),), columns, columns.values())
    metadata = prompt_metadata(row, prompt, known)
    exported = object_of(row.get("prompt_metadata"), "prompt_metadata") if row.get("ranking_id") else {}
    return [
        Record(
            messages=prompt.messages,
            responses=responses,
            rankings=() if ranking is None else (ranking,),
            gold_tiers=gold,
            task_kind=_task_kind(row, gold),
            metadata={**metadata, **exported},
            task_metadata=object_of(row.get("task_metadata"), "task_metadata")
            if row.get("ranking_id")
            else None,
            quirks=(NO_ORDER,) if any(given(row[field]) for field in unordered) else (),
        )
    ]


def _task_kind(row: Row, gold: Tiers | None) -> str:
    found = label_of(row.get("task_kind"), "task_kind") or TASK_KINDS[0]
    if found not in TASK_KINDS:
        raise RowError(f"task_kind is {found!r}; it must be one of {', '.join(TASK_KINDS)}")
    if found != TASK_KINDS[0] and gold is None:
        if row.get("ranking_id"):  # the file is from a snapshot older than the gold_tiers column
            return TASK_KINDS[0]
        raise RowError(f"task_kind is {found}, and a {found} task needs gold_tiers, its correct answer")
    if found != TASK_KINDS[0] and gold is not None and len(gold) < 2:
        raise RowError(f"a {found} task needs gold_tiers that put at least one response above the others")
    return found


def _list_name(row: Row) -> str | None:
    """The name of the field that contains all responses. The field contains a list or a list's JSON text."""
    return next((name for name in LIST_NAMES if given(row.get(name))), None)


def response_columns(row: Row) -> dict[str, str]:
    """The columns that contain one response each, in order, mapped to the column of the response's model."""
    stems: dict[str, dict[int, tuple[str, str]]] = {}
    for name in row:
        match = RESPONSE_COLUMN.fullmatch(name)
        if match is None:
            continue
        stem, place = match[1].lower(), match[2]
        number = int(place) if place.isdigit() else "abcdefghij".index(place.lower()) + 1
        model = next((key for key in (f"model_{place}", f"model{place}") if key in row), f"model_{place}")
        stems.setdefault(stem, {})[number] = (name, model)
    columns = max(stems.values(), key=len, default={})
    return {columns[number][0]: columns[number][1] for number in sorted(columns)}


def _given_responses(row: Row) -> Sequence[Any]:
    name = _list_name(row)
    if name is not None:
        return list_of(row[name], name)
    columns = response_columns(row)
    filled = [column for column in columns if given(row[column])]
    if filled != list(columns)[: len(filled)]:
        raise RowError(
            f"{', '.join(filled)} have values; fill the response columns from {next(iter(columns))} "
            "without gaps"
        )
    return [{"text": row[column], "model": row.get(columns[column])} for column in filled]


def _text_key(item: Mapping[str, Any]) -> str | None:
    if "text" in item:
        return "text"
    if not CALL_FIELDS.isdisjoint(item):
        return "content"
    return next((key for key in TEXT_KEYS if key in item), None)


def _response(item: object, where: str) -> ResponseRecord:
    if isinstance(item, str):
        return ResponseRecord(text=text_of(item, where))
    if not isinstance(item, Mapping):
        raise RowError(f"{where} must be text or an object with text and model, not {kind(item)}")
    sampling = object_of(item.get("sampling"), f"{where}.sampling")
    check_no_nul(sampling, f"{where}.sampling")
    key = _text_key(item) or "text"
    return ResponseRecord(
        text=turn_text(item, where) if key == "content" else text_of(item.get(key), f"{where}.{key}"),
        model=label_of(item.get("model"), f"{where}.model"),
        sampling=sampling,
        metadata=metadata_of(item, RESPONSE_FIELDS | {key}),
    )


def _ranking(row: Row, found: Sequence[Any]) -> RankingRecord | None:
    tiers, ranks = (None if row.get(key) == "" else row.get(key) for key in ("tiers", "ranking"))
    not_rankable, all_bad = (bool_of(row.get(name), name) for name in ("not_rankable", "all_bad"))
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
        if not judged and not all_bad:
            return None
    elif ranks is not None:
        judged = tiers_from_ranks(ranks, len(found))
    elif given(row.get("preference_strength")):
        return _signed_preference(row, len(found))
    elif all_bad:
        judged = ()
    else:
        return None
    rewrite = row.get("rewrite")
    return RankingRecord(
        tiers=judged,
        annotator=annotator_of(row),
        strength=int_of(row.get("strength"), "strength", low=-SMALLINT_MAX, high=SMALLINT_MAX),
        ratings=_by_response(row, "ratings", found),
        flags=_by_response(row, "flags", found),
        choices=_choices(row),
        confidence=int_of(row.get("confidence"), "confidence", low=-SMALLINT_MAX, high=SMALLINT_MAX),
        not_rankable=not_rankable,
        all_bad=all_bad,
        comment="" if row.get("comment") is None else text_of(row["comment"], "comment"),
        rewrite=None if rewrite is None else text_of(rewrite, "rewrite"),
        duration_ms=int_of(row.get("duration_ms"), "duration_ms", low=0, high=2**53),
        external_id=label_of(row.get("ranking_id"), "ranking_id"),
        metadata=object_of(row.get("ranking_metadata"), "ranking_metadata") if row.get("ranking_id") else {},
        given_at=time_of(row.get("given_at")),
        training=training_fields(row, responses_as_shown=True),
    )


def _check_unranked(row: Row, tiers: Tiers, count: int) -> None:
    """Check that the responses listed as unranked are exactly those in no tier."""
    unranked = list_of(row.get("unranked") or [], "unranked")
    left = sorted(set(range(count)) - {index for tier in tiers for index in tier})
    named = [index for index in map(whole_of, unranked) if index is not None]
    if unranked and (len(named) != len(unranked) or sorted(named) != left):
        raise RowError("`unranked` must list exactly the responses that are in no tier")


def _signed_preference(row: Row, count: int) -> RankingRecord:
    """Read HelpSteer2's `preference_strength`: a negative number prefers the first of two responses, and a
    positive number prefers the second. The absolute value is the strength, and 0 is a tie."""
    signed = int_of(row["preference_strength"], "preference_strength", low=-SMALLINT_MAX, high=SMALLINT_MAX)
    if count != 2 or signed is None:
        raise RowError(f"`preference_strength` needs two responses; the row has {count}")
    statement = row.get("preference_statement")
    return RankingRecord(
        tiers=((0, 1),) if signed == 0 else ((0,), (1,)) if signed < 0 else ((1,), (0,)),
        annotator=annotator_of(row),
        strength=abs(signed) or None,
        comment=text_of(statement, "preference_statement") if given(statement) else "",
        training=training_fields(row),
    )


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
            raise RowError(f"{name} names response {key!r}, which the row does not have")
        check_no_nul(value, f"{name}.{key}")
        values[ids[key]] = value
    return values


FORMAT = ImportFormat(
    name="rankloop",
    title="Rankloop: a prompt, its responses and optionally a ranking (JSON Lines, CSV, Parquet)",
    reads="Each row has a prompt, two to ten responses, and at most one ranking of the responses (`tiers` "
    "or `ranking`). A ranking can have strength, ratings, flags, comment, rewrite, annotator and duration. "
    "Other common column names are recognised, as is HelpSteer2's `preference_strength`. `gold_tiers` is "
    "the known answer. A row whose `task_kind` is `gold`, `attention` or `qualification` becomes a check "
    "for all annotators. The `ranking` export and a snapshot's Parquet file are imported in this format.",
    loses="Nothing. Other fields are kept as metadata.",
    example='{"prompt": "…", "responses": [{"text": "…", "model": "…"}, "…"], "tiers": [[1], [0]]}',
    recognises=recognises,
    parse=parse,
)
