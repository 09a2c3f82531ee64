"""While annotators work on claimed tasks, an import in a worker pauses after each batch, and its batches are
small."""

from __future__ import annotations

import io
import json
import threading
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from annotation.content.import_jobs.pace import MAX_PAUSE_SECONDS, YIELDING_LINES, Pace
from annotation.content.importing.imports import importing
from annotation.content.importing.lines import BATCH_LINES
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


def test_pause_lasts_three_times_as_long_as_the_batch_while_a_task_is_claimed(
    project: Project, tasks: list[RankingTask], alice: User, pauses: Pauses
) -> None:
    pace = Pace(pauses)
    pace.after_batch(0.25)
    assert pauses.seconds == []
    held = claim(project=project, annotator=alice)
    pace.after_batch(0.25)
    pace.after_batch(30.0)
    assert pauses.seconds == [0.75, MAX_PAUSE_SECONDS]

    Assignment.objects.filter(pk=held.pk).update(expires_at=Now() - timedelta(seconds=1))
    pace.after_batch(0.25)
    assert len(pauses.seconds) == 2


def test_batches_are_small_while_a_task_is_claimed(
    project: Project, tasks: list[RankingTask], alice: User, pauses: Pauses
) -> None:
    pace = Pace(pauses)
    assert pace.lines() == BATCH_LINES
    claim(project=project, annotator=alice)
    pace.after_batch(0.25)
    assert pace.lines() == YIELDING_LINES

    rows = [{"prompt": f"Question {number}", "responses": ["yes", "no"]} for number in range(250)]
    file = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    steps = importing(project=project, file=file, lines_per_batch=pace.lines)
    assert [step.read for step in steps] == [0, 100, 200, 250]
