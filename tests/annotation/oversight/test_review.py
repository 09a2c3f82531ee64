"""Reviewers see the answers to the tasks with the lowest agreement, and determine the final ranking."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.api.refusals import ProjectArchived
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import (
    Assignment,
    Comparison,
    Project,
    Ranking,
    RankingTask,
    TaskAgreement,
    User,
)
from annotation.models.project import Role
from annotation.oversight import review
from annotation.oversight.agreement import refresh_agreement
from annotation.oversight.exclusion import Who, exclude_annotator, lift_exclusion
from annotation.projects.projects import update_project
from tests.annotation.answering import claim, claim_next, wrong_fields

ClientOf = Callable[[User | None], APIClient]
QUEUE = "/api/v1/projects/support/reviews/"


@pytest.fixture
def carl(project: Project) -> User:
    """A second reviewer."""
    carl = User.objects.create(username="carl", password="!")
    add_member(project=project, user=carl, role=Role.REVIEWER)
    return carl


@pytest.fixture
def three(project: Project, add_tasks: Callable[..., list[RankingTask]]) -> list[RankingTask]:
    """Three tasks that need two rankings each."""
    return add_tasks(project, 3, overlap=2)


def _say(project: Project, annotator: User, *orders: str) -> list[Ranking]:
    """Answers the next tasks, one for each of `orders`. `0,1,2` is the imported order, `1=0,2` ties two
    responses, and `none` means not rankable."""
    given = []
    for order in orders:
        assignment = claim(project, annotator)
        ids = list(assignment.task.shown.order_by("position").values_list("response", flat=True))
        if order == "none":
            answer = Answer(not_rankable=True)
        else:
            tiers = [[ids[int(place)] for place in tier.split("=")] for tier in order.split(",")]
            answer = Answer(tiers=tiers, touched=True)
        given.append(submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[0])
    return given


def _agreement() -> dict[Any, tuple[int, float | None]]:
    refresh_agreement()
    return {row.task_id: (row.rankings, row.agreement) for row in TaskAgreement.objects.all()}


@pytest.mark.parametrize(
    ("said", "agreement"),
    [
        (["0,1,2", "0,1,2"], 1.0),
        (["0,1,2", "2,1,0"], 0.0),
        (["0,1,2", "0,2,1"], 2 / 3),
        (["0,1,2", "0,1=2"], 2 / 3),
        (["0=1=2", "0=1=2"], 1.0),
        (["0,1,2", "0,1,2", "1,0,2"], 7 / 9),
        (["0,1,2", "1,0,2", "0=1,2"], 6 / 9),
        (["0,1,2", "none"], 0.0),
        (["none", "none"], 1.0),
        (["0,1,2", "0,1,2", "none"], 1 / 3),
    ],
)
def test_agreement_is_the_share_of_matching_verdicts(
    project: Project,
    add_tasks: Callable[..., list[RankingTask]],
    alice: User,
    ben: User,
    mona: User,
    said: list[str],
    agreement: float,
) -> None:
    (task,) = add_tasks(project, 1, overlap=3)
    for person, order in zip((alice, ben, mona), said, strict=False):
        _say(project, person, order)
    assert _agreement() == {task.pk: (len(said), pytest.approx(agreement))}


def test_agreement_reflects_revisions_and_exclusions(
    project: Project, three: list[RankingTask], alice: User, ben: User
) -> None:
    _say(project, alice, "0,1,2")
    assert _agreement() == {}, "agreement needs at least two annotators"
    (bens,) = _say(project, ben, "2,1,0")
    assert _agreement() == {three[0].pk: (2, 0.0)}
    assert bens.assignment is not None
    ids = list(three[0].shown.order_by("position").values_list("response", flat=True))
    revise_ranking(assignment=bens.assignment, answer=Answer(tiers=[[id] for id in ids]))
    assert _agreement() == {three[0].pk: (2, 1.0)}
    made = exclude_annotator(project=project, who=Who(annotator=ben), reason="x")
    assert _agreement() == {three[0].pk: (1, None)}
    lift_exclusion(exclusion=made)
    assert _agreement() == {three[0].pk: (2, 1.0)}
    assert refresh_agreement() == 0, "nothing is stale, so nothing is recomputed"


def test_queue_lists_tasks_below_the_threshold_by_ascending_agreement(
    project: Project, three: list[RankingTask], alice: User, ben: User, rita: User, client_of: ClientOf
) -> None:
    _say(project, alice, "0,1,2", "0,1,2", "0,1,2")
    _say(project, ben, "0,2,1", "2,1,0", "0,1,2")
    client = client_of(rita)

    def waiting() -> list[tuple[str, float]]:
        queue = client.get(QUEUE).json()
        assert queue["n_waiting"] == len(queue["waiting"])
        return [(row["task"], row["agreement"]) for row in queue["waiting"]]

    assert waiting() == [(str(three[1].pk), 0.0)]
    update_project(project=project, changes={"review_below": 0.9})
    assert waiting() == [(str(three[1].pk), 0.0), (str(three[0].pk), pytest.approx(2 / 3))]
    assert client.get(QUEUE).json()["waiting"][0]["excerpt"] == "Where is my order 1?"
    update_project(project=project, changes={"review_below": 0})
    assert waiting() == []


@pytest.fixture
def disputed(project: Project, three: list[RankingTask], alice: User, ben: User) -> RankingTask:
    """Returns the first task, on which Alice and Ben disagree completely. Only Alice ranks the second and
    third tasks."""
    _say(project, alice, "0,1,2", "0,1,2", "0,1,2")
    _say(project, ben, "2,1,0")
    return three[0]


def _body(shown: Any, **changes: Any) -> dict[str, Any]:
    tiers = [[response["id"]] for response in shown["assignment"]["responses"]]
    return {"token": shown["assignment"]["token"], "tiers": tiers, "touched": True} | changes


def test_reviewer_sees_the_answers_and_submits_a_decision(
    project: Project, disputed: RankingTask, rita: User, client_of: ClientOf
) -> None:
    client = client_of(rita)
    shown = client.post(f"{QUEUE}next").json()
    assert shown["assignment"]["task"]["id"] == str(disputed.pk)
    assert [answer["by"] for answer in shown["answers"]] == ["alice", "ben"]
    assert shown["answers"][0]["tiers"] == shown["answers"][1]["tiers"][::-1]
    assert shown["decision"] is None
    assert client.get(QUEUE).json()["waiting"][0]["held_by"] == "rita"
    url = f"/api/v1/reviews/{disputed.pk}/decide"
    decided = client.post(url, _body(shown, comment="ben misread"))
    assert decided.status_code == 201, decided.content
    again = client.post(url, _body(shown, comment="ben misread"))
    assert (again.status_code, again.json()) == (200, decided.json())
    ranking = Ranking.objects.get(pk=decided.json()["id"])
    assert (ranking.kind, ranking.annotator, ranking.source) == ("review", rita, "browser")
    assert Comparison.objects.filter(ranking=ranking).count() == 3
    queue = client.get(QUEUE).json()
    assert queue["waiting"] == []
    assert [(row["task"], row["decided_by"]) for row in queue["decided"]] == [(str(disputed.pk), "rita")]
    assert client.post(f"{QUEUE}next").status_code == 204
    assert _agreement()[disputed.pk] == (2, 0.0), "a decision is not a vote"


def test_decision_must_fit_the_form(disputed: RankingTask, rita: User, client_of: ClientOf) -> None:
    client = client_of(rita)
    shown = client.post(f"/api/v1/reviews/{disputed.pk}/open").json()
    url = f"/api/v1/reviews/{disputed.pk}/decide"
    assert wrong_fields(client.post(url, _body(shown, tiers=[]))) == ["tiers"]
    assert wrong_fields(client.post(url, _body(shown, strength=99))) == ["strength"]
    assert not Ranking.objects.reviews().exists()


def test_revised_decision_supersedes_the_first(
    disputed: RankingTask, rita: User, carl: User, client_of: ClientOf
) -> None:
    made = []
    for person, turned in ((rita, False), (rita, True), (carl, False)):
        client = client_of(person)
        shown = client.post(f"/api/v1/reviews/{disputed.pk}/open").json()
        body = _body(shown)
        body["tiers"] = sorted(body["tiers"], reverse=turned)
        made.append(client.post(f"/api/v1/reviews/{disputed.pk}/decide", body).json()["id"])
        assert [str(row.pk) for row in Ranking.objects.current().reviews()] == made[-1:]
    assert shown["decision"]["by"] == "rita"
    assert Ranking.objects.reviews().count() == 3


def test_two_reviewers_cannot_hold_the_same_task(
    disputed: RankingTask, rita: User, carl: User, client_of: ClientOf
) -> None:
    one, two = client_of(rita), client_of(carl)
    url = f"/api/v1/reviews/{disputed.pk}"
    shown = one.post(f"{url}/open").json()
    taken = two.post(f"{url}/open")
    assert (taken.status_code, taken.json()["type"]) == (409, "under-review")
    assert two.post(f"{QUEUE}next").status_code == 204
    foreign = two.post(f"{url}/decide", _body(shown))
    assert (foreign.status_code, foreign.json()["type"]) == (409, "lease-lost")
    token = {"token": shown["assignment"]["token"]}
    assert one.post(f"{url}/heartbeat", token).status_code == 200
    assert one.post(f"{url}/release", token).status_code == 204
    assert two.post(f"{QUEUE}next").json()["assignment"]["task"]["id"] == str(disputed.pk)
    assert one.post(f"{url}/decide", _body(shown)).status_code == 409


def test_task_with_an_expired_hold_goes_to_the_next_reviewer(
    disputed: RankingTask, rita: User, carl: User, client_of: ClientOf
) -> None:
    one, two = client_of(rita), client_of(carl)
    shown = one.post(f"{QUEUE}next").json()
    Assignment.objects.filter(state="reviewing").update(expires_at=Now())
    late = one.post(f"/api/v1/reviews/{disputed.pk}/decide", _body(shown))
    assert (late.status_code, late.json()["type"]) == (409, "lease-lost")
    assert two.post(f"{QUEUE}next").status_code == 200
    assert Assignment.objects.get(annotator=rita).state == "looked_at"


def test_nobody_can_both_annotate_and_review_a_task(
    project: Project,
    three: list[RankingTask],
    alice: User,
    ben: User,
    rita: User,
    mona: User,
    client_of: ClientOf,
) -> None:
    # The second task still needs a third annotator's answer.
    RankingTask.objects.filter(pk=three[1].pk).update(overlap=3, open_slots=3)
    _say(project, rita, "0,1,2")
    _say(project, alice, "2,1,0", "0,1,2")
    _say(project, ben, "0,1,2")
    client = client_of(rita)
    refused = client.post(f"/api/v1/reviews/{three[0].pk}/open")
    assert (refused.status_code, refused.json()["type"]) == (409, "annotated-by-you")
    assert client.get(QUEUE).json()["waiting"] == []
    assert client_of(mona).get(QUEUE).json()["n_waiting"] == 1
    shown = client.post(f"/api/v1/reviews/{three[1].pk}/open").json()
    for after in ("held", "let go of"):
        given = claim_next(project=project, annotator=rita)
        assert given is not None
        assert given.task_id == three[2].pk, after
        Assignment.objects.filter(pk=given.pk).update(state="released")
        if after == "held":
            body = {"token": shown["assignment"]["token"]}
            assert client.post(f"/api/v1/reviews/{three[1].pk}/release", body).status_code == 204


def test_reviewing_does_not_fill_a_slot(project: Project, disputed: RankingTask, rita: User) -> None:
    columns = ("open_slots", "answered", "state")
    before = RankingTask.objects.values_list(*columns).get(pk=disputed.pk)
    held = review.open_review(task=disputed, reviewer=rita)
    tiers = [[id] for id in held.shown_order]
    review.decide(task=disputed, reviewer=rita, token=held.token, answer=Answer(tiers=tiers))
    assert RankingTask.objects.values_list(*columns).get(pk=disputed.pk) == before


def test_task_reviewed_by_an_excluded_reviewer_returns_to_the_queue(
    project: Project, disputed: RankingTask, rita: User, carl: User
) -> None:
    held = review.open_review(task=disputed, reviewer=rita)
    tiers = [[id] for id in held.shown_order]
    review.decide(task=disputed, reviewer=rita, token=held.token, answer=Answer(tiers=tiers))
    assert not review.waiting(project=project, reviewer=carl).exists()
    exclude_annotator(project=project, who=Who(annotator=rita), reason="x")
    assert review.waiting(project=project, reviewer=carl).count() == 1
    held = review.open_review(task=disputed, reviewer=carl)
    review.decide(task=disputed, reviewer=carl, token=held.token, answer=Answer(tiers=tiers[::-1]))
    assert [row.annotator for row in Ranking.objects.counted().reviews()] == [carl]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_concurrent_reviewers_get_different_tasks(
    project: Project, three: list[RankingTask], alice: User, ben: User, turn: int
) -> None:
    _say(project, alice, "0,1,2", "0,1,2", "0,1,2")
    _say(project, ben, "2,1,0", "2,1,0", "2,1,0")
    crowd = [User.objects.create(username=f"reviewer-{i}", password="!") for i in range(5)]
    barrier = threading.Barrier(len(crowd), timeout=30)

    def ask(person: User) -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            barrier.wait()
            held = review.open_next_review(project=project, reviewer=person)
            return held and held.task_id
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(crowd)) as threads:
        found = list(threads.map(ask, crowd))
    given = [task for task in found if task]
    assert sorted(given) == sorted(task.pk for task in three)
    assert found.count(None) == 2


@pytest.mark.django_db(transaction=True)
def test_reviewer_waits_while_another_request_computes_the_agreement(
    project: Project, three: list[RankingTask], alice: User, ben: User, rita: User
) -> None:
    _say(project, alice, "0,1,2", "0,1,2", "0,1,2")
    _say(project, ben, "2,1,0", "2,1,0", "2,1,0")
    asked = threading.Event()
    found: list[Assignment | None] = []

    def ask() -> None:
        try:
            asked.set()
            found.append(review.open_next_review(project=project, reviewer=rita))
        finally:
            connections.close_all()

    asking = threading.Thread(target=ask)
    with transaction.atomic():
        assert refresh_agreement(project=project) == len(three)
        asking.start()
        assert asked.wait(30)
        asking.join(0.3)
        assert not found
    asking.join(30)
    assert [held and held.task_id for held in found] == [three[0].pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(5))
def test_agreement_is_stale_if_a_ranking_is_submitted_during_its_computation(
    project: Project, add_tasks: Callable[..., list[RankingTask]], turn: int
) -> None:
    (task,) = add_tasks(project, 1, overlap=6)
    crowd = [User.objects.create(username=f"crowd-{i}", password="!") for i in range(6)]
    barrier = threading.Barrier(len(crowd) + 1, timeout=30)
    over = threading.Event()

    def answer(person: User) -> None:
        try:
            held = claim(project, person)
            barrier.wait()
            ids = sorted(held.shown_order)
            submit_ranking(assignment=held, token=held.token, answer=Answer(tiers=[[id] for id in ids]))
        finally:
            connections.close_all()

    def keep_working_it_out() -> None:
        try:
            barrier.wait()
            while not over.is_set():
                refresh_agreement()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(crowd) + 1) as threads:
        busy = threads.submit(keep_working_it_out)
        for done in [threads.submit(answer, person) for person in crowd]:
            done.result()
        over.set()
        busy.result()
    assert _agreement() == {task.pk: (6, 1.0)}


def test_queue_needs_a_fixed_number_of_queries(
    project: Project, three: list[RankingTask], alice: User, ben: User, rita: User, client_of: ClientOf
) -> None:
    client = client_of(rita)
    counts = []
    for _ in range(2):
        _say(project, alice, "0,1,2")
        _say(project, ben, "2,1,0")
        refresh_agreement()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(QUEUE).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_task_with_fewer_than_two_answers_cannot_be_reviewed(
    project: Project, three: list[RankingTask], alice: User, rita: User, client_of: ClientOf
) -> None:
    _say(project, alice, "0,1,2")
    for task in three[:2]:
        refused = client_of(rita).post(f"/api/v1/reviews/{task.pk}/open")
        assert (refused.status_code, refused.json()["type"]) == (409, "not-for-review")
    assert not Assignment.objects.filter(annotator=rita).exists()


def test_tasks_in_an_archived_project_cannot_be_reviewed(
    project: Project, disputed: RankingTask, rita: User
) -> None:
    held = review.open_review(task=disputed, reviewer=rita)
    update_project(project=project, changes={"state": "archived"})
    answer = Answer(tiers=[[one] for one in held.shown_order], touched=True)
    disputed.project.refresh_from_db()
    with pytest.raises(ProjectArchived):
        review.decide(task=disputed, reviewer=rita, token=held.token, answer=answer)
    assert not Ranking.objects.reviews().exists()
