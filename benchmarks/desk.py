"""Measure the speed of the annotator's desk: first load, key-to-paint latency, and submit-to-next time.

    .venv/bin/python -m benchmarks.desk [--answers 30] [--responses 4] [--characters 400] [--slow 0]

Runs Chromium against a temporary embedded stack. The key-to-paint latency and the submit-to-next time are
measured with the browser's clock. The benchmark tests the most recent build of the page (`scripts/up` builds
and compresses it).

First load: the benchmark measures the compressed size of the scripts that load before the first task is
visible. The Markdown renderer loads in parallel and is not counted. The benchmark also measures the time from
navigation to the first card with its text, once with an empty and once with a warm cache. Targets for the
first load: 200 kB and 1.5 s.

Key-to-paint latency, per layout: the time from a key event until its effect is visible. The browser's Event
Timing API reports the latency. The API rounds durations to multiples of 8 ms and omits durations below 16 ms.
`focus` moves to the next response, and `place` moves the last response to first place. Target for this
latency: 50 ms with `--responses 10 --characters 4000`.

Submit to next: after a second of thinking time, the keys End, 1 and Enter are pressed. The measurement starts
when Enter is pressed. It ends with the first frame after the next task's cards enter the document.
`--slow` adds the given number of milliseconds to every request, to simulate a distant server. Target for this
time: 100 ms, regardless of the server's latency.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.requests import ROOT, manage, start_stack
from scripts.browser import chromium, log_in

WATCH = """() => {
  const cards = () => [...document.querySelectorAll("[data-testid=response-card]")];
  window.took = null;
  window.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const [began, before] = [event.timeStamp, cards()[0]?.dataset.responseId];
    const look = () => {
      const now = cards()[0]?.dataset.responseId;
      if (now === undefined || now === before) return requestAnimationFrame(look);
      requestAnimationFrame(() => setTimeout(() => (window.took = performance.now() - began)));
    };
    requestAnimationFrame(look);
  }, true);
}"""


# The Event Timing API (W3C) is the basis of "interaction to next paint". The API measures the time from the
# key event until the frame with its effect is presented. Durations are rounded to multiples of 8 ms.
# Durations under 16 ms are not reported.
SHORTEST_MS = 16
PAINTED = f"""() => {{
  window.painted = [];
  new PerformanceObserver((seen) => {{
    for (const {{ name, duration }} of seen.getEntries()) if (name === "keydown") painted.push(duration);
  }}).observe({{ type: "event", durationThreshold: {SHORTEST_MS} }});
}}"""
SCRIPTS = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.name.endsWith(".js"))
  .map((entry) => [entry.name.split("/").pop(), entry.encodedBodySize])"""
RENDERER = ("rich-", "Rendered-")  # scripts that render Markdown, formulas and highlighted code
LAYOUTS = ("Column", "Side by side", "Two at a time")
KEYS_EACH = 20
REPORTED_AFTER_MS = 250


def first_load(page: Page, address: str) -> None:
    for cache in ("an empty", "a warm"):
        if cache == "an empty":
            page.context.new_cdp_session(page).send("Network.clearBrowserCache")
        page.goto("about:blank")
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.get_by_test_id("response-card").first.get_by_text(" of ").first.wait_for()
        ready = time.perf_counter() - began
        if cache == "an empty":
            sent: dict[str, int] = dict(page.evaluate(SCRIPTS))
            rich = sum(size for name, size in sent.items() if name.startswith(RENDERER))
            first = (sum(sent.values()) - rich) / 1000
            print(f"scripts before the first task: {first:.1f} kB; Markdown renderer: {rich / 1000:.1f} kB")
        print(f"ready with {cache} cache: {ready:.2f} s")


def key_to_paint(page: Page) -> None:
    page.evaluate(PAINTED)
    print("layout           focus p50 p95   place p50 p95 ms")
    for layout in LAYOUTS:
        page.get_by_role("button", name=layout, exact=True).click()
        cells = [
            quantiles(painted(page, *keys) for _ in range(KEYS_EACH))
            for keys in (["ArrowDown"], ["End", "1"])
        ]
        print(f"{layout:15} {cells[0]}   {cells[1]}")
    page.get_by_role("button", name=LAYOUTS[0], exact=True).click()


def painted(page: Page, *keys: str) -> float:
    """Press the keys, and return the milliseconds from the last key until its effect is on screen, but at
    least SHORTEST_MS."""
    for key in keys:
        page.wait_for_timeout(150)
        page.evaluate("() => { painted.length = 0 }")
        page.keyboard.press(key)
    page.wait_for_timeout(REPORTED_AFTER_MS)
    return float(max([SHORTEST_MS, *page.evaluate("() => painted")]))


def quantiles(times: Iterable[float]) -> str:
    found = sorted(times)
    return f"{statistics.median(found):9.0f} {found[int(len(found) * 0.95)]:3.0f}"


def fill(state: Path, tasks: int, responses: int, characters: int, file: Path) -> None:
    words = "You can **return** it within 14 days; print the label and bring it to any shop. "
    text = (words * (1 + characters // len(words)))[:characters]
    file.write_text(
        "".join(
            json.dumps(
                {"prompt": f"Question {n}?", "responses": [f"{k} of {n}: {text}" for k in range(responses)]}
            )
            + "\n"
            for n in range(tasks)
        )
    )
    manage(state, "create_project", "desk", "--preset", "ranking")
    manage(state, "import_responses", str(file), "--project", "desk")
    user = (
        "from annotation.models import Project, User; from annotation.accounts.members import add_member;"
        "user = User.objects.create_user('ranker', password='for the benchmark');"
        "add_member(project=Project.objects.get(slug='desk'), user=user, role='annotator')"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", user],
        cwd=ROOT,
        env=os.environ | {"RANKLOOP_STATE": str(state)},
        capture_output=True,
        check=True,
    )


def rank(page: Page, answers: int, think: float) -> list[float]:
    """Rank tasks, and return the milliseconds from each submit to the next task. The first answer is
    excluded, because the browser is still compiling the page's code."""
    page.get_by_test_id("response-card").first.wait_for()
    page.evaluate(WATCH)
    times = []
    for _ in range(answers + 1):
        time.sleep(think)
        page.evaluate("() => { window.took = null }")
        for key in ("End", "1", "Enter"):
            page.keyboard.press(key)
        while (took := page.evaluate("() => window.took")) is None:
            time.sleep(0.02)
        times.append(float(took))
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=30)
    parser.add_argument("--responses", type=int, default=4)
    parser.add_argument("--characters", type=int, default=400)
    parser.add_argument("--think", type=float, default=1.0)
    parser.add_argument("--slow", type=int, default=0)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="desk-"))
    home.chmod(0o711)
    process, url = start_stack(home / "state", home / "output")
    try:
        fill(home / "state", given.answers + 5, given.responses, given.characters, home / "lines.jsonl")
        with chromium() as browser:
            view = {"width": 1280, "height": 900}
            page = log_in(browser, url, "ranker", "for the benchmark", viewport=view)
            network = {"offline": False, "latency": given.slow}
            unlimited = {"downloadThroughput": -1, "uploadThroughput": -1}
            page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", network | unlimited)
            first_load(page, f"{url}/projects/desk/rank")
            key_to_paint(page)
            times = sorted(rank(page, given.answers, given.think))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
    high = times[int(len(times) * 0.95)]
    print(
        f"submit to next, {given.answers} answers, {given.responses} x {given.characters} characters: "
        f"median {statistics.median(times):.0f} ms, 95th percentile {high:.0f} ms, maximum {times[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main()
