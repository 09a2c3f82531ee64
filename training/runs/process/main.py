"""The training process: `python -m training.runs.process.main RUN_ID`.

Normally, the supervisor (`supervise.py`) has claimed the run and passes the attempt number. Without an
attempt number, the process claims the run itself. The exit code indicates how the run ended. Every write
carries the attempt number and is refused if the attempt is stale.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from uuid import UUID

logger = logging.getLogger("training.runs.process")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.runs.process.main", description="Execute one training run."
    )
    parser.add_argument("run_id", type=UUID)
    parser.add_argument(
        "--attempt",
        type=int,
        help="the attempt that this process executes; without it, the process claims the run",
    )
    options = parser.parse_args(argv)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from annotation.database.acting import act_as

    act_as(f"run:{options.run_id}")
    # Models and services can be imported only after django.setup().
    from config.logs import sentry
    from config.logs.context import log_fields
    from training.runs.process.exit_codes import EXIT_FAILED, EXIT_NOT_MINE
    from training.runs.transitions import claim_run, worker_name

    attempt = options.attempt or claim_run(run_id=options.run_id, worker=worker_name())
    if attempt is None:
        logger.warning("Run %s can't be claimed: it is over or claimed by another worker.", options.run_id)
        return EXIT_NOT_MINE
    with log_fields(run_id=str(options.run_id), attempt=attempt):
        try:
            return run_attempt(options.run_id, attempt)
        except Exception:  # the failure could not be recorded; the supervisor records the exit code
            logger.exception("The training process failed.")
            return EXIT_FAILED
        finally:
            sentry.flush()


def run_attempt(run_id: UUID, attempt: int) -> int:
    """Execute one claimed attempt, record how it ended and return the exit code."""
    from training.models import TrainingRun
    from training.rlhf.core.reporter import Cancelled
    from training.runs import folders
    from training.runs.complete import complete_run
    from training.runs.failures import record_of
    from training.runs.process import exit_codes
    from training.runs.process.reporter import DatabaseReporter
    from training.runs.progress.events import LostClaim
    from training.runs.transitions import fail_run, stop_run

    run = TrainingRun.objects.select_related("project").get(pk=run_id)
    work = folders.work_folder(run, attempt)
    try:
        # Heartbeats start before torch is imported, because the import takes seconds and loading a large
        # model takes minutes.
        with DatabaseReporter(run_id=run_id, attempt=attempt) as report:

            def on_terminate(signum: int, frame: FrameType | None) -> None:
                report.ask_to_stop()

            signal.signal(signal.SIGTERM, on_terminate)
            work.mkdir(parents=True, exist_ok=True)
            from training.runs.process.kinds import perform

            outcome = perform(run, attempt=attempt, work=work, report=report)
            report.check()
        complete_run(run=run, attempt=attempt, outcome=outcome)
    except Cancelled:
        stop_run(run_id=run_id, attempt=attempt)
        return exit_codes.EXIT_CANCELLED
    except LostClaim as error:
        logger.warning("The run no longer belongs to this process.", exc_info=error)
        return exit_codes.EXIT_NOT_MINE
    except Exception as error:
        logger.exception("The run failed.")
        fail_run(run_id=run_id, attempt=attempt, error=record_of(error))
        return exit_codes.EXIT_FAILED
    finally:
        folders.tidy(run, attempt)
    return exit_codes.EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
