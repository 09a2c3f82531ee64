"""A report is computed once per version of its data."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.models import Project as ProjectRow
from annotation.models import Prompt, Ranking, RankingTask, Response, User
from annotation.oversight.exclusion import Who, exclude_annotator, lift_exclusion
from annotation.oversight.report_cache import CACHE, cached_report
from config.requests.arrival import set_arrival
from tests.annotation.answering import rank_next
from tests.annotation.racing import at_once

ClientOf = Callable[[User | None], APIClient]
Change = Callable[[ProjectRow, User], object]


@pytest.fixture(autouse=True)
def reports_folder(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    settings.CACHES = settings.CACHES | {CACHE: settings.CACHES[CACHE] | {"LOCATION": folder}}
    return folder


class Counted:
    """A report that counts how often it is computed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        time.sleep(0.05)  # long enough for concurrent requests to overlap
        return Ranking.objects.count()


def ask(project: ProjectRow, compute: Counted, **options: str) -> int:
    found: int = cached_report(project=project, name="counted", options=options, compute=compute)
    return found


@pytest.fixture
def ranked(project: ProjectRow, tasks: list[RankingTask], alice: User, ben: User) -> ProjectRow:
    rank_next(project, alice, [0], [1], [2])
    rank_next(project, ben, [0], [1], [2])
    return project


def rank_again(project: ProjectRow, person: User) -> None:
    rank_next(project, person, [2], [1], [0])


def exclude(project: ProjectRow, person: User) -> None:
    exclude_annotator(project=project, who=Who(annotator=person), reason="straight-lining")


def exclude_and_lift(project: ProjectRow, person: User) -> None:
    lift_exclusion(exclusion=exclude_annotator(project=project, who=Who(annotator=person), reason="x"))


def set_known_answer(project: ProjectRow, person: User) -> None:
    task = RankingTask.objects.filter(project=project).order_by("id").first()
    assert task is not None
    tiers = [[str(id)] for id in task.responses.values_list("pk", flat=True)]
    RankingTask.objects.filter(pk=task.pk).update(gold_tiers=tiers)


def rename_model(project: ProjectRow, person: User) -> None:
    Response.objects.filter(prompt__project=project, model_name="model-0").update(model_name="model-9")


def set_metadata(project: ProjectRow, person: User) -> None:
    Prompt.objects.filter(project=project).update(metadata={"topic": "orders"})


def rename_annotator(project: ProjectRow, person: User) -> None:
    rename_annotator_to(person, "alicia")


def rename_annotator_to(person: User, name: str) -> None:
    User.objects.filter(pk=person.pk).update(username=name)


@pytest.mark.parametrize(
    "change",
    [
        rank_again,
        exclude,
        exclude_and_lift,
        set_known_answer,
        rename_model,
        set_metadata,
        rename_annotator,
    ],
)
def test_report_is_computed_again_only_after_a_change(
    ranked: ProjectRow, alice: User, change: Change
) -> None:
    compute = Counted()
    assert ask(ranked, compute) == ask(ranked, compute) == 2
    assert compute.times == 1
    change(ranked, alice)
    assert ask(ranked, compute) == ask(ranked, compute) == Ranking.objects.count()
    assert compute.times == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_compute_a_report_once(ranked: ProjectRow) -> None:
    compute = Counted()
    assert at_once([lambda: ask(ranked, compute)] * 4) == [2, 2, 2, 2]
    assert compute.times == 1


@pytest.mark.django_db(transaction=True)
def test_reports_requested_while_annotators_answer_share_a_computation(
    ranked: ProjectRow, alice: User
) -> None:
    """In this test, every report is outdated as soon as it is stored. The stored report is still returned for
    requests that arrived before its computation began."""

    class Outdated(Counted):
        def __call__(self) -> int:
            found = super().__call__()
            rename_annotator_to(alice, f"alice-{self.times}")
            return found

    compute = Outdated()
    assert at_once([lambda: ask(ranked, compute)] * 6) == [2] * 6
    assert compute.times <= 2


def test_report_contains_every_change_made_before_the_request(ranked: ProjectRow, alice: User) -> None:
    ask(ranked, Counted())
    rank_again(ranked, alice)
    assert ask(ranked, Counted()) == 3


def test_arrival_is_the_time_at_which_the_request_reached_the_server(ranked: ProjectRow, alice: User) -> None:
    """A request that waited for a free process is answered with a report whose computation began during the
    wait."""
    arrived = time.monotonic()
    assert ask(ranked, Counted()) == 2
    rank_again(ranked, alice)
    compute = Counted()

    def waited() -> int:
        set_arrival(arrived)
        return ask(ranked, compute)

    assert contextvars.copy_context().run(waited) == 2
    assert compute.times == 0
    assert ask(ranked, compute) == 3


def test_each_project_and_set_of_options_has_its_own_report(ranked: ProjectRow) -> None:
    compute = Counted()
    other = ProjectRow.objects.create(slug="other", name="Other")
    ask(ranked, compute, by="round")
    ask(ranked, compute, by="split")
    ask(other, compute, by="round")
    assert compute.times == 3


def test_report_is_returned_even_if_it_cannot_be_stored(ranked: ProjectRow, reports_folder: Path) -> None:
    reports_folder.write_text("This file is where the folder would be.")
    assert ask(ranked, Counted()) == 2


def test_report_is_computed_again_if_the_stored_report_is_damaged(
    ranked: ProjectRow, reports_folder: Path
) -> None:
    ask(ranked, Counted())
    for file in reports_folder.iterdir():
        file.write_bytes(file.read_bytes()[:20])
    compute = Counted()
    assert ask(ranked, compute) == ask(ranked, compute) == 2
    assert compute.times == 1


def test_stored_report_is_the_same_as_the_computed_report(
    ranked: ProjectRow, mona: User, client_of: ClientOf
) -> None:
    for path in ("quality/", "leaderboard/", "leaderboard/?by=split&method=davidson"):
        first, second = (client_of(mona).get(f"/api/v1/projects/support/{path}") for _ in range(2))
        assert first.status_code == second.status_code == 200
        assert first.json() == second.json()
