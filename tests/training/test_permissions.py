"""Admins have write access, managers have read access to their projects, and other users see nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotation.models import Project, User
from tests.training.conftest import ModelMaker, RunMaker
from training.models import ModelVersion, TrainingRun

ClientOf = Callable[[User | None], APIClient]
READ = ["", "metrics", "samples", "log"]


@pytest.fixture
def run(make_run: RunMaker, project: Project) -> TrainingRun:
    return make_run(project=project)


@pytest.fixture
def model(make_model: ModelMaker, project: Project) -> ModelVersion:
    return make_model(project=project, name="support-sft-1")


@pytest.fixture
def foreign(make_run: RunMaker, make_model: ModelMaker) -> None:
    """A run and a model in a project that only admins can see."""
    make_run()
    make_model(name="lab-sft-1")


@pytest.mark.parametrize("name", ["alice", "rita", "oscar"])
@pytest.mark.usefixtures("foreign")
def test_users_without_training_access_see_nothing(
    name: str, request: pytest.FixtureRequest, client_of: ClientOf, run: TrainingRun, model: ModelVersion
) -> None:
    client = client_of(request.getfixturevalue(name))
    for path in ("runs/", "models/", "loops/"):
        assert client.get(f"/api/v1/{path}").json()["results"] == []
    for path in [*(f"runs/{run.pk}/{read}" for read in READ), f"runs/{run.pk}/events", f"models/{model.pk}/"]:
        assert client.get(f"/api/v1/{path}").status_code == 404, path
    for path in (
        f"runs/{run.pk}/cancel",
        f"runs/{run.pk}/resume",
        f"models/{model.pk}/promote",
        f"models/{model.pk}/demote",
    ):
        assert client.post(f"/api/v1/{path}").status_code == 404, path
    run.refresh_from_db()
    assert run.state == "queued"


@pytest.mark.usefixtures("foreign")
def test_manager_can_only_read_runs_and_models_of_their_own_project(
    client_of: ClientOf, mona: User, run: TrainingRun, model: ModelVersion
) -> None:
    client = client_of(mona)
    assert [row["id"] for row in client.get("/api/v1/runs/").json()["results"]] == [str(run.pk)]
    assert [row["name"] for row in client.get("/api/v1/models/").json()["results"]] == [model.name]
    for read in READ:
        assert client.get(f"/api/v1/runs/{run.pk}/{read}").status_code == 200, read
    launch = {"project": "support", "kind": "sft"}
    for path, body in (
        ("runs/", launch),
        (f"runs/{run.pk}/cancel", {}),
        (f"runs/{run.pk}/resume", {}),
        (f"models/{model.pk}/promote", {}),
        (f"models/{model.pk}/archive", {}),
    ):
        assert client.post(f"/api/v1/{path}", body).status_code == 403, path
    assert TrainingRun.objects.filter(project__slug="support").count() == 1


def test_launch_responds_identically_for_hidden_and_unknown_projects(
    client_of: ClientOf, oscar: User, project: Project
) -> None:
    answers = [
        client_of(oscar).post(
            "/api/v1/runs/", {"project": slug, "kind": "sft"}, headers={"X-Request-ID": "same-for-both"}
        )
        for slug in ("support", "no-such")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()


def test_launch_error_names_an_unknown_project(client_of: ClientOf, ada: User) -> None:
    errors = client_of(ada).post("/api/v1/runs/", {"project": "no-such", "kind": "sft"}).json()["errors"]
    assert errors == [{"field": "project", "reason": "There is no such project."}]


def test_admin_can_launch_and_cancel_and_resume_a_run(
    client_of: ClientOf, ada: User, project: Project
) -> None:
    client = client_of(ada)
    launched = client.post(
        "/api/v1/runs/",
        {"project": "support", "kind": "sft", "recipe": {"epochs": 3}, "inputs": {"policy": ""}},
    )
    assert launched.status_code == 201
    run = launched.json()
    assert (run["state"], run["project"], run["created_by"]) == ("queued", "support", "ada")
    assert run["recipe"]["epochs"] == 3
    assert run["failure"] is None
    assert run["result"] == {}
    assert client.get(f"/api/v1/runs/{run['id']}/").json() == run
    assert client.post(f"/api/v1/runs/{run['id']}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/runs/{run['id']}/resume").json()["state"] == "queued"
    again = client.post(f"/api/v1/runs/{run['id']}/resume")
    assert (again.status_code, again.json()["type"]) == (409, "conflict")


def test_invalid_launch_returns_an_error_per_field(client_of: ClientOf, ada: User, project: Project) -> None:
    answer = client_of(ada).post(
        "/api/v1/runs/",
        {"project": "support", "kind": "ppo", "recipe": {"step": 1, "clip": 9}, "inputs": {}},
    )
    assert answer.status_code == 422
    assert answer["content-type"] == "application/problem+json"
    assert {error["field"] for error in answer.json()["errors"]} == {"recipe.step", "recipe.clip"}
    assert not TrainingRun.objects.exists()


def test_recipes_include_their_form_schema(client_of: ClientOf, mona: User) -> None:
    kinds = client_of(mona).get("/api/v1/runs/recipes/").json()
    assert list(kinds) == TrainingRun.Kind.values
    assert kinds["ppo"]["inputs"] == ["policy", "reward_model"]
    assert kinds["ppo"]["schema"]["properties"]["clip"]["maximum"] == 1
    assert kinds["ppo"]["schema"]["additionalProperties"] is False


def test_lists_are_filtered_by_project_with_a_constant_number_of_queries(
    client_of: ClientOf,
    ada: User,
    make_run: RunMaker,
    make_model: ModelMaker,
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(1, 6):
        make_model(name=f"lab-sft-{number}", run=make_run(created_by=ada))
    client = client_of(ada)
    assert client.get("/api/v1/runs/?project=support").json()["results"] == []
    assert client.get("/api/v1/models/?kind=reward_model").json()["results"] == []
    for path in ("runs/?project=lab", "models/?project=lab&kind=policy"):
        with django_assert_max_num_queries(3):  # one query each for session, user and rows
            assert len(client.get(f"/api/v1/{path}").json()["results"]) == 5


def test_runs_can_be_filtered_by_snapshot(
    client_of: ClientOf, mona: User, project: Project, make_run: RunMaker
) -> None:
    learned = make_run(project=project, inputs={"snapshot": "v1"})
    make_run(project=project, inputs={"snapshot": "v10"})
    make_run(inputs={"snapshot": "v1"})
    found = client_of(mona).get("/api/v1/runs/?project=support&snapshot=v1").json()["results"]
    assert [row["id"] for row in found] == [str(learned.pk)]


def test_api_returns_a_model_with_its_origin(
    client_of: ClientOf, ada: User, make_run: RunMaker, make_model: ModelMaker
) -> None:
    parent = make_model(name="lab-sft-1")
    run = make_run(kind="ppo", inputs={"reward_model": "lab-rm-1"})
    child = make_model(name="lab-ppo-1", parent=parent, run=run, metrics={"objective/kl": 1.5})
    said = client_of(ada).get(f"/api/v1/models/{child.pk}/").json()
    assert said["parent"] == {"id": str(parent.pk), "name": "lab-sft-1"}
    assert said["run"] == {"id": str(run.pk), "kind": "ppo", "inputs": {"reward_model": "lab-rm-1"}}
    assert said["folder"].endswith("/models/lab-ppo-1")
    assert said["metrics"] == {"objective/kl": 1.5}
    promoted = client_of(ada).post(f"/api/v1/models/{child.pk}/promote", {"reason": "Best so far."}).json()
    assert promoted["stage"] == "production"
    assert client_of(ada).post(f"/api/v1/models/{child.pk}/archive").status_code == 409
    assert client_of(ada).post(f"/api/v1/models/{parent.pk}/archive").json()["stage"] == "archived"


def test_metrics_and_samples_and_log_of_a_run_are_returned(
    client_of: ClientOf, mona: User, run: TrainingRun
) -> None:
    client = client_of(mona)
    prompt = [{"role": "user", "content": "Hi?"}]
    sample = {"prompt": prompt, "before": "a", "after": "b", "scores": {"reward": 1.0}}
    rows = [("state", {"state": "running"}), ("metrics", {"values": {"loss": 2.0}}), ("sample", sample)]
    rows += [("metrics", {"values": {"loss": 1.0}})]
    for seq, (type, data) in enumerate(rows, start=1):
        run.events.create(seq=seq, attempt=1, type=type, step=seq, data=data)
    base = f"/api/v1/runs/{run.pk}"
    assert client.get(f"{base}/metrics?after=2").json() == {
        "results": [{"seq": 4, "attempt": 1, "step": 4, "values": {"loss": 1.0}}]
    }
    assert client.get(f"{base}/samples").json() == [{"seq": 3, "attempt": 1, "step": 3, **sample}]
    assert client.get(f"{base}/log").json() == {"lines": []}
    run.folder.mkdir(parents=True)
    run.log_path.write_text("one\n 10%\r 90%\r100%\n\nthree\n")
    assert client.get(f"{base}/log?tail=2").json() == {"lines": ["100%", "three"]}
    for wrong in ("metrics?after=-1", "metrics?after=x", "log?tail=100000"):
        assert client.get(f"{base}/{wrong}").status_code == 422, wrong


def test_metrics_of_a_resumed_run_contain_each_step_once(
    client_of: ClientOf, mona: User, run: TrainingRun
) -> None:
    """The run reached step 4, then resumed from the checkpoint at step 2."""
    run.attempt = 2
    run.save()
    said = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 3)]
    for seq, (attempt, step) in enumerate(said, start=1):
        values = {"values": {"loss": float(step)}}
        run.events.create(seq=seq, attempt=attempt, type="metrics", step=step, data=values)
    client, base = client_of(mona), f"/api/v1/runs/{run.pk}"
    found = client.get(f"{base}/metrics").json()["results"]
    assert [(row["attempt"], row["step"]) for row in found] == [(1, 1), (1, 2), (2, 3)]
    assert [row["seq"] for row in client.get(f"{base}/metrics?after=3").json()["results"]] == [5]
