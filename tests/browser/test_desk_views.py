"""The desk's three layouts handle comparisons of two responses, right-to-left scripts and extreme model
output."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, ViewportSize, expect

from tests.browser.desk import Desk
from tests.browser.test_every_page import AXE, LOOK, RULES, WIDER
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PHONE: ViewportSize = {"width": 390, "height": 844}
# Maximum key-to-paint latency with extreme content. Typical figures are in docs/measurements.md.
FREEZES_MS = 5_000

RIGHT_TO_LEFT = "الماء يغلي (عند 100 درجة)!\n\nAn English part.\n\n- `x = 1` ثانياً\n\n```\nprint(1)\n```"
ALIKE = ["Water boils at ninety degrees up here.", "Water boils at eighty degrees up here."]
LONG = [" ".join(f"word{i}" for i in range(n)) for n in (900, 2_700)]
ENORMOUS = [
    "x " * 100_000,
    "y z " * 50_000,
    "A" * 50_000,
    "\n".join(f"- item {i}" for i in range(10_000)),
    "> " * 20 + "deep\n\n" + "\n".join("  " * i + "- level" for i in range(50)),
    r"$$\frac{\sqrt{x}}{\nomacro{ $$ \(\begin{matrix} 1 & \) $$\def\a{\a\a}\a$$ $$\rule{999em}{999em}$$",
    "|" + "|".join(f"c{i}" for i in range(60)) + "|\n|" + "---|" * 60 + ("\n|" + "cell|" * 60) * 40,
    "\u202e turned \u2066 open <script>window.ran=1</script> <img src='https://outside.example/p.png'"
    " onerror='window.ran=2'> [x](javascript:window.ran=3) ![y](https://outside.example/q.png)",
    "Z\u0300\u0301\u0302" * 2_000 + "👩‍👩‍👧‍👦" * 2_000,
    "*" * 3_000 + "a" + "_" * 3_000 + "\n```\n" + "w" * 9_000,
]
SET_UP = """
import json, pathlib
from annotation.models import User
from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.projects.projects import create_project
for name, of in json.loads(pathlib.Path("FILE").read_text()).items():
    project = create_project(slug=f"view-{name}", preset="ranking")
    task = TaskDraft([{"role": "user", "content": "Which?"}], [ResponseDraft(text) for text in of])
    add_ranking_tasks(project=project, items=[task])
    add_member(project=project, user=User.objects.get(username="annotator-1"), role="annotator")
"""
# Records the milliseconds from each key press to the frame that shows its effect.
PAINT = """() => {
  window.took = [];
  addEventListener("keydown", ({ timeStamp }) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => window.took.push(performance.now() - timeStamp);
    port2.postMessage(0);
  }), { capture: true });
}"""
# Waits for four frames, because scroll events are dispatched before the next frame. If their handlers scroll,
# further scroll events are dispatched before the frame after that.
DRAWN = """async () => {
  for (let frame = 0; frame < 4; frame += 1) await new Promise(requestAnimationFrame);
}"""
PLACES = """cards => cards.filter(card => card.scrollHeight > card.clientHeight + 200)
  .map(card => card.scrollTop / (card.scrollHeight - card.clientHeight))"""
DIRECTIONS = """text => [...text.querySelectorAll("p, ul, li, code, pre")]
  .map(part => part.tagName + " " + getComputedStyle(part).direction)"""


@pytest.fixture(scope="module")
def projects(demo_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("views") / "texts.json"
    file.write_text(json.dumps({"plain": [*ALIKE, *LONG, RIGHT_TO_LEFT], "worst": ENORMOUS}))
    done = demo_stack.manage("shell", "-c", SET_UP.replace("FILE", str(file)))
    assert done.returncode == 0, done.stderr


@pytest.fixture
def page(log_in: Callable[[str], Page], projects: None) -> Page:
    return log_in("annotator-1")


def lay_out(desk: Desk, layout: str) -> None:
    """Switches to this layout with the layout key."""
    responses = desk.page.get_by_test_id("responses")
    for _ in range(3):
        if responses.get_attribute("data-layout") == layout:
            return
        desk.press("v")
    expect(responses).to_have_attribute("data-layout", layout)


def id_of(desk: Desk, text: str) -> str:
    found = [one["id"] for one in desk.assignment["responses"] if one["text"] == text]
    return str(found[0])


def drag_beside(desk: Desk, response_id: str, *, onto: str) -> None:
    """Drags a response by its handle in a row layout, where the pointer moves sideways."""
    mouse = desk.page.mouse
    handle = desk.card(response_id).get_by_role("button", name="Drag response").bounding_box()
    assert handle
    mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    mouse.down()
    mouse.move(handle["x"] + handle["width"] / 2 + 8, handle["y"] + 10, steps=4)
    desk.lifted()
    target = desk.card(onto).bounding_box()
    assert target
    mouse.move(target["x"] + target["width"] / 2, target["y"] + 20, steps=10)
    desk.over(onto)
    mouse.up()
    desk.dropped()


def touch_drag(desk: Desk, response_id: str, *, onto: str) -> None:
    cdp = desk.page.context.new_cdp_session(desk.page)
    handle = desk.card(response_id).get_by_role("button", name="Drag response").bounding_box()
    assert handle

    def touch(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    touch("touchStart", x, y)
    touch("touchMove", x, y + 10)
    desk.lifted()
    target = desk.card(onto).bounding_box()
    assert target
    for part in (0.5, 0.9, 1.0):
        touch("touchMove", x, y + (target["y"] + 25 - y) * part)
    desk.over(onto)
    touch("touchEnd")
    desk.dropped()


def faults(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(LOOK, RULES)
    return found


def test_every_layout_supports_ranking_and_comparing_and_right_to_left_text(page: Page) -> None:
    desk = Desk(page, "view-plain").open()
    a, b = (id_of(desk, text) for text in ALIKE)

    lay_out(desk, "row")
    drag_beside(desk, desk.order()[0], onto=desk.order()[3])
    desk.focus_by_keys(a)
    desk.press("1")
    desk.focus_by_keys(b)
    desk.press("ArrowLeft", "ArrowRight", "2")  # ArrowLeft first: ArrowRight has no effect on the last card
    order = desk.order()
    assert order[:2] == [a, b]
    heights = desk.cards.evaluate_all("cards => cards.map(card => Math.round(card.offsetHeight))")
    assert len(set(heights)) == 1, "side by side, all cards have the same height"

    long = desk.card(id_of(desk, LONG[0]))
    long.evaluate("card => { card.scrollTop = (card.scrollHeight - card.clientHeight) * 0.6 }")
    page.evaluate(DRAWN)
    places = desk.cards.evaluate_all(PLACES)
    assert places == pytest.approx([0.6] * len(places), abs=0.02)
    desk.focus_by_keys(id_of(desk, LONG[0]))
    desk.press("3")  # moving a card in the DOM must not reset its scroll position
    assert desk.cards.evaluate_all(PLACES) == pytest.approx([0.6] * len(places), abs=0.02)
    desk.press("y")
    long.evaluate("card => { card.scrollTop = 0 }")
    page.evaluate(DRAWN)
    assert max(desk.cards.evaluate_all(PLACES)) > 0.5, "each card scrolls independently"
    desk.press("y")

    lay_out(desk, "focus")
    desk.press("Home")
    expect(desk.card(a)).to_be_visible()
    expect(desk.card(b)).to_be_visible()
    assert desk.cards.evaluate_all("cards => cards.filter(card => card.offsetWidth).length") == 2
    drag_beside(desk, a, onto=b)
    assert desk.order()[:2] == [b, a]
    desk.press("d")
    expect(desk.card(b).locator("del")).to_have_text(["eighty"])
    expect(desk.card(a).locator("ins")).to_have_text(["ninety"])
    assert not faults(page)
    desk.press("d")
    expect(page.locator("del, ins")).to_have_count(0)

    arabic = desk.card(id_of(desk, RIGHT_TO_LEFT)).get_by_test_id("response-text")
    lay_out(desk, "column")
    directions = arabic.evaluate(DIRECTIONS)
    assert directions == ["P rtl", "P ltr", "UL rtl", "LI rtl", "CODE ltr", "PRE ltr", "CODE ltr"]

    page.reload()
    expect(desk.cards.first).to_be_visible()
    assert desk.order()[:2] == [b, a]
    expect(page.get_by_test_id("responses")).to_have_attribute("data-layout", "column")


def test_phone_layout_is_readable_and_supports_touch(log_in: Callable[[str], Page], projects: None) -> None:
    page = log_in("annotator-1")
    page.set_viewport_size(PHONE)
    page.goto("/")
    page.evaluate("localStorage.setItem('rankloop.desk.view', '{\"list\": \"row\"}')")
    desk = Desk(page, "view-plain").open()
    expect(page.get_by_test_id("responses")).to_have_attribute("data-layout", "column")
    expect(page.get_by_role("button", name="Side by side")).to_have_count(0)
    page.get_by_role("button", name="Two at a time").click()
    desk.press("Home")
    first, second = desk.order()[:2]
    desk.card(first).scroll_into_view_if_needed()
    touch_drag(desk, first, onto=second)
    assert desk.order()[:2] == [second, first]
    page.get_by_role("button", name="Differences").click()
    expect(page.get_by_test_id("comparison")).to_be_visible()
    assert page.evaluate(WIDER) <= 0
    assert not faults(page)


def test_extreme_output_does_not_break_the_layout(page: Page) -> None:
    outside: list[str] = []

    def note(request: Request) -> None:
        if "outside.example" in request.url:
            outside.append(request.url)

    page.on("request", note)
    desk = Desk(page, "view-worst")
    page.goto(desk.path)
    expect(page.get_by_test_id("responses")).to_be_visible(timeout=60_000)
    page.evaluate(PAINT)
    for layout in ("column", "row", "focus"):
        lay_out(desk, layout)
        for _ in ENORMOUS:
            # Moves each response to the front once and checks that it stays visible.
            last = desk.order()[-1]
            desk.press("End", "1")
            assert desk.order()[0] == last
            expect(desk.card(last).locator("header")).to_be_in_viewport()
        assert page.evaluate(WIDER) <= 0, layout
        wider = desk.cards.evaluate_all("cards => cards.map(card => card.scrollWidth - card.clientWidth)")
        assert max(wider) <= 0, (layout, wider)
        # The whole text is in the document, even if only part of it is visible.
        texts = desk.cards.evaluate_all(
            "cards => cards.map(card => card.querySelector('[data-testid=response-text]').textContent.length)"
        )
        assert max(texts) >= 200_000
    huge, other = (id_of(desk, text) for text in ENORMOUS[:2])
    desk.focus_by_keys(huge)
    desk.press("1")
    desk.focus_by_keys(other)
    desk.press("2", "d")
    expect(page.get_by_test_id("comparison")).to_be_visible()
    for _ in ENORMOUS:
        desk.press("ArrowDown")
    assert page.evaluate(WIDER) <= 0
    assert max(page.evaluate("window.took")) < FREEZES_MS
    assert page.evaluate("window.ran") is None
    assert outside == []
    shown = page.locator('[data-testid="response-text"]')
    assert shown.locator(":is(img, script, style, iframe, svg), a[href^='javascript']").count() == 0
