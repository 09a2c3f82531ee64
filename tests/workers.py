"""Real Celery workers, started in the same way as in embedded/supervisor.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from embedded import processes

STOP_SECONDS = 20


@contextmanager
def worker(queue: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for the queue, which is stopped when the context ends."""
    argv = [
        "-m",
        "celery",
        "--app=config",
        "--skip-checks",
        "--quiet",
        "worker",
        "--pool=threads",
        "--concurrency=1",
    ]
    options = [f"--queues={queue}", "--without-gossip", "--without-mingle"]
    process = processes.spawn(
        [sys.executable, *argv, *options], log=log, cwd=settings.BASE_DIR, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        processes.stop(process, [(signal.SIGTERM, STOP_SECONDS)])
