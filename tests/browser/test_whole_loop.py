"""The whole loop runs in the browser. Annotators rank, and the rankings train a reward model. The reward
model trains policies by rejection sampling and PPO. The responses of a new policy become the next tasks.

The runs are short. `test_readme_commands_run_one_round_of_the_loop` launches runs of the same kinds with more
rankings, prompts and steps, and compares both new policies with the first policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.desk import Desk
from tests.embedded.running import Stack
from tests.loop.policies import first_model, writers_of
from training import demo_world

pytestmark = [pytest.mark.browser, pytest.mark.loop, pytest.mark.timeout(1500)]

RUN_MS = 600_000
CREATED = re.compile(r"^Created demo-")  # shown on the page of a run that has created a model
RANKED_BY_HAND = 3  # tasks per annotator
# Before the new tasks, an annotator can still get two earlier tasks: the current and the prefetched task.
HANDED_OUT_BEFORE = 4
# Training the reward model on these rankings takes long enough for the test to follow the run live.
RANKED_BY_SCRIPTS = 200
REJECTION_SAMPLING_PROMPTS, PPO_STEPS, SAMPLED_PROMPTS = 16, 3, 16
PRIORITY = 20  # above the priority of the demo's tasks, which is the default of 10
LAUNCHED = """
    SELECT kind, inputs->>'policy' AS policy, inputs->>'reward_model' AS reward_model,
        COALESCE(recipe->>'steps', recipe->>'max_prompts')::int AS length
    FROM training_trainingrun
    WHERE kind IN ('rejection_sampling', 'ppo') AND state = 'succeeded' ORDER BY created_at
"""


@pytest.fixture(scope="module")
def demo_stack(own_demo_stack: Stack) -> Stack:
    return own_demo_stack


def best_first(desk: Desk) -> list[str]:
    """Response IDs ordered by the demo's gold reward, best first."""
    assignment = desk.assignment
    messages = assignment["task"]["prompt"]["messages"]
    liked = sorted(assignment["responses"], key=lambda one: -demo_world.gold_reward(messages, one["text"]))
    return [response["id"] for response in liked]


def launch(page: Page, kind: str, settings: dict[str, int] | None = None, **inputs: str) -> None:
    """Fills in and submits the launch form, which leads to the run's page."""
    page.goto(f"/projects/demo/runs/new?kind={kind}")
    for name, value in (settings or {}).items():
        page.locator(f"input[name={name}]").fill(str(value))
    for label, value in inputs.items():
        page.get_by_label(label.replace("_", " ").capitalize(), exact=True).select_option(value)
    page.get_by_role("button", name="Launch run").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


def finished(page: Page) -> str:
    """Waits on the run's page until the run ends, asserts that it succeeded, and returns the page's text."""
    ended = page.get_by_text("Succeeded", exact=True)
    expect(ended.or_(page.get_by_text("Failed", exact=True)).first).to_be_visible(timeout=RUN_MS)
    assert ended.is_visible(), page.locator("main").inner_text()
    return page.locator("main").inner_text()


def made(page: Page) -> str:
    """Waits until the run ends, and returns the name of the model that it created."""
    finished(page)
    return page.get_by_text(CREATED).first.inner_text().removeprefix("Created ").split()[0]


def test_rankings_train_a_policy_whose_responses_become_tasks(
    log_in: Callable[[str], Page], demo_stack: Stack
) -> None:
    # Two annotators rank, one with the keyboard and one by dragging.
    by_keys = Desk(log_in("annotator-1")).open()
    for _ in range(RANKED_BY_HAND):
        by_keys.rank_by_keys(best_first(by_keys))
        by_keys.submit()
    by_drag = Desk(log_in("annotator-2")).open()
    for _ in range(RANKED_BY_HAND):
        by_drag.rank_by_drag(best_first(by_drag))
        by_drag.submit()

    # Scripts rank further tasks through the same API.
    wanted = ("--annotators", "3", "--limit", str(RANKED_BY_SCRIPTS))
    simulated = demo_stack.manage("simulate_annotators", "--project", "demo", *wanted, timeout=600)
    assert simulated.returncode == 0, simulated.stderr

    # An admin trains on the rankings and follows the run live.
    admin = log_in("admin")
    first_policy = first_model(demo_stack)
    launch(admin, "reward_model")
    expect(admin.get_by_role("progressbar", name="Run progress")).to_be_visible(timeout=60_000)
    expect(admin.get_by_role("region", name="Curves").locator("canvas").first).to_be_visible(timeout=60_000)
    reward_model = made(admin)

    launch(
        admin,
        "rejection_sampling",
        {"max_prompts": REJECTION_SAMPLING_PROMPTS},
        policy=first_policy,
        reward_model=reward_model,
    )
    by_rejection_sampling = made(admin)

    # A cancelled run stops at its next step and creates no model.
    launch(admin, "ppo", policy=first_policy, reward_model=reward_model)
    expect(admin.get_by_role("region", name="Curves").locator("canvas").first).to_be_visible(timeout=120_000)
    admin.get_by_role("button", name="Cancel run").click()
    expect(admin.get_by_text("Cancelled", exact=True)).to_be_visible(timeout=60_000)
    expect(admin.get_by_text(CREATED)).to_have_count(0)

    launch(admin, "ppo", {"steps": PPO_STEPS}, policy=first_policy, reward_model=reward_model)
    by_ppo = made(admin)

    admin.goto("/projects/demo/models")
    for name in (first_policy, reward_model, by_rejection_sampling, by_ppo):
        expect(admin.get_by_text(name, exact=True).first).to_be_visible()

    inputs = {"policy": first_policy, "reward_model": reward_model}
    assert demo_stack.rows(LAUNCHED) == [
        {"kind": "rejection_sampling", **inputs, "length": REJECTION_SAMPLING_PROMPTS},
        {"kind": "ppo", **inputs, "length": PPO_STEPS},
    ]

    # The policy trained with PPO generates the next responses. An annotator is assigned the resulting tasks
    # before the demo's tasks, which have a lower priority.
    launch(admin, "sample", {"max_prompts": SAMPLED_PROMPTS, "priority": PRIORITY}, policy=by_ppo)
    assert re.search(r"Created \d+ tasks from", finished(admin))
    by_keys.open()
    for _ in range(HANDED_OUT_BEFORE):
        if writers_of(demo_stack, by_keys.order()) == {by_ppo}:
            break
        by_keys.rank_by_keys(best_first(by_keys))
        by_keys.submit()
    assert writers_of(demo_stack, by_keys.order()) == {by_ppo}
    by_keys.rank_by_keys(best_first(by_keys))
    by_keys.submit()
