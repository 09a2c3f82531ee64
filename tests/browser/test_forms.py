"""Every kind of answer form can be filled in with the keyboard alone, and the answer is stored correctly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.desk import Desk
from tests.embedded.running import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

# The number of responses per task for each preset, and for the custom form `best-few`.
PROJECTS = {"hh": 2, "llama2": 2, "helpsteer2": 2, "arena": 2, "instructgpt": 4, "oasst": 3, "best-few": 5}
BEST_FEW = {
    "top_k": {"at_least": 1, "at_most": 2},
    "confidence": {
        "levels": [{"value": 1, "label": "guessing"}, {"value": 2, "label": "certain"}],
        "required": True,
    },
}
SET_UP = f"""
from annotation.models import User
from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.projects.projects import create_project, update_project
for name, k in {PROJECTS!r}.items():
    project = create_project(slug=f"form-{{name}}", preset="ranking" if name == "best-few" else name)
    if name == "best-few":
        update_project(project=project, changes={{"form": {BEST_FEW!r}}})
    responses = [ResponseDraft(f"Answer {{i}}") for i in range(k)]
    task = TaskDraft([{{"role": "user", "content": "Which?"}}], responses)
    add_ranking_tasks(project=project, items=[task])
    add_member(project=project, user=User.objects.get(username="annotator-1"), role="annotator")
"""
STORED = (
    "import json; from annotation.models import Ranking;"
    "parts = ('tiers', 'strength', 'ratings', 'choices', 'confidence', 'all_bad', 'not_rankable', 'comment');"
    "print(json.dumps({r.project.slug.removeprefix('form-'): {part: getattr(r, part) for part in parts}"
    " for r in Ranking.objects.filter(project__slug__startswith='form-')}))"
)


def _run(stack: Stack, code: str) -> str:
    done = stack.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _answer(page: Page, name: str, *keys: str) -> list[str]:
    """Opens the form's task, presses the keys and waits until the task has been submitted. Returns the
    response IDs in display order."""
    desk = Desk(page, f"form-{name}").open()
    shown = desk.order()
    assert len(shown) == PROJECTS[name]
    with desk.taken():
        desk.press(*keys)
    expect(desk.cards).to_have_count(0)
    return shown


def test_every_form_can_be_filled_in_with_the_keyboard_alone(
    log_in: Callable[[str], Page], demo_stack: Stack
) -> None:
    _run(demo_stack, SET_UP)
    page = log_in("annotator-1")
    shown = {
        # Key 8 selects the last of eight positions, which means that B is much better.
        "hh": _answer(page, "hh", "8", "Enter"),
        # Enter reports the missing answer and moves the focus there; Space selects the focused option.
        "llama2": _answer(page, "llama2", "ArrowLeft", "Enter", "Space", "ArrowDown", "Enter"),
        # Key 4 selects "about the same" (4 of 7). The next keys enter the ten ratings in order, and then the
        # reason.
        "helpsteer2": _answer(
            page, "helpsteer2", "4", *["Enter", "3"] * 10, "Enter", *"same", "Control+Enter"
        ),
        "arena": _answer(page, "arena", "4", "Enter"),
        "instructgpt": _answer(page, "instructgpt", "End", "1", "End", "=", *["Enter", "5"] * 4, "Enter"),
        # The desk asks for the optional rating once and then submits.
        "oasst": _answer(page, "oasst", "2", "Enter", "Enter"),
        "best-few": _answer(page, "best-few", "End", "1", "Enter", "2", "Delete", "Space", "Enter"),
    }
    stored: dict[str, dict[str, Any]] = json.loads(_run(demo_stack, STORED).splitlines()[-1])
    assert stored.keys() == PROJECTS.keys()

    def of(name: str, *parts: str) -> list[Any]:
        return [stored[name][part] for part in parts]

    a, b = shown["hh"]
    assert of("hh", "tiers", "strength") == [[[b], [a]], 4]
    a, b = shown["llama2"]
    assert of("llama2", "tiers", "strength", "choices") == [[[a], [b]], 1, {"safety": "both_safe"}]
    a, b = shown["helpsteer2"]
    scales = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    rated = {id: dict.fromkeys(scales, 3) for id in (a, b)}
    assert of("helpsteer2", "tiers", "strength", "ratings", "comment") == [[[a, b]], None, rated, "same"]
    assert of("arena", "tiers", "all_bad") == [[shown["arena"]], True]
    a, b, c, d = shown["instructgpt"]
    assert [sorted(tier) for tier in stored["instructgpt"]["tiers"]] == [[d], [a], sorted([b, c])]
    assert stored["instructgpt"]["ratings"] == {id: {"overall": 5} for id in (a, b, c, d)}
    a, b, c = shown["oasst"]
    assert of("oasst", "tiers", "ratings") == [[[b], [a], [c]], {}]
    assert of("best-few", "tiers", "confidence") == [[[shown["best-few"][-1]]], 1]
