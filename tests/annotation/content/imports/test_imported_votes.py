"""Depending on an option, the rankings in a file close their tasks, leave their tasks open, or are
ignored."""

from __future__ import annotations

import io
import json

from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import ImportedVotes
from annotation.content.importing.report import ImportReport
from annotation.desk.allocation import claim_tasks
from annotation.models import Project, Ranking, RankingTask, User

ROW = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "winner": "B", "annotator": "ann"}


def imported(project: Project, votes: ImportedVotes) -> ImportReport:
    return import_file(project=project, file=io.BytesIO(json.dumps(ROW).encode()), votes=votes, overlap=2)


def test_votes_close_their_tasks_by_default(project: Project, alice: User) -> None:
    report = imported(project, ImportedVotes.CLOSE)
    assert (report.tasks, report.rankings) == (1, 1)
    assert RankingTask.objects.get().state == RankingTask.State.DONE
    assert claim_tasks(project=project, annotator=alice) == []


def test_kept_votes_do_not_count_towards_the_overlap(project: Project, alice: User, ben: User) -> None:
    report = imported(project, ImportedVotes.KEEP)
    assert (report.tasks, report.rankings) == (1, 1)
    task = RankingTask.objects.get()
    assert (task.state, task.open_slots) == (RankingTask.State.OPEN, 2)
    assert [
        lease.task_id for user in (alice, ben) for lease in claim_tasks(project=project, annotator=user)
    ] == [
        task.pk,
        task.pk,
    ]
    assert Ranking.objects.get().places == [1, 0]


def test_ignoring_votes_creates_open_tasks_without_rankings(project: Project, alice: User) -> None:
    report = imported(project, ImportedVotes.IGNORE)
    assert (report.tasks, report.rankings) == (1, 0)
    assert len(claim_tasks(project=project, annotator=alice)) == 1


def test_ignored_votes_can_be_imported_later(project: Project) -> None:
    imported(project, ImportedVotes.IGNORE)
    report = imported(project, ImportedVotes.KEEP)
    assert (report.tasks, report.rankings) == (0, 1)
    assert RankingTask.objects.get().state == RankingTask.State.OPEN
