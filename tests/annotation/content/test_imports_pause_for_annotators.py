"""An import in a worker leaves the disk to annotators for half of the time while they hold tasks."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from annotation.content.import_jobs.execute import MAX_PAUSE_SECONDS, pause_for_annotators
from annotation.models import Assignment, Project, RankingTask, User
from tests.annotation.answering import claim


class Pauses(threading.Event):
    """Records the pauses instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def test_import_pauses_as_long_as_a_batch_took_while_a_task_is_held(
    project: Project, tasks: list[RankingTask], alice: User, pauses: Pauses
) -> None:
    pause_for_annotators(0.25, pauses)
    assert pauses.seconds == []
    held = claim(project=project, annotator=alice)
    pause_for_annotators(0.25, pauses)
    pause_for_annotators(30.0, pauses)
    assert pauses.seconds == [0.25, MAX_PAUSE_SECONDS]

    Assignment.objects.filter(pk=held.pk).update(expires_at=Now() - timedelta(seconds=1))
    pause_for_annotators(0.25, pauses)
    assert len(pauses.seconds) == 2
