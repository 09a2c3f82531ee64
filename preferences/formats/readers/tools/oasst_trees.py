"""Open-Assistant message trees: the assistant's replies to a prompter message are ranked siblings.

The messages from the root to each prompter message form a prompt, and the replies become its responses.
If the file has individual rankings (`events`), these rankings are used. Otherwise, the consensus `rank` (0 is
best) becomes one ranking without an annotator. Every message is imported with all its fields, so the tree can
be restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preferences.fields import (
    bool_of,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    one_of,
    text_of,
    tiers_from_ranks,
)
from preferences.formats.dialogues import quirks_of
from preferences.quirks import NO_RANKS, RANKS_MISSING, Quirk
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
from preferences.text import MAX_MESSAGES

MAX_TREE_MESSAGES = 5000
ROLES = {"prompter": "user", "assistant": "assistant"}
STRUCTURE = frozenset({"text", "role", "replies", "metadata"})
Node = Mapping[str, Any]


def recognises(row: Row) -> bool:
    root = row.get("prompt")
    return isinstance(root, dict) and "replies" in root and "text" in root


def parse(row: Row) -> Parsed:
    root = row.get("prompt")
    if not isinstance(root, Mapping):
        raise RowError(f"`prompt` must be a message with replies, not {kind(root)}")
    tree = metadata_of(row, frozenset({"prompt", "metadata"}))
    records: list[Record] = []
    # An explicit stack, because recursion into a tree as deep as JSON allows would exhaust the interpreter's
    # stack.
    waiting: list[tuple[Node, tuple[Message, ...], str]] = [(root, (), "prompt")]
    seen = 0
    while waiting:
        node, path, where = waiting.pop()
        seen += 1
        if seen > MAX_TREE_MESSAGES:
            raise RowError(f"the tree has more than {MAX_TREE_MESSAGES:,} messages")
        if len(path) >= MAX_MESSAGES:
            raise RowError(f"{where} is deeper than {MAX_MESSAGES} messages")
        role = one_of(node.get("role"), f"{where}.role", ROLES)
        here = (*path, {"role": ROLES[role], "content": text_of(node.get("text"), f"{where}.text")})
        replies = _replies(node, where)
        if role == "prompter":
            answers = [reply for reply in replies if reply.get("role") == "assistant"]
            records += _records(node, here, answers, {**tree, **_rest(node)}, where)
        elif any(reply.get("role") == "assistant" for reply in replies):
            raise RowError(f"{where} is an assistant message with a reply that is also from the assistant")
        waiting += [
            (reply, here, f"{where}.replies.{index}") for index, reply in reversed(list(enumerate(replies)))
        ]
    if not records:
        raise RowError("the tree contains no prompter message")
    return records


def _replies(node: Node, where: str) -> Sequence[Node]:
    replies = list_of(node["replies"], f"{where}.replies") if given(node.get("replies")) else []
    for index, reply in enumerate(replies):
        if not isinstance(reply, Mapping):
            raise RowError(f"{where}.replies.{index} must be a message, not {kind(reply)}")
    return replies


def _records(
    node: Node, messages: tuple[Message, ...], answers: list[Node], metadata: dict[str, Any], where: str
) -> Iterator[Record]:
    responses = [_response(answer, f"{where}.replies") for answer in answers]
    odd = quirks_of(messages, [[{"role": "assistant", "content": item.text}] for item in responses])
    if len(responses) < 2:
        yield Record(
            messages, tuple(responses), metadata=metadata, task_metadata={}, rankable=False, quirks=odd
        )
        return
    sets = _ranked_sets(node, answers, where)
    if not sets:
        yield Record(messages, tuple(responses), metadata=metadata, task_metadata={}, quirks=(*odd, NO_RANKS))
        return
    covered = {index for members in sets for index in members}
    alone = [index for index in range(len(answers)) if index not in covered]
    missing: tuple[Quirk, ...] = (RANKS_MISSING,) if alone else ()
    if alone:
        # The record with all replies comes first, so that responses are stored in file order as far as
        # possible.
        yield Record(messages, tuple(responses), metadata=metadata, task_metadata={}, rankable=False)
    for number, (members, rankings) in enumerate(sets.items()):
        yield Record(
            messages,
            tuple(responses[index] for index in members),
            tuple(rankings),
            metadata=metadata,
            task_metadata={},
            quirks=(*odd, *missing) if number == 0 else (),
        )


def _ranked_sets(node: Node, answers: list[Node], where: str) -> dict[tuple[int, ...], list[RankingRecord]]:
    """Rankings grouped by the set of ranked replies."""
    place = {str(answer.get("message_id")): index for index, answer in enumerate(answers)}
    found: dict[tuple[int, ...], list[RankingRecord]] = {}
    events = node.get("events")
    for event in (
        list_of(events.get("ranking") or [], f"{where}.events.ranking") if isinstance(events, Mapping) else []
    ):
        ids = event.get("ranked_message_ids") if isinstance(event, Mapping) else None
        if not isinstance(ids, list) or not all(str(id) in place for id in ids):
            continue
        not_rankable = bool_of(event.get("not_rankable"), f"{where}.events.ranking.not_rankable")
        order = [place[str(id)] for id in ids] or (list(place.values()) if not_rankable else [])
        if len(order) < 2 or len(set(order)) < len(order):
            continue
        members = tuple(sorted(order))
        found.setdefault(members, []).append(
            RankingRecord(
                () if not_rankable else _tiers_of_event(order, members, answers),
                annotator=label_of(event.get("user_id"), f"{where}.events.ranking.user_id"),
                not_rankable=not_rankable,
            )
        )
    if found:
        return found
    ranked = tuple(index for index, answer in enumerate(answers) if given(answer.get("rank")))
    if len(ranked) < 2:
        return {}
    ranks = [answers[index]["rank"] for index in ranked]
    if not all(isinstance(rank, int) and not isinstance(rank, bool) for rank in ranks):
        raise RowError(f"{where}.replies have ranks that are not whole numbers: {ranks!r}")
    tiers = tiers_from_ranks([rank + 1 for rank in ranks], len(ranked), f"{where}.replies.rank")
    return {ranked: [RankingRecord(tiers)]}


def _tiers_of_event(order: list[int], members: tuple[int, ...], answers: list[Node]) -> Tiers:
    """The tiers of one annotator's ranking. The annotator's order has no ties, but the `rank` values can have
    ties. The `rank` values are used if they agree with the annotator's order."""
    ranks = [answers[index].get("rank") for index in order]
    if all(isinstance(rank, int) for rank in ranks) and ranks == sorted(ranks, key=lambda rank: rank or 0):
        by_rank: dict[Any, list[int]] = {}
        for index, rank in zip(order, ranks, strict=True):
            by_rank.setdefault(rank, []).append(members.index(index))
        return tuple(tuple(tier) for tier in by_rank.values())
    return tuple((members.index(index),) for index in order)


def _response(node: Node, where: str) -> ResponseRecord:
    return ResponseRecord(
        text_of(node.get("text"), f"{where}.text"),
        label_of(node.get("model_name"), f"{where}.model_name"),
        metadata=_rest(node),
    )


def _rest(node: Node) -> dict[str, Any]:
    return {"message": metadata_of(node, STRUCTURE)}


FORMAT = ImportFormat(
    name="oasst-trees",
    title="Open-Assistant message trees with ranked replies (JSON Lines)",
    reads="Every prompter message becomes a prompt. The path to the message is the conversation. The "
    "replies are the responses, and their ranks (0 is best) are the ranking. If `events` contains "
    "individual rankings, these are used instead. If none of the replies has a rank, their task is open for "
    "ranking. A single reply is imported without a task.",
    loses="Nothing. The other fields of each message are kept with its prompt or response. If some "
    "siblings have no rank, the ranking covers only the siblings with a rank.",
    example='{"message_tree_id": "1", "prompt": {"message_id": "1", "text": "…", "role": "prompter",'
    ' "replies": [{"message_id": "2", "text": "…", "role": "assistant", "rank": 0, "replies": []}]}}',
    recognises=recognises,
    parse=parse,
)
