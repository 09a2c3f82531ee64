"""Supervise one training process, from the claim to its end. The training process uses torch and has an
operating-system session of its own. Cancellation, a crash or a lack of memory ends only this session and
frees the GPU memory. The worker never imports torch."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections

from annotation.database.outages import through_outages
from embedded.log_writer import old_file
from storage.space import DiskFull, naming_full_disk
from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs import folders
from training.runs.failures import record, record_of, record_of_exit, with_log
from training.runs.interruptions import MAX_TRIES_OUT_OF_MEMORY, interrupt_run
from training.runs.process import fork
from training.runs.process.exit_codes import (
    EXIT_CANCELLED,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOT_MINE,
)
from training.runs.process.health import LIMITS, Health, Limits, Verdict
from training.runs.transitions import MAX_TRIES, claim_run, fail_run, stop_run, worker_name

logger = logging.getLogger(__name__)

# If a cancelled process does not reach its next step in CANCEL_GRACE_SECONDS, its process group is killed.
CANCEL_GRACE_SECONDS = 20.0
# A cancelled process that is writing a checkpoint gets more time. A checkpoint of 14 GB takes about a minute
# on a disk that writes 250 MB/s.
SAVING_GRACE_SECONDS = 600.0
POLL_SECONDS = 0.5
LOG_TAIL_LINES = 12
LOG_TAIL_BYTES = 16_384
STACK_LINES = 40  # number of stack lines that are kept for a hung process
DUMP_SECONDS = 1.0
WATCHED = (
    *("state", "attempt", "cancel_requested_at", "heartbeat_at", "progressed_at", "phase", "step"),
    *("total_steps", "recipe"),
)
# By default, OpenMP's idle threads spin. On a busy machine, spinning takes CPU time from the threads that the
# idle threads wait for. In our measurements on two busy cores, a PPO step of the demo with spinning threads
# took 15 to 35 s of CPU time and 43 to 104 s of elapsed time. With sleeping threads, a step took only 2.6 s
# of CPU time and 6 s of elapsed time.
TRAINING_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "DJANGO_SETTINGS_MODULE": "config.settings"}

# Set when this worker is stopping: its runs end at their next step and are queued again.
worker_is_stopping = threading.Event()


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, whether it was asked to stop and, if it was killed as unhealthy,
    the verdict. If a signal ended the process, the exit code is the negative of the signal number."""

    code: int
    asked_to_stop: bool
    out_of_memory: bool
    verdict: Verdict | None = None


def execute_run(*, run_id: UUID, limits: Limits | None = None) -> None:
    """Claim the run and supervise its process to the end. If the process is killed, continue with a new one,
    as often as allowed. Does nothing if the run can't be claimed or the worker is stopping. `limits` replaces
    the kind's limits."""
    again = True
    while again and not worker_is_stopping.is_set():
        # Starting the fork server can take a long time, and a claimed run has no heartbeat until its training
        # process has started. The fork server is therefore prepared before the claim.
        fork.prepare(environment=_environment())
        attempt = through_outages(partial(claim_run, run_id=run_id, worker=worker_name()))
        again = attempt is not None and _attempt(run_id, attempt, limits)


def _attempt(run_id: UUID, attempt: int, limits: Limits | None) -> bool:
    """Supervise one claimed attempt. Returns whether the run must be claimed again."""
    run = through_outages(partial(TrainingRun.objects.get, pk=run_id))
    try:
        ended = _supervise(run, attempt, limits or LIMITS[run.kind])
    except fork.ServerGone as gone:
        logger.exception("The training process of run %s could not be started.", run_id)
        error = record(FailureKind.NOT_STARTED, str(gone))
        through_outages(partial(fail_run, run_id=run_id, attempt=attempt, error=error))
        return False
    except DiskFull as full:  # the log can't be created
        through_outages(partial(fail_run, run_id=run_id, attempt=attempt, error=record_of(full)))
        return False
    state = through_outages(partial(_record_end, run, attempt, ended))
    folders.tidy(run, attempt)
    if ended.code == EXIT_INTERRUPTED:  # the run was queued before the process ended
        return True
    return state == TrainingRun.State.QUEUED and not ended.asked_to_stop


def _record_end(run: TrainingRun, attempt: int, ended: Ended) -> str | None:
    """Record how the process ended, and return the new state. If the process was able to record its own end,
    these compare-and-set statements change nothing, and the result is None."""
    if ended.code in {EXIT_DONE, EXIT_NOT_MINE, EXIT_INTERRUPTED}:
        return None
    if ended.verdict is None and (ended.asked_to_stop or ended.code == EXIT_CANCELLED):
        stop_run(run_id=run.pk, attempt=attempt)
        return None
    tail = "\n".join(log_tail(run, lines=LOG_TAIL_LINES))
    if ended.verdict is not None:
        verdict = ended.verdict
        lines = LOG_TAIL_LINES if verdict.resumes else STACK_LINES
        error = with_log(verdict.error, log_tail(run, lines=lines))
        logger.error("The training process of run %s was stopped: %s.", run.pk, error["title"])
        if not verdict.resumes:
            fail_run(run_id=run.pk, attempt=attempt, error=error)
            return None
        return interrupt_run(run_id=run.pk, attempt=attempt, error=error)
    error = record_of_exit(ended.code, log_tail=tail, out_of_memory=ended.out_of_memory)
    logger.error("The training process of run %s ended: %s.", run.pk, error["title"])
    if ended.code >= 0:
        fail_run(run_id=run.pk, attempt=attempt, error=error)
        return None
    tries = MAX_TRIES_OUT_OF_MEMORY if error["kind"] == FailureKind.OUT_OF_MEMORY else MAX_TRIES
    return interrupt_run(run_id=run.pk, attempt=attempt, error=error, max_tries=tries)


def log_tail(run: TrainingRun, *, lines: int, max_bytes: int = LOG_TAIL_BYTES) -> list[str]:
    """Return the last lines of the log, read from at most the last `max_bytes` bytes of the file."""
    text, complete = _end_of(run.log_path, max_bytes)
    if complete and len(text) < max_bytes:  # the log might have been started a moment ago
        older, complete = _end_of(Path(old_file(str(run.log_path), 1)), max_bytes - len(text))
        text = older + text
    found = text.decode("utf-8", "replace").split("\n")
    if not complete:
        found = found[1:]  # the first line can be incomplete
    # A progress bar redraws its line with carriage returns. Keep only the last state of the line.
    return [line.rstrip("\r").rpartition("\r")[2] for line in found if line.strip()][-lines:]


def _end_of(path: Path, max_bytes: int) -> tuple[bytes, bool]:
    """Return the end of the file, and whether this is the whole file."""
    try:
        with path.open("rb") as log:
            start = max(0, log.seek(0, os.SEEK_END) - max_bytes)
            log.seek(start)
            return log.read(max_bytes), start == 0
    except FileNotFoundError:
        return b"", True


def _supervise(run: TrainingRun, attempt: int, limits: Limits) -> Ended:
    oom_kills = _oom_kills()
    process = _start(run, attempt)
    asked, verdict = False, None
    try:
        asked, verdict = _watch(process, run, attempt, limits)
        if verdict is not None and not verdict.resumes:
            process.dump_stacks()
            process.has_ended(within_seconds=DUMP_SECONDS)
    finally:
        process.kill_group()
        code = process.reap()
    return Ended(code, asked, _oom_kills() > oom_kills, verdict)


def _start(run: TrainingRun, attempt: int) -> fork.Forked:
    with naming_full_disk(run.folder):
        return fork.start(
            [str(run.id), "--attempt", str(attempt), "--processes", str(run.recipe.get("processes", 1))],
            log=run.log_path,
            environment=_environment(),
        )


def _environment() -> dict[str, str]:
    return TRAINING_ENVIRONMENT | os.environ | {"PYTHONUNBUFFERED": "1"}


def _watch(
    process: fork.Forked, run: TrainingRun, attempt: int, limits: Limits
) -> tuple[bool, Verdict | None]:
    """Wait until the process has ended or must be killed. Returns whether the process was asked to stop and,
    if the process is not healthy, the verdict."""
    asked_at: float | None = None
    health = Health(run, limits, now=time.monotonic())
    while not process.has_ended(within_seconds=POLL_SECONDS):
        should_stop = False
        with _database_may_be_down():
            seen = TrainingRun.objects.filter(pk=run.pk).only(*WATCHED).first()
            owns = seen is not None and seen.state == TrainingRun.State.RUNNING and seen.attempt == attempt
            should_stop = seen is None or not owns or seen.cancel_requested_at is not None
            if seen is not None and owns and asked_at is None:
                saving = folders.is_saving(run, attempt)
                verdict = health.judge(seen, now=time.monotonic(), saving=saving)
                if verdict is not None and not should_stop:
                    return False, verdict
        if asked_at is None and (worker_is_stopping.is_set() or should_stop):
            asked_at = time.monotonic()
            process.terminate()
        if asked_at is not None and time.monotonic() - asked_at > _grace_seconds(run, attempt):
            break
    return asked_at is not None, None


def _grace_seconds(run: TrainingRun, attempt: int) -> float:
    """Return how many seconds a process that was asked to stop may continue."""
    if worker_is_stopping.is_set():
        # A worker that is stopping is killed after a fixed time, for example by the service manager. The run
        # is then resumed from its previous checkpoint.
        return settings.TRAINING_STOP_SECONDS
    return SAVING_GRACE_SECONDS if folders.is_saving(run, attempt) else CANCEL_GRACE_SECONDS


@contextlib.contextmanager
def _database_may_be_down() -> Iterator[None]:
    try:
        yield
    except DatabaseTrouble:
        close_old_connections()


def _oom_kills() -> int:
    """Return the number of processes on the whole machine that the kernel has killed since boot because
    memory ran out, or 0 if the number is unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
