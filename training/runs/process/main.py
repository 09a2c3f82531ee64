"""The training process: `python -m training.runs.process.main RUN_ID`.

The process runs for hours, so it never relies on a database connection that it opened earlier. The main
thread opens a connection for each piece of database work and closes it afterwards (`through_outages`). The
reporter's thread opens a new connection after an error.

Normally, the supervisor (`supervise.py`) has claimed the run and passes the attempt number. Without an
attempt number, the process claims the run itself. The exit code indicates how the run ended. Every write
carries the attempt number and is refused if the attempt is stale.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from training.runs.process.group import Group

logger = logging.getLogger("training.runs.process")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.runs.process.main", description="Execute one training run."
    )
    parser.add_argument("run_id", type=UUID)
    parser.add_argument(
        "--attempt",
        type=int,
        help="the attempt that this process executes; if omitted, the process claims the run",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="number of processes, including this one; 0 means one per GPU",
    )
    options = parser.parse_args(argv)

    from training.runs.process import group as processes

    group = processes.start(options.processes or processes.gpu_count())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    _leave_pool()
    # The supervisor sends this signal to a process that hangs, so that the log shows where it hangs.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    from annotation.database.acting import act_as
    from annotation.database.outages import through_outages

    act_as(f"run:{options.run_id}")
    # Models and services can be imported only after django.setup().
    from config.logs import sentry
    from config.logs.context import log_fields
    from training.runs.process.exit_codes import EXIT_FAILED, EXIT_NOT_MINE
    from training.runs.transitions import claim_run, worker_name

    attempt = options.attempt or through_outages(
        partial(claim_run, run_id=options.run_id, worker=worker_name())
    )
    if attempt is None:
        logger.warning(
            "Run %s can't be claimed: it has ended or another worker has claimed it.", options.run_id
        )
        return EXIT_NOT_MINE
    with log_fields(run_id=str(options.run_id), attempt=attempt):
        try:
            return run_attempt(options.run_id, attempt, group)
        except processes.PeerKilled as killed:
            processes.end_like(killed)
            return EXIT_FAILED
        except Exception:  # the failure could not be recorded; the supervisor records the exit code
            logger.exception("The training process failed.")
            return EXIT_FAILED
        finally:
            group.close()
            sentry.flush()


def run_attempt(run_id: UUID, attempt: int, group: Group | None = None) -> int:
    """Execute one claimed attempt, record how it ended and return the exit code. Raises PeerKilled."""
    from annotation.database.outages import through_outages
    from training.models import TrainingRun
    from training.rlhf.core.reporter import Cancelled
    from training.runs import folders
    from training.runs.complete import complete_run
    from training.runs.failures import record_of
    from training.runs.interruptions import end_attempt
    from training.runs.process import exit_codes
    from training.runs.process.group import PeerKilled
    from training.runs.process.health import remaining_seconds
    from training.runs.process.reporter import DatabaseReporter
    from training.runs.progress.events import LostClaim
    from training.runs.transitions import stop_run

    run = through_outages(lambda: TrainingRun.objects.select_related("project").get(pk=run_id))
    limit = remaining_seconds(run)
    work = folders.work_folder(run, attempt)
    try:
        # Heartbeats start before torch is imported, because the import takes seconds and loading a large
        # model takes minutes.
        with DatabaseReporter(run_id=run_id, attempt=attempt, limit_seconds=limit) as report:

            def on_terminate(signum: int, frame: FrameType | None) -> None:
                report.ask_to_stop()

            signal.signal(signal.SIGTERM, on_terminate)
            work.mkdir(parents=True, exist_ok=True)
            from transformers.utils.logging import disable_progress_bar

            from training.runs.process.kinds import perform

            # In the run's log, progress bars would be long lines of control characters.
            disable_progress_bar()  # type: ignore[no-untyped-call]
            outcome = perform(run, attempt=attempt, work=work, report=report, group=group)
            report.check_claim()
        complete_run(run=run, attempt=attempt, outcome=outcome)
    except PeerKilled as killed:
        logger.error("This process kills itself with the same signal, because %s.", str(killed))
        raise
    except Cancelled:
        through_outages(partial(stop_run, run_id=run_id, attempt=attempt))
        return exit_codes.EXIT_CANCELLED
    except LostClaim as error:
        logger.warning("The run no longer belongs to this process.", exc_info=error)
        return exit_codes.EXIT_NOT_MINE
    except Exception as error:
        logger.exception("The run failed.")
        end = partial(end_attempt, run_id=run_id, attempt=attempt, error=record_of(error))
        queued = through_outages(end) == TrainingRun.State.QUEUED
        return exit_codes.EXIT_INTERRUPTED if queued else exit_codes.EXIT_FAILED
    finally:
        folders.tidy(run, attempt)
    return exit_codes.EXIT_DONE


def _leave_pool() -> None:
    """Open connections directly. The process has at most two connections, so it gains nothing from a pool.
    After an outage, a pool can take as long as the outage itself to connect again. With a pool, heartbeats
    would be missed during this time.
    """
    from django.db import connection

    connection.settings_dict["OPTIONS"].pop("pool", None)


if __name__ == "__main__":
    sys.exit(main())
