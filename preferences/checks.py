"""Checks of the records that a reader has put together, in every format. Each one raises a RowError."""

from __future__ import annotations

from preferences.fields import check_no_nul
from preferences.records import RankingRecord, Record, RowError, Vote
from preferences.text import MAX_TEXT_CHARACTERS, text_fault


def check_record(record: Record | Vote) -> None:
    """Check that a database can store the record: the length of texts that were joined from several fields,
    and the values in its metadata."""
    if isinstance(record, Vote):
        check_no_nul(record.prompt[1], record.prompt[0])
        for key in record.responses:
            check_no_nul(key.model, "model")
            check_no_nul(key.metadata, "metadata")
        _check_ranking(record.ranking)
        return
    _check_texts(record)
    for name, value in (("metadata", record.metadata), ("task_metadata", record.task_metadata)):
        if value:
            check_no_nul(value, name)
    for number, response in enumerate(record.responses):
        if response.metadata:
            check_no_nul(response.metadata, f"the metadata of response {number}")
        if response.sampling:
            check_no_nul(response.sampling, f"the sampling of response {number}")
    for ranking in record.rankings:
        _check_ranking(ranking)


def _check_texts(record: Record) -> None:
    for name, texts in (
        ("message", [message["content"] for message in record.messages]),
        ("response", [response.text for response in record.responses]),
    ):
        for number, text in enumerate(texts):
            if len(text) > MAX_TEXT_CHARACTERS:
                raise RowError(f"{name} {number} {text_fault(text)}")
    if not any(message["content"].strip() for message in record.messages):
        raise RowError("the prompt contains no text")


def _check_ranking(ranking: RankingRecord) -> None:
    for name, value in (
        ("ratings", ranking.ratings),
        ("flags", ranking.flags),
        ("choices", ranking.choices),
        ("the ranking's metadata", ranking.metadata),
    ):
        if value:
            check_no_nul(value, name)
