"""An invitation adds one person to a project in one role. An invitation works only once and only until it
expires, and its token stays secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts import invitations
from annotation.models import AuditEntry, Invitation, Membership, Project, User
from annotation.oversight.exclusion import Who, exclude_annotator
from config.problems import Conflict, Problem
from tests.annotation.answering import wrong_fields
from tests.annotation.racing import at_once

pytestmark = pytest.mark.usefixtures("empty_cache")

ClientOf = Callable[[User | None], APIClient]
MADE = "/api/v1/projects/support/invitations/"
LOOK, ACCEPT, JOIN = "/api/v1/auth/invitation", "/api/v1/auth/invitation/accept", "/api/v1/account/join"
PASSWORD = "seven green parrots"
TOLD = ["annotation_invitation", "annotation_membership"]


@pytest.fixture
def token(project: Project, mona: User, client_of: ClientOf) -> str:
    made = client_of(mona).post(MADE, {"role": "annotator", "days": 3, "note": "Zoë"})
    assert made.status_code == 201
    return str(made.json()["token"])


def _accept(token: str, username: str = "zoe", password: str = PASSWORD) -> tuple[APIClient, int]:
    browser = APIClient()
    body = {"token": token, "username": username, "password": password}
    return browser, browser.post(ACCEPT, body).status_code


def test_accepting_an_invitation_creates_a_member_and_logs_them_in(token: str, project: Project) -> None:
    shown = APIClient().post(LOOK, {"token": token}).json()
    assert (shown.pop("expires_at"), shown) == (
        Invitation.objects.get().expires_at.isoformat().replace("+00:00", "Z"),
        {"project": "support", "name": "Support", "role": "annotator", "invited_by": "mona"},
    )
    browser, status = _accept(token)
    assert status == 201
    me = browser.get("/api/v1/auth/me").json()
    assert (me["username"], me["is_admin"]) == ("zoe", False)
    assert me["memberships"] == [{"project": "support", "role": "annotator", "state": "active"}]
    login = {"username": "zoe", "password": PASSWORD}
    assert APIClient().post("/api/v1/auth/login", login).status_code == 200


def test_invitation_works_only_once(token: str, ben: User, client_of: ClientOf, oscar: User) -> None:
    assert _accept(token)[1] == 201
    for client, address, more in (
        (APIClient(), LOOK, {}),
        (APIClient(), ACCEPT, {"username": "again", "password": PASSWORD}),
        (client_of(oscar), JOIN, {}),
    ):
        response = client.post(address, {"token": token} | more)
        assert (response.status_code, response.json()["type"]) == (410, "invitation-over")
        assert "has been used" in response.json()["detail"]
    assert not User.objects.filter(username="again").exists()


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_simultaneous_acceptances_succeeds(project: Project, mona: User) -> None:
    _, token = invitations.invite(project=project, role="annotator", by=mona)

    def enter(name: str) -> str:
        try:
            invitations.accept_with_new_account(token=token, username=name, password=PASSWORD)
            return name
        except Problem as refusal:
            return refusal.type

    results = at_once([partial(enter, f"racer-{n}") for n in range(5)])
    (winner,) = [each for each in results if each.startswith("racer")]
    assert sorted(set(results) - {winner}) == ["invitation-over"]
    assert list(User.objects.filter(username__startswith="racer").values_list("username")) == [(winner,)]


def test_invitation_expires_and_can_be_revoked(token: str, mona: User, client_of: ClientOf) -> None:
    Invitation.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert _accept(token)[1] == 410
    manager = client_of(mona)
    listed = manager.get(MADE).json()["results"]
    assert [each["state"] for each in listed] == ["expired"]
    other = manager.post(MADE, {"role": "reviewer"}).json()
    revoke = f"/api/v1/invitations/{other['invitation']['id']}/revoke"
    assert manager.post(revoke).json()["state"] == "revoked"
    assert manager.post(revoke).status_code == 409
    refused = APIClient().post(LOOK, {"token": other["token"]})
    assert (refused.status_code, "revoked" in refused.json()["detail"]) == (410, True)


def test_malformed_and_altered_invitation_tokens_are_refused(token: str) -> None:
    row = Invitation.objects.get()
    for fake in ("", "x", token[:-1], f"{token}x", row.pk.hex, row.digest, "é.é"):
        assert APIClient().post(LOOK, {"token": fake}).status_code in (404, 422), fake
    assert APIClient().post(LOOK, {"token": token}).status_code == 200


def test_invitation_token_appears_only_in_the_first_response(
    token: str, mona: User, client_of: ClientOf
) -> None:
    digest = Invitation.objects.get().digest
    listed = client_of(mona).get(MADE).content.decode()
    logged = str(list(AuditEntry.objects.filter(table="annotation_invitation").values()))
    assert token not in listed + logged + str(list(Invitation.objects.values()))
    assert digest not in listed + logged


def test_audit_log_names_inviter_and_invitee(token: str, mona: User, project: Project) -> None:
    _accept(token)
    zoe = User.objects.get(username="zoe")
    log = AuditEntry.objects.of_project(project).filter(table__in=TOLD)
    told = [(row.actor, row.action, row.table) for row in log.order_by("id")][-3:]
    assert told == [
        (f"user:{mona.pk}", "insert", "annotation_invitation"),
        (f"user:{zoe.pk}", "update", "annotation_invitation"),
        (f"user:{zoe.pk}", "insert", "annotation_membership"),
    ]


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"username": "alice"}, 409, "username"),
        ({"username": "no spaces"}, 422, "username"),
        ({"username": ""}, 422, "username"),
        ({"password": "short"}, 422, "password"),
        ({"password": "password123"}, 422, "password"),
    ],
)
def test_invalid_name_or_password_does_not_use_up_the_invitation(
    token: str, changes: dict[str, str], status: int, field: str
) -> None:
    body = {"token": token, "username": "zoe", "password": PASSWORD}
    response = APIClient().post(ACCEPT, body | changes)
    assert (response.status_code, wrong_fields(response)) == (status, [field])
    assert not User.objects.filter(username="zoe").exists()
    assert _accept(token)[1] == 201


def test_logged_in_user_joins_with_their_account(token: str, oscar: User, client_of: ClientOf) -> None:
    response = client_of(oscar).post(JOIN, {"token": token})
    assert response.json() == {"project": "support", "role": "annotator", "state": "active"}
    assert client_of(oscar).get("/api/v1/projects/support/").status_code == 200


def test_member_keeps_their_role_and_the_invitation_stays_open(
    token: str, mona: User, client_of: ClientOf
) -> None:
    response = client_of(mona).post(JOIN, {"token": token})
    assert (response.status_code, response.json()["type"]) == (409, "already-a-member")
    assert Membership.objects.get(user=mona).role == "manager"
    assert Invitation.objects.get().state == "open"


def test_excluded_annotator_cannot_return_with_an_invitation(
    token: str, project: Project, oscar: User
) -> None:
    exclude_annotator(project=project, who=Who(annotator=oscar), reason="spam")
    with pytest.raises(Conflict, match="excluded"):
        invitations.accept(token=token, user=oscar)
    assert Invitation.objects.get().state == "open"


def test_guessing_tokens_is_limited_but_opening_invitations_is_not(token: str) -> None:
    assert {APIClient().post(LOOK, {"token": token}).status_code for _ in range(40)} == {200}
    assert {APIClient().post(LOOK, {"token": f"x{n}"}).status_code for n in range(30)} == {404}
    refused = APIClient().post(LOOK, {"token": token})
    assert refused.status_code == 429
    assert "log-in" not in refused.json()["detail"]


def test_accepting_an_invitation_requires_the_csrf_token(token: str) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    body = {"token": token, "username": "zoe", "password": PASSWORD}
    assert browser.post(ACCEPT, body).status_code == 403
    assert not User.objects.filter(username="zoe").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "role"), ({"role": "king"}, "role"), ({"role": "annotator", "days": 31}, "days")],
)
def test_invalid_invitation_is_refused_and_the_error_names_the_field(
    project: Project, mona: User, client_of: ClientOf, body: dict[str, object], field: str
) -> None:
    response = client_of(mona).post(MADE, body)
    assert (response.status_code, wrong_fields(response)) == (422, [field])


def test_number_of_open_invitations_is_limited(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_OPEN", 2)
    for _ in range(2):
        last, _ = invitations.invite(project=project, role="annotator")
    with pytest.raises(Problem, match="Revoke"):
        invitations.invite(project=project, role="annotator")
    invitations.revoke(invitation=last)
    invitations.invite(project=project, role="annotator")
