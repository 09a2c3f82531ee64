"""Open-Assistant's sampling reports, which have no human labels. A prompt has one response per model, or many
samples of one model."""

from __future__ import annotations

from collections.abc import Mapping

from preferences.fields import given, kind, label_of, list_of, metadata_of, prompt_messages, text_of
from preferences.records import ImportFormat, Parsed, Record, ResponseRecord, Row, RowError

KNOWN_FIELDS = frozenset({"prompt", "responses", "samples", "metadata"})
MAX_SAMPLES = 1000


def recognises(row: Row) -> bool:
    responses = row.get("responses", row.get("samples"))
    return (
        isinstance(row.get("prompt"), str)
        and isinstance(responses, list)
        and bool(responses)
        and all(isinstance(item, dict) and "response" in item for item in responses)
    )


def parse(row: Row) -> Parsed:
    name = "responses" if given(row.get("responses")) else "samples"
    found = list_of(row.get(name), name)
    if not 1 <= len(found) <= MAX_SAMPLES:
        raise RowError(f"{name} has {len(found)} responses; the number must be from 1 to {MAX_SAMPLES}")
    model = label_of(row.get("model"), "model")
    return [
        Record(
            messages=prompt_messages(row.get("prompt")),
            responses=tuple(_response(item, f"{name}.{index}", model) for index, item in enumerate(found)),
            metadata=metadata_of(row, KNOWN_FIELDS if name == "responses" else KNOWN_FIELDS | {"model"}),
        )
    ]


def _response(item: object, where: str, model: str) -> ResponseRecord:
    if not isinstance(item, Mapping):
        raise RowError(f"{where} must be an object with model and response, not {kind(item)}")
    sampling = {
        name: item[key]
        for name, key in (("config", "sampling_config"), ("index", "sample_index"))
        if given(item.get(key))
    }
    metadata_of(sampling, frozenset())  # raises RowError for values that can't be stored
    return ResponseRecord(
        text=text_of(item.get("response"), f"{where}.response"),
        model=label_of(item.get("model"), f"{where}.model") or model,
        sampling=sampling,
    )


FORMAT = ImportFormat(
    name="oasst-models",
    title="Open-Assistant sampling reports: one response per model, or many samples of one model "
    "(JSON Lines)",
    reads="Each prompt becomes a task that is open for ranking. If there are more than ten distinct"
    " responses, they are divided among several tasks of nearly equal size.",
    loses="The sample's index, if two samples of a model have the same text and therefore become "
    "one response.",
    example='{"prompt": "…", "responses": [{"model": "…", "sampling_config": "…", "response": "…"}]}',
    recognises=recognises,
    parse=parse,
)
