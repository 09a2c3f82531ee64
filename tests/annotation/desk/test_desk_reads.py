"""The desk's hand-written queries say what the query sets and serializers say."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rest_framework.renderers import JSONRenderer

from annotation.accounts.tokens import create_token, token_holder
from annotation.api import serializers
from annotation.desk import allocation, reads
from annotation.models import Assignment, Project, RankingTask, User
from tests.annotation.answering import claim


def test_what_is_shown_is_the_serializers_to_the_letter(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    leases = allocation.claim_tasks(project=project, annotator=alice, prefetch=2)
    Assignment.objects.filter(pk=leases[0].pk).update(draft={"comment": "hälfte 😀"}, draft_version=2)
    wanted = [
        serializers.Assignment(Assignment.objects.with_shown().get(pk=lease.pk)).data for lease in leases
    ]
    assert reads.shown(leases) == json.loads(JSONRenderer().render(wanted))


def test_a_project_is_found_by_those_who_may_see_it(
    project: Project, alice: User, ada: User, oscar: User
) -> None:
    for user in (alice, ada, oscar):
        wanted = Project.objects.visible_to(user).with_role_of(user).filter(slug="support").first()
        found = reads.seen_project(user=user, slug="support")
        assert (found is None) == (wanted is None)
        if wanted is not None:
            for field in Project._meta.concrete_fields:
                assert getattr(found, field.attname) == getattr(wanted, field.attname), field.attname
            for name in ("role", "member_state", "paused_reason"):
                assert getattr(found, name) == getattr(wanted, name)


def test_an_assignment_is_its_annotators_with_all_that_hangs_on_it(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    ben: User,
    django_assert_num_queries: Callable[[int], object],
) -> None:
    held = claim(project, alice)
    wanted = Assignment.objects.with_task().get(pk=held.pk)
    found = reads.own_assignment(user=alice, id=held.pk)
    assert found is not None
    with django_assert_num_queries(0):
        for part in ("", "task", "project", "form_version"):
            one, other = (getattr(found[0], part), getattr(wanted, part)) if part else (found[0], wanted)
            for field in other._meta.concrete_fields:
                assert getattr(one, field.attname) == getattr(other, field.attname), field.attname
    assert found[1] == ("annotator", "active", "")
    assert reads.own_assignment(user=ben, id=held.pk) is None


@pytest.mark.parametrize("change", [{}, {"is_active": False}])
def test_a_token_has_its_user(alice: User, change: dict[str, bool]) -> None:
    row, text = create_token(user=alice, name="t")
    User.objects.filter(pk=alice.pk).update(**change)
    found = token_holder(token=text)
    if change:
        assert found is None
    else:
        assert found is not None
        assert (found.pk, found.user, found.user.username) == (row.pk, alice, "alice")
        assert sorted(found.scopes) == sorted(row.scopes)
