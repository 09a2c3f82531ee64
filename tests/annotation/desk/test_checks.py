"""Gold and attention checks: their frequency, what annotators see, and the consequences of answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.desk import allocation, checks
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Assignment, Membership, Project, Ranking, RankingTask, User
from config.problems import Problem
from tests.annotation.answering import claim, claim_next, next_of, send, strict_order, wrong_fields

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]


def make_check(task: RankingTask, kind: str = "gold") -> RankingTask:
    """Turns a task into a check whose correct answer ranks the responses by position."""
    gold = [[pk] for pk in task.responses.order_by("shown_in__position").values_list("pk", flat=True)]
    return checks.set_kind(task=task, kind=kind, gold_tiers=gold)


def answer(held: Assignment, *, right: bool = True) -> None:
    gold = [[held_id] for held_id in held.shown_order]
    task = RankingTask.objects.get(pk=held.task_id)
    if task.gold_tiers is not None:
        tiers = task.gold_tiers if right else task.gold_tiers[::-1]
        gold = [[next(pk for pk in held.shown_order if str(pk) == item) for item in tier] for tier in tiers]
    submit_ranking(assignment=held, token=held.token, answer=Answer(tiers=gold, touched=True))


@pytest.fixture
def mixed(project: Project, add_tasks: AddTasks) -> Project:
    """60 tasks: 20 gold tasks, 10 attention checks and 30 ranking tasks."""
    tasks = add_tasks(project, 60)
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            make_check(task)
        elif number % 6 == 1:
            make_check(task, "attention")
    project.gold_rate, project.attention_rate = 0.3, 0.15
    project.save()
    return project


def test_checks_are_assigned_at_the_configured_rates(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    tasks = add_tasks(project, 400, k=2)
    for task in tasks[:80]:
        make_check(task)
    for task in tasks[80:120]:
        make_check(task, "attention")
    assert {claim(project, alice).task.kind} == {"ranking"}  # both check rates are 0
    project.gold_rate, project.attention_rate = 0.25, 0.1
    project.save()
    kinds = []
    for _ in range(160):
        held = claim(project, alice)
        kinds.append(held.task.kind)
        Assignment.objects.filter(pk=held.pk).update(state="submitted")
    # expected: 40 and 16; four standard deviations: 22 and 15
    assert 18 <= kinds.count("gold") <= 62
    assert 2 <= kinds.count("attention") <= 31
    places = [place for place, kind in enumerate(kinds) if kind == "gold"]
    assert len({after - before for before, after in pairwise(places)}) > 3


def test_check_is_assigned_to_every_annotator_and_is_never_done(
    mixed: Project, alice: User, ben: User, rita: User
) -> None:
    RankingTask.objects.asked().update(overlap=3, open_slots=3)  # enough tasks for all annotators
    seen: dict[User, set[object]] = {alice: set(), ben: set(), rita: set()}
    for person, asked_of_them in seen.items():
        while held := claim_next(project=mixed, annotator=person):
            answer(held)
            if held.task.kind != "ranking":
                asked_of_them.add(held.task_id)
    assert seen[alice] & seen[ben]
    asked = RankingTask.objects.exclude(kind="ranking")
    assert set(asked.values_list("state", "open_slots")) == {("open", 0)}
    for task in asked:
        assert task.answered == task.assignments.filter(state="submitted").count()


def test_releasing_a_check_does_not_replace_it_with_another_task(mixed: Project, alice: User) -> None:
    """Annotators must not be able to avoid checks by releasing them."""
    for _ in range(12):
        first = claim(mixed, alice)
        allocation.release_lease(assignment=first, token=first.token)
        again = claim(mixed, alice)
        assert again.task_id == first.task_id
        answer(again)


def test_check_looks_like_any_other_task_to_annotators(
    mixed: Project, alice: User, client_of: ClientOf
) -> None:
    desk = client_of(alice)
    shapes: dict[bool, set[str]] = {True: set(), False: set()}
    counts: dict[bool, set[str]] = {True: set(), False: set()}
    for _ in range(25):
        before = desk.get("/api/v1/projects/support/").json()
        shown = next_of(desk)
        body = repr(_shape(shown))
        done = send(desk, shown)
        after = desk.get("/api/v1/projects/support/").json()
        changed = {
            name: (after["counts"][name] or 0) - (before["counts"][name] or 0) for name in before["counts"]
        }
        check = RankingTask.objects.get(pk=shown["task"]["id"]).kind != "ranking"
        shapes[check].add(f"{body} {done.status_code} {_shape(done.json())!r}")
        counts[check].add(repr(changed))
        assert not re.search("gold|attention|kind|check", repr(shown))
        assert before["checks"] is None
    assert len(shapes[True]) == 1
    assert shapes[True] == shapes[False]
    assert counts[True] == counts[False]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__


def test_skipped_check_looks_like_any_skipped_task_and_stays_open(
    project: Project, tasks: list[RankingTask], alice: User, ben: User, client_of: ClientOf
) -> None:
    check = make_check(tasks[0])
    project.gold_rate, project.skip_ways = 0.5, ["drop"]
    project.save()
    for person in (alice, ben):
        desk = client_of(person)
        for _ in range(6):
            response = desk.post("/api/v1/projects/support/assignments/next")
            if response.status_code == 204:
                break
            shown = response.json()
            skip = desk.post(f"/api/v1/assignments/{shown['id']}/skip", {"token": shown["token"]})
            assert (skip.status_code, skip.content) == (204, b"")
    check.refresh_from_db()
    assert check.state == "open"


def test_answer_to_a_check_and_its_revision_are_scored(mixed: Project, alice: User) -> None:
    while (held := claim(mixed, alice)).task.kind == "ranking":
        answer(held)
    answer(held, right=False)
    held.refresh_from_db()
    assert (held.score, held.scored_at is not None) == (0.0, True)
    right = [[pk for pk in held.shown_order if str(pk) == item] for (item,) in held.task.gold_tiers or []]
    revise_ranking(assignment=held, answer=Answer(tiers=right, touched=True))
    held.refresh_from_db()
    assert held.score == 1.0
    assert not Assignment.objects.filter(task__kind="ranking", score__isnull=False).exists()


def test_annotator_below_the_minimum_accuracy_is_paused(
    mixed: Project, alice: User, client_of: ClientOf
) -> None:
    mixed.gold_minimum_accuracy, mixed.gold_minimum_answers = 0.6, 3
    mixed.save()
    wrong = 0
    while wrong < 3:
        assert Membership.objects.get(user=alice).state == "active"
        held, *_ = allocation.claim_tasks(project=mixed, annotator=alice, prefetch=2)
        wrong += held.task.kind != "ranking"
        answer(held, right=False)
    member = Membership.objects.get(user=alice)
    assert member.state == "paused"
    assert "3 tasks" in member.paused_reason
    assert "60%" in member.paused_reason
    assert not Assignment.objects.leased().exists()
    refused = client_of(alice).post("/api/v1/projects/support/assignments/next")
    assert (refused.status_code, refused.json()["type"]) == (409, "annotator-paused")
    assert member.paused_reason in refused.json()["detail"]
    assert Ranking.objects.filter(annotator=alice).count() >= 3  # no answer is lost


def test_resumed_annotator_is_judged_only_by_later_answers(
    mixed: Project, alice: User, mona: User, client_of: ClientOf
) -> None:
    mixed.gold_minimum_accuracy, mixed.gold_minimum_answers = 0.6, 2
    mixed.save()
    while Membership.objects.get(user=alice).state == "active":
        answer(claim(mixed, alice), right=False)
    body = {"username": "alice", "role": "annotator", "state": "active"}
    member = client_of(mona).post("/api/v1/projects/support/members/", body).json()
    assert (member["state"], member["paused_reason"]) == ("active", "")
    right = 0
    while right < 3:
        held = claim(mixed, alice)
        right += held.task.kind != "ranking"
        answer(held)
    assert Membership.objects.get(user=alice).state == "active"


def test_nobody_is_paused_if_no_minimum_accuracy_is_set(mixed: Project, alice: User) -> None:
    for _ in range(20):
        answer(claim(mixed, alice), right=False)
    assert Membership.objects.get(user=alice).state == "active"


def test_answers_are_scored_when_their_task_becomes_a_check(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    for person in (alice, ben):
        answer(claim(project, person))
    task.refresh_from_db()
    assert task.state == "done"
    task = make_check(task)
    assert (task.kind, task.state, task.open_slots, task.answered) == ("gold", "open", 0, 2)
    scores = Assignment.objects.filter(task=task).values_list("score", flat=True)
    assert all(score is not None for score in scores)
    back = checks.set_kind(task=task, kind="ranking")
    assert (back.state, back.answered, back.open_slots) == ("done", 2, 0)
    assert not Assignment.objects.filter(score__isnull=False).exists()


def test_check_turned_into_a_ranking_task_opens_its_remaining_slots(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    answer(claim(project, alice))
    make_check(task)
    Assignment.objects.create(
        task=task,
        project=project,
        annotator=rita,
        shown_order=[],
        expires_at=Assignment.objects.get().expires_at,
    )
    back = checks.set_kind(task=task, kind="ranking")
    assert (back.state, back.answered, back.open_slots) == ("open", 1, 1)
    assert claim(project, ben).task_id == task.pk
    assert claim_next(project=project, annotator=rita) is None


def test_managers_can_create_checks_but_not_with_an_invalid_gold_ranking(
    project: Project, tasks: list[RankingTask], alice: User, mona: User, client_of: ClientOf
) -> None:
    url = f"/api/v1/projects/support/tasks/{tasks[0].pk}/"
    api = client_of(mona)
    ids = [response["id"] for response in api.get(url).json()["responses"]]
    foreign = str(tasks[1].responses.values_list("pk", flat=True)[0])
    for wrong in (
        None,
        [],
        [ids],
        [[ids[0]], [ids[1]]],
        [[ids[0]], [ids[1]], [ids[2]], [ids[0]]],
        [[ids[0]], [ids[1]], [ids[2]], []],
        [[ids[0]], [ids[1]], [foreign]],
    ):
        body = {"kind": "gold"} | ({} if wrong is None else {"gold_tiers": wrong})
        assert wrong_fields(api.patch(url, body)) == ["gold_tiers"]
    made = api.patch(url, {"kind": "gold", "gold_tiers": [[ids[1]], [ids[0], ids[2]]]}).json()
    assert (made["kind"], made["gold_tiers"]) == ("gold", [[ids[1]], [ids[0], ids[2]]])
    assert [row["id"] for row in api.get("/api/v1/projects/support/tasks/?kind=gold").json()["results"]] == [
        str(tasks[0].pk)
    ]
    dropped = api.patch(url, {"state": "dropped", "priority": 3}).json()
    assert (dropped["state"], dropped["priority"]) == ("dropped", 3)
    assert api.patch(url, {"state": "open"}).json()["state"] == "open"
    assert client_of(alice).get(url).status_code == 403
    with pytest.raises(Problem):
        checks.set_kind(task=tasks[1], kind="attention")


def test_only_managers_see_and_change_check_settings(
    project: Project, alice: User, mona: User, client_of: ClientOf
) -> None:
    url = "/api/v1/projects/support/"
    given = {"gold_rate": 0.1, "attention_rate": 0.05, "gold_minimum_accuracy": 0.7}
    changed = client_of(mona).patch(url, {"checks": given}).json()["checks"]
    assert {name: changed[name] for name in given} == given
    assert client_of(alice).get(url).json()["checks"] is None
    for wrong, field in (
        ({"gold_rate": 0.6}, "checks.gold_rate"),
        ({"gold_rate": 0.3, "attention_rate": 0.3}, "checks.gold_rate"),
        ({"gold_minimum_accuracy": 2}, "checks.gold_minimum_accuracy"),
        ({"qualification_attempts": 0}, "checks.qualification_attempts"),
    ):
        assert wrong_fields(client_of(mona).patch(url, {"checks": wrong}))[0] == field
    with pytest.raises(IntegrityError, match="mostly_checks"), transaction.atomic():
        Project.objects.update(gold_rate=0.4, attention_rate=0.4)


def test_database_refuses_checks_without_a_gold_ranking_or_with_open_slots(tasks: list[RankingTask]) -> None:
    for changes in ({"kind": "gold", "open_slots": 0}, {"kind": "gold", "gold_tiers": [[1], [2]]}):
        with pytest.raises(IntegrityError, match="check_has_gold"), transaction.atomic():
            RankingTask.objects.filter(pk=tasks[0].pk).update(**changes)


def test_answers_to_ranking_tasks_have_no_score(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    held = claim(project, alice)
    submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
    assert Assignment.objects.get().score is None


def test_manager_is_not_paused_by_a_check(mixed: Project, mona: User, client_of: ClientOf) -> None:
    mixed.gold_minimum_accuracy, mixed.gold_minimum_answers = 0.9, 1
    mixed.save()
    for _ in range(12):
        answer(claim(mixed, mona), right=False)
    assert Assignment.objects.filter(annotator=mona, score__lt=0.9).exists()
    assert Membership.objects.get(project=mixed, user=mona).state == "active"
    assert client_of(mona).patch("/api/v1/projects/support/", {"overlap": 2}).status_code == 200


def test_answer_that_caused_a_pause_can_be_resubmitted_with_its_key(
    mixed: Project, alice: User, client_of: ClientOf
) -> None:
    mixed.gold_minimum_accuracy, mixed.gold_minimum_answers = 0.9, 1
    mixed.save()
    desk, member = client_of(alice), Membership.objects.get(project=mixed, user=alice)
    while member.state == "active":
        shown = next_of(desk)
        task = RankingTask.objects.get(pk=shown["task"]["id"])
        said = {"tiers": task.gold_tiers[::-1]} if task.gold_tiers else {}
        first = send(desk, shown, key=shown["id"], **said)
        member.refresh_from_db()
    again = send(desk, shown, key=shown["id"], **said)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = send(desk, shown, key=shown["id"], tiers=task.gold_tiers)
    assert (other.status_code, other.json()["type"]) == (409, "annotator-paused")


def test_managers_see_the_number_and_mean_score_of_answers_to_each_check(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, mona: User, client_of: ClientOf
) -> None:
    gold, attention, *_ = add_tasks(project, 60, k=2)
    make_check(gold)
    make_check(attention, "attention")
    project.gold_rate = 0.5
    project.save()
    for person, right in ((alice, True), (ben, False)):
        held = claim(project, person)
        while held.task_id != gold.pk:
            answer(held)
            held = claim(project, person)
        answer(held, right=right)
    url = "/api/v1/projects/support/checks/"
    listed = {row["id"]: row for row in client_of(mona).get(url).json()["results"]}
    assert listed.keys() == {str(gold.pk), str(attention.pk)}
    row = listed[str(gold.pk)]
    assert (row["kind"], row["n_scored"], row["mean_score"]) == ("gold", 2, 0.5)
    assert listed[str(attention.pk)]["n_scored"] == 0
    assert listed[str(attention.pk)]["mean_score"] is None
    (only,) = client_of(mona).get(url, {"kind": "attention"}).json()["results"]
    assert only["id"] == str(attention.pk)
    assert client_of(mona).get(url, {"kind": "ranking"}).status_code == 422
