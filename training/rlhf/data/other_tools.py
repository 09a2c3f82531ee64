"""Rows of other annotation tools as rows of rankings, in the shapes that the platform's exporter writes:
message trees of Open-Assistant, tasks of Label Studio (Pairwise and Ranker) and records of Argilla.

One such row may hold several rankings (of several people, or along a tree), or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
SPEAKERS = {"prompter": "user", "assistant": "assistant"}


def rankings_of(row: Row) -> list[Row] | None:
    """What the row says, as rows with messages, responses and tiers; None where it is none of these shapes.
    Raises ValueError where it is one and is broken."""
    if isinstance(row.get("prompt"), Mapping) and "replies" in row["prompt"]:
        return list(_along(row["prompt"], []))
    if isinstance(row.get("data"), Mapping) and isinstance(row.get("annotations"), list):
        return [_task(row["data"], annotation) for annotation in row["annotations"]]
    if isinstance(row.get("fields"), Mapping) and isinstance(row.get("responses"), list):
        return [_record(row, response) for response in row["responses"]]
    return None


def _along(message: Any, before: list[Row]) -> Iterator[Row]:
    """Every place where somebody ranked the assistant's replies, or said that it can't be done."""
    if not isinstance(message, Mapping) or message.get("role") not in SPEAKERS:
        raise ValueError("a message of the tree needs the role prompter or assistant")
    turns = [*before, {"role": SPEAKERS[message["role"]], "content": message.get("text")}]
    replies = _list(message.get("replies") or [], "replies")
    votes = [
        vote
        for vote in _list((message.get("events") or {}).get("ranking") or [], "events.ranking")
        if isinstance(vote, Mapping)
    ]
    answers = [r for r in replies if isinstance(r, Mapping) and r.get("role") == "assistant"]
    ranked = [r for r in answers if r.get("rank") is not None]
    if len(ranked) > 1 or votes:
        texts = [answer.get("text") for answer in ranked or answers]
        yield {
            "messages": turns,
            "responses": texts,
            "tiers": _by_rank([answer["rank"] for answer in ranked]),
            "not_rankable": not ranked,
            "annotator": votes[0].get("user_id") if len(votes) == 1 else "",
        }
    for reply in replies:
        yield from _along(reply, turns)


def _task(data: Mapping[str, Any], annotation: Any) -> Row:
    """An annotation of Label Studio: which of two is better, or an order in one list or in buckets."""
    if not isinstance(annotation, Mapping):
        raise ValueError("an annotation must be an object")
    by = annotation.get("completed_by")
    said: Row = {
        "messages": _conversation(data.get("prompt")),
        "annotator": str((by.get("email") or by.get("id")) if isinstance(by, Mapping) else by or ""),
    }
    results = [r for r in _list(annotation.get("result"), "result") if isinstance(r, Mapping)]
    found = [r for r in results if r.get("type") in ("pairwise", "ranker")]
    if "answer1" in data and "answer2" in data:
        said["responses"] = [data["answer1"], data["answer2"]]
    else:
        options = _list(data.get("results"), "data.results")
        said["responses"] = [o.get("body") for o in options if isinstance(o, Mapping)]
    if annotation.get("was_cancelled") or not found:
        return said | {"tiers": [], "not_rankable": True}
    value = found[0].get("value")
    if not isinstance(value, Mapping):
        raise ValueError("a result needs a value")
    if found[0]["type"] == "pairwise":
        if value.get("selected") not in ("left", "right"):
            raise ValueError(f"selected is {value.get('selected')!r}, it must be left or right")
        return said | {"tiers": [[0], [1]] if value["selected"] == "left" else [[1], [0]]}
    return said | _buckets(value.get("ranker"), [o.get("id") for o in options if isinstance(o, Mapping)])


def _buckets(ranker: Any, ids: Sequence[Any]) -> Row:
    if not isinstance(ranker, Mapping):
        raise ValueError("ranker must be an object")
    place = {id: index for index, id in enumerate(ids)}
    if "rank" in ranker:
        named = [[id] for id in _list(ranker["rank"], "rank")]
    else:
        names = sorted(
            (n for n in ranker if n.startswith("tier_") and n[5:].isdecimal()), key=lambda n: int(n[5:])
        )
        if not names:
            raise ValueError("ranker needs rank, or buckets tier_1, tier_2, …")
        named = [_list(ranker[name], name) for name in names]
    unknown = [id for tier in named for id in tier if id not in place]
    if unknown:
        raise ValueError(f"it ranks {unknown[0]!r}, which data.results doesn't hold")
    tiers = [[place[id] for id in tier] for tier in named if tier]
    left = sorted(set(place.values()) - {index for tier in tiers for index in tier})
    return {"tiers": tiers + ([left] if len(left) == 1 else []), "unranked": left if len(left) > 1 else []}


def _record(record: Row, response: Any) -> Row:
    """A response of Argilla: a rank for each option of its question."""
    fields, metadata = record["fields"], record.get("metadata") or {}
    if not isinstance(response, Mapping) or not isinstance(metadata, Mapping):
        raise ValueError("responses and metadata must be objects")
    names = [n for n in fields if n.startswith("response-")]
    said: Row = {
        "messages": _conversation(fields.get("prompt")),
        "responses": [fields[name] for name in names],
        "split": metadata.get("split"),
        "annotator": str(metadata.get("annotator") or response.get("user_id") or ""),
    }
    values = response.get("values") or {}
    if response.get("status", "submitted") != "submitted" or "ranking" not in values:
        return said | {"tiers": [], "not_rankable": True}
    options = _list(values["ranking"].get("value"), "ranking")
    ranks = {o["value"]: o.get("rank") for o in options if isinstance(o, Mapping) and "value" in o}
    missing = [name for name in names if ranks.get(name) is None]
    if missing:
        raise ValueError(f"ranking has no rank for {missing[0]}")
    return said | {"tiers": _by_rank([ranks[name] for name in names])}


def _by_rank(ranks: Sequence[Any]) -> list[list[int]]:
    if not all(isinstance(rank, int) and not isinstance(rank, bool) for rank in ranks):
        raise ValueError(f"ranks must be whole numbers, and are {list(ranks)}")
    return [[i for i, rank in enumerate(ranks) if rank == one] for one in sorted(set(ranks))]


def _conversation(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return _list(given, "prompt")


def _list(given: Any, name: str) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"{name} must be a list")
    return given
