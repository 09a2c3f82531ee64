"""The queue page lists what runs, what waits and why, and the workers. Only admins see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import User
from config.wake import NOT_WOKEN
from tests.training.conftest import RunMaker
from training.models import TrainingWorker
from training.runs import queue, transitions

ClientOf = Callable[[User | None], APIClient]
QUEUE = "/api/v1/queue/"


@pytest.fixture
def worker(db: None) -> TrainingWorker:
    gpu = {"name": "H200", "memory_bytes": 150_000_000_000}
    return TrainingWorker.objects.create(
        name="training@one", gpus=[gpu], memory_bytes=8_000_000_000, threads=4, seen_at=timezone.now()
    )


def reasons() -> list[tuple[int, str]]:
    return [(one.position, one.waits_for) for one in queue.training_queue().waiting]


def test_run_waits_until_a_worker_is_running(make_run: RunMaker, worker: TrainingWorker) -> None:
    make_run()
    assert reasons() == [(1, queue.ABOUT_TO_START)]
    TrainingWorker.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    assert reasons() == [(1, queue.NO_WORKER)]


@pytest.mark.usefixtures("worker")
def test_runs_wait_for_the_running_run_in_the_order_of_their_launch(make_run: RunMaker) -> None:
    first, *_ = make_run(kind="ppo"), make_run(), make_run(), make_run()
    assert transitions.claim_run(run_id=first.pk, worker="w") == 1
    assert [run.pk for run in queue.training_queue().running] == [first.pk]
    assert reasons() == [
        (1, "The ppo run of project lab must end first."),
        (2, "1 run is ahead in the queue."),
        (3, "2 runs are ahead in the queue."),
    ]


@pytest.mark.usefixtures("worker")
def test_run_waits_for_the_message_queue(make_run: RunMaker) -> None:
    make_run(phase=NOT_WOKEN)
    assert reasons() == [(1, queue.BROKER)]


def test_only_admins_see_the_queue(
    client_of: ClientOf, ada: User, mona: User, alice: User, make_run: RunMaker, worker: TrainingWorker
) -> None:
    for user in (mona, alice):
        assert client_of(user).get(QUEUE).status_code == 403
    make_run()
    with CaptureQueriesContext(connection) as one:
        found = client_of(ada).get(QUEUE).json()
    assert [entry["run"]["project"] for entry in found["waiting"]] == ["lab"]
    [shown] = found["workers"]
    assert (shown["name"], shown["is_running"], shown["gpus"][0]["name"]) == ("training@one", True, "H200")
    for _ in range(3):
        make_run()
    with CaptureQueriesContext(connection) as four:
        assert len(client_of(ada).get(QUEUE).json()["waiting"]) == 4
    assert len(four) == len(one)
