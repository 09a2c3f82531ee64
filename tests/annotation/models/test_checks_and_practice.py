from __future__ import annotations

import pytest

from annotation.models import Assignment, Project, RankingTask


@pytest.mark.parametrize("kind", RankingTask.Kind)
def test_querysets_agree_with_the_property_on_which_tasks_are_checks(
    project: Project, tasks: list[RankingTask], kind: RankingTask.Kind
) -> None:
    task = tasks[0]
    gold = [[str(id)] for id in task.responses.values_list("pk", flat=True)]
    RankingTask.objects.filter(pk=task.pk).update(kind=kind, gold_tiers=gold, open_slots=0)
    task.refresh_from_db()

    assert task.is_check is kind.is_check is (kind != "ranking")
    assert RankingTask.objects.checks().contains(task) is task.is_check
    assert RankingTask.objects.asked().contains(task) is not task.is_check


def test_only_qualification_attempts_count_as_practice() -> None:
    assert [Assignment(attempt=attempt).is_practice for attempt in (0, 1, 2)] == [False, True, True]
