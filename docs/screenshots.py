"""Take screenshots of every page of the demo, for the README and for reviews.

    .venv/bin/python -m docs.screenshots [--state .rankloop] [--out docs/images] [--dark] [--phone]

Needs Chromium and a running stack with the demo in the folder given by `--state`. The demo must have a reward
model. The list of pages comes from the front end's router. A new page is therefore included automatically,
unless its URL has a new parameter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Page, ViewportSize

from scripts.browser import PROJECT, RunningStack, addresses, chromium, log_in

WIDE: ViewportSize = {"width": 1360, "height": 850}
PHONE: ViewportSize = {"width": 390, "height": 844}
HIGHEST = 2000  # px; longer pages are cut off, because a list can have thousands of rows
SETTLE_MS = 1500  # time for charts to be drawn and fonts to be loaded


def shoot(page: Page, path: str, file: Path) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    high = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
    width = page.evaluate("document.documentElement.clientWidth")
    page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": high})


def shoot_desk(page: Page, file: Path) -> None:
    """Take a screenshot of the desk after one response has been placed first and two responses have been
    tied."""
    page.goto(f"/projects/{PROJECT}/rank")
    page.get_by_test_id("response-card").first.wait_for()
    for key in ("End", "1", "ArrowDown", "ArrowDown", "="):
        page.keyboard.press(key)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path(".rankloop"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--dark", action="store_true", help="in dark colours")
    parser.add_argument("--phone", action="store_true", help="on a narrow screen")
    options = parser.parse_args()
    stack = RunningStack.of(options.state)
    options.out.mkdir(parents=True, exist_ok=True)
    look = {
        "viewport": PHONE if options.phone else WIDE,
        "color_scheme": "dark" if options.dark else "light",
    }
    with chromium() as browser:
        annotator = log_in(browser, stack.address, "annotator-1", stack.logins["annotator-1"], **look)
        shoot_desk(annotator, options.out / "desk.png")
        admin = log_in(browser, stack.address, "admin", stack.logins["admin"], **look)
        for name, path in addresses(admin).items():
            if name != "rank":
                shoot(admin, path, options.out / f"{name}.png")


if __name__ == "__main__":
    main()
