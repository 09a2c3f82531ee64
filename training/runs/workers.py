"""Training workers report the devices of their machines. Estimates before launch are based on these
devices."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict

from django.db import connection

from annotation.database.outages import through_outages
from training.models import TrainingWorker
from training.runs.estimates.devices import this_machine

logger = logging.getLogger(__name__)

QUEUE = "training"
REPORT_SECONDS = 20.0


def report_worker(*, name: str) -> None:
    """Store the devices of this machine under the worker's name, and delete the rows of workers that have not
    reported for a long time."""
    here = this_machine()
    TrainingWorker.objects.report(
        name=name,
        gpus=json.dumps([asdict(gpu) for gpu in here.gpus]),
        memory_bytes=here.memory_bytes,
        threads=here.threads,
    )
    TrainingWorker.objects.forgotten().delete()


def keep_reporting(*, name: str, stopping: threading.Event) -> threading.Thread:
    """Call `report_worker` every REPORT_SECONDS in a thread, until the worker is stopping. Failures are
    logged."""

    def work() -> None:
        while True:
            try:
                through_outages(lambda: report_worker(name=name))
            except Exception:
                logger.exception("The worker's devices could not be stored.")
            finally:
                connection.close()
            if stopping.wait(REPORT_SECONDS):
                return

    thread = threading.Thread(target=work, name="report-worker", daemon=True)
    thread.start()
    return thread
