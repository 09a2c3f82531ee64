"""Ranked lists in the LLaMA-Factory format, used for example by the Chinese OASST. `output` contains the
replies, best first. `history` contains the turns before `instruction`."""

from __future__ import annotations

from preferences.fields import check_response_count, list_of, metadata_of, text_of
from preferences.formats.dialogues import quirks_of
from preferences.formats.readers.prompts import conversation_of_instruction, with_system
from preferences.records import (
    ImportFormat,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
)

KNOWN_FIELDS = frozenset({"instruction", "input", "history", "output", "metadata"})


def recognises(row: Row) -> bool:
    return "instruction" in row and isinstance(row.get("output"), list)


def parse(row: Row) -> Parsed:
    replies = [
        text_of(text, f"output.{index}") for index, text in enumerate(list_of(row.get("output"), "output"))
    ]
    check_response_count(len(replies))
    messages, system = with_system(row, conversation_of_instruction(row))
    return [
        Record(
            messages=messages,
            responses=tuple(ResponseRecord(text) for text in replies),
            rankings=(RankingRecord(tuple((index,) for index in range(len(replies)))),),
            metadata=metadata_of(row, KNOWN_FIELDS | system),
            quirks=quirks_of(messages, [[{"role": "assistant", "content": text}] for text in replies]),
        )
    ]


FORMAT = ImportFormat(
    name="ranked-outputs",
    title="LLaMA-Factory: an instruction with a ranked list of outputs (JSON)",
    reads="The outputs become one ranking in file order, best first. `history` and `instruction` form the "
    "prompt, and `system` or `system_prompt` is the system turn.",
    loses="The boundary between `instruction` and `input`, which are joined by a blank line in the "
    "last turn.",
    example='{"instruction": "…", "input": "", "history": [["…", "…"]], "output": ["best", "second",'
    ' "third"]}',
    recognises=recognises,
    parse=parse,
)
