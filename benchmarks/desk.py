"""How long an annotator waits for the next task: from the key that submits to the next task on screen.

    .venv/bin/python -m benchmarks.desk [--answers 30] [--responses 4] [--characters 400] [--slow 0]

Ranks in Debian's Chromium on a throw-away embedded stack: End, 1, Enter, and a second of thinking. The time
is the browser's own, from the key's event to the first frame after the one in which the cards of the next
task are in the document. `--slow`: so many milliseconds are added to every request, as a distant server
would. The bar is 100 ms, whatever the server takes.
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
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.requests import ROOT, manage, start_stack

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
        "from annotation.models import Project, User; from annotation.services.projects import add_member;"
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
    """Milliseconds of each answer; the first is left out, while the page's own code is still warming up."""
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
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{url}/login")
            page.get_by_label("Username").fill("ranker")
            page.get_by_role("textbox", name="Password").fill("for the benchmark")
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{url}/")
            network = {"offline": False, "latency": given.slow}
            unlimited = {"downloadThroughput": -1, "uploadThroughput": -1}
            page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", network | unlimited)
            page.goto(f"{url}/projects/desk/rank")
            times = sorted(rank(page, given.answers, given.think))
            browser.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
    high = times[int(len(times) * 0.95)]
    print(
        f"{given.responses} responses of {given.characters} characters, {given.answers} answers: "
        f"median {statistics.median(times):.0f} ms, 95th percentile {high:.0f} ms, most {times[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main()
