"""PandaLM's test set: an instruction, two responses, and the labels of three annotators.

`cmp_key` names the two models in the same order as the responses. The column names `annotator1`,
`annotator2`, … become the annotators' names, although a column does not necessarily represent the same person
in every row.
"""

from __future__ import annotations

import re

from preferences.fields import given, int_of, label_of, metadata_of, prompt_messages, text_of
from preferences.quirks import IDENTICAL_PAIR
from preferences.records import ImportFormat, Parsed, RankingRecord, Record, ResponseRecord, Row, RowError

ANNOTATOR = re.compile(r"annotator\d+")
KNOWN_FIELDS = frozenset({"instruction", "input", "response1", "response2", "metadata"})
# The label is the number of the better response; 0 is a tie.
TIERS = {0: ((0, 1),), 1: ((0,), (1,)), 2: ((1,), (0,))}


def recognises(row: Row) -> bool:
    return {"instruction", "response1", "response2", "annotator1"} <= row.keys()


def parse(row: Row) -> Parsed:
    instruction, context = text_of(row.get("instruction"), "instruction"), row.get("input")
    text = f"{instruction}\n\n{text_of(context, 'input')}" if given(context) else instruction
    columns = [name for name in row if ANNOTATOR.fullmatch(name)]
    rankings = []
    for name in columns:
        label = int_of(row[name], name, low=0, high=2)
        if label is not None:
            rankings.append(RankingRecord(tiers=TIERS[label], annotator=name))
    if not rankings:
        raise RowError("no column annotator1, annotator2, … contains a label (0, 1 or 2)")
    names = label_of(row.get("cmp_key"), "cmp_key").split("_")
    models = names if len(names) == 2 else ["", ""]
    responses = tuple(
        ResponseRecord(text_of(row.get(field), field), model)
        for field, model in zip(("response1", "response2"), models, strict=True)
    )
    # The metadata contains the instruction only if it can't be recovered from the prompt's text.
    metadata = {"instruction": instruction, "input": context} if given(context) else {}
    return [
        Record(
            messages=prompt_messages(text, "instruction"),
            responses=responses,
            rankings=tuple(rankings) if responses[0] != responses[1] else (),
            metadata=metadata,
            task_metadata=metadata_of(row, KNOWN_FIELDS | set(columns)),
            quirks=(IDENTICAL_PAIR,) if responses[0] == responses[1] else (),
        )
    ]


FORMAT = ImportFormat(
    name="pandalm",
    title="PandaLM test set: two responses, several annotators (JSON)",
    reads="Each row becomes a task with two responses and a ranking for each column `annotator1`, "
    "`annotator2`, …; 0 is a tie. `cmp_key` names the models of the responses.",
    loses="Nothing: `idx`, `cmp_key` and other fields are kept with the task.",
    example='{"instruction": "…", "input": "", "response1": "a", "response2": "b", "cmp_key": "x_y",'
    ' "annotator1": 1, "annotator2": 2, "annotator3": 0}',
    recognises=recognises,
    parse=parse,
)
