from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.accounts.users import create_user
from annotation.desk import membership
from annotation.forms.presets import PRESETS
from annotation.models import Membership, Project, RankingTask, User
from annotation.projects.projects import create_project
from config.problems import Conflict, Problem
from tests.annotation.answering import next_of, send, wrong_fields

ClientOf = Callable[[User | None], APIClient]


def test_project_list_shows_form_and_counts_and_the_role_of_the_user(
    project: Project, tasks: list[RankingTask], alice: User, ben: User, oscar: User, client_of: ClientOf
) -> None:
    create_project(slug="elsewhere")
    desk = client_of(alice)
    shown = next_of(desk)
    send(desk, shown)
    send(desk, shown, "revise", comment="again")
    (listed,) = desk.get("/api/v1/projects/").json()["results"]
    assert (listed["slug"], listed["role"], listed["form"]) == (
        "support",
        "annotator",
        PRESETS["ranking"].to_json(),
    )
    assert listed["counts"] == {
        "prompts": 4,
        "responses": 12,
        "tasks": 4,
        "open_tasks": 3,
        "rankings": 1,
        "comparisons": 3,
        "my_rankings": 1,
        "open_problems": None,
    }
    (bens,) = client_of(ben).get("/api/v1/projects/").json()["results"]
    assert bens["counts"]["my_rankings"] == 0
    assert client_of(oscar).get("/api/v1/projects/").json()["results"] == []


def test_admin_sees_all_projects_and_has_no_role(project: Project, ada: User, client_of: ClientOf) -> None:
    create_project(slug="elsewhere")
    listed = client_of(ada).get("/api/v1/projects/").json()["results"]
    assert {(row["slug"], row["role"]) for row in listed} == {("support", None), ("elsewhere", None)}


@pytest.mark.parametrize("url", ["/api/v1/projects/", "/api/v1/projects/support/members/"])
def test_lists_need_a_constant_number_of_queries(
    project: Project, mona: User, client_of: ClientOf, url: str
) -> None:
    client = client_of(mona)
    counted = []
    for start, stop in ((0, 2), (2, 30)):
        for n in range(start, stop):
            more = create_project(slug=f"more-{n}")
            add_member(project=more, user=mona, role="reviewer")
            add_member(project=project, user=User.objects.create(username=f"u{n}"), role="annotator")
        with CaptureQueriesContext(connection) as queries:
            response = client.get(url)
        assert len(response.json()["results"]) > stop
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 5


def test_pages_list_every_member_exactly_once(project: Project, mona: User, client_of: ClientOf) -> None:
    for n in range(7):
        add_member(project=project, user=User.objects.create(username=f"u{n}"), role="annotator")
    url, names = "/api/v1/projects/support/members/?page_size=4", []
    while url:
        page = client_of(mona).get(url).json()
        assert len(page["results"]) <= 4
        names += [member["username"] for member in page["results"]]
        url = page["next"]
    assert sorted(names) == sorted(Membership.objects.values_list("user__username", flat=True))


def test_new_project_has_the_form_of_its_preset(ada: User, client_of: ClientOf) -> None:
    body = {"slug": "pairs", "name": "Pairs", "preset": "llama2", "overlap": 3, "guidelines": "# Be fair"}
    response = client_of(ada).post("/api/v1/projects/", body)
    assert response.status_code == 201
    assert response.json()["form"]["strength"]["levels"][3] == {"value": 4, "label": "significantly better"}
    made = Project.objects.get()
    assert (made.name, made.overlap, made.guidelines, made.state) == ("Pairs", 3, "# Be fair", "active")


def test_manager_creates_another_project_and_manages_it(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    made = client_of(mona).post("/api/v1/projects/", {"slug": "mine", "preset": "arena"})
    assert (made.status_code, made.json()["role"]) == (201, "manager")
    assert client_of(mona).get("/api/v1/projects/mine/members/").status_code == 200


@pytest.mark.parametrize("name", ["alice", "rita", "oscar"])
def test_error_names_the_roles_that_can_create_projects(
    name: str, project: Project, request: pytest.FixtureRequest, client_of: ClientOf
) -> None:
    refused = client_of(request.getfixturevalue(name)).post("/api/v1/projects/", {"slug": "mine"})
    assert refused.status_code == 403
    assert "Only project managers and site admins" in refused.json()["detail"]
    assert Project.objects.get() == project


def test_paused_manager_cannot_create_projects(project: Project, mona: User, client_of: ClientOf) -> None:
    membership.pause(member=Membership.objects.get(user=mona), reason="on leave")
    assert client_of(mona).post("/api/v1/projects/", {"slug": "mine"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "no spaces"}, "slug"),
        ({}, "slug"),
        ({"slug": "x", "preset": "novel"}, "preset"),
        ({"slug": "x", "overlap": 0}, "overlap"),
        ({"slug": "x", "overlap": 51}, "overlap"),
    ],
)
def test_invalid_project_is_refused_and_the_error_names_the_field(
    ada: User, client_of: ClientOf, body: dict[str, object], field: str
) -> None:
    response = client_of(ada).post("/api/v1/projects/", body)
    assert (response.status_code, wrong_fields(response)) == (422, [field])
    assert not Project.objects.exists()


def test_taken_slug_is_a_conflict(project: Project, ada: User, client_of: ClientOf) -> None:
    assert client_of(ada).post("/api/v1/projects/", {"slug": "support"}).status_code == 409


def test_manager_changes_settings(project: Project, mona: User, client_of: ClientOf) -> None:
    form = PRESETS["arena"].to_json()
    changes = {"name": "New", "overlap": 2, "lease_seconds": 60, "state": "paused", "form": form}
    response = client_of(mona).patch("/api/v1/projects/support/", changes)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in changes} == changes
    project.refresh_from_db()
    assert (project.state, project.form) == ("paused", form)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"overlap": 99}, "overlap"),
        ({"lease_seconds": 5}, "lease_seconds"),
        ({"state": "gone"}, "state"),
        ({"allocation_policy": "random"}, "allocation_policy"),
        ({"form": {"ties": 1}}, "form.ties"),
        ({"name": ""}, "name"),
    ],
)
def test_settings_change_atomically(
    project: Project, mona: User, client_of: ClientOf, changes: dict[str, object], field: str
) -> None:
    response = client_of(mona).patch("/api/v1/projects/support/", {"guidelines": "new", **changes})
    assert (response.status_code, wrong_fields(response)) == (422, [field])
    project.refresh_from_db()
    assert project.guidelines == ""


def test_manager_adds_members_and_changes_their_roles(
    project: Project, mona: User, oscar: User, client_of: ClientOf
) -> None:
    url = "/api/v1/projects/support/members/"
    added = client_of(mona).post(url, {"username": "oscar", "role": "annotator"})
    assert (added.status_code, added.json()["state"]) == (201, "active")
    changed = client_of(mona).post(url, {"username": "oscar", "role": "reviewer", "state": "paused"})
    assert changed.status_code == 200
    member = Membership.objects.get(user=oscar)
    assert (member.role, member.state) == ("reviewer", "paused")
    for body, field in (
        ({"username": "nobody", "role": "annotator"}, "username"),
        ({"username": "oscar", "role": "king"}, "role"),
    ):
        assert wrong_fields(client_of(mona).post(url, body)) == [field]


def test_account_is_created_once_with_a_working_password(db: None) -> None:
    user, password = create_user(username="zoe")
    assert user.check_password(password)
    assert len(password) >= 16
    assert not user.is_admin
    with pytest.raises(Conflict):
        create_user(username="zoe")
    with pytest.raises(Problem) as refused:
        create_user(username="not a name!")
    assert refused.value.errors[0].field == "username"
    assert create_user(username="root", is_admin=True)[0].is_admin


def test_role_change_does_not_resume_a_paused_member(
    project: Project, alice: User, mona: User, client_of: ClientOf
) -> None:
    member = Membership.objects.get(project=project, user=alice)
    membership.pause(member=member, reason="Too many wrong.")
    address, role = "/api/v1/projects/support/members/", {"username": "alice", "role": "reviewer"}
    said = client_of(mona).post(address, role).json()
    assert (said["role"], said["state"], said["paused_reason"]) == ("reviewer", "paused", "Too many wrong.")
    assert client_of(mona).post(address, role | {"state": "active"}).json()["state"] == "active"


def test_presets_are_listed_with_their_forms(alice: User, client_of: ClientOf) -> None:
    served = client_of(alice).get("/api/v1/presets/").json()
    assert {row["name"]: row["form"] for row in served} == {
        name: form.to_json() for name, form in PRESETS.items()
    }


def test_checking_a_form_changes_nothing(
    project: Project, tasks: list[RankingTask], mona: User, alice: User, client_of: ClientOf
) -> None:
    next_of(client_of(alice))
    check = partial(client_of(mona).post, "/api/v1/projects/support/form/check")
    before = Project.objects.values().get()
    good = check({"form": {"ties": False, "flags": [{"name": "rude", "label": "Rude"}]}}).json()
    assert (good["open_tasks"], good["in_hand"]) == (4, 1)
    assert (good["form"]["ties"], good["form"]["responses"]) == (False, {"min": 2, "max": 10})
    scale = {"name": "a b", "label": "", "min": 3, "max": 3}
    wrong = check({"form": {"ratings": [scale]}})
    assert wrong.status_code == 422
    assert {"form.ratings.0.name", "form.ratings.0.label"} <= set(wrong_fields(wrong))
    pairs = check({"form": PRESETS["hh"].to_json()})
    assert wrong_fields(pairs) == ["form.responses"]
    assert Project.objects.values().get() == before
