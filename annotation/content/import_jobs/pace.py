"""How an import in a worker yields to annotators."""

from __future__ import annotations

import threading

from annotation.content.importing.lines import full_batch
from annotation.models import Assignment

# An answer is committed once it and every earlier change are on disk. A batch of 1,000 comparisons takes 6 MB
# of the write-ahead log. In a measurement, most answers waited for a part of a batch to be written
# (docs/measurements.md).
YIELDING_LINES = 100
MAX_PAUSE_SECONDS = 1.0


class Pace:
    """While an annotator holds a task, batches are small, and the import pauses after each batch for as long
    as the batch took."""

    def __init__(self, stopped: threading.Event) -> None:
        self.yielding = False
        self._stopped = stopped

    def lines(self) -> int:
        """The number of lines in a batch."""
        return YIELDING_LINES if self.yielding else full_batch()

    def after_batch(self, seconds: float) -> None:
        """Call this function after each batch with the time that the batch took."""
        self.yielding = Assignment.objects.running().exists()
        if self.yielding:
            self._stopped.wait(min(seconds, MAX_PAUSE_SECONDS))
