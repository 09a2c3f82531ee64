"""`set_user` deactivates accounts and changes the admin role, but never removes the last active admin."""

from __future__ import annotations

from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from annotation.accounts import users
from annotation.accounts.tokens import create_token
from annotation.models import User
from tests.annotation.racing import at_once

pytestmark = pytest.mark.django_db
ME = "/api/v1/auth/me"


def set_user(*options: str) -> str:
    out = StringIO()
    call_command("set_user", *options, stdout=out)
    return out.getvalue()


def test_deactivated_user_is_logged_out_and_refused_until_activated(alice: User) -> None:
    browser, program = APIClient(), APIClient()
    browser.force_login(alice)
    _, token = create_token(user=alice, name="script")
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert [one.get(ME).status_code for one in (browser, program)] == [200, 200]
    assert "alice is deactivated" in set_user("alice", "--deactivate")
    assert "alice is already deactivated" in set_user("alice", "--deactivate")
    assert [one.get(ME).status_code for one in (browser, program)] == [401, 401]
    set_user("alice", "--activate")
    assert program.get(ME).status_code == 200


def test_admin_role_is_granted_and_removed(alice: User, ada: User) -> None:
    set_user("alice", "--admin")
    alice.refresh_from_db()
    assert alice.is_admin
    set_user("alice", "--no-admin")
    alice.refresh_from_db()
    assert (alice.is_superuser, alice.is_staff) == (False, False)


@pytest.mark.parametrize("option", ["--deactivate", "--no-admin"])
def test_last_active_admin_cannot_be_removed(option: str, ada: User, alice: User) -> None:
    User.objects.filter(is_superuser=True).exclude(pk=ada.pk).update(is_active=False)
    with pytest.raises(CommandError, match="only active admin"):
        set_user(ada.username, option)
    ada.refresh_from_db()
    assert ada.is_admin


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_simultaneous_admin_removals_succeeds(alice: User, ben: User) -> None:
    User.objects.filter(pk__in=[alice.pk, ben.pk]).update(is_superuser=True)
    User.objects.filter(is_superuser=True).exclude(pk__in=[alice.pk, ben.pk]).update(is_active=False)
    assert sorted(at_once([partial(_removed, user) for user in (alice, ben)])) == [False, True]


def _removed(user: User) -> bool:
    try:
        return users.set_admin(user=user, admin=False)
    except users.LastAdmin:
        return False
