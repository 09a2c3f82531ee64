"""Open-Assistant message trees: the conversation, and the replies to its last message with their ranks.

There is one tree per ranking. Rows are read in the order of creation. Combining a whole conversation in one
tree would therefore require holding the entire file in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    Row,
    SnapshotFile,
    has_order,
    json_lines,
)
from preferences.formats.losses import Part, all_but

READ = (
    "ranking_id",
    "prompt_id",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "not_rankable",
    "all_bad",
    "annotator",
)
SPEAKERS = {"user": "prompter", "assistant": "assistant"}


def tree_of(row: Row) -> dict[str, Any]:
    ids = [str(uuid5(NAMESPACE_URL, f"{row['prompt_id']}/{place}")) for place in range(len(row["messages"]))]
    path: list[dict[str, Any]] = [
        {"message_id": id, "text": message["content"], "role": SPEAKERS[message["role"]]}
        for id, message in zip(ids, row["messages"], strict=True)
    ]
    for parent, child in pairwise(path):
        child["parent_id"] = parent["message_id"]
        parent["replies"] = [child]
    path[-1]["replies"] = _replies(row, ids[-1])
    if has_order(row):
        path[-1]["events"] = {"ranking": [_event(row)]}
    return {"message_tree_id": ids[0], "tree_state": "ready_for_export", "prompt": path[0]}


def _replies(row: Row, parent: str) -> list[dict[str, Any]]:
    ranks = {index: place for place, tier in enumerate(_tiers(row)) for index in tier}
    return [
        {
            "message_id": response["id"],
            "parent_id": parent,
            "text": response["text"],
            "role": "assistant",
            "synthetic": bool(response["model"]),
            **({"model_name": response["model"]} if response["model"] else {}),
            **({"rank": ranks[index]} if index in ranks else {}),
            "replies": [],
        }
        for index, response in enumerate(row["responses"])
    ]


def _tiers(row: Row) -> list[list[int]]:
    return [*row["tiers"], row["unranked"]] if row["unranked"] else list(row["tiers"])


def _event(row: Row) -> dict[str, Any]:
    """The ranking in Open-Assistant's format: positions in the displayed list, best first."""
    order = [index for tier in _tiers(row) for index in tier]
    return {
        "type": "ranking",
        "user_id": row["annotator"],
        "ranking": order,
        "ranked_message_ids": [row["responses"][index]["id"] for index in order],
        "not_rankable": row["not_rankable"],
    }


def _trees(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    for row in snapshot.rows(*READ):
        if all(message["role"] in SPEAKERS for message in row["messages"]):
            yield tree_of(row)


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_trees(snapshot))


FORMAT = ExportFormat(
    name="oasst_trees",
    title="Open-Assistant message trees with ranks (JSON Lines)",
    use="For code that reads OASST: ranked replies, nested under their conversation.",
    loses=all_but(
        Part.CONVERSATIONS,
        Part.RESPONSES,
        Part.DISPLAY_ORDER,
        Part.MODELS,
        Part.PREFERENCES,
        Part.LONG_ORDERS,
        Part.TIES,
        Part.NOT_RANKABLE,
        Part.ANNOTATOR,
    ),
    notes=(
        "There is one tree per ranking. Replies to other turns, and other annotators' rankings of the same "
        "prompt, are in other trees. Tied responses have equal ranks, which Open-Assistant itself never "
        "writes, and unranked responses share the last rank. The replies of a ranking without tiers have no "
        "ranks. Prompts with a system or tool turn are left out, because a tree has only two speakers."
    ),
    example=(
        '{"message_tree_id": "…", "tree_state": "ready_for_export", "prompt": {"message_id": "…", "text":'
        ' "Q", "role": "prompter", "replies": [{"message_id": "…", "parent_id": "…", "text": "A", "role":'
        ' "assistant", "rank": 0, "replies": []}, …]}}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    imports_as="oasst-trees",
)
