"""A database outage never costs a run its result, and no work is repeated after the outage."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from annotation.database import outages
from annotation.database.outages import through_outages
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Sweep
from annotation.projects.projects import create_project
from embedded.postgres import Postgres
from tests.postgres_outage import Outage, losing_the_answer
from tests.training.conftest import ModelMaker, RunMaker, wait_until
from training.models import ModelVersion, RunEvent, TrainingRun
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training
from training.runs import interruptions, transitions
from training.runs.complete import NewModel, Outcome, complete_run
from training.runs.launch import launch_run
from training.runs.process import supervise
from training.runs.process.main import run_attempt
from training.runs.process.reporter import DatabaseReporter

SHORT = {"max_demonstrations": 16, "batch_size": 8, "sample_prompts": 1, "sample_tokens": 4}


@pytest.fixture
def outage(test_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    connection.close()
    # During an outage, a connection pool would wait ten seconds for each connection.
    monkeypatch.delitem(connection.settings_dict["OPTIONS"], "pool")
    outage = Outage()
    yield outage
    outage.close()
    connection.close()


@pytest.fixture
def claimed(test_database: None, make_run: RunMaker) -> TrainingRun:
    run = make_run()
    transitions.claim_run(run_id=run.pk, worker="w")
    return run


def trained(run: TrainingRun) -> Outcome:
    folder = run.folder / "attempt-1" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return Outcome(metrics={"loss": 1.0}, model=NewModel("policy", folder, "demo-world", None))


def assert_completed_once(run: TrainingRun) -> None:
    run.refresh_from_db()
    model = ModelVersion.objects.get()
    assert (run.state, run.result["model"]["name"]) == ("succeeded", model.name)
    assert (model.folder / "config.json").read_text() == "{}"
    assert [path.name for path in model.folder.parent.iterdir()] == [model.name]
    states = RunEvent.objects.filter(run=run, type="state").order_by("seq")
    assert [event.data["state"] for event in states] == ["running", "succeeded"]


def test_completion_waits_for_the_database(claimed: TrainingRun, outage: Outage) -> None:
    connection.ensure_connection()  # opened before the outage
    outcome = trained(claimed)
    outage.begin()
    later = threading.Timer(1.0, outage.end)
    later.start()
    complete_run(run=claimed, attempt=1, outcome=outcome)
    later.join()
    assert_completed_once(claimed)


def test_completion_with_an_unacknowledged_commit_is_not_repeated(
    claimed: TrainingRun, tmp_path: Path
) -> None:
    outcome = trained(claimed)
    with losing_the_answer(tmp_path, after=b"COMMIT") as proxy:
        complete_run(run=claimed, attempt=1, outcome=outcome)
        assert proxy.cuts == 1
    assert_completed_once(claimed)


def test_completion_interrupted_before_its_commit_keeps_the_weights(
    claimed: TrainingRun, tmp_path: Path
) -> None:
    outcome = trained(claimed)
    with losing_the_answer(tmp_path, after=b"state = 'succeeded'") as proxy:
        complete_run(run=claimed, attempt=1, outcome=outcome)
        assert proxy.cuts == 1
    assert_completed_once(claimed)


def test_unacknowledged_claim_is_not_lost(test_database: None, make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run()
    claim = partial(transitions.claim_run, run_id=run.pk, worker=transitions.worker_name())
    with losing_the_answer(tmp_path, after=b"state = 'running'") as proxy:
        assert through_outages(claim) == 1
        assert proxy.cuts == 1
    run.refresh_from_db()
    assert (run.state, run.attempt, run.tries) == ("running", 1, 1)


def test_reports_with_an_unacknowledged_write_are_stored_only_once(
    claimed: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.runs.process.reporter.RETRY_AFTER_SECONDS", 0.05)
    with (
        losing_the_answer(tmp_path, after=b"training_runevent") as proxy,
        DatabaseReporter(run_id=claimed.pk, attempt=1) as report,
    ):
        report.metrics(1, {"loss": 2.0})
        report.flush()
        report.metrics(2, {"loss": 1.0})
        report.flush()
        assert proxy.cuts == 1
    events = RunEvent.objects.filter(run=claimed).order_by("seq").values_list("seq", "type", "step")
    assert list(events) == [(1, "state", 0), (2, "metrics", 1), (3, "metrics", 2)]


def test_first_attempt_succeeds_despite_an_outage_that_outlasts_its_last_step(
    make_run: RunMaker, outage: Outage
) -> None:
    run = make_run(recipe=SHORT | {"max_demonstrations": 160})

    def supervise_it() -> None:
        try:
            supervise.execute_run(run_id=run.pk)
        finally:
            connection.close()

    supervisor = threading.Thread(target=supervise_it)
    supervisor.start()
    try:
        wait_until(lambda: "step 1:" in log_of(run))
        outage.begin()
        wait_until(lambda: any(run.folder.rglob("model.safetensors")))
        time.sleep(1.0)
    finally:
        outage.end()
        supervisor.join(60)
        connection.close()
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("succeeded", 1), log_of(run)
    steps = RunEvent.objects.filter(run=run, type="metrics").order_by("seq").values_list("step", flat=True)
    assert list(steps) == list(range(1, 21))


def test_lost_connection_at_any_statement_does_not_fail_the_run(
    test_database: None, ranked: ModelVersion, make_model: ModelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement of the main thread loses its connection the first time that it is executed. The run is a
    PPO run, which reads everything that runs can read: prompts, models and a snapshot."""
    project, recipe = (
        ranked.project,
        {"steps": 1, "rollout_prompts": 2, "max_new_tokens": 2, "max_prompts": 2},
    )
    freeze_snapshot(project=project, name="v1")
    trained = TrainingRun.objects.create(
        project=project, kind="reward_model", recipe={}, inputs={"snapshot": "v1"}
    )
    judge = make_model(name="lab-rm-1", kind="reward_model", run=trained)
    save_model(*load_for_training(ranked.folder), judge.folder)
    run = launch_run(
        project=project, kind="ppo", recipe=recipe | {"ptx_coefficient": 0.1}, inputs={}, user=None
    )
    lost = set[str]()

    def lose(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        if statement not in lost:
            lost.add(statement)
            raise OperationalError("the connection was lost")
        return execute(statement, *rest)

    monkeypatch.setattr(outages, "PAUSES_SECONDS", (0.0,))
    with connection.execute_wrapper(lose):
        attempt = through_outages(partial(transitions.claim_run, run_id=run.pk, worker="w"))
        assert attempt == 1
        run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    read = {table for table in ("modelversion", "prompt", "snapshot") if any(table in each for each in lost)}
    assert read == {"modelversion", "prompt", "snapshot"}


def log_of(run: TrainingRun) -> str:
    return "\n".join(supervise.log_tail(run, lines=200))


def test_sweep_does_not_requeue_runs_right_after_an_outage(claimed: TrainingRun) -> None:
    now = timezone.now()
    TrainingRun.objects.update(heartbeat_at=now - timedelta(minutes=2))
    passes = {"passed_at": now - timedelta(minutes=2), "unbroken_since": now - timedelta(days=1)}
    sweep = Sweep.objects.create(name=interruptions.SWEEP, **passes)
    assert interruptions.sweep_runs() == []
    assert interruptions.sweep_runs() == []
    claimed.refresh_from_db()
    assert claimed.state == "running"

    sweep.refresh_from_db()
    assert sweep.unbroken_since > now
    sweep.unbroken_since = now - interruptions.STALE_AFTER
    sweep.save()
    assert interruptions.sweep_runs() == [claimed.pk]
    claimed.refresh_from_db()
    assert [cause["kind"] for cause in claimed.interruptions] == ["worker_lost"]


def test_first_sweep_after_a_restart_does_not_requeue_runs(claimed: TrainingRun) -> None:
    """After a restart, the stack has no record of how long it was down."""
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(days=1))
    assert interruptions.sweep_runs() == []


def test_operation_fails_if_the_database_stays_down(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "PAUSES_SECONDS", (0.05,))
    outage.begin()
    began = time.monotonic()
    with pytest.raises(outages.OUTAGE_ERRORS):
        through_outages(TrainingRun.objects.count, limit=timedelta(seconds=0.3))
    assert 0.2 < time.monotonic() - began < 5


@pytest.fixture
def own_postgres(monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker) -> Iterator[Postgres]:
    """A Postgres server with all tables, only for this test. The test process uses this server instead of the
    shared server."""
    home = Path(tempfile.mkdtemp(prefix="rankloop-restart-"))
    home.chmod(0o711)  # Postgres runs as `nobody` if root starts it, and `nobody` needs access to this folder
    postgres = Postgres(home / "postgres", log=home / "log.txt", durable=False)
    postgres.launch()
    postgres.wait_ready()
    with django_db_blocker.unblock(), monkeypatch.context() as patched:
        connection.close()
        [host] = parse_qs(urlsplit(postgres.url).query)["host"]
        patched.setitem(connection.settings_dict, "HOST", host)
        patched.setitem(connection.settings_dict, "NAME", "postgres")
        patched.delitem(connection.settings_dict["OPTIONS"], "pool")
        call_command("migrate", verbosity=0, skip_checks=True)
        yield postgres
        connection.close()
    postgres.stop()
    shutil.rmtree(home, ignore_errors=True)


def test_run_completes_even_if_postgres_restarts_during_the_completion(own_postgres: Postgres) -> None:
    run = TrainingRun.objects.create(
        project=create_project(slug="lab", name="Lab"), kind="sft", recipe={}, inputs={}
    )
    assert transitions.claim_run(run_id=run.pk, worker="w") == 1
    outcome = trained(run)
    # The completion waits for this lock while Postgres stops.
    locking = psycopg.connect(own_postgres.url)
    locking.execute("SELECT FROM annotation_project FOR UPDATE")

    def complete() -> None:
        try:
            complete_run(run=run, attempt=1, outcome=outcome)
        finally:
            connection.close()

    completing = threading.Thread(target=complete, daemon=True)
    completing.start()
    with psycopg.connect(own_postgres.url, autocommit=True) as watching:
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: watching.execute(waiting).rowcount == 1, seconds=20)
    own_postgres.stop()
    own_postgres.launch()  # in this thread, because Postgres stops when the thread that started it ends
    own_postgres.wait_ready()
    completing.join(30)
    connection.close()
    assert_completed_once(run)
    shutil.rmtree(settings.ARTEFACTS)
