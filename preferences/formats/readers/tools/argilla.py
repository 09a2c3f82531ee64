"""Argilla records, from the API or the SDK.

The options of a ranking question are fields of the record. Records from the API contain each option's rank.
The SDK's flat rows contain only the options, in the order of the question's settings. This order is not a
ranking and is not read as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from preferences.fields import (
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    plain_of,
    prompt_messages,
    text_of,
    tiers_from_ranks,
    time_of,
)
from preferences.formats.dialogues import turns_of
from preferences.formats.readers.prompts import SYSTEM_NAMES, with_system
from preferences.formats.readers.table.votes import Answers, Verdict, check_no_vote, verdict_of_answer
from preferences.formats.training_fields import training_fields
from preferences.quirks import ANSWER_LEFT_OUT, NO_ORDER, RANKS_LOST, Quirk
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

PROMPT_NAMES = ("prompt", "question", "instruction", "query", "chat", "messages", "text")
FLAT = ".responses"
SUBMITTED = "submitted"
# Text questions whose answers are read as the part of a ranking with the same name.
TEXTS = ("comment", "rewrite")


def recognises(row: Row) -> bool:
    if isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), list):
        return True
    return any(f"{name}.users" in row for name in row if name.endswith(FLAT))


def parse(row: Row) -> Parsed:
    return _api_record(row) if "fields" in row else _flat_record(row)


def _api_record(row: Row) -> Parsed:
    fields = object_of(row.get("fields"), "fields")
    answers = list_of(row.get("responses"), "responses")
    question, options = _question(answers)
    if question is None:
        check_no_vote(fields, "no answer in `responses` contains it")
        # Without an answer, any text field other than the prompt can be an option.
        options = [
            name
            for name, value in fields.items()
            if isinstance(value, str) and name not in {*PROMPT_NAMES, *SYSTEM_NAMES}
        ]
    messages, prompt_name = _prompt(fields, options)
    messages, system = with_system(_beside(fields, options), messages)
    record_metadata = object_of(row.get("metadata"), "metadata")
    responses = _responses(fields, options, record_metadata)
    named = Answers(tuple(response.text for response in responses), columns=tuple(options))
    quirks: list[Quirk] = []
    rankings = []
    training = training_fields({"split": record_metadata.get("split")})
    for index, answer in enumerate(answers):
        where = f"responses.{index}"
        if not isinstance(answer, Mapping):
            raise RowError(f"{where} must be an object, not {kind(answer)}")
        ranking = _ranking(answer, where, question, named)
        if ranking is None:
            quirks.append(ANSWER_LEFT_OUT)
            continue
        if not ranking.has_order:
            quirks.append(NO_ORDER)
        annotator = _annotator(ranking.annotator, record_metadata.get("annotator"))
        rankings.append(replace(ranking, annotator=annotator, training=training))
    beside = _beside(fields, options)
    rest = {name: value for name, value in beside.items() if name not in {prompt_name, *system}}
    return [
        Record(
            messages=messages,
            responses=responses,
            rankings=tuple(rankings),
            metadata=metadata_of(
                {"fields": rest or None, "metadata": row.get("metadata")}, frozenset({"metadata"})
            ),
            task_metadata=_outside(row),
            quirks=tuple(dict.fromkeys(quirks)),
        )
    ]


def _beside(fields: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """The fields that are not options of the question."""
    return {name: value for name, value in fields.items() if name not in options}


def _outside(row: Row) -> dict[str, Any]:
    outside = metadata_of(row, frozenset({"fields", "responses", "metadata", "vectors"}))
    return {"argilla": outside} if outside else {}


def _question(answers: Sequence[Any]) -> tuple[str | None, list[str]]:
    """The first ranking question with an answer, and its options."""
    for answer in answers:
        for name, value in _values(answer):
            if _is_ranking(value):
                return name, sorted(str(item["value"]) for item in value)
    return None, []


def _values(answer: Any) -> Iterator[tuple[str, Any]]:
    values = answer.get("values") if isinstance(answer, Mapping) else None
    for name, value in values.items() if isinstance(values, Mapping) else ():
        yield str(name), value.get("value") if isinstance(value, Mapping) else value


def _is_ranking(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and {"value", "rank"} <= item.keys() for item in value)
    )


def _ranking(
    answer: Mapping[str, Any], where: str, question: str | None, named: Answers
) -> RankingRecord | None:
    """The ranking in an answer; None if the answer is a draft, discarded or empty. Without ranks, the answer
    to a question such as `preference` is a vote if it names a response or a tie. If only other questions are
    answered, the ranking has no order."""
    values = {name: value for name, value in _values(answer) if given(value)}
    ranked = values.pop(question, None) if question else None
    if answer.get("status", SUBMITTED) != SUBMITTED or (ranked is None and not values):
        return None
    texts = {name: text_of(values.pop(name), name) for name in TEXTS if isinstance(values.get(name), str)}
    verdict = None if ranked is not None else _voted(values, named)
    metadata = metadata_of(answer, frozenset({"values", "status", "user_id", "metadata"}))
    if values:
        metadata["values"] = plain_of(values, f"{where}.values")
    return RankingRecord(
        tiers=verdict.tiers
        if verdict is not None
        else ()
        if ranked is None
        else _tiers(ranked, f"{where}.values.{question}", named.columns),
        all_bad=verdict is not None and verdict.all_bad,
        annotator=label_of(answer.get("user_id"), f"{where}.user_id"),
        comment=texts.get("comment", ""),
        rewrite=texts.get("rewrite"),
        metadata=metadata,
        given_at=time_of(answer.get("updated_at") or answer.get("inserted_at")),
        external_id=label_of(answer.get("id"), f"{where}.id"),
    )


def _voted(values: dict[str, Any], named: Answers) -> Verdict | None:
    """Return the verdict of the first answer that is a vote, and remove this answer from `values`. None if no
    answer is a vote."""
    for name, value in values.items():
        verdict = verdict_of_answer(name, value, named)
        if verdict is not None:
            del values[name]
            return verdict
    return None


def _tiers(ranked: Any, name: str, options: Sequence[str]) -> Tiers:
    if not _is_ranking(ranked):
        raise RowError(f"{name} must be a list of objects with value and rank")
    ranks = {str(item["value"]): item["rank"] for item in ranked}
    if set(ranks) != set(options) or len(ranked) != len(options):
        raise RowError(f"{name} ranks {', '.join(sorted(ranks))}; the options are {', '.join(options)}")
    return tiers_from_ranks([ranks[option] for option in options], len(options), name)


def _flat_record(row: Row) -> Parsed:
    """Read a flat row: {"prompt", option fields, "question.responses": [[options]], "….users",
    "….status"}."""
    questions = [name.removesuffix(FLAT) for name in row if name.endswith(FLAT)]
    options: list[str] = []
    for question in questions:
        answers = row.get(f"{question}{FLAT}")
        for answer in answers if isinstance(answers, list) else []:
            if isinstance(answer, list) and answer and all(isinstance(item, str) for item in answer):
                options = sorted({*options, *(item for item in answer if item in row)})
    if not options:
        raise RowError(
            f"no answer in {', '.join(f'{name}{FLAT}' for name in questions)} refers to a field of the row"
        )
    messages, prompt_name = _prompt(row, options)
    messages, system = with_system(_beside(row, options), messages)
    return [
        Record(
            messages=messages,
            responses=_responses(row, options, {}),
            metadata=metadata_of(row, system | {prompt_name, *options, "metadata"}),
            task_metadata={},
            quirks=(RANKS_LOST,),
        )
    ]


def _prompt(fields: Mapping[str, Any], options: Sequence[str]) -> tuple[tuple[Message, ...], str]:
    for name in PROMPT_NAMES:
        value = fields.get(name)
        if name in options or not given(value):
            continue
        if isinstance(value, list):
            return tuple(turns_of(value, f"fields.{name}")), name
        return prompt_messages(value, f"fields.{name}"), name
    raise RowError(f"`fields` has no prompt; the prompt field must be named one of {', '.join(PROMPT_NAMES)}")


def _annotator(user_id: str, name: Any) -> str:
    """The annotator's name. Rankloop's own export derives the user's ID from the name in the metadata."""
    if isinstance(name, str) and user_id == str(uuid5(NAMESPACE_URL, name)):
        return label_of(name, "metadata.annotator")
    return user_id


def _model(option: str, metadata: Mapping[str, Any]) -> str:
    """The model of a response in Rankloop's own export: `model-1` for `response-1`."""
    name = option.replace("response-", "model-") if option.startswith("response-") else ""
    return label_of(metadata.get(name), f"metadata.{name}") if name else ""


def _responses(
    fields: Mapping[str, Any], options: Sequence[str], metadata: Mapping[str, Any]
) -> tuple[ResponseRecord, ...]:
    missing = [option for option in options if option not in fields]
    if missing:
        raise RowError(f"the option {missing[0]!r} is not a field of the record")
    check_response_count(len(options))
    return tuple(
        ResponseRecord(
            text_of(fields[option], f"fields.{option}"),
            _model(option, metadata),
            metadata={"option": option},
        )
        for option in options
    )


FORMAT = ImportFormat(
    name="argilla",
    title="Argilla: records with ranks from the API, or flat rows from the SDK (JSON Lines)",
    reads="Each record becomes a task. In records from the API, each submitted response also "
    "becomes a ranking; equal ranks are ties. Text questions named `comment` and `rewrite` are read as the "
    "ranking's comment and rewrite. Without ranks, the answer to a question such as `preference` is a vote "
    "if it names a response or a tie. The values of all other questions are kept with the ranking. A "
    "response without ranks and without such a vote becomes a ranking without an order.",
    loses="Vectors, drafts, and discarded or empty responses. Flat rows from the SDK have no ranks, so their "
    "tasks are imported without rankings and are open for annotation.",
    example='{"fields": {"prompt": "…", "resp_a": "a", "resp_b": "b"}, "responses": [{"user_id": "u",'
    ' "status": "submitted", "values": {"pref": {"value": [{"value": "resp_a", "rank": 2},'
    ' {"value": "resp_b", "rank": 1}]}}}]}',
    recognises=recognises,
    parse=parse,
)
