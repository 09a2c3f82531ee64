"""Measure the scrolling performance and load times of a manager's lists of tasks and rankings.

    .venv/bin/python -m benchmarks.lists --project large [--state .rankloop] [--seconds 15]

Needs Chromium, and a running stack with the given state folder and the demo's accounts. The stack must
contain a large project, for example one filled with `manage.py import_responses`. The benchmark scrolls each
list from the top while pages of rows load.

The benchmark prints the three longest main-thread tasks in milliseconds of processor time. Processor time
does not depend on other load on the machine. The benchmark also prints the number of tasks with more than 50
ms of elapsed time, which does depend on other load. Target: no task over 50 ms of processor time. For each
list and filter, the benchmark also prints the median time of three requests.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from scripts.browser import RunningStack, chromium, log_in

PIXELS_A_FRAME = (200, 1000)
LONG_MS = 50
QUERIES = (
    "",
    "state=open",
    "has=comment",
    "model=model-1",
    "says=order",
    "says=zebra",
    "agreement_below=0.5",
)
SCROLL = """async ([pixels, seconds]) => {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    window.scrollBy(0, pixels);
    await new Promise((drawn) => requestAnimationFrame(drawn));
  }
  return document.querySelector('[role=status]').textContent;
}"""


def main_thread_tasks(trace: bytes) -> list[tuple[float, float]]:
    """The processor time and elapsed time, in milliseconds, of each task on the pages' main threads."""
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    named = [event for event in events if event["name"] == "thread_name"]
    mains = {(event["pid"], event["tid"]) for event in named if event["args"].get("name") == "CrRendererMain"}
    return [
        (event["tdur"] / 1000, event["dur"] / 1000)
        for event in events
        if event["name"].endswith("RunTask") and "tdur" in event and (event["pid"], event["tid"]) in mains
    ]


def scroll(browser: Browser, page: Page, path: str, seconds: int) -> None:
    page.goto(path)
    page.get_by_role("table").wait_for()
    for pixels in PIXELS_A_FRAME:
        browser.start_tracing(page=page, categories=["toplevel"])
        loaded = page.evaluate(SCROLL, [pixels, seconds])
        tasks = main_thread_tasks(browser.stop_tracing())
        longest = ", ".join(f"{cpu:.0f}" for cpu, _ in sorted(tasks, reverse=True)[:3])
        over = sum(cpu > LONG_MS for cpu, _ in tasks)
        late = sum(clock > LONG_MS for _, clock in tasks)
        print(
            f"{path} at {pixels} px per frame: longest {longest} ms (processor), {over} over {LONG_MS} ms"
            f" ({late} by elapsed time), {loaded}"
        )


def request(page: Page, path: str) -> None:
    for query in QUERIES:
        took = []
        for _ in range(3):
            began = time.perf_counter()
            answer = page.request.get(f"/api/v1{path}/?page_size=200&{query}", timeout=120_000)
            took.append(time.perf_counter() - began)
            assert answer.ok, answer.text()
        rows = len(answer.json()["results"])
        print(f"{path} {query or 'everything'}: {sorted(took)[1] * 1000:.0f} ms, {rows} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--state", type=Path, default=Path(".rankloop"))
    parser.add_argument("--seconds", type=int, default=15)
    asked = parser.parse_args()
    stack = RunningStack.of(asked.state)
    view = {"width": 1280, "height": 900}
    with chromium() as browser:
        page = log_in(browser, stack.address, "admin", stack.logins["admin"], viewport=view)
        for path in (f"/projects/{asked.project}/tasks", f"/projects/{asked.project}/rankings"):
            request(page, path)
        for search in ("", "?list=rankings"):
            scroll(browser, page, f"/projects/{asked.project}/tasks{search}", asked.seconds)


if __name__ == "__main__":
    main()
