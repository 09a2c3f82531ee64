"""Open-Assistant's sampling reports: a prompt, one response per model, no human labels (material to rank)."""

from __future__ import annotations

from collections.abc import Mapping

from annotation.formats.records import (
    ImportFormat,
    Record,
    ResponseRecord,
    Row,
    RowError,
    check_response_count,
    kind,
    label_of,
    list_of,
    metadata_of,
    prompt_messages,
    text_of,
)

KNOWN_FIELDS = frozenset({"prompt", "responses", "metadata"})


def recognises(row: Row) -> bool:
    responses = row.get("responses")
    return (
        isinstance(row.get("prompt"), str)
        and isinstance(responses, list)
        and bool(responses)
        and all(isinstance(item, dict) and "response" in item for item in responses)
    )


def parse(row: Row) -> Record:
    given = list_of(row.get("responses"), "responses")
    check_response_count(len(given))
    return Record(
        messages=prompt_messages(row.get("prompt")),
        responses=tuple(_response(item, f"responses.{index}") for index, item in enumerate(given)),
        metadata=metadata_of(row, KNOWN_FIELDS),
    )


def _response(item: object, where: str) -> ResponseRecord:
    if not isinstance(item, Mapping):
        raise RowError(f"{where} must be an object with model and response, not {kind(item)}")
    config = label_of(item.get("sampling_config"), f"{where}.sampling_config")
    return ResponseRecord(
        text=text_of(item.get("response"), f"{where}.response"),
        model=label_of(item.get("model"), f"{where}.model"),
        sampling={"config": config} if config else {},
    )


FORMAT = ImportFormat(
    name="oasst-models",
    title="Open-Assistant sampling reports, one response per model (JSON Lines)",
    example='{"prompt": "…", "responses": [{"model": "…", "sampling_config": "…", "response": "…"}]}',
    recognises=recognises,
    parse=parse,
)
