"""A manager imports a table whose votes can't be inferred. The manager chooses the columns, previews the
first tasks and imports the table. On the same page, the manager chooses how the rankings are used, sets the
overlap of the new tasks, divides many responses among tasks, imports a dataset from the Hub, and follows
imports that run on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_every_page import faults_of
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SLUG = "mapping"
WORK_MS = 60_000
LONG_ROWS = 60_000
SCORES = """question,gpt,claude,score_gpt,score_claude,rater
What is rain?,Falling water.,Sky juice.,4,2,mia
Why snow?,Cold.,Frozen <b>water</b>.,1,5,tom
"""


@pytest.fixture(scope="module")
def project(demo_stack: Stack) -> str:
    done = demo_stack.manage("create_project", SLUG, "--preset", "ranking")
    assert done.returncode == 0, done.stderr
    return SLUG


def test_manager_chooses_the_columns_that_contain_scores(
    log_in: Callable[[str], Page], project: str, tmp_path: Path
) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(SCORES)
    page = log_in("admin")
    page.goto(f"/projects/{project}/data")
    page.get_by_label("File to import").set_input_files(file)
    setup = page.get_by_test_id("import-setup")
    expect(setup).to_contain_text(
        "score_gpt (it isn't known whether a higher number is better)", timeout=WORK_MS
    )
    expect(page.get_by_test_id("import-report")).to_have_count(0)
    _choose(page, "Responses", "gpt (Falling water.)", "claude (Sky juice.)")
    _choose(page, "Vote", "score_gpt (4)", "score_claude (2)")
    setup.get_by_label("Meaning of the numbers").select_option("higher")
    setup.get_by_label("Annotator").select_option("rater")
    setup.get_by_label("Rankings in the file").select_option("keep")
    setup.get_by_label("Rankings per new task").fill("2")
    setup.get_by_label("Round").fill("3")
    setup.get_by_label("Priority").fill("7")
    setup.get_by_role("button", name="Apply and check all rows").click()
    tasks = page.get_by_test_id("import-preview").get_by_role("listitem")
    expect(tasks.filter(has_text="What is rain?").first).to_contain_text(
        "rank 1Falling water.", timeout=WORK_MS
    )
    expect(tasks.filter(has_text="Why snow?").first).to_contain_text("rank 1Frozen <b>water</b>.")
    report = page.get_by_test_id("import-report")
    expect(report).to_contain_text("2 rows read as table", timeout=WORK_MS)
    page.get_by_role("button", name="Import 2 rows").click()
    expect(report).to_contain_text("new rankings2", timeout=WORK_MS)
    expect(page.get_by_test_id("import-setup")).to_have_count(0)
    state = page.request.get(f"/api/v1/projects/{project}/").json()
    assert state["overlap"] != 2
    made = page.request.get(f"/api/v1/projects/{project}/tasks/").json()["results"]
    assert [(task["round"], task["priority"], task["overlap"]) for task in made] == [(3, 7, 2)] * 2
    next_file = tmp_path / "next.csv"
    next_file.write_text(SCORES.replace("Why snow?", "Why hail?"))
    page.get_by_label("File to import").set_input_files(next_file)
    expect(setup).to_contain_text("The meanings of the columns are taken from the project", timeout=WORK_MS)
    expect(report).to_contain_text("new rankings1", timeout=WORK_MS)
    page.goto(f"/projects/{project}/tasks")
    row = page.get_by_role("row").filter(has_text="What is rain?")
    expect(row).to_contain_text("open")
    faults = faults_of(page, f"/projects/{project}/data")
    assert not faults, "\n".join(faults)


def test_manager_divides_many_responses_and_imports_a_dataset_from_the_hub(
    log_in: Callable[[str], Page], project: str, tmp_path: Path
) -> None:
    row = {"prompt": "Name a tree.", "responses": ["Oak.", "Elm.", "Fir.", "Ash.", "Yew."]}
    file = tmp_path / "many.jsonl"
    file.write_text(json.dumps(row))
    page = log_in("admin")
    page.goto(f"/projects/{project}/data")
    page.get_by_label("File to import").set_input_files(file)
    setup, report = page.get_by_test_id("import-setup"), page.get_by_test_id("import-report")
    previews = page.get_by_test_id("import-preview").locator(":scope > li")
    expect(report).to_contain_text("new tasks1", timeout=WORK_MS)
    expect(previews).to_have_count(1)
    setup.get_by_label("Responses per new task").fill("3")
    expect(page.get_by_role("button", name="Import 1 row")).to_be_disabled()
    setup.get_by_role("button", name="Apply and check all rows").click()
    expect(previews).to_have_count(2, timeout=WORK_MS)
    expect(report).to_contain_text("new tasks2", timeout=WORK_MS)
    expect(setup.get_by_role("button", name="Apply and check all rows")).to_be_focused()
    page.get_by_role("button", name="Import 1 row").click()
    expect(report).to_contain_text("many.jsonl was imported: 1 row read as rankloop", timeout=WORK_MS)
    assert _responses(page, project, "Name a tree.") == [["Fir.", "Ash.", "Yew."], ["Oak.", "Elm."]]

    hub = page.get_by_test_id("import-hub")
    hub.locator("summary").click()
    hub.get_by_label("Dataset").fill("people/nothing")
    hub.get_by_role("button", name="Check all rows").click()
    results = page.get_by_test_id("import-results")
    expect(results).to_contain_text("The Hub has no dataset people/nothing", timeout=WORK_MS)
    hub.get_by_label("Dataset").fill("people/pairs")
    hub.get_by_label("Split").fill("train")
    hub.get_by_label("Rankings in the file").select_option("keep")
    hub.get_by_label("Rankings per new task").fill("3")
    hub.get_by_label("Round").fill("5")
    hub.get_by_role("button", name="Check all rows").click()
    expect(report).to_contain_text("people/pairs: 2 rows read as trl-preference", timeout=WORK_MS)
    hub.get_by_role("button", name="Import dataset").click()
    expect(report).to_contain_text("people/pairs was imported: 2 rows", timeout=WORK_MS)
    expect(report).to_contain_text("new rankings2")
    tasks = page.request.get(f"/api/v1/projects/{project}/tasks/?round=5").json()["results"]
    assert [(task["state"], task["overlap"]) for task in tasks] == [("open", 3)] * 2
    expect(page.get_by_test_id("import-history").get_by_role("row").nth(1)).to_contain_text("people/pairs")
    faults = faults_of(page, f"/projects/{project}/data")
    assert not faults, "\n".join(faults)


def test_running_import_is_still_shown_after_a_reload_and_can_be_stopped(
    log_in: Callable[[str], Page], project: str
) -> None:
    lines = [
        json.dumps({"prompt": f"Question {number}", "responses": ["a", "b"], "tiers": [[0], [1]]})
        for number in range(LONG_ROWS)
    ]
    page = log_in("admin")
    token = page.request.get("/api/v1/auth/me").json()["csrf_token"]
    file = {"name": "long.jsonl", "mimeType": "application/jsonl", "buffer": "\n".join(lines).encode()}
    queued = page.request.post(
        f"/api/v1/projects/{project}/imports/",
        multipart={"file": file},
        headers={"X-CSRFToken": token, "Referer": page.url},
    )
    assert queued.status == 202, queued.text()
    page.goto(f"/projects/{project}/data")
    running = page.get_by_test_id("import-running")
    expect(running).to_contain_text("Importing long.jsonl")
    expect(running).to_contain_text(re.compile(r"[1-9][\d,]* rows"), timeout=WORK_MS)
    page.reload()
    running.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("The import was stopped.")).to_be_visible(timeout=WORK_MS)
    row = page.get_by_test_id("import-history").get_by_role("row").filter(has_text="long.jsonl")
    expect(row).to_contain_text("stopped")
    row.get_by_role("button", name="Report: long.jsonl").click()
    expect(page.get_by_test_id("import-report").last).to_contain_text("rows read as rankloop")
    found = page.request.get(queued.headers["location"]).json()
    assert found["state"] == "cancelled"
    assert 0 < found["report"]["prompts"] == found["report"]["rankings"] < LONG_ROWS
    faults = faults_of(page, f"/projects/{project}/data")
    assert not faults, "\n".join(faults)


def _choose(page: Page, label: str, *options: str) -> None:
    """Chooses options in a field that accepts several values."""
    field = page.get_by_label(label, exact=True).first
    field.focus()
    field.press("ArrowDown")
    for option in options:
        page.locator("[data-combobox-option]").filter(has_text=option, visible=True).click()
    field.press("Escape")


def _responses(page: Page, project: str, prompt: str) -> list[list[str]]:
    """The responses of each task with this prompt."""
    address = f"/api/v1/projects/{project}/tasks/"
    tasks = page.request.get(f"{address}?says={prompt}").json()["results"]
    details = [page.request.get(f"{address}{task['id']}/").json() for task in tasks]
    return sorted([response["text"] for response in task["responses"]] for task in details)
