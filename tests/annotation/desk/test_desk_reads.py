"""The desk's hand-written queries agree with the models and the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import Field, ListSerializer, Serializer

from annotation.accounts.tokens import create_token, token_holder
from annotation.api.base import seen_project
from annotation.desk import allocation, reads
from annotation.desk.api import serializers
from annotation.models import Assignment, Project, RankingTask, User
from tests.annotation.answering import claim


def _paths(described: Field[Any, Any, Any, Any] | ListSerializer[Any], path: str = "") -> set[str]:
    """The dotted paths of a serializer's fields. Free-form JSON (a form, a draft) is treated as one field."""
    inner = described.child if isinstance(described, ListSerializer) else described
    if not isinstance(inner, Serializer):
        return {path}
    found = [_paths(field, f"{path}.{name}") for name, field in inner.fields.items()]
    return set().union(*found)


def _paths_sent(value: Any, leaves: set[str], path: str = "") -> set[str]:
    if path in leaves:
        return {path}
    inner = value if isinstance(value, list) else [value]
    return set().union(
        *(_paths_sent(item[name], leaves, f"{path}.{name}") for item in inner for name in item)
    )


def test_assignment_is_sent_with_exactly_the_fields_of_its_serializer(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    described = _paths(serializers.Assignment())
    (sent,) = reads.shown([claim(project, alice)])
    assert _paths_sent(sent, described) == described
    assert serializers.Assignment(sent).data == sent


def test_assignments_are_sent_with_the_values_of_their_rows(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    leases = allocation.claim_tasks(project=project, annotator=alice, prefetch=2)
    draft = {"comment": "hälfte 😀"}
    Assignment.objects.filter(pk=leases[0].pk).update(draft=draft, draft_version=2)
    shown = reads.shown(leases)
    assert json.loads(JSONRenderer().render(shown)) == shown
    for lease, sent in zip(leases, shown, strict=True):
        row = Assignment.objects.select_related("task__prompt", "form_version").get(pk=lease.pk)
        texts = dict(row.task.responses.values_list("pk", "text"))
        assert sent == {
            "id": str(row.pk),
            "token": str(row.token),
            "expires_at": row.expires_at.isoformat().replace("+00:00", "Z"),
            "task": {"id": str(row.task_id), "prompt": {"messages": row.task.prompt.messages}},
            "responses": [{"id": str(pk), "text": texts[pk]} for pk in row.shown_order],
            "form": row.form_version.form,
            "draft": draft if lease is leases[0] else None,
            "draft_version": 2 if lease is leases[0] else 0,
            "practice": False,
        }


def test_project_is_returned_only_to_its_members_and_to_admins(
    project: Project, alice: User, ada: User, oscar: User
) -> None:
    for user in (alice, ada, oscar):
        wanted = Project.objects.visible_to(user).with_role_of(user).filter(slug="support").first()
        found = seen_project(user=user, slug="support")
        assert (found is None) == (wanted is None)
        if wanted is not None:
            for field in Project._meta.concrete_fields:
                assert getattr(found, field.attname) == getattr(wanted, field.attname), field.attname
            for name in ("role", "member_state", "paused_reason"):
                assert getattr(found, name) == getattr(wanted, name)


def test_own_assignment_is_read_with_its_task_and_project_and_form(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    ben: User,
    django_assert_num_queries: Callable[[int], object],
) -> None:
    held = claim(project, alice)
    wanted = Assignment.objects.select_related("task", "project", "form_version").get(pk=held.pk)
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
def test_token_is_read_with_its_user(alice: User, change: dict[str, bool]) -> None:
    row, text = create_token(user=alice, name="t")
    User.objects.filter(pk=alice.pk).update(**change)
    found = token_holder(token=text)
    if change:
        assert found is None
    else:
        assert found is not None
        assert (found.pk, found.user, found.user.username) == (row.pk, alice, "alice")
        assert sorted(found.scopes) == sorted(row.scopes)
