"""The reporter of a loop in several processes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from training.rlhf.core import distributed
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, Reporter, StopRequested
from training.rlhf.core.sharding import is_apart

LISTEN_EVERY = 0.25


class SharedReporter:
    """A reporter for a loop in several processes. Only the first process reports.

    If any process is asked to stop, all processes stop. Otherwise, the remaining processes would wait for the
    stopped process's gradients.

    If the model is sharded (`in_step`), all processes stop at the same point, because they save the
    checkpoint together. `check` then works like `check_together`, except in a block of `stopping_together`.
    """

    def __init__(self, report: Reporter, *, in_step: bool = False) -> None:
        self._report, self._in_step = report, in_step
        self._listened_at = 0.0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if distributed.is_first():
            self._report.metrics(step, values)

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        if distributed.is_first():
            self._report.sample(step, messages=messages, before=before, after=after, scores=scores)

    def progress(self, phase: str, step: int, total: int) -> None:
        if distributed.is_first():
            self._report.progress(phase, step, total)

    def flush(self) -> None:
        if distributed.is_first():
            self._report.flush()

    def checkpoint(self, step: int) -> None:
        if distributed.is_first():
            self._report.checkpoint(step)

    def check(self) -> None:
        """Raise if this process or another one was asked to stop. The processes can call this method at
        different times: a process that is asked to stop raises immediately, and the others raise at one of
        their next calls, within LISTEN_EVERY seconds."""
        if self._in_step and not is_apart():
            self.check_together()
            return
        try:
            self._report.check()
        except StopRequested:
            distributed.ask_all_to_stop()
            raise
        if distributed.count() == 1 or time.monotonic() - self._listened_at < LISTEN_EVERY:
            return
        self._listened_at = time.monotonic()
        if distributed.stop_was_asked():
            raise Cancelled("another process of this run was asked to stop")

    def listen(self) -> None:
        """Like `check`, for calls to `alive` in the middle of a pass. If the model is sharded, the processes
        can't stop in the middle of a pass, so this method does nothing."""
        if not self._in_step or is_apart():
            self.check()

    def check_together(self) -> None:
        """Like `check`, but all processes must call this method at the same point. If one of them was asked
        to stop, all of them raise."""
        mine: Exception | None = None
        try:
            self._report.check()
        except Exception as error:
            mine = error
        stopping = distributed.all_sum({"stopping": float(mine is not None)})["stopping"]
        if mine is not None:
            raise mine
        if stopping:
            raise Cancelled("another process of this run was asked to stop")
