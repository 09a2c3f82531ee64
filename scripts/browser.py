"""Open a running stack's pages in Chromium, for screenshots, benchmarks and the browser tests."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

ROUTER = Path(__file__).resolve().parent.parent / "frontend" / "src" / "app" / "router.tsx"
PROJECT = "demo"


class RunningStack(NamedTuple):
    """The URL of a running stack, and {username: password} of its demo accounts."""

    address: str
    logins: dict[str, str]

    @classmethod
    def of(cls, state: Path) -> RunningStack:
        address = json.loads((state / "running.json").read_text())["address"]
        lines = (state / "demo-logins.txt").read_text().splitlines()
        return cls(address, dict(line.split(" ", 1) for line in lines))


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium installed on the machine. The browser is closed when the context ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def log_in(browser: Browser, address: str, name: str, password: str, **context: Any) -> Page:
    """A logged-in page in a new browser context. `context` is passed to `Browser.new_context`."""
    page = browser.new_context(base_url=address, **context).new_page()
    page.goto("/login")
    page.get_by_label("Username").fill(name)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    return page


def addresses(page: Page) -> dict[str, str]:
    """Return {name: URL} for all pages that require a login. `page` must be logged in as the admin."""
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
    """Return a value for a URL parameter: the ID of one of the demo's rows."""

    def rows(address: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page.request.get(f"/api/v1/{address}").json()["results"]
        if not found:
            raise LookupError(f"The demo has no row for {parameter}. Rank tasks and train a reward model.")
        return found

    if parameter == "$runId":
        runs = [run for run in rows(f"runs/?project={PROJECT}") if run["state"] == "succeeded"]
        return str(next((run["id"] for run in runs if run["kind"] == "ppo"), runs[0]["id"]))
    if parameter == "$taskId":
        return str(rows(f"projects/{PROJECT}/tasks/")[0]["id"])
    if parameter == "$modelId":
        return str(rows(f"models/?project={PROJECT}&kind=reward_model")[0]["id"])
    if parameter == "$roundId":
        return str(rows(f"projects/{PROJECT}/rounds/")[0]["id"])
    raise LookupError(f"{ROUTER.name} has a page with the parameter {parameter}. Add it to _value_of.")
