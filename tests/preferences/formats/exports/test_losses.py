"""Each export format loses exactly the parts that it declares as lost. The tests export a snapshot with every
part of a ranking, and read the export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from preferences.formats.catalog import EXPORT_FORMATS
from preferences.formats.export_format import ExportFormat, SnapshotFile
from preferences.formats.losses import Part, all_but, sentence_of
from preferences.formats.recognition import read_records
from preferences.formats.snapshot_parquet import SCHEMA, write_rankings
from preferences.pairs import unranked_of
from preferences.records import RankingRecord, Record, ResponseRecord, TrainingFields

Said = list[tuple[Record, RankingRecord]]

USER = {"role": "user", "content": "Full?"}
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, USER]
SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "System?"}]
TOOL = [
    {"role": "user", "content": "Sum?"},
    {"role": "assistant", "content": '{"name": "add"}'},
    {"role": "tool", "content": "4"},
    {"role": "user", "content": "Tool?"},
]
GIVEN_AT = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
REWRITE = "A better answer."
ANNOTATOR = "annotator-0123456789ab"
# The readers of pairs sort responses by the hashes of their texts. These texts are in a different order.
TEXTS = ("Best", "Worst", "Middle")
SAID: dict[str, Any] = {
    "strength": 2,
    "ratings": {"0": {"help": 4}, "1": {"help": 1}},
    "flags": {"1": ["unsafe"]},
    "choices": {"safe": "no"},
    "confidence": 3,
    "comment": "The second is rude.",
    "rewrite": REWRITE,
}

# Each of these parts is enough for a ranking without an order.
ALONE = ("ratings", "flags", "choices", "confidence", "comment", "rewrite", "ranking_metadata")
RATED = {"ratings": {"0": {"help": 4}}}
DEVICE = {"device": "phone"}
SILENT: dict[str, Any] = {"ranking_metadata": {}}


def row(name: str, tiers: Sequence[Sequence[int]], count: int = 3, **changes: Any) -> dict[str, Any]:
    """A snapshot's row with the prompt "NAME?". Ratings and flags are keyed by the response's index."""
    ids = [f"{name}-{index}" for index in range(count)]
    for field in ("ratings", "flags"):
        changes[field] = {ids[int(index)]: value for index, value in changes.get(field, {}).items()}
    found = {
        **{field.name: None for field in SCHEMA},
        "ranking_id": f"ranking-{name}",
        "task_id": f"task-{name}",
        "prompt_id": f"prompt-{name}",
        "prompt_hash": f"hash-{name}",
        "split": "heldout",
        "messages": [{"role": "user", "content": f"{name}?"}],
        "responses": [
            {
                "id": id,
                "text": text,
                "model": f"model-{index}",
                "sampling": json.dumps({"temperature": index}),
                "metadata": json.dumps({"length": index}),
            }
            for index, (id, text) in enumerate(zip(ids, TEXTS, strict=False))
        ],
        "tiers": tiers,
        "unranked": unranked_of(range(count), tiers),
        "annotator": ANNOTATOR,
        "source": "api",
        "round": 2,
        "not_rankable": False,
        "all_bad": False,
        "comment": "",
        "touched": True,
        "duration_ms": 9000,
        "weight": 0.5,
        "created_at": GIVEN_AT,
        "choices": {},
        "kind": "annotation",
        "task_kind": "ranking",
        "given_at": GIVEN_AT,
        "prompt_metadata": {"topic": "pets"},
        "task_metadata": {"batch": 1},
        "ranking_metadata": DEVICE,
        "votes": 3,
        "decided_by": "",
        **changes,
    }
    for field, value in found.items():
        if isinstance(value, dict):
            found[field] = json.dumps(value)
    return found


ROWS = [
    row("Full", [[0], [2], [1]], messages=TURNS, **SAID),
    row("Pair", [[1], [0]], count=2, **RATED),
    row("Tie", [[0, 1]], count=2),
    row("Few", [[1]]),
    row("Neither", [], not_rankable=True),
    row("Bad", [], all_bad=True),
    row("Opinion", [], **{**SAID, "strength": None}),
    *(row(f"Only {name}", [], **{**SILENT, name: SAID.get(name, DEVICE)}) for name in ALONE),
    row("Known", [[0], [1]], count=2, gold_tiers=[[1], [0]], task_kind="gold"),
    row("System", [[0], [1]], count=2, messages=SYSTEM, **RATED),
    row("Tool", [[0], [1]], count=2, messages=TOOL, **RATED),
]
CARD: dict[str, Any] = {
    "name": "v1",
    "project": "pets",
    "file": "rankings.parquet",
    "frozen_at": "2024-02-03T04:05:06+00:00",
    "sha256": "0",
    "selection": {"aggregation": "weighted"},
    "with_strength": 2,
    "rewrites": 2,
    "comparisons": 10,
    "ties": 1,
    "responses_per_ranking": {"2": 5, "3": 5},
    "splits": {},
    "sources": {},
    "rounds": {},
    "responses_by_model": {},
    "ratings": {"help": {}},
    "form": {"ratings": [{"name": "help", "min": 0, "max": 4}]},
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> SnapshotFile:
    path = tmp_path_factory.mktemp("snapshot") / "rankings.parquet"
    write_rankings(path, ROWS)
    return SnapshotFile(path, CARD)


def read_back(data: bytes, known: ExportFormat) -> Iterator[Record]:
    """The records in an export. An export that can't be imported contains one answer per line."""
    if not known.imports_as:
        for line in data.splitlines():
            example = json.loads(line)
            text = example["completion"][0]["content"]
            ranking = RankingRecord(
                (),
                rewrite=text if example.get("source") == "rewrite" else None,
                external_id=example["ranking_id"],
                training=TrainingFields(split=example["split"]),
            )
            yield Record(tuple(example["prompt"]), (ResponseRecord(text),), (ranking,))
        return
    _, read = read_records(io.BytesIO(data), known.imports_as)
    for records in read:
        assert not records.reason
        for record in records.records:
            assert isinstance(record, Record)
            yield record


class Found:
    """The records of an export. The methods find records by the name in the last turn of the prompt."""

    def __init__(self, records: Iterator[Record]) -> None:
        self.records = list(records)

    def of(self, name: str) -> list[Record]:
        return [record for record in self.records if f"{name}?" in record.messages[-1]["content"]]

    def said(self, name: str) -> Said:
        return [(record, ranking) for record in self.of(name) for ranking in record.rankings]

    def has(self, name: str, field: str, value: Any) -> bool:
        """Whether the field has this value in every ranking of the prompt."""
        said = self.said(name)
        return bool(said) and all(getattr(ranking, field) == value for _, ranking in said)

    def has_by_text(self, field: str) -> bool:
        """Whether a ranking of the prompt "Full?" gives each response the same ratings or flags as the
        snapshot does."""
        given = {TEXTS[int(index)]: value for index, value in SAID[field].items()}
        return any(
            {record.responses[index].text: value for index, value in getattr(ranking, field).items()} == given
            for record, ranking in self.said("Full")
        )

    def has_alone(self, name: str) -> bool:
        """Whether this part keeps its snapshot value in a ranking that has no order and no other part."""
        said = self.said(f"Only {name}")
        return bool(said) and all(self._has_alone(name, record, ranking) for record, ranking in said)

    def _has_alone(self, name: str, record: Record, ranking: RankingRecord) -> bool:
        given = SAID.get(name, DEVICE)
        value = getattr(ranking, "metadata" if name == "ranking_metadata" else name)
        if name in ("ratings", "flags"):
            given = {TEXTS[int(index)]: inner for index, inner in given.items()}
            value = {record.responses[index].text: inner for index, inner in value.items()}
        return not ranking.has_order and bool(value == given)

    def trained(self, field: str, value: Any) -> bool:
        said = self.said("Pair")
        return bool(said) and all(getattr(ranking.training, field) == value for _, ranking in said)

    def orders(self, name: str) -> list[list[list[str]]]:
        return [
            [sorted(record.responses[index].text for index in tier) for tier in ranking.tiers]
            for record, ranking in self.said(name)
        ]

    def described(self, field: str, values: Mapping[str, Any]) -> bool:
        """Whether, for each response of the pair, the field has the value that `values` contains for the
        response's text."""
        return any(
            {response.text: getattr(response, field) for response in record.responses} == values
            for record in self.of("Pair")
        )


def kept(found: Found) -> dict[Part, bool]:
    pair = found.of("Pair")
    messages = [list(record.messages) for record in found.records]
    texts = {response.text for record in found.of("Full") for response in record.responses}
    return {
        Part.CONVERSATIONS: TURNS in messages,
        Part.SYSTEM_TURNS: SYSTEM in messages,
        Part.TOOL_TURNS: TOOL in messages,
        Part.PROMPT_METADATA: any(record.metadata == {"topic": "pets"} for record in pair),
        Part.TASK_METADATA: any(record.task_metadata == {"batch": 1} for record in pair),
        Part.KNOWN_ANSWERS: any(
            record.gold_tiers == ((1,), (0,)) and record.task_kind == "gold" for record in found.of("Known")
        ),
        Part.SPLIT: found.trained("split", "heldout")
        or any(record.metadata.get("split") == "heldout" for record in pair),
        Part.RESPONSES: texts >= set(TEXTS),
        Part.DISPLAY_ORDER: any(
            tuple(response.text for response in record.responses) == TEXTS for record in found.of("Full")
        ),
        Part.MODELS: found.described("model", {"Best": "model-0", "Worst": "model-1"}),
        Part.SAMPLING: found.described("sampling", {"Best": {"temperature": 0}, "Worst": {"temperature": 1}}),
        Part.RESPONSE_METADATA: found.described("metadata", {"Best": {"length": 0}, "Worst": {"length": 1}}),
        Part.PREFERENCES: found.orders("Pair") == [[["Worst"], ["Best"]]],
        Part.LONG_ORDERS: found.orders("Full") == [[["Best"], ["Middle"], ["Worst"]]],
        Part.TIES: found.orders("Tie") == [[["Best", "Worst"]]],
        Part.UNRANKED: found.orders("Few") == [[["Worst"]]] and len(found.of("Few")[0].responses) == 3,
        Part.NOT_RANKABLE: found.has("Neither", "not_rankable", True),
        Part.ALL_BAD: found.has("Bad", "all_bad", True),
        Part.NO_ORDER: all(found.has_alone(name) for name in ALONE),
        Part.STRENGTH: any(one.strength == 2 for _, one in found.said("Full")),
        Part.RATINGS: found.has_by_text("ratings"),
        Part.FLAGS: found.has_by_text("flags"),
        Part.CHOICES: found.has("Full", "choices", SAID["choices"]),
        Part.CONFIDENCE: found.has("Full", "confidence", 3),
        Part.COMMENT: found.has("Full", "comment", SAID["comment"]),
        Part.REWRITE: found.has("Full", "rewrite", REWRITE),
        Part.ANNOTATOR: found.has("Pair", "annotator", ANNOTATOR)
        and all(one.annotator == ANNOTATOR for _, one in found.said("Opinion")),
        Part.DURATION: found.has("Pair", "duration_ms", 9000),
        Part.GIVEN_AT: found.has("Pair", "given_at", GIVEN_AT),
        Part.RANKING_ID: found.has("Pair", "external_id", "ranking-Pair"),
        Part.RANKING_METADATA: found.has("Pair", "metadata", {"device": "phone"}),
        Part.WEIGHT: found.trained("weight", 0.5),
        Part.ROUND: found.trained("round", 2),
        Part.SOURCE: found.trained("source", "api"),
        Part.VOTES: found.trained("votes", 3),
    }


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_export_loses_exactly_the_declared_parts(snapshot: SnapshotFile, name: str) -> None:
    known = EXPORT_FORMATS[name]
    found = kept(Found(read_back(b"".join(known.write(snapshot, {})), known)))
    assert set(found) == set(Part)
    lost = {part for part, is_kept in found.items() if not is_kept}
    assert sorted(lost - known.loses) == []  # lost, but not declared
    assert sorted(known.loses - lost) == []  # declared, but kept


def test_ranking_and_csv_and_parquet_exports_contain_every_snapshot_column(snapshot: SnapshotFile) -> None:
    written = {
        name: b"".join(EXPORT_FORMATS[name].write(snapshot, {})) for name in ("ranking", "csv", "parquet")
    }
    lines = [json.loads(line) for line in written["ranking"].splitlines()]
    assert all(list(line) == SCHEMA.names for line in lines)
    assert written["parquet"] == snapshot.path.read_bytes()
    header = next(csv.reader(io.StringIO(written["csv"].decode(), newline="")))
    assert {*SCHEMA.names} - {"responses"} < {*header}
    assert {"response_3", "model_3", "sampling", "response_metadata"} < {*header}


def test_documentation_lists_the_lost_parts_in_a_sentence() -> None:
    assert sentence_of(frozenset()) == "Nothing."
    assert sentence_of({Part.TIES}) == "Ties."
    assert sentence_of({Part.STRENGTH, Part.TIES, Part.RATINGS}) == "Ties, strength and ratings."
    assert sentence_of(all_but(Part.TIES, Part.RESPONSES)) == "Everything except responses and ties."
