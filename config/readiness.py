"""The checks of `/readyz`, which determine whether this server is ready. Each check has a time limit.

A call to a hung server or a hung network file system can block for minutes. Each check therefore runs in its
own thread. While a check hangs, no second thread is started for it, so probes can't use up threads.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

from storage.space import free_bytes, is_full, size_text

OK = "ok"
LIMIT_SECONDS = 3.0
logger = logging.getLogger(__name__)


class Check:
    """A named check that returns `ok` or a short reason for the failure."""

    def __init__(self, name: str, check: Callable[[], str]) -> None:
        self.name = name
        self._check = check
        self._lock = threading.Lock()
        self._running: _Answer | None = None

    def start(self) -> _Answer:
        """Starts the check and returns its pending result. If an earlier run of the check has not ended,
        returns the pending result of that run."""
        with self._lock:
            if self._running is None or self._running.given.is_set():
                self._running = _Answer()
                threading.Thread(
                    target=self._run, args=[self._running], name=f"readiness: {self.name}", daemon=True
                ).start()
            return self._running

    def _run(self, answer: _Answer) -> None:
        try:
            answer.text = self._check()
        except Exception:
            logger.exception("The readiness check %s failed.", self.name)
            answer.text = "failed"
        finally:
            answer.given.set()


class _Answer:
    def __init__(self) -> None:
        self.given = threading.Event()
        self.text = "timed out"


def answers(checks: Mapping[str, Check]) -> dict[str, str]:
    """The results of all checks. The checks run at the same time, so the limit applies to all of them
    together."""
    started = {name: check.start() for name, check in checks.items()}
    deadline = time.monotonic() + LIMIT_SECONDS
    for answer in started.values():
        answer.given.wait(max(0.0, deadline - time.monotonic()))
    return {name: answer.text for name, answer in started.items()}


def storage_state() -> str:
    """`ok` if the artefacts folder is writable and has at least RANKLOOP_MIN_FREE_BYTES of free space,
    otherwise a short reason."""
    folder = Path(settings.ARTEFACTS)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
        free = free_bytes(folder)
    except OSError as error:
        logger.error("The artefacts folder %s can't be written: %s", folder, error)
        return "full" if is_full(error) else "not writable"
    if free < settings.MIN_FREE_BYTES:
        logger.error(
            "The file system of %s has %s free; RANKLOOP_MIN_FREE_BYTES is %s.",
            folder,
            size_text(free),
            size_text(settings.MIN_FREE_BYTES),
        )
        return "low on space"
    return OK
