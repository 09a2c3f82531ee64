"""A new user ranks twenty tasks with the keyboard alone.

The user knows only the common keys Tab, Enter and Escape, and learns all other keys from the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TASKS = 20
NAME, PASSWORD = "walker", "a-long-walk-1"
# The values by which the user ranks the responses of each task. Equal values are tied. Some tasks have two
# responses and some have five.
WORTH = [[3, 1, 2], [1, 2, 2, 4], [1, 2], [5, 3, 4, 1, 2], [2, 2, 1], [1, 4, 3, 2]]
SET_UP = f"""
from annotation.models import User
from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.projects.projects import create_project
project = create_project(slug="walk", preset="ranking")
worth = {WORTH!r}
add_ranking_tasks(project=project, items=[
    TaskDraft([{{"role": "user", "content": f"Question {{n}}?"}}],
              [ResponseDraft(f"An answer to question {{n}} that is worth {{w}}, {{i}}", f"m{{i}}")
               for i, w in enumerate(worth[n % len(worth)])])
    for n in range({TASKS} + 1)])
user = User.objects.create_user("{NAME}", password="{PASSWORD}")
add_member(project=project, user=user, role="annotator")
"""
PRINTED = {"↑": "ArrowUp", "↓": "ArrowDown"}
# Returns an empty string if the focused element is not the body, is on the screen and has a visible focus
# indicator. Otherwise, returns a description of the fault.
FOCUS = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return "on nothing";
  const box = at.getBoundingClientRect();
  const off = box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth;
  if (off || box.width === 0) return `out of sight, on ${at.outerHTML.slice(0, 120)}`;
  // If a choice is drawn as a button, a hidden input has the focus and its label has the outline.
  const drawn = [at, at.closest("label")].filter(Boolean).map((one) => getComputedStyle(one));
  const seen = drawn.some((style) => style.outlineStyle !== "none" || style.boxShadow !== "none");
  return seen ? "" : `invisible, on ${at.outerHTML.slice(0, 120)}`;
}"""


class Walker:
    """A user who reads the page and uses only the keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.sees_the_focus()

    def sees_the_focus(self) -> None:
        assert self.page.evaluate(FOCUS) == ""

    def tab_to(self, wanted: Locator, *, at_most: int = 30) -> None:
        for _ in range(at_most):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.press("Tab")
        raise AssertionError(f"Tab does not lead to {wanted}")

    def key_for(self, does: str) -> list[str]:
        """The keys shown next to the text `does` in the line above the responses."""
        line = self.page.get_by_role("list", name="Most used shortcuts")
        return self._printed(line.get_by_role("listitem").filter(has_text=does))

    def key_on(self, button: str) -> str:
        return self._printed(self.page.get_by_role("button", name=button, exact=True))[0]

    def _printed(self, where: Locator) -> list[str]:
        keys = where.locator("kbd").all_inner_texts()
        return [PRINTED.get(key, key) for key in keys]

    @property
    def cards(self) -> Locator:
        return self.page.get_by_test_id("response-card")

    def reads(self) -> list[str]:
        """The texts of the responses, from top to bottom. The text content is read, because responses outside
        the viewport are not laid out and have no inner text."""
        return self.page.get_by_test_id("response-text").all_text_contents()

    def order(self) -> list[list[str]]:
        """Returns the texts of the responses in tiers, best first, according to the rank of each card."""
        ranked = self.cards.evaluate_all(
            """cards => cards.map((card) =>
                [card.dataset.rank, card.querySelector('[data-testid="response-text"]').textContent])"""
        )
        tiers: dict[int, list[str]] = {}
        for rank, text in ranked:
            tiers.setdefault(int(rank), []).append(text)
        return [sorted(tiers[rank]) for rank in sorted(tiers)]

    @property
    def conversation(self) -> Locator:
        return self.page.get_by_role("region", name="Conversation")

    def is_asked(self) -> str:
        return self.conversation.get_by_text(re.compile(r"^Question \d+\?$")).inner_text()

    def go_to(self, text: str) -> None:
        """Presses the arrow keys until the focus is on the card with this text."""
        up, down = self.key_for("go to a response")
        card = self.cards.filter(has_text=text)
        for _ in range(12):
            here = self.cards.evaluate_all("cards => cards.findIndex((c) => c === document.activeElement)")
            there = self.reads().index(text)
            if here == there:
                expect(card).to_be_focused()
                return
            self.press(down if here < there else up)
        raise AssertionError(f"the arrows do not lead to {text!r}")

    def rank(self) -> list[list[str]]:
        """Ranks the responses by value, with ties for equal values. Returns the resulting order."""
        wanted = sorted(self.reads(), key=worth, reverse=True)
        first = int(self.key_for("rank (1 is best)")[0])
        for place, text in enumerate(wanted, start=first):
            if self.reads().index(text) != place - 1:
                self.go_to(text)
                self.press(str(place))
                letter = self.cards.nth(place - 1).get_attribute("aria-label") or ""
                expect(self.page.get_by_test_id("announcer")).to_contain_text(letter.split(",")[0])
        assert self.reads() == wanted
        for above, text in pairwise(wanted):
            if worth(above) == worth(text):
                self.go_to(text)
                self.press(*self.key_for("tie with the one above"))
                expect(self.page.get_by_test_id("announcer")).to_contain_text("tied with")
        order = self.order()
        assert [{worth(text) for text in tier} for tier in order] == [
            {value} for value in sorted({worth(text) for text in wanted}, reverse=True)
        ]
        return order

    def submit(self) -> None:
        """Presses Enter and confirms an unchanged order."""
        question = self.conversation.get_by_text(self.is_asked(), exact=True)
        for key in self.key_for("submit"):
            self.page.keyboard.press(key)
        asks = self.page.get_by_role("dialog", name="You have not changed the order")
        expect(asks.or_(self.page.locator("body").filter(has_not=question))).to_be_visible()
        if asks.is_visible():
            self.tab_to(asks.get_by_role("button", name="Submit this order"))
            self.page.keyboard.press("Enter")

    def goes_on(self, shown: str) -> None:
        """Waits until another task is shown and its first response has the focus."""
        expect(self.conversation.get_by_text(shown, exact=True)).to_have_count(0)
        expect(self.cards.first).to_be_focused()
        self.sees_the_focus()


def worth(text: str) -> int:
    found = re.search(r"worth (\d)", text)
    assert found
    return int(found[1])


@pytest.fixture
def walker(chromium: Browser, demo_stack: Stack) -> Iterator[Walker]:
    done = demo_stack.manage("shell", "-c", SET_UP)
    assert done.returncode == 0, done.stderr
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{demo_stack.port}", viewport={"width": 1280, "height": 800}
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield Walker(page)
    context.close()
    assert not thrown


def test_new_user_ranks_twenty_tasks_with_the_keyboard_alone(walker: Walker, demo_stack: Stack) -> None:
    page = walker.page
    page.goto("/")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type(NAME)
    walker.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_focused()
    to_the_desk = page.get_by_role("main").get_by_role("link", name="Rank", exact=True)
    expect(to_the_desk).to_be_visible()
    walker.tab_to(to_the_desk)
    page.keyboard.press("Enter")
    expect(walker.cards.first).to_be_focused()

    # Enter asks for confirmation, and a second Enter returns to the responses.
    walker.press(*walker.key_for("submit"))
    asks = page.get_by_role("dialog", name="You have not changed the order")
    expect(asks).to_be_visible()
    walker.press("Enter")
    expect(asks).to_have_count(0)
    expect(walker.cards.first).to_be_focused()

    # The overlay lists all shortcuts, and Escape closes it.
    walker.press(*walker.key_for("all shortcuts"))
    keys = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(keys.get_by_text("Submit the answer")).to_be_visible()
    walker.press("Escape")
    expect(walker.cards.first).to_be_focused()

    said: dict[str, list[list[str]]] = {}
    for done in range(TASKS):
        if done == 3:
            skipped = skip_one(walker)
            assert skipped not in said
        question = walker.is_asked()
        said[question] = walker.rank()
        walker.submit()
        if done < TASKS - 1:
            walker.goes_on(question)
        if done == 5:
            said[question] = change_the_last(walker, question)
    assert len(said) == TASKS
    expect(page.get_by_role("button", name="Refresh")).to_be_focused()

    rows = []
    for _ in range(100):  # the desk continues before the server has received the last answer
        rows = stored(demo_stack)
        if len(rows) == TASKS:
            break
        page.wait_for_timeout(100)
    assert {row["question"]: [sorted(tier) for tier in row["tiers"]] for row in rows} == said
    assert {row["source"] for row in rows} == {"browser"}


def skip_one(walker: Walker) -> str:
    page, question = walker.page, walker.is_asked()
    walker.press(walker.key_on("Skip"))
    dialog = page.get_by_role("dialog", name="Skip this task")
    reason = dialog.get_by_role("button", name="The prompt makes no sense")
    walker.tab_to(reason)
    walker.press("Enter")
    walker.tab_to(dialog.get_by_role("button", name="Skip task"))
    page.keyboard.press("Enter")
    walker.goes_on(question)
    return question


def change_the_last(walker: Walker, question: str) -> list[list[str]]:
    """Takes back the last answer, moves its bottom response to the top and submits it again. Returns the new
    order."""
    page = walker.page
    expect(page.get_by_text(re.compile(r"^Saved · \d+ this session"))).to_be_visible()
    waiting = walker.is_asked()
    walker.press(walker.key_on("Take back"))
    expect(page.get_by_text("You are changing your last answer")).to_be_visible()
    assert walker.is_asked() == question
    expect(walker.cards.and_(page.locator(":focus"))).to_have_count(1)
    before = walker.order()
    walker.go_to(walker.reads()[-1])
    walker.press(walker.key_for("rank (1 is best)")[0])
    changed = walker.order()
    assert changed[0] == before[-1]
    walker.submit()
    walker.goes_on(question)
    assert walker.is_asked() == waiting
    return changed


def stored(stack: Stack) -> list[dict[str, object]]:
    """The current rankings, with texts instead of IDs."""
    return stack.rows(
        "SELECT m.messages->0->>'content' AS question, r.source,"
        " (SELECT jsonb_agg((SELECT jsonb_agg(a.text) FROM annotation_response a"
        "   WHERE a.id::text IN (SELECT jsonb_array_elements_text(tier))) ORDER BY place)"
        "   FROM jsonb_array_elements(r.tiers) WITH ORDINALITY AS t(tier, place)) AS tiers"
        " FROM annotation_ranking r JOIN annotation_project p ON p.id = r.project_id"
        " JOIN annotation_rankingtask k ON k.id = r.task_id JOIN annotation_prompt m ON m.id = k.prompt_id"
        " WHERE p.slug = 'walk'"
        " AND NOT EXISTS (SELECT 1 FROM annotation_ranking n WHERE n.supersedes_id = r.id)",
    )
