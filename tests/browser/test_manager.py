"""A manager of a small project previews a file, imports the file and browses its contents. The manager then
checks quality, compares models and exports data."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_every_page import faults_of_all
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SLUG = "manager"
PROMPTS = 24
MODELS = ["small", "middle", "large", "huge"]
# Imports, exclusions and snapshots take time, and the machine may be busy.
WORK_MS = 60_000
# Three annotators who mostly agree, and one who answers at random.
NOISE = {"kim": 0.4, "lee": 0.5, "noor": 0.6, "rex": 50.0}


def preferences() -> list[dict[str, object]]:
    """Rankings of four models by four annotators over six days; better models win more often."""
    dice = random.Random(7)
    rows: list[dict[str, object]] = []
    for n in range(PROMPTS):
        responses = [
            {"text": f"{model} says: " + "so " * dice.randint(3, 40), "model": model} for model in MODELS
        ]
        for person, noise in NOISE.items():
            seen = [rank + noise * dice.gauss(0, 1) for rank in range(4)]
            order = sorted(range(4), key=lambda i: -seen[i])
            rows.append(
                {
                    "prompt": f"Question {n}: which way to the *harbour*?",
                    "topic": ["way", "time"][n % 2],
                    "responses": responses,
                    "tiers": [[i] for i in order],
                    "annotator": person,
                    "comment": "Hard to say" if n % 8 == 0 and person == "kim" else "",
                    "given_at": f"2026-03-{1 + n // 4:02}T10:{n % 4:02}:00Z",
                }
            )
    return rows


@pytest.fixture(scope="module")
def file(demo_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = demo_stack.manage("create_project", SLUG, "--preset", "ranking")
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("manager") / "preferences.jsonl"
    lines = [*map(json.dumps, preferences()), '{"prompt": "No answers"}', "not json at all"]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_manager_imports_a_file_and_then_reviews_and_exports_the_data(
    log_in: Callable[[str], Page], file: Path
) -> None:
    page = log_in("admin")
    _bring_in(page, file)
    _look_through(page)
    _judge(page)
    _compare_models(page)
    _take_out(page)
    pages = ("tasks", "tasks?list=rankings", "quality", "leaderboard?by=metadata&key=topic", "data")
    faults = faults_of_all(page, [f"/projects/{SLUG}/{path}" for path in pages])
    assert not faults, "\n".join(faults)


def _bring_in(page: Page, file: Path) -> None:
    page.goto(f"/projects/{SLUG}/tasks")
    expect(page.get_by_role("heading", name="No tasks yet")).to_be_visible()
    page.get_by_role("link", name="Import data").click()
    page.get_by_label("File to import").set_input_files(file)
    report = page.get_by_test_id("import-report")
    expect(report).to_contain_text("98 rows read as rankloop, 2 rows rejected", timeout=WORK_MS)
    expect(report).to_contain_text("This is a preview. Nothing has been imported yet.")
    left_out = report.get_by_role("region", name="Rejected rows")
    expect(left_out.get_by_role("row").nth(1)).to_contain_text("97")
    expect(left_out.get_by_role("row").nth(2)).to_contain_text("98")
    page.get_by_role("button", name="Import 96 rows").click()
    expect(report.get_by_text("Preview only")).to_have_count(0, timeout=WORK_MS)
    expect(report).to_contain_text("new rankings96")
    page.get_by_role("link", name="View tasks").click()


def _look_through(page: Page) -> None:
    rows = page.get_by_role("table", name="Tasks, table").get_by_role("row")
    expect(rows).to_have_count(1 + PROMPTS)
    page.get_by_label("Prompt contains").fill("question 16:")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    expect(page).to_have_url(re.compile(r"says="))
    page.get_by_role("link", name="Question 16").click()
    expect(page.get_by_role("article", name="Response A")).to_contain_text("small says")
    cards = page.locator("li[data-counts]")
    expect(cards).to_have_count(4)
    expect(cards.filter(has_text="Hard to say")).to_have_count(1)
    cards.get_by_role("link", name="noor").click()
    rankings = page.get_by_role("table", name="Rankings, table").get_by_role("row")
    expect(rankings).to_have_count(1 + PROMPTS)
    clear = page.get_by_role("button", name="Clear")
    clear.click()
    expect(clear).to_have_count(0)
    page.get_by_label("With", exact=True).select_option("comment")
    expect(rankings).to_have_count(1 + 3)


def _judge(page: Page) -> None:
    page.get_by_role("link", name="Quality", exact=True).click()
    annotators = page.get_by_role("region", name="Annotators, table", exact=True)
    rex = annotators.get_by_role("row").filter(has_text="rex")
    expect(rex).to_contain_text("outlier", timeout=WORK_MS)
    annotators.get_by_role("button", name="Reliability").click()
    expect(annotators.get_by_role("row").last).to_contain_text("rex")
    page.get_by_text("Show as table").click()
    expect(page.get_by_role("cell", name="2026-03-06")).to_be_visible()
    rex.get_by_role("button", name="Exclude rex").click()
    dialog = page.get_by_role("dialog", name="Exclude rex?")
    expect(dialog).to_contain_text("24 rankings would no longer count")
    expect(dialog).to_contain_text("144 comparisons would be removed")
    expect(dialog.get_by_role("button", name="Exclude", exact=True)).to_be_disabled()
    dialog.get_by_label("Reason").fill("at random")
    dialog.get_by_role("button", name="Exclude", exact=True).click()
    expect(annotators.get_by_role("row")).to_have_count(1 + 3, timeout=WORK_MS)
    page.get_by_role("button", name="Restore rex").click()
    again = page.get_by_role("dialog", name="Restore rex?")
    expect(again).to_contain_text("24 rankings would count again")
    again.get_by_role("button", name="Restore", exact=True).click()
    expect(annotators.get_by_role("row")).to_have_count(1 + 4, timeout=WORK_MS)


def _compare_models(page: Page) -> None:
    page.get_by_role("link", name="Leaderboard", exact=True).click()
    board = page.get_by_role("region", name="Strengths, table", exact=True)
    names = board.get_by_role("rowheader")
    expect(names).to_have_text(list(reversed(MODELS)), timeout=WORK_MS)
    expect(board.get_by_role("row").nth(1)).to_contain_text("best")
    page.get_by_label("Slices").select_option("by metadata")
    page.get_by_label("Prompt metadata key").fill("topic")
    page.get_by_role("button", name="Apply").click()
    for topic in ("way", "time"):
        expect(page.get_by_role("heading", name=topic, exact=True)).to_be_visible(timeout=WORK_MS)
    page.get_by_label("Method").select_option("Davidson")
    expect(page.get_by_text("A tie is a separate outcome.")).to_be_visible()


def _take_out(page: Page) -> None:
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("button", name="Freeze snapshot").click()
    snapshot = page.get_by_test_id("snapshot")
    expect(snapshot).to_contain_text("96 rankings, 576 comparisons", timeout=WORK_MS)
    expect(snapshot).to_contain_text("No run has used this snapshot yet.")
    pairs = snapshot.locator('[data-format="trl_preference"]')
    expect(pairs).to_contain_text(
        f'datasets.load_dataset("json", data_files="{SLUG}-v1-trl_preference.jsonl"'
    )
    expect(pairs).to_contain_text("trl.RewardTrainer(")
    with page.expect_download() as download:
        pairs.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{SLUG}-v1-trl_preference.jsonl"
    assert len(download.value.path().read_text().splitlines()) == 576
