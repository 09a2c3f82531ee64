"""The ranking desk as a page object for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page, Response, expect


class Desk:
    def __init__(self, page: Page, project: str = "demo") -> None:
        self.page = page
        self.path = f"/projects/{project}/rank"
        self._claims: list[Response] = []
        page.on("response", self._keep_claim)

    def _keep_claim(self, response: Response) -> None:
        if response.url.endswith("/assignments/next") and response.status == 200:
            self._claims.append(response)

    @property
    def assignment(self) -> dict[str, Any]:
        """The assignment that the server sent for the current task, directly or as a prefetch."""
        for _ in range(50):  # retries, because the response to a claim can change the task on the page
            shown = set(self.order())
            for claim in reversed(self._claims):
                first = claim.json()
                for given in (first, *first["prefetched"]):
                    if {response["id"] for response in given["responses"]} == shown:
                        return dict(given)
            self.page.wait_for_timeout(100)
        raise AssertionError("the server never sent the assignment that the desk shows")

    def open(self) -> Desk:
        self.page.goto(self.path)
        expect(self.cards.first).to_be_visible()
        return self

    @property
    def cards(self) -> Locator:
        return self.page.get_by_test_id("response-card")

    def card(self, response_id: str) -> Locator:
        return self.page.locator(f'[data-testid="response-card"][data-response-id="{response_id}"]')

    def order(self) -> list[str]:
        """Response IDs from top to bottom."""
        return self.cards.evaluate_all("cards => cards.map(card => card.dataset.responseId)")

    def ranks(self) -> dict[str, int]:
        return {
            row[0]: int(row[1])
            for row in self.cards.evaluate_all(
                "cards => cards.map(card => [card.dataset.responseId, card.dataset.rank])"
            )
        }

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focus_by_keys(self, response_id: str) -> None:
        self.press("Home")
        for _ in range(self.order().index(response_id)):
            self.press("ArrowDown")
        expect(self.card(response_id)).to_have_attribute("data-current", "true")

    def rank_by_keys(self, wanted: list[str]) -> None:
        """Moves each response to its rank with a digit key, best first."""
        for slot, response_id in enumerate(wanted, start=1):
            self.focus_by_keys(response_id)
            self.press(str(slot))
        assert self.order() == wanted

    def rank_by_drag(self, wanted: list[str]) -> None:
        """Drags each response to its rank, best first."""
        for place, response_id in enumerate(wanted):
            if self.order()[place] != response_id:
                self.drag(response_id, onto=self.order()[place])
        assert self.order() == wanted

    def drag(self, response_id: str, *, onto: str) -> None:
        mouse = self.page.mouse
        self.card(onto).scroll_into_view_if_needed()
        handle = self.card(response_id).get_by_role("button", name="Drag response")
        start = handle.bounding_box()
        target = self.card(onto).bounding_box()
        assert start
        assert target
        x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
        mouse.move(x, y)
        mouse.down()
        # The first small move lifts the card. Lifting a card shrinks the list, so the position of the target
        # card is read only afterwards.
        mouse.move(x, y - 8, steps=4)
        self.lifted()
        target = self.card(onto).bounding_box()
        assert target
        mouse.move(target["x"] + 40, target["y"] + min(12, target["height"] / 2), steps=12)
        self.over(onto)
        mouse.up()
        self.dropped()

    def lifted(self) -> None:
        """Waits until a drag has begun and all cards have collapsed."""
        expect(self.page.get_by_test_id("responses")).to_have_attribute("data-dragging", "true")

    def over(self, response_id: str) -> None:
        """Waits until dropping the dragged card would put it in the place of this card."""
        expect(self.page.locator(f'[data-place="{response_id}"]')).to_have_attribute("data-over", "true")

    def dropped(self) -> None:
        """Waits until the drag has ended. The order changes at the same time."""
        expect(self.page.get_by_test_id("responses")).to_have_attribute("data-dragging", "false")

    @contextmanager
    def taken(self, answers: int = 1) -> Iterator[None]:
        """On exit, waits until the server has accepted this many answers since the start of the block. The
        desk itself doesn't wait for the server."""
        statuses: list[int] = []

        def is_last(response: Response) -> bool:
            if response.url.endswith("/submit"):
                statuses.append(response.status)
            return len(statuses) == answers

        with self.page.expect_response(is_last) as last:
            yield
        assert last.value.ok, last.value.text()
        assert statuses == [201] * answers

    def submit(self) -> None:
        """Presses Submit and waits for the next task or the empty desk. Confirms an unchanged order if the
        desk asks for confirmation."""
        shown = self.order()
        confirm = self.page.get_by_role("button", name="Submit this order")
        left = self.page.locator("body").filter(has_not=self.card(shown[0]))
        with self.taken():
            self.page.get_by_role("button", name="Submit ranking").click()
            expect(confirm.or_(left)).to_be_visible()
            if confirm.is_visible():
                confirm.click()
        self.gone(shown)

    def gone(self, shown: list[str]) -> None:
        """Waits for another task, or for the message that there are no more tasks."""
        nothing = self.page.get_by_text("You have ranked all your tasks")
        expect(self.card(shown[0])).to_have_count(0)
        expect(self.cards.first.or_(nothing)).to_be_visible()
