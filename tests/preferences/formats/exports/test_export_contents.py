"""Each export format writes the parts of a ranking that it can express. The other parts are left out as
documented, never invented."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import export_snapshot, refused_exports
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Project
from annotation.projects.projects import create_project
from config.problems import Problem
from tests.field_cases import case
from tests.preferences.formats.exports.exporting import ROWS, TURNS, exported, frozen, lines

pytestmark = pytest.mark.django_db


def test_unranked_responses_lose_only_to_ranked_responses(wishes: Project) -> None:
    rows = lines(frozen(wishes, ROWS[1:2]), "trl_preference")
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [
        ("b", "a"),
        ("b", "c"),
    ]


def test_labels_follow_ratings_except_that_flagged_responses_are_undesirable(wishes: Project) -> None:
    snapshot = frozen(wishes)
    rows = lines(snapshot, "trl_unpaired")
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [
        ("4", True),
        ("5", False),
        ("four", False),  # rated exactly in the middle, but flagged
    ]
    assert rows[0]["prompt"] == TURNS
    strict = lines(snapshot, "trl_unpaired", scale="help", threshold="4.5")
    assert [row["label"] for row in strict] == [False, False, False]


def test_labels_follow_flags_if_there_are_no_ratings(wishes: Project) -> None:
    snapshot = frozen(wishes, [{**ROWS[5], "flags": {"0": ["unsafe"]}}])
    rows = lines(snapshot, "trl_unpaired")
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [("a", False), ("b", True)]


def test_ranking_with_only_a_comment_gets_no_labels(wishes: Project) -> None:
    flagged = {"prompt": "Hi?", "responses": ["a", "b"], "flags": {"0": ["unsafe"]}, "annotator": "kim"}
    commented = {"prompt": "Bye?", "responses": ["c", "d"], "comment": "Fine.", "annotator": "kim"}
    rows = lines(frozen(wishes, [flagged, commented]), "trl_unpaired")
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [("a", False), ("b", True)]


def test_ranking_with_only_an_order_gets_no_labels(wishes: Project) -> None:
    snapshot = frozen(wishes, ROWS[5:7])
    with pytest.raises(Problem, match="a chosen response can still be bad") as refusal:
        exported(snapshot, "trl_unpaired")
    assert refusal.value.type == "export-refused"
    assert list(refused_exports(snapshot)) == ["trl_unpaired"]
    assert refused_exports(frozen(create_project(slug="ties"), ROWS[2:3])).keys() >= {
        "trl_preference",
        "hh_rlhf",
    }


def test_ranking_that_ties_all_responses_has_no_pairs() -> None:
    project = create_project(slug="only-ties")
    report = import_file(project=project, file=case("25-k-way-ties-only") / "input.jsonl")
    assert (report.rankings, report.failed) == (4, 0)
    snapshot = freeze_snapshot(project=project, name="v1")
    with pytest.raises(Problem) as refusal:
        exported(snapshot, "trl_preference")
    assert refusal.value.type == "export-refused"
    assert "No ranking in the snapshot puts one response above another" in refusal.value.detail


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"scale": "wit"}, "scale", "rated scales: help"),
        ({"threshold": "high"}, "threshold", "is not a valid value"),
        ({"threshold": "nan"}, "threshold", "is not a valid value"),
        ({"colour": "red"}, "colour", "no such option"),
    ],
)
def test_error_names_the_invalid_option(
    wishes: Project, options: dict[str, str], field: str, reason: str
) -> None:
    with pytest.raises(Problem) as refusal:
        exported(frozen(wishes), "trl_unpaired", **options)
    (error,) = refusal.value.errors
    assert error.field == field
    assert reason in error.reason


def test_scale_without_bounds_needs_a_threshold(wishes: Project) -> None:
    row = {**ROWS[0], "ratings": {"0": {"wit": 70}, "1": {"wit": 30}}, "flags": {}}
    snapshot = frozen(wishes, [row])
    with pytest.raises(Problem, match="Set a threshold"):
        exported(snapshot, "trl_unpaired")
    assert [row["label"] for row in lines(snapshot, "trl_unpaired", threshold="50")] == [True, False]


def test_single_split_can_be_exported(wishes: Project) -> None:
    rows = [{**ROWS[5], "prompt": f"Question {n}"} for n in range(60)]
    snapshot = frozen(wishes, rows)
    halves = [
        {row["prompt"][0]["content"] for row in lines(snapshot, "trl_prompt", split=split)}
        for split in ("train", "heldout")
    ]
    counts = snapshot.card["splits"]
    assert [len(half) for half in halves] == [counts["train"], counts["heldout"]]
    assert halves[0] | halves[1] == {row["prompt"] for row in rows}
    assert {row["split"] for row in lines(snapshot, "ranking", split="heldout")} == {"heldout"}
    for format, value in (("trl_prompt", "test"), ("parquet", "train")):
        with pytest.raises(Problem) as refusal:
            exported(snapshot, format, split=value)
        assert refusal.value.errors[0].field == "split"


def test_each_prompt_is_written_once(wishes: Project) -> None:
    rows = lines(frozen(wishes), "trl_prompt")
    assert [row["prompt"][-1]["content"] for row in rows] == [
        "What is 2+2?",
        "Top one",
        "All alike?",
        "Neither",
        "Bad",
        "Again?",
        "Why?",
    ]


def test_only_good_answers_become_demonstrations(wishes: Project) -> None:
    rows = lines(frozen(wishes), "trl_sft")
    said = [(row["prompt"][-1]["content"], row["completion"][0]["content"], row["source"]) for row in rows]
    assert said == [
        ("What is 2+2?", "4", "best"),  # "four" is equally good, but flagged
        ("Top one", "b", "best"),
        ("Bad", "Good.", "rewrite"),
        ("Again?", "b", "best"),  # chosen by two annotators, but written once
        ("Why?", "Because.", "best"),
    ]


def test_best_of_n_export_has_the_columns_of_rewardbench(wishes: Project) -> None:
    first, top, *_ = lines(frozen(wishes), "rewardbench")
    assert first["prompt"] == "Human: Hi\n\nAssistant: Yes?\n\nHuman: What is 2+2?"
    assert (first["chosen"], first["rejected"], first["models"]) == (["4", "four"], ["5"], ["m1", "m1", "m2"])
    assert (first["num_correct"], first["num_incorrect"], first["total_completions"]) == (2, 1, 3)
    assert (top["prompt"], top["chosen"], top["rejected"], top["subset"]) == (
        "Top one",
        ["b"],
        ["a", "c"],
        "wishes",
    )


def test_hh_export_leaves_out_prompts_with_roles_that_the_format_lacks(wishes: Project) -> None:
    rows = lines(frozen(wishes), "hh_rlhf")
    assert rows[0] == {
        "chosen": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What is 2+2?\n\nAssistant: 4",
        "rejected": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What is 2+2?\n\nAssistant: 5",
    }
    assert not any("Be brief" in row["chosen"] for row in rows)


def test_oasst_tree_contains_the_path_and_the_ranked_replies(wishes: Project) -> None:
    tree, *rest = lines(frozen(wishes), "oasst_trees")
    root = tree["prompt"]
    assert (root["role"], root["text"]) == ("prompter", "Hi")
    (reply,) = root["replies"]
    (question,) = reply["replies"]
    assert (reply["parent_id"], question["parent_id"]) == (root["message_id"], reply["message_id"])
    assert [(item["text"], item["rank"], item["model_name"]) for item in question["replies"]] == [
        ("4", 0, "m1"),
        ("5", 1, "m2"),
        ("four", 0, "m1"),
    ]
    (event,) = question["events"]["ranking"]
    assert event["ranking"] == [0, 2, 1]
    assert rest[2]["prompt"]["events"]["ranking"][0]["not_rankable"] is True
    assert len(rest) == 6  # the prompt with a system turn is left out


def test_each_label_studio_file_is_one_array_of_tasks(wishes: Project) -> None:
    snapshot = frozen(wishes)
    pairs = json.loads(exported(snapshot, "label_studio_pairwise"))
    first, second = pairs[:2]
    assert (first["data"]["answer1"], first["data"]["answer2"]) == ("4", "5")
    assert first["data"]["prompt"] == TURNS
    assert first["annotations"][0]["result"][0]["value"] == {"selected": "left"}
    assert second["annotations"][0]["result"][0]["value"] == {
        "selected": "right"
    }  # "5" was shown before "four"
    assert first["annotations"][0]["lead_time"] == 1.5
    orders = json.loads(exported(snapshot, "label_studio_ranker"))
    ids = [item["id"] for item in orders[0]["data"]["results"]]
    rankers = [
        task["annotations"][0]["result"][0]["value"]["ranker"]
        for task in orders
        if not task["annotations"][0]["was_cancelled"]
    ]
    assert rankers[0] == {"tier_1": [ids[0], ids[2]], "tier_2": [ids[1]]}
    assert len(rankers[1]["rank"]) == 1
    assert len(orders) == len(ROWS)


def test_argilla_ranking_values_include_the_rank_of_each_response(wishes: Project) -> None:
    first, top, alike, neither, *_ = lines(frozen(wishes), "argilla")
    (response,) = first["responses"]
    assert response["values"]["ranking"]["value"] == [
        {"value": "response-1", "rank": 1},
        {"value": "response-2", "rank": 2},
        {"value": "response-3", "rank": 1},
    ]
    assert [item["rank"] for item in top["responses"][0]["values"]["ranking"]["value"]] == [2, 1, 2]
    assert [item["rank"] for item in alike["responses"][0]["values"]["ranking"]["value"]] == [1, 1]
    assert (neither["responses"][0]["status"], neither["responses"][0]["values"]) == ("discarded", {})
    assert first["fields"]["prompt"] == TURNS


def test_export_sends_its_first_chunk_before_reading_all_rows(
    wishes: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from preferences.formats import snapshot_parquet

    snapshot = frozen(wishes, [{**ROWS[5], "prompt": f"{n} " + "long " * 2000} for n in range(100)])
    monkeypatch.setattr(snapshot_parquet, "READ_ROWS", 10)
    read: list[str] = []
    rows_of = snapshot_parquet._rows_of_batch

    def counted(*arguments: Any) -> Any:
        read.append("batch")
        return rows_of(*arguments)

    monkeypatch.setattr(snapshot_parquet, "_rows_of_batch", counted)
    next(export_snapshot(snapshot=snapshot, format="ranking"))
    assert 0 < len(read) < 10
