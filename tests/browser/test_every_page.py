"""Every page in the router is tested in the light and the dark theme, at phone width and at 200 % zoom. No
page has axe violations of WCAG 2.2 AA, horizontal scrolling or console errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from scripts.browser import addresses
from tests.embedded.running import ROOT, Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
ZOOMED = {"width": 640, "height": 450}  # the desktop viewport at 200 % zoom
LOOK = """async (rules) => {
  await document.fonts.ready;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  // Wait for colour transitions. If an element is removed, its transition's promise is rejected.
  await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  // axe describes every element that passed, unless only violations are requested.
  const { violations } = await axe.run(document, {
    runOnly: { type: "tag", values: rules },
    resultTypes: ["violations"],
  });
  const why = ({ target, any }) => `${target} ${any.map(({ message }) => message)}`;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(why).join("; ")}`);
}"""
# The number of pixels by which the page is wider than the screen. Any element wider than the screen makes the
# whole page scroll horizontally.
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


LOOKS = (("light", DESK), ("dark", DESK), ("dark", PHONE))


def faults_of(page: Page, path: str, looks: Sequence[tuple[str, dict[str, int]]] = LOOKS) -> list[str]:
    """Lists the accessibility violations on the page at this path, by default in both themes and at phone
    width. Also reports horizontal scrolling at phone width and at 200 % zoom."""
    page.goto(path, wait_until="commit")
    return _faults_on(page, path, looks)


def faults_of_all(
    page: Page, paths: Sequence[str], looks: Sequence[tuple[str, dict[str, int]]] = LOOKS
) -> list[str]:
    """Like faults_of, but for several paths. While one page is inspected, the next page loads in another
    tab."""
    tabs = cycle([page, page.context.new_page()])
    found: list[str] = []
    opened: list[tuple[Page, str]] = []
    for path in [*paths, None]:
        if path is not None:
            tab = next(tabs)
            tab.goto(path, wait_until="commit")
            opened.append((tab, path))
        if len(opened) > 1 or path is None:
            found += _faults_on(*opened.pop(0), looks)
    return found


def _faults_on(page: Page, path: str, looks: Sequence[tuple[str, dict[str, int]]]) -> list[str]:
    page.bring_to_front()  # a tab in the background draws about one frame per second
    page.wait_for_load_state("networkidle")
    expect(page.locator("main")).to_be_visible()
    page.evaluate(AXE.read_text())
    found: list[str] = []
    for scheme, size in looks:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
        where = f"{path} {scheme} {size['width']}"
        found += [f"{where}: {fault}" for fault in page.evaluate(LOOK, RULES)]
    for size in (PHONE, ZOOMED):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        if (wider := page.evaluate(WIDER)) > 0:
            found.append(f"{path} {size['width']}: {wider} px wider than the screen")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    return found


def heard_errors(page: Page) -> list[str]:
    """Returns a list to which the console errors of all tabs are added from now on."""
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(f"{message.page.url if message.page else ''}: {message.text}")

    page.context.on("console", listen)
    return said


@pytest.fixture(scope="module")
def reward_model(demo_stack: Stack) -> None:
    """Adds rankings and a round to the demo, so that their pages are tested. The round trains a reward model
    on the rankings."""
    recipe = "recipes.reward_model.epochs=1 recipes.reward_model.annotators=crowd_bt"
    for line in (
        "simulate_annotators --project demo --limit 16",
        f"set_loop demo --set improve_with= ask_after_stop=false {recipe}",
        "turn_loop demo --wait",
    ):
        done = demo_stack.manage(*line.split(), timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.usefixtures("reward_model")
def test_every_page_is_accessible(log_in: Callable[[str], Page], demo_stack: Stack) -> None:
    page = log_in("admin")
    said = heard_errors(page)
    faults = faults_of_all(page, list(addresses(page).values()))
    assert not faults, "\n".join(faults)
    assert not said, "\n".join(said)


@pytest.mark.parametrize("name", ["manager", "annotator-1"])
def test_pages_of_other_roles_are_accessible(
    log_in: Callable[[str], Page], demo_stack: Stack, name: str
) -> None:
    """Checks the parts that other roles see in addition to, or instead of, the admin's pages. Colours and
    widths are the same for every role, so one theme and one width are enough."""
    page = log_in(name)
    said = heard_errors(page)
    tabs = page.get_by_role("navigation", name="Project", exact=True).get_by_role("link")
    page.goto("/projects/demo")
    expect(tabs.first).to_be_visible()
    theirs = [str(tab.get_attribute("href")) for tab in tabs.all()]
    assert ("/projects/demo/members" in theirs) == (name == "manager")
    paths = ["/", "/account", *theirs]
    faults = faults_of_all(page, paths, [("dark", PHONE)])
    assert not faults, "\n".join(faults)
    assert not said, "\n".join(said)


def test_current_tab_is_visible_on_a_phone(log_in: Callable[[str], Page]) -> None:
    page = log_in("manager")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto("/projects/demo/settings/audit")
    tabs = page.get_by_role("navigation", name="Project", exact=True)
    expect(tabs.get_by_role("link", name="Settings")).to_be_in_viewport(ratio=1)
    expect(tabs.get_by_role("link", name="Overview")).not_to_be_in_viewport()
    tabs.get_by_role("link", name="Members").click()
    expect(tabs.get_by_role("link", name="Members")).to_be_in_viewport(ratio=1)
    page.goto("/projects/demo")
    expect(tabs.get_by_role("link", name="Overview")).to_be_in_viewport(ratio=1)
    page.goto("/projects/demo/settings/audit")
    places = page.get_by_role("navigation", name="Settings", exact=True)
    expect(places.get_by_role("link", name="Audit log")).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


def test_login_page_is_accessible_in_another_language(chromium: Any, demo_stack: Stack) -> None:
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{demo_stack.port}", locale="de-DE", viewport=DESK
    )
    page = context.new_page()
    assert not faults_of(page, "/login")
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_label("Sprache").select_option("English")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    context.close()


def test_admin_can_compare_runs_and_relaunch_one_and_promote_a_model(
    log_in: Callable[[str], Page], demo_stack: Stack
) -> None:
    page = log_in("admin")
    page.goto("/projects/demo/runs")
    for number in (0, 1):
        run = page.get_by_role("checkbox", name="Compare").nth(number)
        run.click()  # check() fails if the box is not checked immediately after the click
        expect(run).to_be_checked()
    expect(page).to_have_url(re.compile(r"pick=[0-9a-f-]{36}(,|%2C)[0-9a-f-]{36}$"))
    chosen = page.url.partition("pick=")[2]
    page.reload()  # the URL contains the selection
    expect(page.get_by_text("2 runs selected for comparison")).to_be_visible()
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page).to_have_url(re.compile(r"/runs/compare\?runs="))
    assert page.url.endswith(chosen)
    expect(page.get_by_role("region", name="Curves").locator("canvas").first).to_be_visible()
    page.get_by_label("Show tables instead of charts").check()
    expect(page.get_by_role("region", name="Curves").get_by_role("table").first).to_be_visible()
    expect(page.get_by_role("region", name="Differences").first).to_be_visible()
    faults = faults_of(page, page.url)

    # A preset fills the form, the estimate is updated, and invalid settings are reported immediately.
    page.goto("/projects/demo/runs/new?kind=sft")
    page.get_by_label("Quick look").check()
    expect(page.locator("input[name=max_demonstrations]")).to_have_value("2000")
    estimate = page.get_by_role("region", name="Estimate")
    expect(estimate.get_by_text("scaled from one earlier run")).to_be_visible()
    expect(estimate.get_by_text("fits", exact=True)).to_be_visible()
    page.locator("input[name=base_model]").fill("someone/mystery")
    expect(estimate.get_by_text("No estimate yet")).to_be_visible()
    page.locator("input[name=base_model]").fill("demo-world")

    # No text fits into eight tokens, so the run fails and reports the cause. The failed run is then
    # relaunched with changes.
    page.locator("input[name=max_demonstrations]").fill("1")
    page.get_by_text("more settings").click()
    page.locator("input[name=max_length]").fill("8")
    page.get_by_role("button", name="Launch run").click()
    expect(page.get_by_text("The texts are too long")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("Suggested action:")).to_be_visible()
    faults += faults_of(page, page.url)
    page.get_by_role("link", name="Launch again with changes").click()
    expect(page.locator("input[name=max_length]")).to_have_value("8")
    expect(page.get_by_text("Check this setting first.").first).to_be_visible()
    faults += faults_of(page, page.url)

    page.goto("/projects/demo/models")
    page.get_by_role("button", name="Promote").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("loop use this policy by default")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)

    # Invalid settings of the loop are refused with their reasons, and valid settings are stored.
    page.goto("/projects/demo/loop")
    settings = page.get_by_role("region", name="Settings")
    settings.get_by_label("New comparisons").fill("0")
    settings.get_by_role("button", name="Save settings").click()
    expect(settings.get_by_text("greater than or equal to 1").first).to_be_visible()
    settings.get_by_label("New comparisons").fill("300")
    settings.get_by_role("button", name="Save settings").click()
    expect(page.get_by_role("region", name="Status").get_by_text("of 300")).to_be_visible()
    page.get_by_role("button", name="Turn on").click()
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_role("button", name="Turn on")).to_be_visible()

    page.goto("/projects/demo/models")
    page.get_by_text("Metrics and loading code").first.click()
    expect(page.get_by_text("AutoModelForCausalLM.from_pretrained(")).to_be_visible()
    assert not faults, "\n".join(faults)
