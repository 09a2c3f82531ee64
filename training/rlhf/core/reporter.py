"""The interface through which a loop reports metrics, samples and progress, and asks whether to stop.

A loop receives a `Reporter` and does not depend on databases, queues or browsers. The loop calls `check()` at
every step boundary, so a cancelled run ends within one step and never in the middle of an optimiser update.
"""

import math
from collections.abc import Mapping
from typing import Protocol

from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.messages import Messages


class Cancelled(Exception):
    """Raised by `Reporter.check` if the run has been asked to stop. Loops let this exception propagate."""


class Reporter(Protocol):
    """The interface through which a loop reports. `step` counts optimiser updates (or, in a loop without an
    optimiser, completed prompts) from 1; step 0 is the state before the first update."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report named scalars for `step`. Names and units are listed in the loop's docstring."""

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        """Report one prompt with the model's decoded answers before training and at `step`."""

    def progress(self, phase: str, step: int, total: int) -> None:
        """Report that `step` of `total` units in `phase` are complete."""

    def flush(self) -> None:
        """Block until all reports have been stored.

        Called before a checkpoint is written, because a run that resumes from a checkpoint does not repeat
        earlier reports.
        """

    def check(self) -> None:
        """Raise `Cancelled` if the run should stop."""


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


def _listed(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this reporter prints


class TrainingDiverged(RunFailure):
    """Raised if the loss or the gradient is not finite. In this case, nothing is saved."""

    kind = FailureKind.DIVERGED


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise `TrainingDiverged` if a value is NaN or infinite. Call before the optimiser step."""
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if broken:
        named = ", ".join(f"{name} is {value}" for name, value in broken.items())
        raise TrainingDiverged(
            f"Training diverged at step {step}: {named}. Nothing was saved. "
            "Lower learning_rate or max_grad_norm, or look for broken rows in the data."
        )
