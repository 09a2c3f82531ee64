"""Checks that the records of every import format must pass. A failed check raises a RowError."""

from __future__ import annotations

from preferences.fields import check_no_nul
from preferences.records import RankingRecord, Record, RowError, Vote
from preferences.text import MAX_TEXT_CHARACTERS, text_fault


def check_record(record: Record | Vote) -> None:
    """Check that the database can store the record, and that its prompt contains text. The parsers do not
    check everything: text joined from several fields can be too long, and metadata can contain any value."""
    if isinstance(record, Vote):
        check_no_nul(record.prompt[1], record.prompt[0])
        for key in record.responses:
            check_no_nul(key.model, "model")
            check_no_nul(key.metadata, "metadata")
        _check_ranking(record.ranking)
        return
    has_text = False
    for number, message in enumerate(record.messages):
        content = message["content"]
        if len(content) > MAX_TEXT_CHARACTERS:
            raise RowError(f"message {number} {text_fault(content)}")
        has_text = has_text or bool(content and not content.isspace())
    if not has_text:
        raise RowError("the prompt contains no text")
    for number, response in enumerate(record.responses):
        if len(response.text) > MAX_TEXT_CHARACTERS:
            raise RowError(f"response {number} {text_fault(response.text)}")
        if response.metadata:
            check_no_nul(response.metadata, f"the metadata of response {number}")
        if response.sampling:
            check_no_nul(response.sampling, f"`sampling` of response {number}")
    if record.metadata:
        check_no_nul(record.metadata, "metadata")
    if record.task_metadata:
        check_no_nul(record.task_metadata, "task_metadata")
    for ranking in record.rankings:
        _check_ranking(ranking)


def _check_ranking(ranking: RankingRecord) -> None:
    if ranking.ratings:
        check_no_nul(ranking.ratings, "ratings")
    if ranking.flags:
        check_no_nul(ranking.flags, "flags")
    if ranking.choices:
        check_no_nul(ranking.choices, "choices")
    if ranking.metadata:
        check_no_nul(ranking.metadata, "the ranking's metadata")
