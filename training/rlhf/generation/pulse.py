"""Progress reports and checks for cancellation within a long generation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from training.rlhf.core.alive import alive

# The interval between two reports. A shorter interval would not make a run's page more useful, and every
# report adds a row to the database.
PULSE_SECONDS = 2.0


class Pulse:
    """Calls `check` and `progress` every PULSE_SECONDS while answers are generated.

    `progress` receives the number of answers so far and the total. An unfinished answer counts as its length
    divided by the maximum length, so the number also grows while all answers of a batch are unfinished.
    """

    def __init__(
        self, check: Callable[[], None], progress: Callable[[int, int], None], *, total: int
    ) -> None:
        self.check, self.progress, self.total = check, progress, total
        self.done = 0  # number of answers in earlier batches
        self.started = False
        self.last = time.monotonic()

    def beat(self, answers: Callable[[], float] | None = None) -> None:
        """Check and report if PULSE_SECONDS have passed. `answers` returns the number of answers in the
        current batch, where an unfinished answer counts as a fraction. `answers` is called only if a report
        is due, because it waits for the GPU."""
        alive()
        if time.monotonic() - self.last < PULSE_SECONDS:
            return
        self.check()
        if not self.started:
            self.progress(0, self.total)  # a reporter measures the rate from this call on
            self.started = True
        self.progress(self.done + int(answers() if answers else 0), self.total)
        self.last = time.monotonic()

    @contextmanager
    def between_layers(self, policy: PreTrainedModel) -> Iterator[None]:
        """Also call `beat` before every layer, because processing many long prompts takes minutes on a
        CPU."""

        def beat(*_: Any) -> None:
            self.beat()

        stacks = [module for module in policy.modules() if isinstance(module, nn.ModuleList)]
        hooks = [layer.register_forward_pre_hook(beat) for layer in max(stacks, key=len, default=[])]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
