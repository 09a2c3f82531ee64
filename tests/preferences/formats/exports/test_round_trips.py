"""Rankings from real files survive import and export. Rankloop's formats lose nothing. Other formats lose
only the parts that they can't express."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import export_snapshot
from annotation.datasets.pseudonyms import Pseudonyms
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import DatasetSnapshot, Project
from annotation.projects.projects import create_project
from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS
from preferences.formats.recognition import read_records
from preferences.formats.writers.csv_file import neutralised, restored
from preferences.formats.writers.rewardbench import prompt_text
from preferences.records import RankingRecord, Record, ResponseRecord, Vote
from tests.annotation.real_data import HH_FILES, hh_file, real_file

pytestmark = pytest.mark.django_db

RANKED = [
    *(f"hh-rlhf/{name}.jsonl.gz" for name in HH_FILES),
    "annotators/pandalm-testset-v1.jsonl.gz",
    "annotators/tulu1-human-eval.jsonl.gz",
    "annotators/squality-human-eval.jsonl.gz",
    "kway/oasst-en-ranked-trees.jsonl.gz",
    "kway/oasst-zh-ranked.jsonl.gz",
    "kway/qa-feedback-4way.jsonl.gz",
]
UNRANKED = ["kway/oasst-8-models.jsonl.gz", "kway/oasst-best-of-11.jsonl.gz", "prompts/instructions.jsonl.gz"]


@pytest.fixture
def wishes() -> Project:
    return create_project(slug="wishes")


def exported(snapshot: DatasetSnapshot, format: str) -> bytes:
    return b"".join(export_snapshot(snapshot=snapshot, format=format))


def rows_of(snapshot: DatasetSnapshot) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(snapshot, "ranking").splitlines()]


def imported(data: bytes, slug: str, *, format: str | None = None) -> DatasetSnapshot:
    project = create_project(slug=slug)
    report = import_file(project=project, file=io.BytesIO(data), format=format)
    assert not report.failed, report.errors[:3]
    return freeze_snapshot(project=project, name="v1", selection={"gold": "included"})


def saying(messages: Any, tiers: Sequence[Sequence[Any]], **rest: Any) -> str:
    """A ranking in a comparable form: each response is identified by its text and model."""
    return json.dumps([messages, [sorted(tier) for tier in tiers], rest], sort_keys=True, ensure_ascii=False)


def said_by_row(row: dict[str, Any]) -> str:
    shown = [(response["text"], response["model"]) for response in row["responses"]]
    keys = [response["id"] for response in row["responses"]]
    return saying(
        row["messages"],
        [[shown[index] for index in tier] for tier in row["tiers"]],
        annotator=row["annotator"],
        strength=row["strength"],
        ratings=sorted((*shown[keys.index(id)], value) for id, value in row["ratings"].items()),
        flags=sorted((*shown[keys.index(id)], value) for id, value in row["flags"].items()),
        choices=row["choices"],
        confidence=row["confidence"],
        not_rankable=row["not_rankable"],
        all_bad=row["all_bad"],
        comment=row["comment"],
        rewrite=row["rewrite"],
        duration_ms=row["duration_ms"],
        given_at=row["given_at"],
    )


def said_by_file(project: Project, record: Record, ranking: RankingRecord) -> str:
    """A ranking read from a file, in the comparable form of `saying`. A repeated response appears once, at
    its best position."""

    def key(item: ResponseRecord) -> tuple[str, str]:
        return item.text, item.model

    seen: set[tuple[str, str]] = set()
    tiers = []
    for tier in ranking.tiers:
        members = {key(record.responses[index]) for index in tier} - seen
        seen |= members
        if members:
            tiers.append(sorted(members))
    return saying(
        list(record.messages),
        tiers,
        annotator=Pseudonyms(project).of(annotator_id=None, label=ranking.annotator),
        strength=ranking.strength,
        ratings=sorted((*key(record.responses[index]), value) for index, value in ranking.ratings.items()),
        flags=sorted((*key(record.responses[index]), value) for index, value in ranking.flags.items()),
        choices=ranking.choices,
        confidence=ranking.confidence,
        not_rankable=ranking.not_rankable,
        all_bad=ranking.all_bad,
        comment=ranking.comment,
        rewrite=ranking.rewrite,
        duration_ms=ranking.duration_ms,
        given_at=ranking.given_at and ranking.given_at.isoformat(),
    )


def in_the_file(path: Path, project: Project) -> set[str]:
    """The current rankings in the file. If an annotator ranked the same responses several times, only the
    last ranking is current."""
    found: dict[Any, tuple[Any, str]] = {}
    for number, (record, ranking) in enumerate(rankings_in(path)):
        said = said_by_file(project, record, ranking)
        shown = frozenset((item.text, item.model) for item in record.responses)
        who = (json.dumps(record.messages), shown, ranking.annotator) if ranking.annotator else said
        when = (ranking.given_at.isoformat() if ranking.given_at else "", number)
        found[who] = max(found.get(who, (when, said)), (when, said))
    return {said for _, said in found.values()}


def rankings_in(path: Path) -> Iterator[tuple[Record, RankingRecord]]:
    with path.open("rb") as stream:
        _, lines = read_records(stream)
        for line in lines:
            assert not line.reason
            for record in line.records:
                assert isinstance(record, Record)
                distinct = {(item.text, item.model) for item in record.responses}
                for ranking in record.rankings if len(distinct) > 1 else ():
                    yield record, ranking


@pytest.mark.parametrize("name", RANKED)
def test_real_file_survives_import_and_snapshot_and_export(wishes: Project, name: str) -> None:
    path = real_file(name)
    report = import_file(project=wishes, file=path)
    snapshot = freeze_snapshot(project=wishes, name="v1")
    rows = rows_of(snapshot)
    said = sorted(map(said_by_row, rows))
    assert set(said) == in_the_file(path, wishes)
    again = next((quirk.count for quirk in report.quirks if quirk.name == "same-annotator-again"), 0)
    assert len(said) == report.rankings - again > 0
    back = rows_of(imported(exported(snapshot, "ranking"), "back"))
    assert sorted(map(said_by_row, back)) == said
    assert [whole(row) for row in back] == [whole(row) for row in rows]


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its database IDs, time of creation and round. Ratings and flags are keyed by the
    response's index."""
    own = {"ranking_id", "task_id", "prompt_id", "created_at", "ratings", "flags", "responses", "round"}
    keys = [response["id"] for response in row["responses"]]
    return {
        **{name: value for name, value in row.items() if name not in own},
        "responses": [{**response, "id": ""} for response in row["responses"]],
        "ratings": {keys.index(id): value for id, value in row["ratings"].items()},
        "flags": {keys.index(id): value for id, value in row["flags"].items()},
    }


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize(
    "name", ["annotators/squality-human-eval.jsonl.gz", "annotators/tulu1-human-eval.jsonl.gz"]
)
def test_csv_and_parquet_exports_are_imported_completely(wishes: Project, name: str, format: str) -> None:
    import_file(project=wishes, file=real_file(name))
    snapshot = freeze_snapshot(project=wishes, name="v1")
    back = imported(exported(snapshot, format), "back")
    assert [whole(row) for row in rows_of(back)] == [whole(row) for row in rows_of(snapshot)]


def test_mt_bench_votes_survive_a_round_trip(wishes: Project) -> None:
    import_file(project=wishes, file=real_file("annotators/mt-bench-responses.jsonl.gz"))
    path = real_file("annotators/mt-bench-votes.jsonl.gz")
    report = import_file(project=wishes, file=path)
    snapshot = freeze_snapshot(project=wishes, name="v1")
    rows = rows_of(snapshot)
    assert report.rankings > 2000
    with path.open("rb") as stream:
        votes = [vote for line in read_records(stream)[1] for vote in line.records]
    # If a judge voted twice on the same two answers, only the later vote is kept.
    expected = {}
    for vote in votes:
        assert isinstance(vote, Vote)
        answers = [(item.model, item.metadata["turn"]) for item in vote.responses]
        who = Pseudonyms(wishes).of(annotator_id=None, label=vote.ranking.annotator)
        tiers = [sorted(answers[index] for index in tier) for tier in vote.ranking.tiers]
        expected[vote.prompt[1], who, tuple(sorted(answers))] = tiers
    found = {}
    for row in rows:
        answers = [(item["model"], item["metadata"]["turn"]) for item in row["responses"]]
        number = row["prompt_metadata"][votes[0].prompt[0]]
        tiers = [sorted(answers[index] for index in tier) for tier in row["tiers"]]
        found[number, row["annotator"], tuple(sorted(answers))] = tiers
    assert found == expected
    assert len(found) == len(rows)
    back = rows_of(imported(exported(snapshot, "ranking"), "back"))
    assert [whole(row) for row in back] == [whole(row) for row in rows]


@pytest.mark.parametrize("name", UNRANKED)
def test_files_without_rankings_are_imported_without_errors(wishes: Project, name: str) -> None:
    report = import_file(project=wishes, file=real_file(name))
    assert report.rankings == 0
    assert not report.failed


def test_hh_lines_are_exported_byte_for_byte(wishes: Project) -> None:
    path = hh_file("helpful-rejection-sampled.test")
    import_file(project=wishes, file=path)
    written = exported(freeze_snapshot(project=wishes, name="v1"), "hh_rlhf").decode().splitlines()
    with gzip.open(path, "rt") as stream:
        given = [json.loads(line) for line in stream]
    expected = {json.dumps(row) for row in given if row["chosen"] != row["rejected"]}
    assert {json.dumps(json.loads(line)) for line in written} == expected


ODD = '=HYPERLINK("http://x","y")'
ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "Hi, “you” – ü\u200b\U0001f600\u2028"},
            {"role": "assistant", "content": "Yes?\n\n- a"},
            {"role": "user", "content": "+1?"},
        ],
        "responses": [
            {"text": ODD, "model": "m1"},
            {"text": "'=1", "model": "-m2"},
            {"text": '\t@b,"c"\r\nd'},
        ],
        "tiers": [[0, 2], [1]],
        "annotator": "kim",
        "strength": -2,
        "ratings": {"0": {"help": 4}},
        "flags": {"1": ["=bad"]},
        "comment": "@SUM(1)",
        "rewrite": "''+x",
        "duration_ms": 0,
    },
    {"prompt": "Top one", "responses": ["a", "", "c"], "tiers": [[1]], "annotator": "kim"},
    {"prompt": "Neither", "responses": ["x", "y"], "not_rankable": True, "annotator": "lee"},
    {"prompt": "Bad", "responses": ["x", "y"], "all_bad": True, "annotator": "lee", "rewrite": "Good."},
    {"prompt": "Ties", "responses": ["x", "y"], "tiers": [[0, 1]], "annotator": "lee"},
    {"prompt": "Again", "responses": ["x", "y", "z"], "tiers": [[2], [1], [0]], "annotator": "lee"},
    {"prompt": "Again", "responses": ["x", "y", "z"], "tiers": [[0], [1], [2]], "annotator": "kim"},
    {"prompt": "Again", "responses": ["x", "y", "z"], "comment": "+z is rude", "annotator": "kim"},
    {
        "prompt": "Rated",
        "responses": ["x", "y"],
        "ratings": {"0": {"help": 4}, "1": {"help": 1.5}},
        "flags": {"1": ["=bad"]},
        "choices": {"safe": "no"},
        "confidence": 2,
        "annotator": "kim",
        "duration_ms": 5,
        "given_at": "2024-02-03T04:05:06+00:00",
    },
    {"prompt": "Rated", "responses": ["x", "y"], "rewrite": "'=z", "annotator": "lee"},
    {
        "prompt": "Known",
        "responses": ["x", "y"],
        "tiers": [[0, 1]],
        "gold_tiers": [[1], [0]],
        "annotator": "kim",
    },
    {
        "prompt": "Check",
        "responses": ["x", "y", "z"],
        "tiers": [[2], [0], [1]],
        "gold_tiers": [[2], [0, 1]],
        "task_kind": "gold",
        "annotator": "kim",
    },
]


def odd_rows(project: Project) -> DatasetSnapshot:
    report = import_file(project=project, file=io.BytesIO("\n".join(map(json.dumps, ROWS)).encode()))
    assert not report.failed, report.errors
    return freeze_snapshot(project=project, name="v1", selection={"gold": "included"})


@pytest.mark.parametrize("format", ["ranking", "csv", "parquet"])
def test_rankloop_formats_lose_nothing(wishes: Project, format: str) -> None:
    snapshot = odd_rows(wishes)
    back = imported(exported(snapshot, format), "back")
    assert [whole(row) for row in rows_of(back)] == [whole(row) for row in rows_of(snapshot)]


def test_csv_export_has_no_formula_cells(wishes: Project) -> None:
    import csv

    data = exported(odd_rows(wishes), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(data, newline="")))
    assert rows[0]["response_1"] == "'" + ODD
    cells = [cell for row in rows for name, cell in row.items() if name not in {"strength"} and cell]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
    assert rows[0]["strength"] == "-2"


@pytest.mark.parametrize(
    "text", ["", "a", "'", "'a", "=1", "'=1", "''=1", "\t", "'\r", "-", "+", "@x", "a=1", "\n"]
)
def test_neutralised_text_is_not_a_formula_and_is_restored(text: str) -> None:
    safe = neutralised(text)
    assert not safe or safe[0] not in "=+-@\t\r\n"
    assert restored(safe) == text


FOREIGN = sorted(
    name
    for name, known in EXPORT_FORMATS.items()
    if known.imports_as and known.imports_as not in {"rankloop", "prompts", "rewardbench"}
)


@pytest.mark.parametrize("format", FOREIGN)
def test_strict_pairs_survive_a_round_trip_through_other_formats(wishes: Project, format: str) -> None:
    snapshot = odd_rows(wishes)
    known = EXPORT_FORMATS[format]
    assert known.imports_as in IMPORT_FORMATS
    data = exported(snapshot, format)
    if known.suffix == ".json":  # one array, as Label Studio requires
        data = b"\n".join(json.dumps(task).encode() for task in json.loads(data))
    back = imported(data, "back", format=known.imports_as)
    first = strict_pairs(rows_of(snapshot))
    second = strict_pairs(rows_of(back))
    assert second == first
    if format in {"oasst_trees", "label_studio_ranker", "argilla"}:  # complete rankings, including ties
        orders = [
            {said for row in found if row["tiers"] and (said := order(row))}
            for found in (rows_of(snapshot), rows_of(back))
        ]
        if format != "label_studio_ranker":  # the other two formats tie unranked responses
            orders = [{said for said in found if "Top one" not in said} for found in orders]
        assert orders[0] == orders[1]


def test_rewardbench_export_keeps_which_responses_are_best(wishes: Project) -> None:
    """As documented, each conversation becomes one text, and the order below the first tier is lost."""
    snapshot = odd_rows(wishes)
    back = imported(exported(snapshot, "rewardbench"), "back", format="rewardbench")
    expected = set()
    for row in rows_of(snapshot):
        best = row["tiers"][0] if row["tiers"] else []
        others = set(range(len(row["responses"]))) - set(best)
        prompt = [{"role": "user", "content": prompt_text(row["messages"])}]
        texts = [response["text"] for response in row["responses"]]
        if not row["all_bad"]:
            expected |= {json.dumps([prompt, texts[one], texts[two]]) for one in best for two in others}
    assert strict_pairs(rows_of(back)) == expected != set()


def order(row: dict[str, Any]) -> str:
    texts = [response["text"] for response in row["responses"]]
    return json.dumps([row["messages"], [sorted(texts[index] for index in tier) for tier in row["tiers"]]])


def strict_pairs(rows: list[dict[str, Any]]) -> set[str]:
    found = set()
    for row in rows:
        texts = [response["text"] for response in row["responses"]]
        tiers = [*row["tiers"], row["unranked"]]
        for place, tier in enumerate(tiers):
            for better in tier:
                for below in tiers[place + 1 :]:
                    found |= {json.dumps([row["messages"], texts[better], texts[worse]]) for worse in below}
    return found
