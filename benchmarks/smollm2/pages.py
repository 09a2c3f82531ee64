"""An admin's actions in the browser: creating a project, importing files, launching runs, waiting for them,
and taking screenshots."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize

ACTION_MS = 120_000
SETTLE_MS = 1500  # time for charts to be drawn
LOOK_SECONDS = 2.0
TALLEST = 4000  # px
WIDE: ViewportSize = {"width": 1360, "height": 900}


@dataclass
class Watched:
    """A finished run and the data that its page showed. `silent_seconds` is the longest time without a change
    in the displayed progress."""

    run: dict[str, Any]
    seconds: float
    estimate: str
    silent_seconds: float
    silent_at: str
    progress: list[tuple[float, str]] = field(default_factory=list)


class Admin:
    """A logged-in admin's page in the browser, with numbered screenshots."""

    def __init__(self, page: Page, project: str, shots: Path, *, n_shots: int = 0) -> None:
        self.page, self.project, self.shots, self.n_shots = page, project, shots, n_shots
        page.set_default_timeout(ACTION_MS)

    def shoot(self, name: str, *, whole: bool = True) -> None:
        """Save a screenshot of the whole page or only of the window. The desk draws only the content that is
        in the window."""
        self.page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        self.page.wait_for_timeout(SETTLE_MS)
        self.n_shots += 1
        high = min(self.page.evaluate("document.documentElement.scrollHeight"), TALLEST)
        if not whole:
            high = WIDE["height"]
        self.page.screenshot(
            path=self.shots / f"{self.n_shots:02}-{name}.png",
            full_page=True,
            clip={"x": 0, "y": 0, "width": WIDE["width"], "height": high},
        )

    def open(self, path: str) -> None:
        self.page.goto(f"/projects/{self.project}/{path}")
        self.page.wait_for_load_state("networkidle")

    def get(self, path: str) -> Any:
        answer = self.page.request.get(f"/api/v1/{path}")
        if not answer.ok:
            raise SystemExit(f"GET {path}: HTTP {answer.status}: {answer.text()}")
        return answer.json()

    def create_project(self, name: str, guidelines: str, *, overlap: int) -> None:
        page = self.page
        page.goto("/new-project")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Short name").fill(self.project)
        page.get_by_label("Rankings per task").fill(str(overlap))
        page.get_by_label("Guidelines").fill(guidelines)
        page.get_by_role("button", name="Create project").click()
        page.get_by_role("heading", name="Set up").wait_for()

    def bring_in(self, file: Path) -> str:
        """Import a file on the Data page and return the report."""
        page = self.page
        self.open("data")
        page.get_by_label("File to import").set_input_files(file)
        report = page.get_by_test_id("import-report")
        page.get_by_role("button", name=re.compile(r"^Import [\d,]+ rows?$")).click()
        report.get_by_text("Preview only").wait_for(state="hidden")
        page.get_by_test_id("import-running").wait_for(state="hidden")
        page.wait_for_timeout(SETTLE_MS)
        return report.inner_text()

    def launch(self, name: str, kind: str, inputs: dict[str, str], settings: dict[str, Any]) -> str:
        """Fill in the launch form, submit it and return the estimate that the form showed. The browser then
        shows the run's page."""
        page = self.page
        self.open(f"runs/new?kind={kind}")
        page.locator("summary").filter(has_text="more settings").click()
        for field_name, value in {
            **{f"inputs.{key}": text for key, text in inputs.items()},
            **settings,
        }.items():
            fill(page, field_name, value)
        estimate = self.estimate()
        self.shoot(f"{name}-form")
        page.get_by_role("button", name="Launch run").click()
        page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
        return estimate

    def estimate(self) -> str:
        """The estimate for the settings in the form, as one line."""
        self.page.wait_for_timeout(1000)  # the form waits until the user has stopped typing
        panel = self.page.locator("[aria-live=polite][aria-busy=false]").filter(has_text="memory")
        panel.first.wait_for()
        return " ".join(panel.first.inner_text().split())

    def wait(self, name: str, estimate: str) -> Watched:
        """Follow the run on its page until it ends."""
        page, run_id = self.page, self.page.url.rsplit("/", 1)[1]
        began = changed = time.monotonic()
        shown, silent, silent_at, half = "", 0.0, "", False
        progress: list[tuple[float, str]] = []
        while True:
            run = self.get(f"runs/{run_id}/")
            now, panel = time.monotonic(), page.locator("div:has(> div > [data-connection])")
            text = " ".join(panel.first.inner_text().split()) if panel.count() else run["state"]
            if text != shown or run["state"] not in ("queued", "running"):
                if now - changed > silent:
                    silent, silent_at = now - changed, shown
                shown, changed = text, now
                progress.append((round(now - began, 1), text))
            if run["state"] not in ("queued", "running"):
                break
            if not half and run["total_steps"] and run["step"] >= run["total_steps"] / 2:
                half = True
                self.shoot(f"{name}-running")
            page.wait_for_timeout(1000 * LOOK_SECONDS)
        page.get_by_text(run["state"].capitalize(), exact=True).first.wait_for()
        self.shoot(f"{name}-{run['state']}")
        return Watched(run, now - began, estimate, silent, silent_at, progress)


def fill(page: Page, name: str, value: Any) -> None:
    """Set a field of the launch form, whatever its type."""
    field_ = page.locator(f'[name="{name}"]')
    if isinstance(value, bool):
        field_.set_checked(value)
    elif field_.evaluate("element => element.tagName") == "SELECT":
        field_.select_option(str(value))
    else:
        field_.fill(str(value))
