"""The REST API and the commands of loops and rounds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.models import Project, User
from tests.training.conftest import ModelMaker
from tests.training.loop import rounds as helper
from training.loop.rounds import cancel_round
from training.models import Loop, TrainingRun

ClientOf = Callable[[User | None], APIClient]

LAB = "/api/v1/projects/lab"


@pytest.fixture
def manager(lab: Project, mona: User) -> User:
    add_member(project=lab, user=mona, role="manager")
    return mona


def test_admin_sets_up_the_single_loop_of_a_project(client_of: ClientOf, ada: User, lab: Project) -> None:
    client = client_of(ada)
    assert client.get(f"{LAB}/loop/").status_code == 404
    made = client.put(f"{LAB}/loop/", {"settings": {"min_new_comparisons": 50}}).json()
    assert made["enabled"] is False  # a new loop starts no round before an admin turns it on
    assert (made["settings"]["min_new_comparisons"], made["settings"]["improve_with"]) == (50, ["ppo"])
    turned_on = client.put(f"{LAB}/loop/", {"enabled": True}).json()
    assert (turned_on["enabled"], turned_on["settings"]["min_new_comparisons"]) == (True, 50)
    assert turned_on["status"] == {
        "new_comparisons": 0,
        "next_scheduled_at": None,
        "running_round": None,
        "blocked_by": "",
        "gpu_hours": 0.0,
    }
    assert Loop.objects.count() == 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"improve_with": ["magic"]}, "improve_with.0"),
        ({"improve_with": ["ppo", "ppo"]}, "improve_with"),
        ({"schedule_time": "25:00"}, "schedule_time"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"min_new_comparison": 5}, "min_new_comparison"),
        ({"recipes": {"ppo": {"stepz": 3}}}, "recipes.ppo.stepz"),
        ({"recipes": {"evaluate": {"split": "train"}}}, "recipes.evaluate.split"),
        ({"gate_rankings": 0}, "gate_rankings"),
    ],
)
def test_invalid_setting_is_refused_and_nothing_changes(
    settings: dict[str, object], field: str, client_of: ClientOf, ada: User, loop: Loop
) -> None:
    refused = client_of(ada).put(f"{LAB}/loop/", {"settings": {"max_rounds": 7, **settings}})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    loop.refresh_from_db()
    assert loop.settings == {"min_new_comparisons": 3}


def test_manager_can_read_rounds_and_only_an_admin_can_start_or_change_them(
    client_of: ClientOf, ada: User, manager: User, ranked_loop: Loop
) -> None:
    admin, reader = client_of(ada), client_of(manager)
    assert reader.post(f"{LAB}/rounds/").status_code == 403
    round = admin.post(f"{LAB}/rounds/").json()
    assert (round["number"], round["trigger"], round["started_by"]) == (1, "manual", "ada")
    assert admin.post(f"{LAB}/rounds/").status_code == 409
    address = f"/api/v1/rounds/{round['id']}/"
    assert [row["number"] for row in reader.get(f"{LAB}/rounds/").json()["results"]] == [1]
    steps = reader.get(address).json()["steps"]
    assert [(step["kind"], step["state"]) for step in steps][:2] == [
        ("freeze", "succeeded"),
        ("reward_model", "running"),
    ]
    assert steps[1]["run"]["kind"] == "reward_model"
    assert reader.get(f"{LAB}/loop/").json()["status"]["running_round"] == 1
    for verb in ("cancel", "resume"):
        assert reader.post(f"{address}{verb}").status_code == 403
    assert reader.put(f"{LAB}/loop/", {"enabled": False}).status_code == 403
    assert admin.post(f"{address}cancel").json()["state"] == "cancelled"
    assert admin.post(f"{address}resume").json()["state"] == "running"


def test_strangers_see_neither_loops_nor_rounds(
    client_of: ClientOf, ada: User, alice: User, oscar: User, ranked_loop: Loop
) -> None:
    round = client_of(ada).post(f"{LAB}/rounds/").json()
    for user in (alice, oscar):
        client = client_of(user)
        for path in (f"{LAB}/loop/", f"{LAB}/rounds/", f"/api/v1/rounds/{round['id']}/"):
            assert client.get(path).status_code == 404, path
        assert client.post(f"/api/v1/rounds/{round['id']}/cancel").status_code == 404


def test_round_shows_its_gates_and_promotions(
    client_of: ClientOf, ada: User, ranked_loop: Loop, make_model: ModelMaker
) -> None:
    started = client_of(ada).post(f"{LAB}/rounds/").json()
    round = helper.trained_reward_model(ranked_loop.rounds.get(), make_model, name="lab-rm-1")
    found = client_of(ada).get(f"/api/v1/rounds/{started['id']}/").json()
    assert [model["name"] for model in found["promoted"]] == ["lab-rm-1"]
    gate = found["steps"][2]["gate"]
    assert (gate["state"], gate["model"]["name"], gate["comparison"]) == ("passed", "lab-rm-1", None)
    assert [(check["name"], check["passed"]) for check in gate["checks"]] == [
        ("accuracy", True),
        ("calibration", True),
    ]
    history = client_of(ada).get(f"/api/v1/models/{gate['model']['id']}/history").json()
    assert [(one["before"], one["after"]) for one in history["changes"]] == [("candidate", "production")]
    assert history["gates"][0]["id"] == gate["id"]
    cancel_round(round=round, by=None)


def test_set_loop_command_changes_settings_of_the_loop_and_its_recipes(lab: Project) -> None:
    out = io.StringIO()
    call_command("set_loop", "lab", "--set", "improve_with=ppo,dpo", "recipes.ppo.steps=3", stdout=out)
    call_command(
        "set_loop", "lab", "--set", "recipes.ppo.seed=7", "max_kl=null", "--on", "--json", stdout=out
    )
    found = json.loads(out.getvalue().splitlines()[-1])
    assert found["enabled"] is True
    assert found["settings"]["improve_with"] == ["ppo", "dpo"]
    assert found["settings"]["recipes"] == {"ppo": {"steps": 3, "seed": 7}}
    assert found["settings"]["max_kl"] is None
    with pytest.raises(CommandError, match=r"time_zone: 'Nowhere' is not a time zone"):
        call_command("set_loop", "lab", "--set", "time_zone=Nowhere")


def test_turn_loop_command_starts_a_round_and_names_its_steps(ranked_loop: Loop) -> None:
    out = io.StringIO()
    call_command("turn_loop", "lab", stdout=out)
    assert "Round 1 started (manual, 3 new comparisons)." in out.getvalue()
    assert "2. reward_model: running." in out.getvalue()
    assert TrainingRun.objects.get().kind == "reward_model"
    with pytest.raises(CommandError, match="Round 1 is still running"):
        call_command("turn_loop", "lab")
    with pytest.raises(CommandError, match="use --wait with --rounds"):
        call_command("turn_loop", "lab", "--rounds", "2")


def test_each_setting_has_a_title_and_a_section(client_of: ClientOf, ada: User) -> None:
    schema = client_of(ada).get("/api/v1/loops/settings/").json()
    sections = [one["group"] for one in schema["properties"].values()]
    assert list(dict.fromkeys(sections)) == [
        "start", "improve", "reward_model_gate", "policy_gate", "budgets"
    ]  # fmt: skip
    assert sections == sorted(sections, key=sections.index)  # the fields of a section are adjacent
    titles = [one["title"] for one in schema["properties"].values()]
    assert titles[:2] == ["New comparisons", "Time of day"]
    assert len(set(titles)) == len(titles)
    # pydantic derives a title such as "Max Kl" from the name if none is stated.
    unnamed = [n for n, one in schema["properties"].items() if one["title"] == n.replace("_", " ").title()]
    assert unnamed == []
