"""Screenshots of the demo's pages, for the README and for looking at.

    .venv/bin/python docs/screenshots.py [--state .rankloop] [--out docs/images]

Needs the running stack of that state folder, Chromium, and the log-ins that the demo wrote there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SIZE = {"width": 1360, "height": 850}
SETTLE_MS = 1500  # charts draw and fonts load


def logged_in(browser: Browser, address: str, name: str, password: str) -> Page:
    page = browser.new_context(base_url=address, viewport=SIZE).new_page()
    page.goto("/login")
    page.get_by_label("Username").fill(name)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    return page


def shoot(page: Page, path: str, file: Path) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)


def newest_run(page: Page, kind: str) -> str | None:
    runs = page.request.get("/api/v1/runs/?project=demo").json()["results"]
    return next((run["id"] for run in runs if run["kind"] == kind and run["state"] == "succeeded"), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".rankloop"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    address = json.loads((options.state / "running.json").read_text())["address"]
    logins = dict(line.split() for line in (options.state / "demo-logins.txt").read_text().splitlines())
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        annotator = logged_in(browser, address, "annotator-1", logins["annotator-1"])
        annotator.goto("/projects/demo/rank")
        annotator.get_by_test_id("response-card").first.wait_for()
        annotator.keyboard.press("End")
        annotator.keyboard.press("1")
        annotator.keyboard.press("ArrowDown")
        annotator.keyboard.press("ArrowDown")
        annotator.keyboard.press("=")
        annotator.wait_for_timeout(SETTLE_MS)
        annotator.screenshot(path=options.out / "desk.png")
        admin = logged_in(browser, address, "admin", logins["admin"])
        pages = {"overview": "", "data": "/data", "runs": "/runs", "models": "/models"}
        pages["new-run"] = "/runs/new?kind=ppo"
        if (run := newest_run(admin, "ppo") or newest_run(admin, "sft")) is not None:
            pages["run"] = f"/runs/{run}"
        for name, path in pages.items():
            shoot(admin, f"/projects/demo{path}", options.out / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
