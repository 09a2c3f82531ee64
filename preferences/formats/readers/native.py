"""Rankloop's own format: a prompt, its responses, and optionally one ranking of them.

The prompt is in `prompt` (text) or `messages`. The responses are in `responses`, a list of strings or of
objects `{text, model, sampling}`. In CSV, `responses` can be a JSON list. CSV can instead have the columns
`response_1 … response_10` and `model_1 … model_10`. Other common field names are recognised: `question`,
`completions`, `answer_a`, `output1`, …

A ranking is in `tiers` or `ranking`. `tiers` contains lists of response indices from 0, best first; responses
in the same list are tied. `ranking` contains one rank number per response; 1 is best, and equal numbers tie.
If a row has neither field, its ratings, flags, choices, confidence, comment and rewrite are read as a ranking
without an order. `gold_tiers` is the known answer. A row whose `task_kind` is `gold`, `attention` or
`qualification` becomes a check for annotators. `weight`, `split`, `round` and `votes` are used only to train
a reward model on the file. The `ranking` export and a snapshot's Parquet file are in this format, so they can
be imported again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import (
    check_no_nul,
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    text_of,
    tiers_of,
)
from preferences.formats.readers.prompts import PROMPT_NAMES, prompt_metadata, prompt_of
from preferences.formats.readers.ranking_fields import (
    BESIDE_A_RANKING,
    RANKING_FIELDS,
    ranking_of,
    unread_fields,
)
from preferences.formats.readers.table.votes import check_no_vote
from preferences.formats.snapshot_parquet import SCHEMA
from preferences.formats.turn_content import CALL_FIELDS, turn_text
from preferences.formats.writers import csv_file
from preferences.quirks import NO_ORDER, TIME_NOT_UNDERSTOOD, Quirk
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
KNOWN_FIELDS = frozenset({"responses", "gold_tiers", "task_kind", "metadata"}) | RANKING_FIELDS
# The known fields, and the fields of an exported ranking that are meaningless in another database.
EXPORTED_FIELDS = KNOWN_FIELDS | frozenset(SCHEMA.names)
RESPONSE_FIELDS = frozenset({"model", "sampling", "metadata", "id"})
TASK_KINDS = ("ranking", "gold", "attention", "qualification")
# The fields that contain an order. `preference_strength`, `not_rankable` and `all_bad` are not listed,
# because they can occur together with a vote in another column.
ORDER_FIELDS = ("tiers", "ranking", "gold_tiers")
NOT_TRUE = frozenset({"", "false", "0", "0.0"})


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
    """Whether the row contains a ranking, or a known answer, in this format's fields."""
    if has_order(row) or given(row.get("preference_strength")):
        return True
    marks = (row.get("not_rankable"), row.get("all_bad"))
    return any(mark is not None and str(mark).strip().lower() not in NOT_TRUE for mark in marks)


def has_order(row: Row) -> bool:
    """Whether the row contains an order in this format's fields, or was exported from Rankloop."""
    exported = "tiers" in row and given(row.get("ranking_id"))
    return exported or any(given(row.get(name)) for name in ORDER_FIELDS)


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
    unread = unread_fields(row, found)
    ranking = ranking_of({**row, **dict.fromkeys(unread)} if unread else row, found)
    prompt = prompt_of(row)
    known = EXPORTED_FIELDS if row.get("ranking_id") else KNOWN_FIELDS
    name = _list_name(row)
    columns = response_columns(row) if name is None else {}
    if ranking is None:
        known -= BESIDE_A_RANKING
    known = (known - unread).union((str(name),), columns, columns.values())
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
            quirks=_quirks(ranking, unread),
        )
    ]


def _quirks(ranking: RankingRecord | None, unread: frozenset[str]) -> tuple[Quirk, ...]:
    if ranking is None:
        return ()
    quirks = () if ranking.has_order else (NO_ORDER,)
    return (*quirks, TIME_NOT_UNDERSTOOD) if "given_at" in unread else quirks


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
    """The name of the field that contains all responses, as a list or as text that contains a list."""
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
            f"the response columns with values are {', '.join(filled)}; fill the columns in order, starting "
            f"with {next(iter(columns))}, and leave none empty in between"
        )
    # Ratings can refer to a response by its column.
    return [{"text": row[column], "model": row.get(columns[column]), "id": column} for column in filled]


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


FORMAT = ImportFormat(
    name="rankloop",
    title="Rankloop: a prompt, its responses and optionally a ranking (JSON Lines, CSV, Parquet)",
    reads="Each row has a prompt, two to ten responses, and at most one ranking of the responses (`tiers` "
    "or `ranking`). A ranking can have strength, ratings, flags, choices, confidence, comment, rewrite, "
    "annotator and duration. Ratings, flags, choices, a confidence, a comment or a rewrite without `tiers` "
    "or `ranking` are stored as a ranking without an order, and the task is open for ranking. "
    "Ratings and flags are keyed by the response's ID, index (from 0), column or model. "
    "Other common column names are recognised, as is HelpSteer2's `preference_strength`. `gold_tiers` is "
    "the known answer. A row whose `task_kind` is `gold`, `attention` or `qualification` becomes a check "
    "for all annotators. The `ranking` export and a snapshot's Parquet file are imported in this format.",
    loses="Nothing. Other fields are kept as metadata. Fields of a row without an order are also "
    "kept as metadata if they can't be read as part of a ranking.",
    example='{"prompt": "…", "responses": [{"text": "…", "model": "…"}, "…"], "tiers": [[1], [0]]}',
    recognises=recognises,
    parse=parse,
)
