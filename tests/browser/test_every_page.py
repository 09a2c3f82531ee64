"""Every page of the router, in light and dark and on a phone: no axe violation of WCAG 2.2 AA, nothing wider
than the screen, no error in the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from docs.screenshots import addresses
from tests.embedded.running import ROOT, Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LOOK = """async (rules) => {
  await document.fonts.ready;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  await Promise.all(document.getAnimations().map((animation) => animation.finished)); // colours on their way
  const { violations } = await axe.run(document, { runOnly: { type: "tag", values: rules } });
  const why = ({ target, any }) => `${target} ${any.map(({ message }) => message)}`;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(why).join("; ")}`);
}"""
# What is wider than the screen makes the whole page scroll sideways, wherever it stands.
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def faults_of(page: Page, path: str) -> list[str]:
    """What is wrong with the page as it stands, in both colour schemes and on a phone."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    expect(page.locator("main")).to_be_visible()
    found: list[str] = []
    for scheme, size in (("light", DESK), ("dark", DESK), ("dark", PHONE)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
        page.evaluate(AXE.read_text())
        where = f"{path} {scheme} {size['width']}"
        found += [f"{where}: {fault}" for fault in page.evaluate(LOOK, RULES)]
        if size is PHONE and (wider := page.evaluate(WIDER)) > 0:
            found.append(f"{where}: {wider} px wider than the screen")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    return found


def test_everybody_can_use_every_page(log_in: Callable[[str], Page], demo_stack: Stack) -> None:
    page = log_in("admin")
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(f"{page.url}: {message.text}")

    page.on("console", listen)
    faults = [fault for path in addresses(page).values() for fault in faults_of(page, path)]
    assert not faults, "\n".join(faults)
    assert not said, "\n".join(said)


def test_the_log_in_page_can_be_used_in_another_language(chromium: Any, demo_stack: Stack) -> None:
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
