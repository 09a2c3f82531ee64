"""Label Studio's export: Pairwise results, and the three formats of a Ranker result.

The export contains the results but does not state which fields were shown. The fields of `data` that contain
the responses are recognised by name: `answer1` and `answer2`, `text_a` and `text_b`, `left` and `right`, …
For the Ranker, the field is a list of items with IDs. Each annotation that was not cancelled becomes a
ranking by the annotator in `completed_by`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import (
    bool_of,
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    object_of,
    one_of,
    plain_of,
    prompt_messages,
    text_of,
    time_of,
)
from preferences.formats.dialogues import messages_of
from preferences.formats.readers.prompts import with_system
from preferences.formats.readers.table.votes import Answers, Verdict, check_no_vote, verdict_of_answer
from preferences.quirks import ANSWER_LEFT_OUT, BUCKETS, NO_ORDER, Quirk
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

PROMPT_NAMES = ("prompt", "question", "query", "instruction", "messages", "conversation", "dialogue", "text")
PAIR = re.compile(r"(.*?)[ _-]?(1|2|a|b|left|right)", re.IGNORECASE)
FIRST_PLACES = ("1", "a", "left")
ITEM_TEXT = ("text", "body", "html", "response", "answer", "content", "title")
UNSORTED = "_"
# Bucket names that Rankloop's own export uses for tiers. They have no other meaning, so they are not kept as
# flags.
OUR_TIER = re.compile(r"tier_\d+")
KEPT_ANNOTATION = frozenset(
    {"result", "completed_by", "was_cancelled", "created_at", "lead_time", "metadata"}
)
SELECTED: dict[str, Tiers] = {"left": ((0,), (1,)), "right": ((1,), (0,))}
MAX_LEAD_SECONDS = 10**9


def recognises(row: Row) -> bool:
    annotations = row.get("annotations", row.get("completions"))
    return (
        isinstance(row.get("data"), dict)
        and isinstance(annotations, list)
        and _shown(row["data"]) is not None
    )


def parse(row: Row) -> Parsed:
    data = object_of(row.get("data"), "data")
    shown = _shown(data)
    if shown is None:
        raise RowError(
            "`data` has neither two fields for a pair nor a list of items; its fields are"
            f" {', '.join(data) or 'none'}"
        )
    responses, ids, used = shown
    check_response_count(len(responses))
    prompt_name, messages = _prompt(data, used)
    messages, system = with_system(data, messages)
    answers = Answers(
        texts=tuple(response.text for response in responses),
        models=tuple(response.model for response in responses),
        columns=tuple(used[:2]) if len(used) > 1 else (),
        ids=tuple(ids),
    )
    quirks: list[Quirk] = []
    rankings = []
    name = "annotations" if given(row.get("annotations")) else "completions"
    for index, annotation in enumerate(list_of(row.get(name) or [], name)):
        if not isinstance(annotation, Mapping):
            raise RowError(f"{name}.{index} must be an object, not {kind(annotation)}")
        ranking = _ranking(annotation, f"{name}.{index}", answers, quirks)
        if ranking is None:
            quirks.append(ANSWER_LEFT_OUT)
            continue
        if not ranking.has_order:
            quirks.append(NO_ORDER)
        rankings.append(ranking)
    rest = {key: value for key, value in data.items() if key not in {prompt_name, *used, *system}}
    if not rankings:
        check_no_vote(rest, "no annotation contains it")
    outside = metadata_of(
        row, frozenset({"data", "annotations", "completions", "predictions", "metadata", "drafts"})
    )
    return [
        Record(
            messages=messages,
            responses=tuple(responses),
            rankings=tuple(rankings),
            metadata=metadata_of({"data": rest} if rest else {}, frozenset()),
            task_metadata={"label_studio": outside} if outside else {},
            quirks=tuple(dict.fromkeys(quirks)),
        )
    ]


def _shown(data: Mapping[str, Any]) -> tuple[list[ResponseRecord], list[str], list[str]] | None:
    """The responses, their names in the results, and the names of the fields that contain the responses and
    their models. For a pair, the first two of these fields contain the responses."""
    for name, value in data.items():
        if (
            isinstance(value, list)
            and value
            and all(isinstance(item, dict) and "id" in item for item in value)
        ):
            return (
                [_item(item, f"data.{name}.{n}") for n, item in enumerate(value)],
                [str(item["id"]) for item in value],
                [name],
            )
    pairs: dict[str, dict[str, str]] = {}
    for name, value in data.items():
        match = PAIR.fullmatch(name)
        if match and isinstance(value, str):
            side = "left" if match[2].lower() in FIRST_PLACES else "right"
            pairs.setdefault(match[1].lower(), {})[side] = name
    # A pair of fields such as model_a and model_b contains model names, not responses.
    whole = [pair for stem, pair in pairs.items() if len(pair) == 2 and not stem.startswith("model")]
    if not whole:
        return None
    models = pairs.get("model", {})
    used = whole[0]
    return (
        [
            ResponseRecord(
                text_of(data[used[side]], f"data.{used[side]}"),
                label_of(data.get(models.get(side, "")), f"data.{models.get(side, '')}"),
            )
            for side in ("left", "right")
        ],
        ["left", "right"],
        [used["left"], used["right"], *models.values()],
    )


def _item(item: Mapping[str, Any], where: str) -> ResponseRecord:
    there = [key for key in ITEM_TEXT if isinstance(item.get(key), str)]
    key = next((key for key in there if item[key]), there[0] if there else None)
    if key is None:
        raise RowError(f"{where} has no text field ({', '.join(ITEM_TEXT)})")
    return ResponseRecord(
        text_of(item[key], f"{where}.{key}"),
        label_of(item.get("model"), f"{where}.model"),
        metadata=metadata_of(item, frozenset({key, "model", "metadata"})),
    )


def _prompt(data: Mapping[str, Any], used: Sequence[str]) -> tuple[str, tuple[Message, ...]]:
    for name in PROMPT_NAMES:
        value = data.get(name)
        if name in used or not given(value):
            continue
        if isinstance(value, list):
            return name, messages_of(value, f"data.{name}")
        return name, prompt_messages(value, f"data.{name}")
    raise RowError(f"`data` has no prompt; the prompt field must be named one of {', '.join(PROMPT_NAMES)}")


def _ranking(
    annotation: Mapping[str, Any], where: str, answers: Answers, quirks: list[Quirk]
) -> RankingRecord | None:
    """The ranking in an annotation; None if the annotation is cancelled or empty. A choice is a vote if its
    control has a name such as `preference` and the choice names a response or a tie. An annotation that has
    only results of other controls, such as ratings, is a ranking without an order."""
    results = list_of(annotation.get("result") or [], f"{where}.result")
    if bool_of(annotation.get("was_cancelled"), f"{where}.was_cancelled"):
        return None
    answer: tuple[Tiers, dict[int, Any]] = ((), {})
    answered = all_bad = False
    others = []
    for index, result in enumerate(results):
        value = result.get("value") if isinstance(result, Mapping) else None
        if not answered and isinstance(value, Mapping) and given(value.get("selected")):
            answered, answer = True, (_selected(value["selected"], f"{where}.result.{index}"), {})
        elif not answered and isinstance(value, Mapping) and "ranker" in value:
            answered, answer = (
                True,
                _ranker(value["ranker"], f"{where}.result.{index}.value.ranker", answers.ids, quirks),
            )
        elif not answered and (verdict := _chosen(result, value, answers)) is not None:
            answered, answer, all_bad = True, (verdict.tiers, {}), verdict.all_bad
        elif value is not None:
            others.append({"name": result.get("from_name"), "type": result.get("type"), "value": value})
    if not answer[0] and not others:
        return None
    by = annotation.get("completed_by")
    by = by.get("email", by.get("id")) if isinstance(by, Mapping) else by
    lead = annotation.get("lead_time")
    timed = isinstance(lead, (int, float)) and not isinstance(lead, bool) and 0 <= lead < MAX_LEAD_SECONDS
    metadata = metadata_of(annotation, KEPT_ANNOTATION)
    if others:
        metadata["results"] = plain_of(others, f"{where}.result")
    return RankingRecord(
        tiers=answer[0],
        all_bad=all_bad,
        annotator=label_of(by, f"{where}.completed_by"),
        flags=answer[1],
        duration_ms=round(lead * 1000) if timed and lead is not None else None,
        metadata=metadata,
        given_at=time_of(annotation.get("created_at")),
        external_id=label_of(annotation.get("id"), f"{where}.id"),
    )


def _chosen(result: Any, value: Any, answers: Answers) -> Verdict | None:
    """The vote of a Choices control."""
    choices = value.get("choices") if isinstance(value, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    return verdict_of_answer(str(result.get("from_name")), choices[0], answers)


def _selected(value: object, where: str) -> Tiers:
    return SELECTED[one_of(value, f"{where}.value.selected", SELECTED)]


def _ranker(
    value: object, where: str, ids: Sequence[str], quirks: list[Quirk]
) -> tuple[Tiers, dict[int, Any]]:
    """Read a Ranker result. The three formats are `["b", "a"]` (legacy), `{"rank": ["b", "a"]}`, and buckets
    such as `{"best": ["b"], "other": ["a"]}`."""
    place = {id: index for index, id in enumerate(ids)}

    def indices(members: object, name: str) -> tuple[int, ...]:
        found = []
        for member in list_of(members, name):
            if str(member) not in place:
                raise RowError(f"{name} names {member!r}, which is not an item of the task")
            found.append(place[str(member)])
        return tuple(found)

    if isinstance(value, Mapping):
        buckets = {str(name): indices(members, f"{where}.{name}") for name, members in value.items()}
    else:
        buckets = {"rank": indices(value, where)}
    sorted_ones = {name: members for name, members in buckets.items() if name != UNSORTED and members}
    named = [index for members in sorted_ones.values() for index in members]
    if len(set(named)) < len(named):
        raise RowError(f"{where} lists an item twice")
    if set(sorted_ones) == {"rank"}:
        return tuple((index,) for index in named), {}
    if all(OUR_TIER.fullmatch(name) for name in sorted_ones):
        by_number = sorted(sorted_ones, key=lambda name: int(name.removeprefix("tier_")))
        return tuple(sorted_ones[name] for name in by_number), {}
    quirks.append(BUCKETS)
    return tuple(sorted_ones.values()), {
        index: [name] for name, members in sorted_ones.items() for index in members
    }


FORMAT = ImportFormat(
    name="label-studio",
    title="Label Studio export: Pairwise or Ranker (JSON)",
    reads="Each row becomes a task, and each annotation becomes a ranking with its author, time and lead "
    "time. A Ranker's list is read as an order. Named buckets are tiers in file order. Unsorted items rank "
    "below all buckets. A choice is a vote if its control has a name such as `preference` or `winner` and "
    "the choice names a response or a tie.",
    loses="Cancelled and empty annotations, drafts and predictions. The results of other controls "
    "are kept with the ranking, and other data fields are kept with the prompt. An annotation that has only "
    "such results is stored as a ranking without an order.",
    example='{"id": 1, "data": {"prompt": "…", "answer1": "a", "answer2": "b"}, "annotations": [{"id": 7,'
    ' "completed_by": 2, "lead_time": 12.5, "result": [{"from_name": "comparison", "to_name": "comparison",'
    ' "type": "pairwise", "value": {"selected": "left"}}]}]}',
    recognises=recognises,
    parse=parse,
)
