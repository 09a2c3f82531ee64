"""The ranking desk supports every way of ranking and asks annotators to confirm unchanged orders. Hostile
model output cannot harm the desk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.desk import Desk
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

TASKS = 6
HOSTILE = [
    "<script>window.ran = 'script'</script><img src=x onerror=\"window.ran = 'onerror'\"> one",
    "[a link](javascript:window.ran='link') ![picture](https://outside.example/pixel.png) two",
    "<style>* { display: none !important }</style><iframe src='https://outside.example/'></iframe> three",
    '<a href="https://outside.example" onclick="window.ran=1">four</a> <svg onload="window.ran=2"></svg>',
]


@pytest.fixture(scope="module")
def project(demo_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A separate project with imported tasks. One of the demo's annotators is its only member."""
    slug = "desk"
    lines = [
        {
            "prompt": f"Question {number}: which is best?",
            "responses": [{"text": f"Answer {letter} to {number}", "model": letter} for letter in "abcd"],
        }
        for number in range(TASKS)
    ]
    lines.append(
        {
            "prompt": "Hostile <b>question</b> <script>window.ran = 'prompt'</script>",
            "responses": [{"text": text, "model": f"m{i}"} for i, text in enumerate(HOSTILE)],
        }
    )
    file: Path = tmp_path_factory.mktemp("desk") / "responses.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for command in (
        ["create_project", slug, "--preset", "ranking"],
        ["import_responses", str(file), "--project", slug],
        [
            "shell",
            "-c",
            "from annotation.models import Project, User;"
            "from annotation.accounts.members import add_member;"
            f"add_member(project=Project.objects.get(slug='{slug}'),"
            " user=User.objects.get(username='annotator-1'), role='annotator')",
        ],
    ):
        done = demo_stack.manage(*command)
        assert done.returncode == 0, done.stderr
    return slug


@pytest.fixture
def desk(log_in: Callable[[str], Page], project: str) -> Desk:
    return Desk(log_in("annotator-1"), project).open()


def stored(stack: Stack, project: str) -> list[dict[str, object]]:
    """The project's rankings in the database, oldest first."""
    return stack.rows(
        "SELECT r.tiers, r.shown_order::text[] AS shown, r.touched, r.source,"
        " (SELECT count(*) FROM annotation_comparison c WHERE c.ranking_id = r.id) AS comparisons"
        " FROM annotation_ranking r JOIN annotation_project p ON p.id = r.project_id"
        " WHERE p.slug = %s ORDER BY r.id",
        project,
    )


def test_annotator_can_rank_and_tie_responses_and_undo_changes_by_keyboard(
    desk: Desk, demo_stack: Stack, project: str
) -> None:
    shown = desk.order()
    a, b, c, d = shown
    desk.press("End", "1")
    assert desk.order() == [d, a, b, c]
    desk.press("u")
    assert desk.order() == shown
    desk.press("Home", "Alt+ArrowDown")
    assert desk.order() == [b, a, c, d]
    desk.focus_by_keys(c)
    desk.press("=")
    assert desk.ranks() == {b: 1, a: 2, c: 2, d: 3}
    with desk.taken():
        desk.press("Enter")
    expect(desk.card(a)).to_have_count(0)
    ranking = stored(demo_stack, project)[-1]
    tiers = ranking["tiers"]
    assert isinstance(tiers, list)
    assert [sorted(tier) for tier in tiers] == [[b], sorted([a, c]), [d]]
    assert ranking["shown"] == shown
    assert ranking["touched"] is True
    assert ranking["comparisons"] == 6
    assert ranking["source"] == "browser"


LOOKS = """cards => cards.map(card => {
  const gutter = card.closest("[data-place]").querySelector("[data-gutter]");
  return {
    tied: card.getAttribute("aria-label").includes("tied"),
    bracket: getComputedStyle(gutter, "::after").content !== "none",
    current: card.dataset.current === "true",
    letter: getComputedStyle(card.querySelector("header span")).backgroundColor,
  };
})"""


def test_moved_card_keeps_the_style_of_its_state(desk: Desk) -> None:
    """A card's state determines its style, even after the card has moved in the document."""

    def looks_right(after: str) -> None:
        looks = desk.cards.evaluate_all(LOOKS)
        assert [one["bracket"] for one in looks] == [one["tied"] for one in looks], after
        letters = {bool(one["current"]): one["letter"] for one in looks}
        assert len(letters) == 2, after
        assert [one["letter"] for one in looks] == [letters[one["current"]] for one in looks], after
        assert letters[True] != letters[False], after

    keys = ["End", "1", "Home", "=", "=", "ArrowDown", "=", "=", "End", "=", "2", "u", "Home", "=", "4"]
    for place, key in enumerate(keys):
        desk.press(key)
        looks_right(" ".join(keys[: place + 1]))
    first, *_, last = desk.order()
    desk.press("Home")
    desk.drag(last, onto=first)
    assert desk.order()[0] == last
    looks_right("a drag")


def test_buttons_change_the_order(desk: Desk, demo_stack: Stack, project: str) -> None:
    a, b, c, d = desk.order()
    desk.card(d).get_by_role("button", name="into slot 1").click()
    desk.card(a).get_by_role("button", name="down").click()
    desk.card(c).get_by_role("button", name="up").click()
    assert desk.order() == [d, b, c, a]
    desk.submit()
    assert stored(demo_stack, project)[-1]["tiers"] == [[d], [b], [c], [a]]


def test_unchanged_order_must_be_confirmed(desk: Desk, demo_stack: Stack, project: str) -> None:
    before = len(stored(demo_stack, project))
    desk.press("Enter")
    dialog = desk.page.get_by_role("dialog", name="You have not changed the order")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Keep ranking").click()
    expect(dialog).to_have_count(0)
    shown = desk.order()
    desk.press("Enter")
    with desk.taken():
        dialog.get_by_role("button", name="Submit this order").click()
    expect(desk.card(shown[0])).to_have_count(0)
    rankings = stored(demo_stack, project)
    assert len(rankings) == before + 1  # the first Enter submitted nothing
    ranking = rankings[-1]
    assert ranking["touched"] is False
    assert ranking["tiers"] == [[response] for response in shown]


def test_draft_survives_a_reload(desk: Desk) -> None:
    shown = desk.order()
    with desk.page.expect_response(lambda response: "/draft" in response.url and response.ok):
        desk.press("End", "1")
    wanted = desk.order()
    assert wanted != shown
    desk.page.evaluate("localStorage.clear(); sessionStorage.clear()")
    desk.page.reload()
    expect(desk.cards.first).to_be_visible()
    assert desk.order() == wanted


def test_list_of_shortcuts_opens_with_question_mark_and_closes_with_escape(desk: Desk) -> None:
    desk.press("?")
    dialog = desk.page.get_by_role("dialog", name="Keyboard shortcuts")
    for words in ("Submit the answer", "Undo", "Next response", "Skip this task"):
        expect(dialog.get_by_text(words, exact=True)).to_be_visible()
    desk.press("Escape")
    expect(dialog).to_have_count(0)


def test_hostile_output_cannot_run_scripts_or_load_anything(desk: Desk) -> None:
    page = desk.page
    outside: list[str] = []

    def note(request: Request) -> None:
        if "outside.example" in request.url:
            outside.append(request.url)

    page.on("request", note)
    desk.open()
    while "Hostile" not in desk.assignment["task"]["prompt"]["messages"][0]["content"]:
        desk.press("End", "1")
        desk.submit()
    expect(page.get_by_text("Hostile")).to_be_visible()
    texts = desk.page.locator('[data-testid="response-text"]')
    for word in ("one", "two", "three", "four"):
        expect(texts.filter(has_text=re.compile(rf"\b{word}\b"))).to_be_visible()
    page.wait_for_timeout(500)  # gives scripts time to run and the browser time to request pictures
    assert page.evaluate("window.ran") is None
    assert outside == []
    assert page.locator('[data-testid="response-text"] :is(img, script, style, iframe, svg)').count() == 0
    assert page.locator('[data-testid="response-text"] a[href^="javascript"]').count() == 0
