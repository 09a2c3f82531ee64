"""A training loop launches the runs of a round one at a time, as each becomes due."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from annotation.models import Project, User
from annotation.projects.projects import create_project
from tests.training.conftest import ModelMaker, Rank
from training.loop.loops import set_loop, turn_loop, turn_loops
from training.models import Loop, TrainingRun


@pytest.fixture
def loop(lab: Project, make_model: ModelMaker) -> Loop:
    make_model(name="lab-sft-1")
    return set_loop(project=lab, settings={"min_new_comparisons": 3})


def end(run: TrainingRun | None, state: str = "succeeded", **result: Any) -> None:
    assert run is not None
    error = {"title": "t", "detail": "d", "fix": "f"}
    TrainingRun.objects.filter(pk=run.pk).update(
        state=state, finished_at=timezone.now(), result=result, error=error if state == "failed" else None
    )


def test_round_waits_for_comparisons_and_then_runs_its_three_steps(
    loop: Loop, alice: User, rank: Rank, make_model: ModelMaker
) -> None:
    rank(loop.project, alice, n=2)
    assert turn_loop(loop=loop) is None
    rank(loop.project, alice, n=3)
    first = turn_loop(loop=loop)
    assert first is not None
    assert (first.kind, first.loop, first.state) == ("reward_model", loop, "queued")
    assert turn_loop(loop=loop) is None  # only one run at a time

    judge = make_model(name="lab-rm-1", kind="reward_model")
    end(first, model={"id": str(judge.id), "name": judge.name})
    second = turn_loop(loop=loop)
    assert second is not None
    assert (second.kind, second.inputs["reward_model"]) == ("ppo", "lab-rm-1")

    better = make_model(name="lab-ppo-1")
    end(second, model={"id": str(better.id), "name": better.name})
    third = turn_loop(loop=loop)
    assert third is not None
    assert (third.kind, third.inputs) == ("sample", {"policy": "lab-ppo-1"})

    end(third)
    assert turn_loop(loop=loop) is None  # the loop waits for new comparisons


def test_loop_waits_for_new_comparisons_after_a_failed_run(loop: Loop, alice: User, rank: Rank) -> None:
    rank(loop.project, alice, n=3)
    end(turn_loop(loop=loop), "failed")
    assert turn_loop(loop=loop) is None


def test_disabled_loop_launches_nothing(loop: Loop, alice: User, rank: Rank) -> None:
    rank(loop.project, alice, n=3)
    set_loop(project=loop.project, settings={"enabled": False})
    assert turn_loop(loop=loop) is None


def test_loop_that_cannot_launch_does_not_block_other_loops(loop: Loop, alice: User, rank: Rank) -> None:
    bare = create_project(slug="bare")  # this project has no policy
    set_loop(project=bare, settings={"min_new_comparisons": 1})
    rank(bare, alice, n=1)
    rank(loop.project, alice, n=3)
    turn_loops()
    assert TrainingRun.objects.get().project == loop.project


def test_unexpected_failure_is_logged_and_does_not_block_other_loops(
    loop: Loop, alice: User, rank: Rank, make_model: ModelMaker, caplog: pytest.LogCaptureFixture
) -> None:
    run = TrainingRun.objects.create(
        project=loop.project, loop=loop, kind="reward_model", recipe={}, inputs={}
    )
    end(run)  # the result names no model
    later = create_project(slug="later")
    make_model(name="later-sft-1", project=later)
    set_loop(project=later, settings={"min_new_comparisons": 1})
    rank(later, alice, n=1)
    turn_loops()
    assert TrainingRun.objects.get(state="queued").project == later
    failed = f"The loop of project {loop.project_id} failed."
    [logged] = [each for each in caplog.records if each.message == failed]
    assert logged.exc_info is not None


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_scheduler_ticks_launch_one_run(loop: Loop, alice: User, rank: Rank) -> None:
    rank(loop.project, alice, n=3)
    barrier = threading.Barrier(2)

    def turn() -> None:
        try:
            barrier.wait()
            turn_loop(loop=loop)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=turn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert TrainingRun.objects.count() == 1
