"""The desk loses no work if the connection is lost, the session or the lease expires, a tab is closed, a task
is open in two tabs, or an answer is refused after the next task is shown. Annotators can take back answers,
report problems and practise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.desk import Desk
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PROJECTS = ("offline", "session", "tabs", "leases", "refused", "again", "exam")
SET_UP = f"""
from annotation.models import Project, RankingTask, User
from annotation.desk import checks
from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.projects.projects import create_project
for slug in {PROJECTS!r}:
    project = create_project(slug=slug, preset="ranking")
    add_ranking_tasks(project=project, items=[
        TaskDraft([{{"role": "user", "content": f"Question {{n}} of {{slug}}?"}}],
                  [ResponseDraft(f"Answer {{i}} to {{n}}", f"m{{i}}") for i in range(3)])
        for n in range(6)])
    for name, role in (("annotator-1", "annotator"), ("annotator-2", "annotator"), ("manager", "manager")):
        user = User.objects.filter(username=name).first()
        if user: add_member(project=project, user=user, role=role)
exam = Project.objects.get(slug="exam")
for task in RankingTask.objects.filter(project=exam).order_by("id")[:2]:
    gold = [[pk] for pk in task.responses.order_by("shown_in__position").values_list("pk", flat=True)]
    checks.set_kind(task=task, kind="qualification", gold_tiers=gold)
Project.objects.filter(pk=exam.pk).update(qualification_pass_mark=0.5)
"""


def run(stack: Stack, code: str) -> str:
    done = stack.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def projects(demo_stack: Stack) -> None:
    run(demo_stack, SET_UP)


def answered(page: Page, slug: str) -> int:
    """The number of tasks that the logged-in user has answered, according to the server."""
    figures = page.request.get(f"/api/v1/projects/{slug}/assignments/mine").json()
    return int(figures["answered"])


def last_said(page: Page, slug: str) -> tuple[str, list[list[str]]]:
    """The task that the user answered last, and the answer."""
    last = page.request.get(f"/api/v1/projects/{slug}/assignments/last").json()
    return last["task"]["id"], last["answer"]["tiers"]


def turn_round(desk: Desk) -> list[list[str]]:
    """Moves the last response to the top and returns the order as the database will store it."""
    desk.press("End", "1")
    return [[response] for response in desk.order()]


def give(desk: Desk) -> tuple[str, list[list[str]]]:
    """Ranks the responses, submits the answer, and checks that the answered task disappears. Returns the task
    and the submitted order."""
    task = str(desk.assignment["task"]["id"])
    said = turn_round(desk)
    desk.press("Enter")
    expect(desk.card(said[0][0])).to_have_count(0)
    return task, said


def test_next_task_appears_at_once_and_no_answer_is_lost_offline(
    log_in: Callable[[str], Page],
) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "offline").open()
    held: list[Route] = []
    page.route("**/submit", lambda route: held.append(route))
    give(desk)
    expect(desk.cards.first).to_be_visible()
    expect(page.get_by_text("Sending…")).to_be_visible()
    while not held:  # Playwright reports a request shortly after the page shows the effect of the request
        page.wait_for_timeout(20)
    assert len(held) == 1
    with page.expect_response("**/assignments/next"):  # the next task has been prefetched
        held[0].continue_()
    page.unroute("**/submit")
    expect(page.get_by_text("Saved · 1 this session")).to_be_visible()
    # Two tasks are answered offline: the current task and the prefetched task.
    page.context.set_offline(True)
    give(desk)
    expect(page.get_by_text("An answer is waiting to be sent")).to_be_visible()
    third = give(desk)
    expect(page.get_by_text("2 answers are waiting to be sent")).to_be_visible()
    expect(page.get_by_text("The next task appears when the server can be reached")).to_be_visible()
    # After the tab is closed, a tab opened later sends the answers.
    context = page.context
    page.close()
    context.set_offline(False)
    page = context.new_page()
    desk = Desk(page, "offline")
    with desk.taken(answers=2):
        desk.open()
    expect(page.get_by_text(re.compile("to be sent"))).to_have_count(0)
    assert last_said(page, "offline") == third
    fourth = give(desk)
    expect(page.get_by_text("Saved · 1 this session")).to_be_visible()
    assert (last_said(page, "offline"), answered(page, "offline")) == (fourth, 4)


def test_answer_is_sent_after_logging_in_again(
    log_in: Callable[[str], Page], passwords: dict[str, str]
) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "session").open()
    session = [cookie for cookie in page.context.cookies() if cookie["name"] == "sessionid"]
    assert session
    page.context.clear_cookies(name="sessionid")
    given = give(desk)
    expect(page.get_by_text("Your session ended")).to_be_visible()
    page.get_by_label("Username").fill("annotator-1")
    page.get_by_role("textbox", name="Password").fill(passwords["annotator-1"])
    with page.expect_response("**/submit") as sent:
        page.get_by_role("button", name="Log in").click()
    assert sent.value.status == 201
    expect(desk.cards.first).to_be_visible()
    assert (last_said(page, "session"), answered(page, "session")) == (given, 1)


def test_task_open_in_two_tabs_is_answered_once_and_leases_are_released(
    log_in: Callable[[str], Page],
) -> None:
    page = log_in("annotator-1")
    one = Desk(page, "tabs").open()
    two = Desk(page.context.new_page(), "tabs").open()
    assert one.order() == two.order()
    given = give(one)
    expect(two.card(given[1][0][0])).to_have_count(0)
    expect(two.page.get_by_text("You answered that task in another tab")).to_be_visible()
    # Both tabs save a draft of the same task. The second tab shows a warning and can load the first tab's
    # draft.
    with one.page.expect_response(lambda response: "/draft" in response.url and response.ok):
        wanted = turn_round(one)
    two.press("Home", "Alt+ArrowDown")
    expect(two.page.get_by_text("Not saved on the server")).to_be_visible()
    two.page.get_by_role("button", name="Load the server’s version").click()
    expect(two.page.get_by_text("Not saved on the server")).to_have_count(0)
    expect(two.cards.first).to_be_visible()
    assert [[response] for response in two.order()] == wanted
    # Closing the last tab releases the prefetched task; the current task stays reserved for a while.
    two.page.close()
    one.page.reload()
    expect(one.cards.first).to_be_visible()
    with one.page.expect_response(lambda response: response.url.endswith("/release")) as released:
        one.page.get_by_role("link", name="Overview").click()
    assert released.value.status == 204
    assert (last_said(page, "tabs"), answered(page, "tabs")) == (given, 1)


END_LEASES = (
    "from annotation.models import Assignment; from annotation.desk import allocation;"
    "from django.utils import timezone; from datetime import timedelta;"
    "Assignment.objects.filter(project__slug='leases', state='leased')"
    ".update(expires_at=timezone.now() - timedelta(seconds=1)); allocation.expire_leases();"
)
OTHER_TAKES = (
    "from annotation.models import Project, User;"
    "allocation.claim_tasks(project=Project.objects.get(slug='leases'),"
    " annotator=User.objects.get(username='annotator-2'))"
)


def test_late_answer_is_sent_when_the_task_is_assigned_again(
    log_in: Callable[[str], Page], demo_stack: Stack
) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "leases").open()
    run(demo_stack, END_LEASES)
    submits: list[int] = []
    page.on(
        "response",
        lambda response: submits.append(response.status) if response.url.endswith("/submit") else None,
    )
    with page.expect_response(lambda response: response.url.endswith("/submit") and response.status == 201):
        given = give(desk)
    assert submits == [409, 201]
    expect(page.get_by_text("An answer was not accepted")).to_have_count(0)
    assert (last_said(page, "leases"), answered(page, "leases")) == (given, 1)
    # Another annotator has been assigned the task. The answer stays in the browser, and the desk reports that
    # the answer doesn't count.
    expect(desk.cards.first).to_be_visible()
    run(demo_stack, END_LEASES + OTHER_TAKES)
    _, said = give(desk)
    expect(page.get_by_text("An answer was not accepted")).to_be_visible()
    page.get_by_role("button", name="Back to that answer").click()
    expect(page.get_by_text("This task is no longer assigned to you")).to_be_visible()
    assert [[response] for response in desk.order()] == said
    page.get_by_role("button", name="Get a task").click()
    expect(desk.card(said[0][0])).to_have_count(0)
    expect(desk.cards.first).to_be_visible()
    assert (last_said(page, "leases"), answered(page, "leases")) == (given, 1)


def test_answer_refused_after_submission_can_be_reopened_and_sent_again(
    log_in: Callable[[str], Page],
) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "refused").open()
    body = json.dumps(
        {"detail": "It does not fit.", "errors": [{"field": "tiers", "reason": "Not ranked: B"}]}
    )
    refuse: dict[str, Any] = {"status": 422, "content_type": "application/problem+json", "body": body}
    page.route("**/submit", lambda route: route.fulfill(**refuse), times=1)
    task, said = give(desk)
    expect(desk.cards.first).to_be_visible()
    next_task = desk.order()
    notice = page.get_by_role("alert").filter(has_text="An answer was not accepted")
    expect(notice).to_contain_text("Not ranked: B")
    page.reload()  # the refused answer survives a reload
    expect(notice).to_contain_text("Question 0 of refused?")
    page.get_by_role("button", name="Back to that answer").click()
    expect(page.get_by_text("This answer was not accepted")).to_be_visible()
    assert [[response] for response in desk.order()] == said
    with desk.taken():
        desk.press("Enter")
    expect(desk.card(next_task[0])).to_be_visible()
    assert (last_said(page, "refused"), answered(page, "refused")) == ((task, said), 1)


def test_last_answer_can_be_taken_back_and_a_task_can_be_reported(log_in: Callable[[str], Page]) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "again").open()
    desk.press("t")
    expect(page.get_by_text("You have no answer to take back here.")).to_be_visible()
    task, said = give(desk)
    expect(page.get_by_text("Saved · 1 this session")).to_be_visible()
    expect(desk.cards.first).to_be_visible()
    waiting = desk.order()
    page.reload()
    expect(desk.cards.first).to_be_visible()
    desk.press("t")
    expect(page.get_by_text("You are changing your last answer")).to_be_visible()
    assert [[response] for response in desk.order()] == said
    changed = turn_round(desk)
    with page.expect_response(lambda response: response.url.endswith("/revise")) as revised:
        desk.press("Enter")
    assert revised.value.status == 201
    expect(page.get_by_text("Your change is saved")).to_be_visible()
    assert desk.order() == waiting
    assert (last_said(page, "again"), answered(page, "again")) == ((task, changed), 1)

    desk.press("i")
    page.get_by_label("The text is in the wrong language").check()
    page.get_by_label("Details (optional)").fill("This is Dutch.")
    page.get_by_role("button", name="Send report").click()
    expect(page.get_by_text("Reported to the managers")).to_be_visible()
    desk.press("p")
    expect(page.get_by_role("dialog", name="Paused")).to_be_visible()
    expect(desk.cards.first).not_to_be_visible()
    desk.press("Enter")
    expect(desk.cards.first).to_be_visible()


def test_practice_shows_the_correct_answer_and_qualifies_the_annotator(log_in: Callable[[str], Page]) -> None:
    page = log_in("annotator-1")
    desk = Desk(page, "exam").open()
    for left in (2, 1):
        expect(page.get_by_role("note")).to_contain_text(f"{left} of 2 tasks left")
        texts = {one["id"]: one["text"] for one in desk.assignment["responses"]}
        best_first = sorted(texts, key=lambda id: texts[id])
        desk.rank_by_keys(best_first)
        with desk.taken():
            desk.press("Enter")
            if list(texts) == best_first:  # the displayed order was correct
                page.get_by_role("button", name="Submit this order").click()
        expect(page.get_by_text("100 % correct", exact=True)).to_be_visible()
        if left == 1:
            expect(page.get_by_text("You qualified")).to_be_visible()
        desk.press("Enter")
        expect(desk.cards.first).to_be_visible()
    expect(page.get_by_role("note")).to_have_count(0)
