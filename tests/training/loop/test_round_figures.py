"""A round's figures: win rates by several judges, sample answers, hours and price."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.models import User
from tests.training.conftest import ModelMaker
from tests.training.loop import rounds as helper
from training import demo_world
from training.loop.rounds import advance_round
from training.loop.turning import set_loop, turn_by_hand
from training.models import Gate, Loop, Round, TrainingRun

ClientOf = Callable[[User | None], APIClient]
SAME = "the same answer"
NEW = [SAME, *(f"new answer {n}" for n in range(19))]
OLD = [SAME, *(f"old answer {n}" for n in range(19))]
TIMELINE = "/api/v1/projects/lab/rounds/timeline/"


def gated(
    loop: Loop,
    make_model: ModelMaker,
    number: int = 1,
    old: list[str] = OLD,
    new: list[str] = NEW,
    prompts: Any = None,
) -> Round:
    """A round whose policy gate is open. The round's reward model gives 1 point to each new answer and 0 to
    each old answer."""
    round = helper.trained_reward_model(turn_by_hand(loop=loop, by=None), make_model, name=f"lab-rm-{number}")
    round = helper.answered(round, old, prompts=prompts)
    round = helper.improved(round, make_model, name=f"lab-ppo-{number}")
    return helper.answered(round, new, prompts=prompts, points=1.0)


def test_gate_shows_the_win_rate_by_the_reward_model_and_by_the_gold_reward(
    ranked_loop: Loop, make_model: ModelMaker
) -> None:
    rng = random.Random(0)
    prompts = demo_world.prompts(20, 0)
    good = [demo_world.respond(demo_world.parse(messages), "good", rng) for messages in prompts]
    gated(ranked_loop, make_model, old=["No."] * 20, new=good, prompts=prompts)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    gold = gate.win_rates["gold"]
    assert (gold["answers"], gold["wins"]) == (20, 20)
    assert gate.win_rates["reward_model"]["win_rate"] == 1.0
    assert gate.comparison["answers"] == 0  # people decide


def test_gold_win_rate_is_left_out_for_other_prompts(ranked_loop: Loop, make_model: ModelMaker) -> None:
    gated(ranked_loop, make_model)
    assert set(Gate.objects.get(model__name="lab-ppo-1").win_rates) == {"reward_model"}


def test_answers_before_and_after_are_shown_once_the_blind_comparison_has_ended(
    ranked_loop: Loop, make_model: ModelMaker, alice: User, ada: User, client_of: ClientOf
) -> None:
    round = gated(ranked_loop, make_model)
    client, address = client_of(ada), f"/api/v1/rounds/{round.pk}/answers"
    refused = client.get(address, {"subject": "ppo"})
    assert (refused.status_code, refused.json()["type"]) == (409, "gate-open")
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=19)
    advance_round(round_id=round.pk)
    shown = client.get(address, {"subject": "ppo"}).json()
    assert [(one["before"], one["after"]) for one in shown] == [
        (f"old answer {n}", f"new answer {n}") for n in range(5)
    ]
    assert shown[0]["messages"] == [{"role": "user", "content": "Question 1?"}]
    assert (shown[0]["before_points"], shown[0]["after_points"]) == (0.0, 1.0)
    assert client.get(address, {"subject": "dpo"}).json() == []
    assert client.get(address).status_code == 422


def test_timeline_lists_rounds_oldest_first_with_their_gates_hours_and_price(
    ranked_loop: Loop, make_model: ModelMaker, alice: User, ada: User, client_of: ClientOf
) -> None:
    set_loop(project=ranked_loop.project, settings={"price_per_hour": 3})
    round = gated(ranked_loop, make_model)
    gate = Gate.objects.get(model__name="lab-ppo-1")
    assert gate.project is not None
    helper.rank_gate(gate.project, alice, preferring="lab-ppo-1", answers=19)
    round = advance_round(round_id=round.pk)
    sampling = helper.waiting(round).run
    assert sampling is not None
    helper.end_run(sampling, counts={"tasks": 1})
    advance_round(round_id=round.pk)
    TrainingRun.objects.filter(round_step__round=round, kind="ppo").update(spent_seconds=1800)
    with CaptureQueriesContext(connection) as one_round:
        [found] = client_of(ada).get(TIMELINE).json()
    assert (found["number"], found["state"], found["gpu_hours"], found["price"]) == (1, "succeeded", 0.5, 1.5)
    accuracy, policy = found["gates"]
    [check] = [check for check in accuracy["checks"] if check["name"] == "accuracy"]
    assert {name: check[name] for name in ("value", "low", "high")} == helper.GOOD
    assert (policy["comparison"]["wins"], policy["win_rates"]["reward_model"]["wins"]) == (19, 20)

    set_loop(project=ranked_loop.project, settings={"price_per_hour": None})
    turn_by_hand(loop=ranked_loop, by=None)
    with CaptureQueriesContext(connection) as two_rounds:
        found = client_of(ada).get(TIMELINE).json()
    assert [(one["number"], one["price"]) for one in found] == [(1, 1.5), (2, None)]
    assert len(two_rounds) == len(one_round)


def test_maximum_price_needs_a_price_per_hour(ada: User, client_of: ClientOf, ranked_loop: Loop) -> None:
    refused = client_of(ada).put("/api/v1/projects/lab/loop/", {"settings": {"max_price": 5}}, format="json")
    assert refused.status_code == 422
    assert "`max_price` needs `price_per_hour`" in refused.json()["detail"]
