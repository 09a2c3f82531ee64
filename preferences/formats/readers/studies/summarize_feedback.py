"""OpenAI's summarize-from-feedback comparisons: a post, two summaries, and the index of the better one.

`info` contains the post (or the article, for CNN/Daily Mail), and `summaries` contains each text with the
policy that wrote it.
"""

from __future__ import annotations

from preferences.fields import (
    check_response_count,
    given,
    int_of,
    label_of,
    list_of,
    metadata_of,
    object_of,
    prompt_messages,
    text_of,
)
from preferences.records import (
    ImportFormat,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
)

KNOWN_FIELDS = frozenset({"info", "summaries", "choice", "worker", "metadata", "extra"})
MAX_CONFIDENCE = 32_767


def recognises(row: Row) -> bool:
    return isinstance(row.get("info"), dict) and isinstance(row.get("summaries"), list) and "choice" in row


def parse(row: Row) -> Parsed:
    info = object_of(row.get("info"), "info")
    source = "post" if given(info.get("post")) else "article"
    summaries = [
        object_of(item, f"summaries.{n}") for n, item in enumerate(list_of(row.get("summaries"), "summaries"))
    ]
    check_response_count(len(summaries))
    choice = int_of(row.get("choice"), "choice", low=0, high=len(summaries) - 1)
    if choice is None:
        raise RowError("choice is missing; it must be the index of the better summary, counted from 0")
    responses = tuple(
        ResponseRecord(
            text_of(item.get("text"), f"summaries.{n}.text"),
            label_of(item.get("policy"), f"summaries.{n}.policy"),
            metadata=metadata_of(item, frozenset({"text", "policy", "metadata"})),
        )
        for n, item in enumerate(summaries)
    )
    others = tuple(index for index in range(len(summaries)) if index != choice)
    extra = object_of(row.get("extra"), "extra")
    ranking = RankingRecord(
        tiers=((choice,), others) if len(others) == 1 else ((choice,),),
        annotator=label_of(row.get("worker"), "worker"),
        confidence=int_of(extra.pop("confidence", None), "extra.confidence", low=0, high=MAX_CONFIDENCE),
        metadata={**metadata_of(row, KNOWN_FIELDS), **metadata_of(extra, frozenset())},
    )
    return [
        Record(
            messages=prompt_messages(info.get(source), f"info.{source}"),
            responses=responses,
            rankings=(ranking,),
            metadata=metadata_of(
                {"info": {key: value for key, value in info.items() if key != source}}, frozenset()
            ),
            task_metadata={},
        )
    ]


FORMAT = ImportFormat(
    name="summarize-from-feedback",
    title="OpenAI summarize-from-feedback: comparisons of summaries (JSON)",
    reads="The post or article is the prompt, the summaries are the responses, the policies are the models of"
    " the responses, and `choice` is the index of the better summary. The worker and the confidence"
    " are kept with the ranking.",
    loses="Nothing. The other fields of `info` are kept with the prompt, and all other fields of the row are"
    " kept with the ranking.",
    example='{"info": {"id": "…", "post": "…"}, "summaries": [{"text": "a", "policy": "x"}, {"text": "b",'
    ' "policy": "y"}], "choice": 1, "worker": "w1", "extra": {"confidence": 7}}',
    recognises=recognises,
    parse=parse,
)
