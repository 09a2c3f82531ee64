"""The training loop never waits for the database. No report is lost, and an attempt that lost its claim
writes no reports."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from tests.training.conftest import RunMaker, lose, wait_until
from training.models import RunEvent, TrainingRun
from training.rlhf.core.reporter import Cancelled
from training.rlhf.core.waiting import waiting
from training.runs import interruptions, transitions
from training.runs.process import reporter
from training.runs.process.reporter import DatabaseReporter
from training.runs.progress.events import LostClaim, append_events

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 300


@pytest.fixture
def run(make_run: RunMaker) -> TrainingRun:
    run = make_run()
    transitions.claim_run(run_id=run.pk, worker="w")
    return run


def voice(run: TrainingRun, **settings: Any) -> DatabaseReporter:
    return DatabaseReporter(run_id=run.pk, attempt=1, **settings)


def test_reports_are_ordered_and_progress_is_limited_to_four_a_second(
    run: TrainingRun,
) -> None:
    started = time.monotonic()
    with voice(run) as report:
        for step in range(1, STEPS + 1):
            report.metrics(step, {"loss": 1.0 / step})
            report.progress("train", step, STEPS)
            report.check()
            time.sleep(0.002)
    seconds = time.monotonic() - started
    metrics = RunEvent.objects.filter(run=run, type="metrics").order_by("seq")
    assert [event.step for event in metrics] == list(range(1, STEPS + 1))
    told = list(RunEvent.objects.filter(run=run, type="progress").order_by("seq"))
    assert 1 <= len(told) <= 4 * seconds + 2
    assert (told[-1].data["phase"], told[-1].step) == ("train", STEPS)
    run.refresh_from_db()
    assert (run.phase, run.step, run.total_steps) == (reporter.SAVING, STEPS, STEPS)


def test_remaining_time_is_estimated_from_the_speed_of_the_phase(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(reporter.time, "monotonic", lambda: now)
    report = voice(run)
    report.progress("train", 0, 10)
    now = 104.0
    report.progress("train", 2, 10)
    assert report._progress is not None
    assert report._progress.eta_seconds == 16.0


def test_remaining_time_of_a_phase_includes_the_phases_within_its_steps(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, etas = 100.0, []
    monkeypatch.setattr(reporter.time, "monotonic", lambda: now)
    report = voice(run)
    for step in (1, 2, 3):
        for answers in (0, 8):
            report.progress("generate", answers, 16)
            now += 5.0
            etas.append(report._progress.eta_seconds if report._progress else None)
        report.progress("train", step, 10)
        etas.append(report._progress.eta_seconds if report._progress else None)
    assert etas == [None, 5.0, None, None, 5.0, 80.0, None, 5.0, 70.0]


def test_progress_within_a_step_does_not_reset_the_remaining_time(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = 100.0, []
    monkeypatch.setattr(reporter.time, "monotonic", lambda: now)
    report = voice(run)
    report.progress("train", 0, 4)
    for step in (0, 1):
        for answers in (0, 8):
            now += 5.0
            report.progress(f"train: {answers} of 16 answers", step, 4)
            told.append(report._progress)
        report.progress("train", step + 1, 4)
        told.append(report._progress)
    assert [(one.step, one.eta_seconds) for one in told if one] == [
        *[(0, None), (0, None), (1, 30.0)],
        *[(1, 25.0), (1, 20.0), (2, 20.0)],
    ]


def test_cancel_request_reaches_the_loop_within_one_heartbeat(run: TrainingRun) -> None:
    with voice(run, heartbeat_every=timedelta(seconds=0.1)) as report:
        report.check()
        transitions.cancel_run(run=run)
        with pytest.raises(Cancelled):
            wait_until(lambda: bool(report.check()), seconds=10)
        report.progress("train", 1, 2)
    run.refresh_from_db()
    assert run.phase == "stopping"


def test_wait_for_a_server_is_shown_and_does_not_count_as_time_without_progress(run: TrainingRun) -> None:
    def row() -> tuple[str, int, int]:
        run.refresh_from_db()
        return run.phase, run.step, run.total_steps

    with voice(run, heartbeat_every=timedelta(seconds=0.05)) as report:
        report.progress("generate", 3, 8)
        wait_until(lambda: row() == ("generate", 3, 8), seconds=10)
        with waiting("waiting for the server at http://gpu-1:8000"):
            wait_until(lambda: row() == ("waiting for the server at http://gpu-1:8000", 3, 8), seconds=10)
            shown = RunEvent.objects.filter(run=run, type="progress").latest("seq")
            assert shown.data["phase"] == run.phase  # the page shows the newest event
            time.sleep(0.3)
            run.refresh_from_db()
            assert run.heartbeat_at is not None
            assert run.progressed_at is not None
            assert run.heartbeat_at - run.progressed_at < timedelta(seconds=0.1)
        wait_until(lambda: row() == ("generate", 3, 8), seconds=10)


def test_replaced_attempt_stops_and_writes_nothing(run: TrainingRun) -> None:
    with voice(run, heartbeat_every=timedelta(seconds=0.1)) as report:
        while transitions.claim_run(run_id=run.pk, worker="other") is None:
            lose(run)
            interruptions.sweep_runs()
        report.metrics(1, {"loss": 1.0})
        with pytest.raises(LostClaim):
            wait_until(lambda: bool(report.check()), seconds=10)
    assert not RunEvent.objects.filter(run=run, type="metrics").exists()


def test_no_event_is_lost_in_a_short_database_outage(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "RETRY_AFTER_SECONDS", 0.05)
    failures = iter([OperationalError("gone"), InterfaceError("closed"), OperationalError("gone")])

    def unreliable(**said: Any) -> bool:
        if (failure := next(failures, None)) is not None:
            raise failure
        return append_events(**said)

    monkeypatch.setattr(reporter, "append_events", unreliable)
    with voice(run) as report:
        report.metrics(1, {"loss": 2.0})
        time.sleep(0.1)
        report.metrics(2, {"loss": 1.0})
    metrics = RunEvent.objects.filter(run=run, type="metrics").order_by("seq")
    assert [event.step for event in metrics] == [1, 2]


def test_long_database_outage_ends_the_attempt(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "RETRY_AFTER_SECONDS", 0.05)

    def gone(**said: Any) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(reporter, "append_events", gone)
    settings = {"heartbeat_every": timedelta(seconds=0.05), "give_up_after": timedelta(seconds=0.3)}
    with voice(run, **settings) as report, pytest.raises(LostClaim, match="could not be reached"):
        wait_until(lambda: bool(report.check()), seconds=10)


def test_checkpoint_is_recorded_with_the_time_at_which_it_was_saved(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "RETRY_AFTER_SECONDS", 0.5)
    failures = iter([OperationalError("gone")] * 2)

    def unreliable(**said: Any) -> bool:
        if said["saved"] and (failure := next(failures, None)) is not None:
            raise failure
        return append_events(**said)

    monkeypatch.setattr(reporter, "append_events", unreliable)
    with voice(run) as report:
        report.metrics(4, {"loss": 2.0})
        report.flush()
        report.checkpoint(4)
        saved_at = timezone.now()
        report.metrics(5, {"loss": 2.0})
        report.flush()
    run.refresh_from_db()
    assert run.checkpoint_step == 4
    assert run.checkpoint_at is not None
    assert abs((run.checkpoint_at - saved_at).total_seconds()) < 0.4
    assert next(failures, None) is None, "the simulated failures did not occur"


def test_reports_before_a_checkpoint_are_written_without_pauses(
    run: TrainingRun,
) -> None:
    started = time.monotonic()
    with voice(run) as report:
        for step in range(1, 21):
            report.metrics(step, {"loss": 1.0})
            report.flush()
    # 20 pauses between two writes would take 5 s.
    assert time.monotonic() - started < 10 * reporter.WRITE_EVERY_SECONDS
    assert RunEvent.objects.filter(run=run, type="metrics").count() == 20


def test_attempt_whose_reports_are_lost_does_not_write_checkpoints(run: TrainingRun) -> None:
    with voice(run, heartbeat_every=timedelta(seconds=0.1)) as report:
        while transitions.claim_run(run_id=run.pk, worker="other") is None:
            lose(run)
            interruptions.sweep_runs()
        report.metrics(1, {"loss": 1.0})
        with pytest.raises(LostClaim):
            report.flush()
        report.checkpoint(1)
    run.refresh_from_db()
    assert run.checkpoint_step is None
