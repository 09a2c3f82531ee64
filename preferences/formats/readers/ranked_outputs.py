"""Ranked lists in the LLaMA-Factory format (used by the Chinese OASST, for example): `output` contains the
replies, best first, and `history` the turns before `instruction`."""

from __future__ import annotations

from preferences.fields import check_response_count, given, list_of, metadata_of, text_of
from preferences.formats.dialogues import quirks_of
from preferences.records import (
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
)

KNOWN_FIELDS = frozenset({"instruction", "input", "history", "output", "metadata", "system"})


def recognises(row: Row) -> bool:
    return "instruction" in row and isinstance(row.get("output"), list)


def parse(row: Row) -> Parsed:
    replies = [
        text_of(text, f"output.{index}") for index, text in enumerate(list_of(row.get("output"), "output"))
    ]
    check_response_count(len(replies))
    messages = conversation_of_instruction(row)
    return [
        Record(
            messages=messages,
            responses=tuple(ResponseRecord(text) for text in replies),
            rankings=(RankingRecord(tuple((index,) for index in range(len(replies)))),),
            metadata=metadata_of(row, KNOWN_FIELDS),
            quirks=quirks_of(messages, [[{"role": "assistant", "content": text}] for text in replies]),
        )
    ]


def conversation_of_instruction(row: Row) -> tuple[Message, ...]:
    """The conversation formed by `system`, the `history` of [user, assistant] pairs, and `instruction`
    followed by its `input`."""
    messages: list[Message] = []
    if given(row.get("system")):
        messages.append({"role": "system", "content": text_of(row["system"], "system")})
    for index, pair in enumerate(list_of(row["history"], "history") if given(row.get("history")) else []):
        turns = list_of(pair, f"history.{index}")
        if len(turns) != 2:
            raise RowError(f"history.{index} must be a pair [user, assistant], not {len(turns)} texts")
        for role, text in zip(("user", "assistant"), turns, strict=True):
            messages.append({"role": role, "content": text_of(text, f"history.{index}")})
    instruction = text_of(row.get("instruction"), "instruction")
    if given(row.get("input")):
        instruction = f"{instruction}\n\n{text_of(row['input'], 'input')}"
    if not instruction.strip():
        raise RowError("instruction is empty")
    return (*messages, {"role": "user", "content": instruction})


FORMAT = ImportFormat(
    name="ranked-outputs",
    title="LLaMA-Factory: an instruction with a ranked list of outputs (JSON)",
    reads="The outputs as one ranking in file order, best first; history and instruction form the prompt.",
    loses="The boundary between `instruction` and `input`, which are joined by a blank line in the "
    "last turn.",
    example='{"instruction": "…", "input": "", "history": [["…", "…"]], "output": ["best", "second",'
    ' "third"]}',
    recognises=recognises,
    parse=parse,
)
