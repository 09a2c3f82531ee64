"""The interface through which a loop reports metrics, samples and progress, and asks whether to stop.

A training loop receives a `Reporter` and does not depend on databases, queues or browsers. The loop calls
`check()` at every step boundary. A cancelled run therefore ends within one step, and never in the middle of
an optimiser update.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.messages import Messages


class StopRequested(Exception):
    """Raised by `Reporter.check` if the loop must end now. The loop may write a checkpoint first
    (`checkpoint.saving_when_stopped`). Training loops let the exception propagate to their callers."""


class Cancelled(StopRequested):
    """Raised by `Reporter.check` if the run has been asked to stop."""


class Reporter(Protocol):
    """The interface through which a loop reports. `step` counts optimiser updates from 1. In a loop without
    an optimiser, `step` counts completed prompts. Step 0 is the state before the first update."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report named scalars for `step`. The metrics' names and units are listed in the training
        loop's docstring."""

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        """Report one prompt with two decoded answers: the model's answer before training and its answer at
        `step`."""

    def progress(self, phase: str, step: int, total: int) -> None:
        """Report that `step` out of `total` units of work in `phase` are complete.

        During a long step, `phase` can have a detail after a colon, such as `train: 20 of 32 answers`. The
        remaining time is estimated for the phase.
        """

    def flush(self) -> None:
        """Block until all reports have been stored.

        A run that resumes from a checkpoint does not repeat earlier reports. A loop therefore calls this
        method before it writes a checkpoint.
        """

    def checkpoint(self, step: int) -> None:
        """Report that a stopped or killed run would resume after `step`."""

    def check(self) -> None:
        """Raise a `StopRequested`, such as `Cancelled`, if the run should stop. Loops call this method at
        least every few seconds."""


def with_grace(check: Callable[[], None], *, seconds: float) -> Callable[[], None]:
    """Return a function like `check` that ignores each `StopRequested` until `seconds` seconds have passed
    since the first one. The work in progress can be completed within this time."""
    asked: list[float] = []

    def check_later() -> None:
        try:
            check()
        except StopRequested:
            asked.append(time.monotonic())
            if asked[-1] - asked[0] >= seconds:
                raise

    return check_later


class NullReporter:
    """A reporter that discards all reports and never stops the loop."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        pass

    def progress(self, phase: str, step: int, total: int) -> None:
        pass

    def flush(self) -> None:
        pass

    def checkpoint(self, step: int) -> None:
        pass

    def check(self) -> None:
        pass


class PrintReporter(NullReporter):
    """A reporter that prints to standard output, for use at a Python prompt."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        _print(f"step {step}: {_listed(values)}")

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        _print(f"step {step} prompt: {messages[-1]['content']}\n  before: {before}\n  after:  {after}")
        _print(f"  {_listed(scores)}")

    def checkpoint(self, step: int) -> None:
        _print(f"checkpoint after step {step}")


class ShiftedReporter:
    """A reporter for a part of a loop. The part counts its steps from 1, and the reports use the step numbers
    and the phase name of the loop. The detail after a phase's colon is preserved."""

    def __init__(self, report: Reporter, by: int, *, phase: str) -> None:
        self._report, self._by, self._phase = report, by, phase

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._report.metrics(self._by + step, values)

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        self._report.sample(self._by + step, messages=messages, before=before, after=after, scores=scores)

    def progress(self, phase: str, step: int, total: int) -> None:
        _, colon, detail = phase.partition(": ")
        self._report.progress(self._phase + colon + detail, step, total)

    def flush(self) -> None:
        self._report.flush()

    def checkpoint(self, step: int) -> None:
        self._report.checkpoint(self._by + step)

    def check(self) -> None:
        self._report.check()


def _listed(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this reporter prints


class TrainingDiverged(RunFailure):
    """Raised if the loss or the gradient is not finite. If training diverges, nothing is saved."""

    kind = FailureKind.DIVERGED


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise `TrainingDiverged` if a value is NaN or infinite. Call this function before the
    optimiser step."""
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if broken:
        named = ", ".join(f"{name} is {value}" for name, value in broken.items())
        raise TrainingDiverged(
            f"Training diverged at step {step}: {named}. Nothing was saved. "
            "Lower learning_rate or max_grad_norm, or look for broken rows in the data."
        )
