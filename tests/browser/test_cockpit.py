"""A manager sets up a project without the command line and without an admin's help. The manager creates the
project, edits the form, imports real data and invites an annotator. The annotator ranks the first task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.annotation.real_data import real_file
from tests.browser.desk import Desk
from tests.browser.test_every_page import faults_of
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

RESPONSES_PER_TASK = 8
PASSWORD = "seven green parrots"
NAME, SLUG = "Kitchen questions", "kitchen-questions"
ANNOTATOR = "ann"


@pytest.fixture
def stranger(chromium: Browser, demo_stack: Stack) -> Iterator[Callable[[], Page]]:
    """stranger(): opens a page for a visitor without an account. Each page has its own browser context."""
    contexts, thrown = [], []

    def open_page() -> Page:
        context = chromium.new_context(
            base_url=f"http://127.0.0.1:{demo_stack.port}", viewport={"width": 1280, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: thrown.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not thrown


def _invite(page: Page, role: str, note: str) -> str:
    """Creates an invitation link on the Members page and returns the link."""
    page.get_by_role("link", name="Members").click()
    panel = page.get_by_role("region", name="Invite by link")
    panel.get_by_label("Role").select_option(role)
    panel.get_by_label("For whom").fill(note)
    panel.get_by_role("button", name="Create link").click()
    link = panel.locator("code").inner_text()
    expect(
        page.get_by_role("region", name="Invitations").get_by_role("cell", name=note, exact=True)
    ).to_be_visible()
    return link


def _follow(page: Page, link: str, username: str) -> None:
    page.goto(link)
    page.get_by_label("Choose a username").fill(username)
    page.get_by_label("Choose a password").fill("short")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("This password is too short")).to_be_visible()
    page.get_by_label("Choose a password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page).to_have_url(re.compile(rf"/projects/{SLUG}$"))


def _settings(page: Page, place: str) -> Locator:
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("navigation", name="Settings").get_by_role("link", name=place).click()
    return page.locator("main")


# Enters a value, and returns whether the button would receive a click before the preview is rendered again.
_ENTER_AND_POINT = """async ([field, value, button]) => {
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, value);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await null;
  const { x, y, width, height } = button.getBoundingClientRect();
  return button.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


def test_manager_sets_up_a_project_that_receives_its_first_ranking(
    log_in: Callable[[str], Page], stranger: Callable[[], Page]
) -> None:
    cleo = log_in("manager")
    cleo.get_by_role("link", name="New project").click()
    cleo.get_by_label("Name", exact=True).fill(NAME)
    expect(cleo.get_by_label("Short name")).to_have_value(SLUG)
    cleo.get_by_role("radio", name="Open Assistant").check()
    cleo.get_by_label("Rankings per task").fill("1")
    cleo.get_by_label("Guidelines").fill("## Better\n\nA better answer can be *cooked by*.")
    cleo.get_by_role("button", name="Create project").click()
    expect(cleo.get_by_role("heading", name="Set up")).to_be_visible()

    # The form editor shows errors next to the field, and the live preview shows valid changes.
    main = _settings(cleo, "Answer form")
    preview = cleo.get_by_test_id("form-preview")
    main.get_by_role("button", name="Add a flag").click()
    flags = cleo.get_by_role("region", name="Flags for each response")
    flags.get_by_label("Label").last.fill("Can't be cooked")
    expect(flags.get_by_label("Stored as").last).to_have_value("cant_be_cooked")
    expect(preview.get_by_label("Can't be cooked")).to_have_count(4)
    # The tasks in the file have eight responses, so annotators rank only the best responses.
    order = cleo.get_by_role("region", name="Ranking")
    order.get_by_label("Rank only the best").check()
    order.get_by_label("Minimum ranked").fill("5")
    expect(order.get_by_text("'at_least' must not be greater than 'at_most'")).to_be_visible()
    expect(main.get_by_role("button", name="Save form")).to_be_disabled()
    expect(preview.get_by_text("Not ranked", exact=True)).to_be_visible()
    # A change starts the preview again. Before that, the preview accepts no click, because it would be lost.
    field = order.get_by_label("Minimum ranked")
    first = preview.get_by_role("button", name="Put response B into slot 1")
    first.scroll_into_view_if_needed()
    handles = [field.element_handle(), "2", first.element_handle()]
    assert cleo.evaluate(_ENTER_AND_POINT, handles) is False
    expect(field).to_have_value("2")
    first.click()
    expect(preview.get_by_test_id("response-card").first).to_have_attribute("data-rank", "1")
    main.get_by_role("button", name="Save form").click()
    expect(main.get_by_text("Saved", exact=True)).to_be_visible()

    cleo.get_by_role("link", name="Data").click()
    cleo.get_by_label("File to import").set_input_files(real_file("kway/oasst-8-models.jsonl.gz"))
    # The import shows a preview first, and links to the tasks afterwards.
    cleo.get_by_role("button", name="Import 177 rows").click(timeout=60_000)
    expect(cleo.get_by_role("link", name="View tasks")).to_be_visible(timeout=60_000)
    _settings(cleo, "General")
    cleo.get_by_label("Maximum answers per day").fill("50")
    cleo.get_by_role("button", name="Save changes").click()
    expect(cleo.get_by_text("Saved", exact=True)).to_be_visible()
    link = _invite(cleo, "annotator", "Ann, who cooks")

    ann = stranger()
    _follow(ann, link, ANNOTATOR)
    again = stranger()
    again.goto(link)
    expect(again.get_by_text("has been used")).to_be_visible()
    desk = Desk(ann, SLUG).open()
    assert len(desk.order()) == RESPONSES_PER_TASK
    best, second = desk.order()[3], desk.order()[0]
    for slot, response_id in (("1", best), ("2", second)):
        desk.focus_by_keys(response_id)
        desk.press(slot)
    desk.card(best).get_by_label("Can't be cooked").check()
    with ann.expect_response(lambda response: "/submit" in response.url) as answer:
        ann.get_by_role("button", name="Submit ranking").click()
        # The quality rating is optional; if it is missing, the desk asks for it once.
        expect(ann.get_by_text("Not answered yet")).to_be_visible()
        ann.get_by_role("button", name="Submit ranking").click()
    assert answer.value.status == 201, answer.value.text()
    desk.gone([best])

    # A reported problem appears on the manager's overview until it is resolved.
    desk.press("i")
    ann.get_by_label("The text is in the wrong language").check()
    ann.get_by_label("Details (optional)").fill("This is Dutch.")
    ann.get_by_role("button", name="Send report").click()
    expect(ann.get_by_text("Reported to the managers")).to_be_visible()
    cleo.reload()
    cleo.get_by_role("link", name="Overview 1 reported problem to resolve").click()
    reports = cleo.get_by_role("region", name="Reported by annotators")
    expect(reports.get_by_text("This is Dutch.")).to_be_visible()
    assert not faults_of(cleo, f"/projects/{SLUG}")
    reports.get_by_role("button", name="Close task").click()
    expect(reports.get_by_text("closed, no longer assigned")).to_be_visible()
    reports.get_by_role("button", name="Reopen task").click()
    expect(reports.get_by_role("button", name="Close task")).to_be_visible()
    reports.get_by_role("button", name="Resolve").click()
    reports.get_by_label("Resolution").fill("The text is meant to be in Frisian.")
    reports.get_by_role("button", name="Resolve").click()
    expect(reports.get_by_text("All reports are resolved.")).to_be_visible()
    expect(cleo.get_by_role("link", name="reported problem")).to_have_count(0)
    reports.get_by_text("Resolved: 1").click()
    expect(reports.get_by_text("resolved by manager")).to_contain_text("The text is meant to be in Frisian.")
    reports.get_by_role("link").click()
    expect(cleo.get_by_role("heading", name="Task", exact=True)).to_be_visible()
    reports.get_by_text("Resolved: 1").click()
    reports.get_by_role("button", name="Reopen", exact=True).click()
    expect(reports.get_by_role("button", name="Resolve")).to_be_visible()

    # Any task can become a check once a manager has confirmed the correct order.
    tasks = cleo.request.get(f"/api/v1/projects/{SLUG}/tasks/?page_size=1").json()["results"]
    cleo.goto(f"/projects/{SLUG}/tasks/{tasks[0]['id']}")
    cleo.get_by_role("button", name="Turn into a check").click()
    dialog = cleo.get_by_role("dialog", name="Turn into a check")
    expect(dialog.get_by_role("button", name="Save check")).to_be_disabled()
    dialog.get_by_role("button", name="Move response B up").click()
    expect(dialog.get_by_test_id("gold-response").first).to_contain_text("B")
    dialog.get_by_role("button", name="Save check").click()
    expect(cleo.get_by_role("button", name="Edit check")).to_be_visible()
    main = _settings(cleo, "Checks")
    expect(main.get_by_role("row").filter(has_text="Gold task")).to_have_count(1)

    # The audit log contains an entry for the annotator's ranking. Before the project is paused, a dialog
    # states how many open tasks are affected.
    main = _settings(cleo, "Audit log")
    expect(
        main.get_by_role("listitem").filter(has_text=ANNOTATOR).filter(has_text="a ranking")
    ).to_be_visible()
    _settings(cleo, "General")
    cleo.get_by_role("button", name="Pause").click()
    dialog = cleo.get_by_role("dialog", name="Pause the project?")
    expect(dialog).to_contain_text("175 open tasks")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog).to_be_hidden()
    ann.goto(f"/projects/{SLUG}")
    expect(ann.locator("main").get_by_text("paused")).to_be_visible()


def test_annotator_cannot_create_projects_and_is_told_who_can(
    log_in: Callable[[str], Page],
) -> None:
    page = log_in("annotator-1")
    expect(page.get_by_role("link", name="Customer support (demo)")).to_be_visible()
    expect(page.get_by_role("link", name="New project")).to_have_count(0)
    page.goto("/new-project")
    expect(page.get_by_text("Only project managers and site admins can create projects")).to_be_visible()
    assert not faults_of(page, "/new-project")


def test_invitation_page_is_accessible(log_in: Callable[[str], Page], stranger: Callable[[], Page]) -> None:
    admin = log_in("admin")
    admin.goto("/projects/demo/members")
    link = _invite(admin, "annotator", "nobody")
    page = stranger()
    assert not faults_of(page, link)
    revoke = admin.get_by_role("button", name="Revoke the invitation for nobody")
    revoke.click()
    expect(revoke).to_have_count(0)  # the server has revoked the invitation
    page.reload()
    expect(page.get_by_text("was revoked")).to_be_visible()
    assert not faults_of(page, "/join")
