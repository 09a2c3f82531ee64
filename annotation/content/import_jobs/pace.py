"""How an import in a worker yields to annotators."""

from __future__ import annotations

import threading

from annotation.content.importing.lines import full_batch
from annotation.models import Assignment

# The commit of an answer also waits until every earlier change is on disk. A batch of 1,000 comparisons
# writes 6 MB to the write-ahead log. In a measurement, most answers therefore had to wait until part of a
# batch was written (docs/measurements.md).
YIELDING_LINES = 100
PAUSE_FACTOR, MAX_PAUSE_SECONDS = 3, 3.0


class Pace:
    """While an annotator holds a task, batches are small, and the import pauses after each batch for
    PAUSE_FACTOR times as long as the batch took, but for at most MAX_PAUSE_SECONDS."""

    def __init__(self, stopped: threading.Event) -> None:
        self.yielding = False
        self._stopped = stopped

    def lines(self) -> int:
        """The number of lines at which the current batch is complete."""
        return YIELDING_LINES if self.yielding else full_batch()

    def after_batch(self, seconds: float) -> None:
        """Pauses after a batch that took `seconds`, if an annotator holds a task."""
        self.yielding = Assignment.objects.running().exists()
        if self.yielding:
            self._stopped.wait(min(PAUSE_FACTOR * seconds, MAX_PAUSE_SECONDS))
