"""An annotator decides a policy gate in the browser without seeing which policy wrote an answer. Afterwards,
the pages of the round and of the loop show the result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import gated_round
from tests.browser.desk import Desk
from tests.embedded.running import Stack, eventually
from training.registry.gates.preference import preference_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

GATE = """
    SELECT gate.state, gate.comparison->>'wins' AS wins, project.slug, model.stage,
        step.round_id::text AS round
    FROM training_gate gate
    JOIN training_modelversion model ON model.id = gate.model_id
    JOIN annotation_project project ON project.id = gate.project_id
    JOIN training_roundstep step ON step.id = gate.step_id
    WHERE model.name = %s
"""


def answers_until_decided() -> int:
    """The number of answers after which a gate is decided if all prefer the new policy."""
    return next(
        n for n in range(1, 99) if preference_of([1.0] * n, budget=99, level=0.95).verdict == "better"
    )


def good_first(desk: Desk) -> list[str]:
    responses = desk.assignment["responses"]
    return [one["id"] for one in sorted(responses, key=lambda one: one["text"] == gated_round.BAD)]


def test_annotator_decides_a_gate_and_the_pages_show_the_result(
    log_in: Callable[[str], Page], demo_stack: Stack
) -> None:
    made = demo_stack.manage("shell", "-c", "from tests.browser.gated_round import create; create()")
    assert made.returncode == 0, made.stderr
    [gate] = demo_stack.rows(GATE, gated_round.NEW)
    assert (gate["state"], gate["stage"]) == ("open", "candidate")

    desk = Desk(log_in("annotator-1"), gate["slug"]).open()
    for answer in range(answers_until_decided()):
        seen = json.dumps(desk.assignment) + desk.page.locator("main").inner_text()
        assert gated_round.NEW not in seen
        assert gated_round.FIRST not in seen
        if answer % 2:
            desk.rank_by_drag(good_first(desk))
        else:
            desk.rank_by_keys(good_first(desk))
        desk.submit()
    eventually(
        lambda: demo_stack.rows(GATE, gated_round.NEW)[0]["state"] != "open",
        seconds=120,
        what="the loop settles the gate",
    )
    [gate] = demo_stack.rows(GATE, gated_round.NEW)
    assert (gate["state"], gate["wins"], gate["stage"]) == (
        "passed",
        str(answers_until_decided()),
        "production",
    )

    admin = log_in("admin")
    admin.goto(f"/projects/{gated_round.SLUG}/rounds/{gate['round']}")
    answers = admin.get_by_role("region", name="Answers before and after")
    expect(answers.get_by_text(gated_round.BAD).first).to_be_visible()
    expect(admin.get_by_text(f"people prefer {gated_round.NEW}")).to_be_visible()
    expect(admin.get_by_text(re.compile(r"by the gold reward, which decides nothing: 1 "))).to_be_visible()
    admin.goto(f"/projects/{gated_round.SLUG}/loop")
    plot = admin.get_by_role("img", name="Win rates and accuracies of 1 round;")
    for series in ("people", "gold", "rewardModel", "accuracy"):
        expect(plot.locator(f"[data-series={series}]")).to_have_count(1)
    admin.get_by_text("Show as table").click()
    row = admin.get_by_role("row", name=re.compile(gated_round.NEW))
    expect(row.get_by_text(re.compile(r"^1\.00 \(0\.\d\d to 1\.00\)$")).first).to_be_visible()
