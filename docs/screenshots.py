"""Screenshots of every page of the demo, for the README and for looking at.

    .venv/bin/python docs/screenshots.py [--state .rankloop] [--out docs/images] [--dark] [--phone]

Needs the running stack of that state folder, Chromium, and the log-ins that the demo wrote there. The pages
are those of the router: a new one is shot without being named here, unless its address has a new parameter.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

ROUTER = Path(__file__).resolve().parent.parent / "frontend" / "src" / "app" / "router.tsx"
PROJECT = "demo"
WIDE: ViewportSize = {"width": 1360, "height": 850}
PHONE: ViewportSize = {"width": 390, "height": 844}
HIGHEST = 2000  # px: a list of thousands would go on for ever
SETTLE_MS = 1500  # charts draw and fonts load


def addresses(page: Page) -> dict[str, str]:
    """{name: address} of every page that somebody logged in can open; `page` is the admin's."""
    found = {}
    routes = re.findall(r'getParentRoute: \(\) => (\w+),\s+path: "([^"]+)"', ROUTER.read_text())
    for parent, path in routes:
        if parent not in ("shellRoute", "projectRoute") or path == "/projects/$slug":
            continue
        address = f"/projects/{PROJECT}{path.rstrip('/')}" if parent == "projectRoute" else path
        for parameter in re.findall(r"\$\w+", address):
            address = address.replace(parameter, _value_of(parameter, page))
        name = re.sub(r"\W+", "-", re.sub(r"/?\$\w+", "", path)).strip("-")
        plain = name if "$" not in path else name.removesuffix("s")
        found[plain or ("overview" if parent == "projectRoute" else "projects")] = address
    return found


def _value_of(parameter: str, page: Page) -> str:
    """The id of a row that the demo has."""

    def rows(address: str) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = page.request.get(f"/api/v1/{address}").json()["results"]
        return answer

    if parameter == "$runId":
        runs = [run for run in rows(f"runs/?project={PROJECT}") if run["state"] == "succeeded"]
        return str(next((run["id"] for run in runs if run["kind"] == "ppo"), runs[0]["id"]))
    if parameter == "$taskId":
        return str(rows(f"projects/{PROJECT}/tasks/")[0]["id"])
    if parameter == "$modelId":
        return str(rows(f"models/?project={PROJECT}&kind=reward_model")[0]["id"])
    raise LookupError(f"{ROUTER.name} has a page with {parameter}; say here which row of the demo to show.")


def logged_in(browser: Browser, address: str, name: str, password: str, **context: Any) -> Page:
    page = browser.new_context(base_url=address, **context).new_page()
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
    high = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
    width = page.evaluate("document.documentElement.clientWidth")
    page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": high})


def shoot_desk(page: Page, file: Path) -> None:
    """At work: one response first, two tied."""
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
    address = json.loads((options.state / "running.json").read_text())["address"]
    logins = dict(line.split() for line in (options.state / "demo-logins.txt").read_text().splitlines())
    options.out.mkdir(parents=True, exist_ok=True)
    look = {
        "viewport": PHONE if options.phone else WIDE,
        "color_scheme": "dark" if options.dark else "light",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        annotator = logged_in(browser, address, "annotator-1", logins["annotator-1"], **look)
        shoot_desk(annotator, options.out / "desk.png")
        admin = logged_in(browser, address, "admin", logins["admin"], **look)
        for name, path in addresses(admin).items():
            if name != "rank":
                shoot(admin, path, options.out / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
