"""Every real file is imported completely and correctly. The expected numbers come from data/README.md."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from typing import Any

import pytest
from django.db.models import Count

from annotation.content.importing.imports import import_file
from annotation.content.importing.report import ImportReport
from annotation.models import Comparison, Project, Prompt, Ranking, RankingTask, Response
from annotation.projects.projects import create_project
from tests.annotation.real_data import real_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf() -> Project:
    return create_project(slug="shelf")


def take(project: Project, name: str) -> ImportReport:
    """Imports a file twice. The second import must change nothing."""
    report = import_file(project=project, file=real_file(name))
    again = import_file(project=project, file=real_file(name))
    assert (again.prompts, again.responses, again.tasks, again.rankings) == (0, 0, 0, 0)
    assert (again.read, again.failed, again.unchanged) == (report.read, 0, report.read)
    assert report.failed == 0
    return report


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(real_file(name).read_bytes()).splitlines()]


def quirks(report: ImportReport) -> dict[str, int]:
    return {quirk.name: quirk.count for quirk in report.quirks}


def texts() -> dict[str, Response]:
    return {str(response.pk): response for response in Response.objects.all()}


def test_mt_bench_votes_are_imported_after_the_answers(shelf: Project) -> None:
    answers = take(shelf, "annotators/mt-bench-responses.jsonl.gz")
    assert (answers.format, answers.read, answers.prompts, answers.tasks) == ("mt-bench-answers", 56, 56, 112)
    assert answers.responses == Response.objects.count() == 56 * 6 * 2
    assert quirks(answers) == {"empty-reply": 1}

    votes = import_file(project=shelf, file=real_file("annotators/mt-bench-votes.jsonl.gz"))
    assert (votes.format, votes.read, votes.failed) == ("mt-bench-votes", 2375, 0)
    assert (votes.prompts, votes.responses) == (0, 0)
    # One judge repeated a vote with the sides swapped. The two votes are stored as one ranking, and the
    # second vote is counted as `unchanged`.
    assert (votes.rankings, votes.unchanged) == (2374, 1)
    assert votes.tasks == Ranking.objects.values("task").distinct().count() == 1257
    assert Ranking.objects.values("annotator_label").distinct().count() == 65
    pairs = Ranking.objects.values("task").annotate(judges=Count("annotator_label", distinct=True))
    assert sum(pair["judges"] >= 2 for pair in pairs) == 699

    stored = set()
    known = texts()
    for ranking in Ranking.objects.select_related("task__prompt"):
        a, b = (known[str(id)] for id in ranking.shown_order)
        better = known[ranking.tiers[0][0]].model_name if len(ranking.tiers) == 2 else "tie"
        question = ranking.task.prompt.metadata["question_id"]
        assert a.metadata == b.metadata
        stored.add(
            (ranking.annotator_label, question, a.metadata["turn"], a.model_name, b.model_name, better)
        )
    said = {
        (
            row["judge"],
            row["question_id"],
            row["turn"],
            row["model_a"],
            row["model_b"],
            row.get(row["winner"], "tie"),
        )
        for row in rows_of("annotators/mt-bench-votes.jsonl.gz")
    }
    assert stored <= said
    assert len(said - stored) == 1

    again = import_file(project=shelf, file=real_file("annotators/mt-bench-votes.jsonl.gz"))
    assert (again.rankings, again.tasks, again.unchanged) == (0, 0, 2375)


def test_mt_bench_is_imported_into_a_pairwise_project(shelf: Project) -> None:
    pairs = create_project(slug="pairs", preset="arena")
    answers = take(pairs, "annotators/mt-bench-responses.jsonl.gz")
    assert (answers.responses, answers.tasks) == (672, 0)
    assert quirks(answers)["form-takes-others"] == 56
    votes = import_file(project=pairs, file=real_file("annotators/mt-bench-votes.jsonl.gz"))
    assert (votes.rankings, votes.tasks, votes.failed) == (2374, 1257, 0)


def test_second_turn_includes_the_conversation_before_it(shelf: Project) -> None:
    take(shelf, "annotators/mt-bench-responses.jsonl.gz")
    row = rows_of("annotators/mt-bench-responses.jsonl.gz")[0]
    prompt = Prompt.objects.get(metadata__question_id=row["question_id"])
    assert prompt.messages == [{"role": "user", "content": row["turns"][0]}]
    assert prompt.metadata == {
        "question_id": row["question_id"],
        "category": row["category"],
        "turns": row["turns"],
    }
    for answer in row["responses"]:
        first, second = Response.objects.filter(prompt=prompt, model_name=answer["model"]).order_by("id")
        assert (first.text, first.metadata) == (answer["turns"][0], {"turn": 1})
        assert second.metadata == {"turn": 2}
        assert second.text == f"{first.text}\n\nHuman: {row['turns'][1]}\n\nAssistant: {answer['turns'][1]}"


def test_error_for_votes_without_answers_names_the_file_to_import_first(shelf: Project) -> None:
    votes = import_file(project=shelf, file=real_file("annotators/mt-bench-votes.jsonl.gz"))
    assert (votes.read, votes.failed, votes.tasks, votes.rankings) == (2375, 2375, 0, 0)
    assert "import the file with the responses first" in votes.errors[0].reason


def test_pandalm_has_three_labels_for_each_of_723_pairs(shelf: Project) -> None:
    report = take(shelf, "annotators/pandalm-testset-v1.jsonl.gz")
    assert (report.format, report.read, report.tasks, report.rankings) == ("pandalm", 723, 723, 723 * 3)
    rows = {row["idx"]: row for row in rows_of("annotators/pandalm-testset-v1.jsonl.gz")}
    known = texts()
    unanimous = Counter[int]()
    for task in RankingTask.objects.prefetch_related("rankings"):
        row = rows[task.metadata["idx"]]
        labels = {}
        for ranking in task.rankings.all():
            shown = [known[str(id)] for id in ranking.shown_order]
            assert [one.text for one in shown] == [row["response1"], row["response2"]]
            assert "_".join(one.model_name for one in shown) == row["cmp_key"]
            place = {str(id): index for index, id in enumerate(ranking.shown_order)}
            labels[ranking.annotator_label] = place[ranking.tiers[0][0]] + 1 if len(ranking.tiers) == 2 else 0
        assert labels == {name: row[name] for name in ("annotator1", "annotator2", "annotator3")}
        unanimous[len(set(labels.values()))] += 1
    assert (unanimous[1], unanimous[3]) == (646, 0)


def test_tulu_has_807_rows_from_16_evaluators(shelf: Project) -> None:
    name = "annotators/tulu1-human-eval.jsonl.gz"
    report = take(shelf, name)
    rows = rows_of(name)
    assert (report.format, report.read, report.rankings) == ("tulu-eval", 807, 807)
    assert Ranking.objects.values("annotator_label").distinct().count() == 16
    items = set()
    known = texts()
    stored = {}
    for ranking in Ranking.objects.all():
        a, b = (known[str(id)] for id in ranking.shown_order)
        items.add((ranking.metadata["instance_id"], *sorted((a.model_name, b.model_name))))
        place = {str(id): index for index, id in enumerate(ranking.shown_order)}
        better = None if len(ranking.tiers) == 1 else "ab"[place[ranking.tiers[0][0]]]
        acceptable = [ranking.ratings[str(id)]["acceptable"] for id in ranking.shown_order]
        stored[ranking.metadata["id"]] = (
            a.model_name,
            b.model_name,
            a.text,
            b.text,
            better,
            ranking.strength,
            acceptable,
            ranking.annotator_label,
            ranking.given_at.strftime("%Y-%m-%d %H:%M:%S") if ranking.given_at else None,
        )
    assert len(items) == 693
    assert stored == {
        row["id"]: (
            row["model_a"],
            row["model_b"],
            row["completion_a"],
            row["completion_b"],
            None if row["preference"] == "tie" else row["preference"][0],
            None if row["preference"] == "tie" else 1 if "slightly" in row["preference"] else 2,
            [int(row[f"completion_{side}_is_acceptable"] == "yes") for side in "ab"],
            row["evaluator"],
            row["timestamp"],
        )
        for row in rows
    }


def test_second_answer_to_a_tulu_item_by_the_same_evaluator_is_a_revision(shelf: Project) -> None:
    report = take(shelf, "annotators/tulu1-human-eval.jsonl.gz")
    revisions = Ranking.objects.exclude(supersedes=None)
    assert quirks(report) == {"same-annotator-again": revisions.count()}
    # data/README.md counts only each evaluator's first answer, which is the ranking that supersedes no other.
    first = Ranking.objects.filter(supersedes=None)
    assert first.count() == first.values("task", "annotator_label").distinct().count()
    assert first.count() == Ranking.objects.current().count()
    later = revisions.select_related("supersedes").filter(given_at__isnull=False)
    assert all(one.metadata["id"] > one.supersedes.metadata["id"] for one in later if one.supersedes)


def test_squality_has_three_rankings_of_three_summaries(shelf: Project) -> None:
    name = "annotators/squality-human-eval.jsonl.gz"
    report = take(shelf, name)
    assert (report.format, report.read, report.tasks, report.responses) == ("squality", 70, 70, 210)
    assert report.rankings == 210
    assert set(Ranking.objects.values_list("annotator_label", flat=True)) == {"2", "3", "6", "8"}
    known = texts()
    reviews = Counter[str]()
    first_places = Counter[str]()
    rows = {(row["passage_id"], row["question_index"]): row for row in rows_of(name)}
    for ranking in Ranking.objects.select_related("task__prompt"):
        about = ranking.task.prompt.metadata
        row = rows[about["passage_id"], about["question_index"]]
        said = {
            answer["system"]: review
            for answer in row["responses"]
            for review in answer["reviews"]
            if review["worker_id"] == ranking.annotator_label
        }
        order = [known[id].model_name for tier in ranking.tiers for id in tier]
        assert order == sorted(said, key=lambda system: said[system]["overall-rank"])
        for index, id in enumerate(ranking.shown_order):
            review = said[known[str(id)].model_name]
            assert ranking.ratings[str(id)] == {
                scale: review[f"{scale}-rating"] for scale in ("correctness", "selection", "overall")
            }
            assert ranking.metadata["reviews"][str(index)]["annotations"] == review["annotations"]
            reviews[ranking.annotator_label] += 1
    # data/README.md ranks by the mean of all overall ratings; the import keeps each reviewer's own ranking.
    assert sum(reviews.values()) == 630
    for row in rows.values():
        first_places[max(row["responses"], key=lambda one: one["overall"]["overall-rating"])["system"]] += 1
    assert sum(first_places.values()) == 70


def test_all_2058_pairs_of_qa_feedback_are_imported(shelf: Project) -> None:
    name = "kway/qa-feedback-4way.jsonl.gz"
    report = take(shelf, name)
    assert (report.format, report.read, report.prompts, report.responses) == ("qa-feedback", 343, 343, 1372)
    assert quirks(report) == {"no-weak-order": 16}
    assert report.rankings == 343 - 16 + 16 * 6
    assert Comparison.objects.filter(is_tie=False).count() == 1808
    assert Comparison.objects.filter(is_tie=True).count() == 250

    stored: dict[str, set[tuple[str, str, bool]]] = defaultdict(set)
    for pair in Comparison.objects.select_related("prompt", "preferred", "other"):
        names = pair.preferred.sampling["prediction"], pair.other.sampling["prediction"]
        stored[pair.prompt.metadata["question"]].add(
            (*(sorted(names) if pair.is_tie else names), pair.is_tie)
        )
    places = [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    for row in rows_of(name):
        said = {
            (f"prediction {b if wish == 2 else a}", f"prediction {a if wish == 2 else b}", wish == 0)
            for (a, b), wish in zip(places, row["preference"], strict=True)
        }
        assert stored[row["question"]] == said


def test_oasst_trees_are_imported_at_every_level(shelf: Project) -> None:
    name = "kway/oasst-en-ranked-trees.jsonl.gz"
    report = take(shelf, name)
    assert (report.format, report.read) == ("oasst-trees", 72)
    assert quirks(report) == {"ranks-missing": 1, "no-ranks": 1}
    nodes: list[tuple[dict[str, Any], tuple[str, ...]]] = []
    waiting = [(row["prompt"], ()) for row in rows_of(name)]
    while waiting:
        node, path = waiting.pop()
        nodes.append((node, path))
        waiting += [(reply, (*path, node["text"])) for reply in node["replies"]]
    assert Prompt.objects.count() == sum(node["role"] == "prompter" for node, _ in nodes) == 342
    assert Response.objects.count() == sum(node["role"] == "assistant" for node, _ in nodes) == 506

    rankings = {
        tuple(message["content"] for message in ranking.task.prompt.messages): ranking
        for ranking in Ranking.objects.select_related("task__prompt")
    }
    known = texts()
    ranked = 0
    for node, path in nodes:
        ranks = {reply["text"]: reply["rank"] for reply in node["replies"] if reply.get("rank") is not None}
        if len(ranks) < 2:
            continue
        ranked += 1
        ranking = rankings[(*path, node["text"])]
        order = [[known[id].text for id in tier] for tier in ranking.tiers]
        assert order == [[text] for text in sorted(ranks, key=lambda text: ranks[text])]
    assert ranked == report.rankings == Ranking.objects.count() == 153
    kept = {one.metadata["message"]["message_id"]: one.metadata["message"] for one in Response.objects.all()}
    for node, _ in nodes:
        if node["role"] == "assistant":
            rest = {key: value for key, value in node.items() if key not in {"text", "role", "replies"}}
            assert kept[node["message_id"]] == {
                key: value for key, value in rest.items() if value is not None
            }


def test_oasst_zh_lists_are_imported_as_rankings(shelf: Project) -> None:
    name = "kway/oasst-zh-ranked.jsonl.gz"
    report = take(shelf, name)
    rows = rows_of(name)
    one = sum(len(set(row["output"])) == 1 for row in rows)
    repeated = sum(1 < len(set(row["output"])) < len(row["output"]) for row in rows)
    assert one + repeated == 6
    assert (report.format, report.read, report.rankings) == ("ranked-outputs", 532, 532 - one)
    assert quirks(report) == {"repeated-response": repeated, "one-response": one}
    known = texts()
    stored = {
        json.dumps(
            [
                [message["content"] for message in ranking.task.prompt.messages],
                [known[id].text for tier in ranking.tiers for id in tier],
            ]
        )
        for ranking in Ranking.objects.select_related("task__prompt")
    }
    assert stored == {
        json.dumps(
            [
                [text for pair in row["history"] or [] for text in pair] + [row["instruction"]],
                list(dict.fromkeys(row["output"])),
            ]
        )
        for row in rows
        if len(set(row["output"])) > 1
    }


def test_eleven_samples_from_one_model_become_two_tasks(shelf: Project) -> None:
    name = "kway/oasst-best-of-11.jsonl.gz"
    report = take(shelf, name)
    rows = rows_of(name)
    distinct = Counter(len({sample["response"] for sample in row["samples"]}) for row in rows)
    assert (report.format, report.read, report.rankings) == ("oasst-models", 400, 0)
    assert quirks(report) == {"too-many-responses": distinct[11], "repeated-response": 400 - distinct[11]}
    sizes = Counter(
        RankingTask.objects.open().annotate(size=Count("responses")).values_list("size", flat=True)
    )
    assert max(sizes) == 10
    assert sizes[6] >= distinct[11]
    assert sizes[5] >= distinct[11]
    texts_by_prompt = defaultdict(set)
    for row in rows:
        texts_by_prompt[row["prompt"]] |= {sample["response"] for sample in row["samples"]}
    assert report.prompts == len(texts_by_prompt)
    assert Response.objects.count() >= sum(map(len, texts_by_prompt.values()))
    assert Response.objects.filter(sampling__index=0).exists()
