"""Only one worker at a time holds the claim on a run. A worker without the claim can't write."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, connections
from django.utils import timezone

from config.problems import Conflict
from tests.training.conftest import RunMaker, lose
from training.models import RunEvent, TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs import interruptions, transitions
from training.runs.failures import record
from training.runs.progress.events import Event, LostClaim, Progress, Saved, append_events

LONG_AGO = timedelta(hours=1)
ERROR = record(FailureKind.CRASHED, "d")


def claim(run: TrainingRun) -> int:
    attempt = transitions.claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    return attempt


def test_queued_run_is_claimed_only_once(make_run: RunMaker) -> None:
    run = make_run()
    assert claim(run) == 1
    assert transitions.claim_run(run_id=run.pk, worker="second") is None
    run.refresh_from_db()
    assert (run.state, run.attempt, run.worker) == ("running", 1, "w")
    assert run.started_at is not None
    assert run.heartbeat_at is not None


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_concurrent_claims_succeeds(make_run: RunMaker) -> None:
    run = make_run()
    barrier = threading.Barrier(8)
    won: list[int | None] = []

    def contend() -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            won.append(transitions.claim_run(run_id=run.pk, worker=threading.current_thread().name))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won, key=str) == [1] + [None] * 7
    assert RunEvent.objects.filter(run=run, type="state").count() == 1


def test_running_run_can_be_claimed_only_after_the_sweep_has_requeued_it(make_run: RunMaker) -> None:
    run = make_run()
    claim(run)
    lose(run)
    assert transitions.claim_run(run_id=run.pk, worker="second") is None
    interruptions.sweep_runs()
    assert transitions.claim_run(run_id=run.pk, worker="second") == 2


def test_repeated_claim_returns_the_same_attempt(make_run: RunMaker) -> None:
    """The response to a claim can be lost even if the claim was committed."""
    run = make_run()
    worker = transitions.worker_name()
    assert transitions.claim_run(run_id=run.pk, worker=worker) == 1
    assert transitions.claim_run(run_id=run.pk, worker=worker) == 1
    assert transitions.claim_run(run_id=run.pk, worker=transitions.worker_name()) is None
    run.refresh_from_db()
    assert (run.attempt, run.tries) == (1, 1)


def test_batch_of_events_is_stored_only_once(make_run: RunMaker) -> None:
    """The response to a write can be lost even if the write was committed."""
    run = make_run()
    attempt = claim(run)
    for number in (1, 1, 2):
        event = Event("metrics", number, {"values": {"loss": 1.0}})
        append_events(run_id=run.pk, attempt=attempt, events=[event], batch=number)
    seqs = RunEvent.objects.filter(run=run).order_by("seq").values_list("seq", "type", "step")
    assert list(seqs) == [(1, "state", 0), (2, "metrics", 1), (3, "metrics", 2)]


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_finished_run_cannot_be_claimed(make_run: RunMaker, state: str) -> None:
    run = make_run(state=state, finished_at=timezone.now(), error=ERROR)
    assert transitions.claim_run(run_id=run.pk, worker="w") is None


def test_stale_attempt_cannot_write(make_run: RunMaker) -> None:
    run = make_run()
    first = claim(run)
    append_events(run_id=run.pk, attempt=first, events=[Event("metrics", 1, {"values": {"loss": 2.0}})])
    lose(run)
    interruptions.sweep_runs()
    second = claim(run)
    before = TrainingRun.objects.values().get(pk=run.pk)
    n_events = RunEvent.objects.filter(run=run).count()

    with pytest.raises(LostClaim):
        append_events(
            run_id=run.pk,
            attempt=first,
            events=[Event("metrics", 2, {"values": {"loss": 1.0}})],
            progress=Progress("train", 2, 10, 5.0),
        )
    assert not transitions.succeed_run(run_id=run.pk, attempt=first, result={"model": "half"})
    assert not transitions.fail_run(run_id=run.pk, attempt=first, error=ERROR)
    assert transitions.stop_run(run_id=run.pk, attempt=first) is None

    assert TrainingRun.objects.values().get(pk=run.pk) == before
    assert RunEvent.objects.filter(run=run).count() == n_events
    assert transitions.succeed_run(run_id=run.pk, attempt=second, result={})


def test_events_are_numbered_without_gaps_and_progress_updates_the_run(make_run: RunMaker) -> None:
    run = make_run()
    attempt = claim(run)
    for step in range(1, 4):
        append_events(
            run_id=run.pk,
            attempt=attempt,
            events=[Event("metrics", step, {"values": {"loss": 1 / step}}), Event("sample", step, {})],
            progress=Progress("train", step, 3, None),
        )
    events = list(RunEvent.objects.filter(run=run).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, 8))
    assert [event.type for event in events] == ["state"] + ["metrics", "sample"] * 3
    assert {event.attempt for event in events} == {attempt}
    run.refresh_from_db()
    assert (run.phase, run.step, run.total_steps, run.last_seq) == ("train", 3, 3, 7)


def test_heartbeat_renews_the_claim_and_reports_a_cancel_request(make_run: RunMaker) -> None:
    run = make_run()
    attempt = claim(run)
    lose(run)
    assert append_events(run_id=run.pk, attempt=attempt) is False
    run.refresh_from_db()
    assert run.heartbeat_at is not None
    assert timezone.now() - run.heartbeat_at < timedelta(seconds=5)
    transitions.cancel_run(run=run)
    assert append_events(run_id=run.pk, attempt=attempt) is True


def test_values_that_postgres_cannot_store_do_not_stop_a_run(make_run: RunMaker) -> None:
    run = make_run()
    values = {"loss": float("nan"), "kl": float("inf"), "accuracy": 0.5}
    broken = {"after": "a\x00b\ud800c", "prompt": [{"role": "user", "content": "\x00"}]}
    append_events(
        run_id=run.pk,
        attempt=claim(run),
        events=[Event("metrics", 1, {"values": values}), Event("sample", 1, broken)],
    )
    metrics, sample = RunEvent.objects.filter(run=run).exclude(type="state").order_by("seq")
    assert metrics.data == {"values": {"accuracy": 0.5}}
    assert sample.data["after"] == "a\ufffdb?c"


def test_cancelling_a_queued_run_takes_effect_immediately(make_run: RunMaker) -> None:
    run = transitions.cancel_run(run=make_run())
    assert (run.state, run.attempt) == ("cancelled", 0)
    assert transitions.claim_run(run_id=run.pk, worker="w") is None


def test_cancelling_a_running_run_is_idempotent(make_run: RunMaker) -> None:
    run = make_run()
    attempt = claim(run)
    asked = transitions.cancel_run(run=run).cancel_requested_at
    assert transitions.cancel_run(run=run).cancel_requested_at == asked
    assert run.state == "running"
    assert transitions.stop_run(run_id=run.pk, attempt=attempt) == "cancelled"
    run.refresh_from_db()
    assert run.state == "cancelled"
    transitions.cancel_run(run=run)  # a second request changes nothing


def test_finished_run_cannot_be_cancelled(make_run: RunMaker) -> None:
    run = make_run()
    transitions.succeed_run(run_id=run.pk, attempt=claim(run), result={})
    with pytest.raises(Conflict, match="already succeeded"):
        transitions.cancel_run(run=run)


def test_stopped_run_without_a_cancel_request_is_requeued(make_run: RunMaker) -> None:
    run = make_run()
    assert transitions.stop_run(run_id=run.pk, attempt=claim(run)) == "queued"
    run.refresh_from_db()
    assert (run.state, run.tries) == ("queued", 0)
    assert claim(run) == 2


def test_sweep_requeues_a_lost_run_until_no_tries_remain(make_run: RunMaker) -> None:
    run = make_run()
    for attempt in range(1, transitions.MAX_TRIES + 1):
        assert claim(run) == attempt
        assert interruptions.sweep_runs() == []  # the heartbeat is recent
        lose(run)
        woken = interruptions.sweep_runs()
        assert woken == ([run.pk] if attempt < transitions.MAX_TRIES else [])
    run.refresh_from_db()
    assert run.state == "failed"
    assert run.error["title"] == "The worker was lost"
    assert "3 times" in run.error["detail"]


def test_lost_run_is_requeued_as_long_as_each_attempt_stores_a_later_checkpoint(make_run: RunMaker) -> None:
    run = make_run()

    def lose_after_checkpoint(step: int) -> list[UUID]:
        append_events(run_id=run.pk, attempt=claim(run), saved=Saved(step, 0.0))
        lose(run)
        return interruptions.sweep_runs()

    for step in range(1, 2 * transitions.MAX_TRIES):
        assert lose_after_checkpoint(step) == [run.pk]
    # An attempt that stores the same checkpoint again made no progress.
    for _ in range(transitions.MAX_TRIES - 2):
        assert lose_after_checkpoint(2 * transitions.MAX_TRIES - 1) == [run.pk]
    assert lose_after_checkpoint(2 * transitions.MAX_TRIES - 1) == []
    run.refresh_from_db()
    assert run.state == "failed"


def test_sweep_cancels_a_lost_run_whose_cancellation_was_requested(make_run: RunMaker) -> None:
    run = make_run()
    claim(run)
    transitions.cancel_run(run=run)
    lose(run)
    assert interruptions.sweep_runs() == []
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_sweep_wakes_a_worker_if_the_queue_message_was_lost(make_run: RunMaker) -> None:
    fresh = make_run()
    unheard = make_run(woken_at=timezone.now() - LONG_AGO)
    assert interruptions.sweep_runs() == [unheard.pk]
    assert interruptions.sweep_runs() == []  # a worker is not woken again on every sweep
    assert claim(fresh) == claim(unheard) == 1


def test_resuming_a_run_resets_its_tries(make_run: RunMaker) -> None:
    run = make_run()
    for _ in range(transitions.MAX_TRIES):
        claim(run)
        lose(run)
        interruptions.sweep_runs()
    transitions.requeue_finished(run=run)
    run.refresh_from_db()
    assert (run.state, run.error, run.finished_at, run.tries) == ("queued", None, None, 0)
    assert claim(run) == transitions.MAX_TRIES + 1  # never reused, so stale attempts are detected


def test_only_failed_and_cancelled_runs_can_be_resumed(make_run: RunMaker) -> None:
    run = make_run()
    with pytest.raises(Conflict, match="this one is queued"):
        transitions.requeue_finished(run=run)
    claim(run)
    with pytest.raises(Conflict, match="this one is running"):
        transitions.requeue_finished(run=run)


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "paused"},
        {"state": "running"},
        {"state": "failed", "finished_at": timezone.now()},
        {"state": "succeeded"},
        {"state": "queued", "finished_at": timezone.now()},
    ],
    ids=["unknown state", "running unclaimed", "failed without a cause", "no end time", "queued with an end"],
)
def test_database_rejects_an_inconsistent_state(make_run: RunMaker, columns: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        make_run(**columns)
