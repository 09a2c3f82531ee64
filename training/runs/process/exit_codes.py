"""Exit codes of the training process (`main`). Any other code means that the process crashed."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_CANCELLED = 3
EXIT_NOT_MINE = 4
EXIT_INTERRUPTED = 5  # the process has queued the run again
