"""A run without progress is detected even if its heartbeat continues. Waiting, database outages and saving
the result do not count as time without progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.training.conftest import RunMaker
from training.models import TrainingRun
from training.rlhf.core.alive import alive
from training.runs import interruptions, transitions
from training.runs.process import health
from training.runs.process.health import Health, Limits, Verdict, remaining_seconds
from training.runs.process.reporter import SAVING, DatabaseReporter, TimeLimitReached
from training.runs.progress.events import Progress, append_events
from training.runs.recipes.catalog import parse_recipe, preset_settings

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = timedelta(seconds=1)
LIMITS = Limits(first_step=20 * SECOND, step=10 * SECOND, silence=6 * SECOND, overtime=4 * SECOND)

Look = Callable[[float], Verdict | None]


@pytest.fixture
def run(make_run: RunMaker) -> TrainingRun:
    run = make_run(recipe={"max_minutes": 1})
    transitions.claim_run(run_id=run.pk, worker="w")
    run.refresh_from_db()
    return run


@pytest.fixture
def look(run: TrainingRun) -> Look:
    """look(second): reads the run and judges its health, as if `second` seconds had passed since the run's
    start."""
    watched = Health(run, LIMITS, now=0.0)

    def judge(now: float) -> Verdict | None:
        run.refresh_from_db()
        return watched.judge(run, now=now)

    return judge


def beat(run: TrainingRun, *, idle: float, step: int = 0, phase: str = "train") -> None:
    progress = Progress(phase, step, 9, None)
    append_events(run_id=run.pk, attempt=1, progress=progress, idle_seconds=idle)


def test_every_run_kind_has_progress_limits_and_a_total_time_limit() -> None:
    assert set(health.LIMITS) == set(TrainingRun.Kind)
    for kind, limits in health.LIMITS.items():
        assert limits.step < limits.first_step
        recipe = parse_recipe(kind=kind, settings=preset_settings(kind=kind, preset="default"))
        assert recipe.model_dump()["max_minutes"] > 0


@pytest.mark.parametrize(("step", "allowed"), [(0, 20.0), (1, 10.0)])
def test_loop_without_progress_counts_as_hung_even_if_its_heartbeat_continues(
    run: TrainingRun, look: Look, step: int, allowed: float
) -> None:
    beat(run, idle=allowed - 1, step=step)
    assert look(1.0) is None
    beat(run, idle=allowed + 1, step=step)
    verdict = look(2.0)
    assert verdict is not None
    assert (verdict.error["kind"], verdict.resumes) == ("hung", False)
    assert f"No progress for {allowed + 1:.0f} s" in verdict.error["detail"]
    assert f"phase 'train', step {step} of 9" in verdict.error["detail"]


def test_process_without_a_heartbeat_counts_as_frozen_and_its_run_resumes(
    run: TrainingRun, look: Look
) -> None:
    beat(run, idle=0)
    verdicts = [look(float(second)) for second in range(1, 9)]
    assert verdicts[:6] == [None] * 6
    verdict = next(verdict for verdict in verdicts if verdict)
    assert (verdict.error["kind"], verdict.resumes) == ("killed", True)


def test_outage_does_not_count_as_time_without_progress(run: TrainingRun, look: Look) -> None:
    beat(run, idle=0)
    assert look(1.0) is None
    assert look(1000.0) is None  # the database did not respond between these two checks
    beat(run, idle=0)
    assert look(1001.0) is None


def test_run_that_saves_its_result_does_not_count_as_hung(run: TrainingRun, look: Look) -> None:
    beat(run, idle=1000, step=9, phase=SAVING)
    assert [look(float(second)) for second in range(1, 10)] == [None] * 9


def test_run_that_ignores_its_time_limit_is_stopped(run: TrainingRun, look: Look) -> None:
    for second in range(58, 64):
        beat(run, idle=0)
        assert look(float(second)) is None, second
    for second in range(64, 67):
        beat(run, idle=0)
        verdict = look(float(second))
    assert verdict is not None
    assert (verdict.error["kind"], verdict.resumes) == ("time_limit", False)
    assert "time limit of 1 minutes" in verdict.error["detail"]


def test_run_that_writes_a_checkpoint_at_its_time_limit_is_not_stopped(run: TrainingRun) -> None:
    watched = Health(run, LIMITS, now=0.0)
    for second in range(58, 75):
        beat(run, idle=0)
        run.refresh_from_db()
        assert watched.judge(run, now=float(second), saving=True) is None, second


def test_earlier_attempts_count_towards_the_time_limit(run: TrainingRun) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(started_at=run.heartbeat_at - 50 * SECOND)
    assert interruptions.interrupt_run(run_id=run.pk, attempt=1, error={"kind": "killed"}) == "queued"
    run.refresh_from_db()
    assert remaining_seconds(run) == pytest.approx(10, abs=0.1)
    run.recipe = {}  # a recipe that was stored before runs had a time limit
    assert remaining_seconds(run) is None


@pytest.fixture
def idle_of(run: TrainingRun) -> Iterator[Callable[[], float]]:
    """idle_of(): wait for the run's next heartbeat, and return the time without progress that it reports."""

    def idle() -> float:
        run.refresh_from_db()
        before = run.heartbeat_at
        deadline = time.monotonic() + 10
        while run.heartbeat_at == before and time.monotonic() < deadline:
            time.sleep(0.01)
            run.refresh_from_db()
        return health._reported_idle(run)

    return idle


def test_heartbeat_contains_the_time_since_the_last_progress(
    run: TrainingRun, idle_of: Callable[[], float]
) -> None:
    with DatabaseReporter(run_id=run.pk, attempt=1, heartbeat_every=0.05 * SECOND) as report:
        time.sleep(0.8)
        assert idle_of() > 0.7
        for progress in (
            lambda: report.progress("train", 1, 2),
            lambda: report.metrics(1, {"loss": 1.0}),
            report.check,
            alive,
        ):
            time.sleep(0.8)
            progress()
            idle_of()  # the time in this heartbeat may have been measured before the progress
            assert idle_of() < 0.8
        with report.waiting("waiting for people"):
            time.sleep(0.8)
            idle_of()
            assert idle_of() < 0.1
            assert run.phase == "waiting for people"
    alive()  # has no effect after the reporter is closed


def test_reporter_ends_the_loop_at_the_time_limit_but_keeps_finished_work(run: TrainingRun) -> None:
    with DatabaseReporter(run_id=run.pk, attempt=1, limit_seconds=0.1) as report:
        report.check()
        report.progress("train", 3, 9)
        time.sleep(0.15)
        with pytest.raises(TimeLimitReached, match="in phase 'train', at step 3"):
            report.check()
        report.check_claim()
