"""How a loop speaks while it runs: metrics, sample texts, progress, and the question "should I stop?".

A loop gets a `Reporter` and knows nothing of databases, queues or browsers. It calls `check()` at every step
boundary, so a cancelled run ends within one step and never in the middle of an optimiser update.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.messages import Messages


class Cancelled(Exception):
    """Raised by `Reporter.check` when the run has been asked to stop; loops let it through."""


class Reporter(Protocol):
    """What a loop may say. `step` counts optimiser updates (or prompts done, where a loop has no
    optimiser) from 1; step 0 is the state before the first update."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Named scalars that belong to `step`; names and units stand in the docstring of the loop."""

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        """One prompt answered by the model before training and by the model at `step`, as decoded text."""

    def progress(self, phase: str, step: int, total: int) -> None:
        """`step` of `total` units of `phase` are done."""

    def flush(self) -> None:
        """Return when all that was said is kept. Before a checkpoint: a run that goes on from it doesn't say
        again what came before."""

    def check(self) -> None:
        """Raise `Cancelled` when the run should stop."""


class NullReporter:
    """Says nothing and never stops the loop."""

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
    """Prints to standard output: for work at a Python prompt."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        _say(f"step {step}: {_listed(values)}")

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        _say(f"step {step} prompt: {messages[-1]['content']}\n  before: {before}\n  after:  {after}")
        _say(f"  {_listed(scores)}")


def _listed(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - printing is what this reporter is for


@dataclass
class ListReporter(NullReporter):
    """Keeps everything in lists; `cancel_after` makes the n-th `check` (counted from 1) raise `Cancelled`."""

    cancel_after: int | None = None
    checks: int = 0
    metric_rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    sample_rows: list[dict[str, Any]] = field(default_factory=list)
    progress_rows: list[tuple[str, int, int]] = field(default_factory=list)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.metric_rows.append((step, dict(values)))

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        row = {"step": step, "messages": [dict(m) for m in messages], "before": before, "after": after}
        self.sample_rows.append(row | {"scores": dict(scores)})

    def progress(self, phase: str, step: int, total: int) -> None:
        self.progress_rows.append((phase, step, total))

    def check(self) -> None:
        self.checks += 1
        if self.cancel_after is not None and self.checks >= self.cancel_after:
            raise Cancelled(f"cancelled at check {self.checks}")

    def series(self, name: str) -> list[float]:
        """Every value reported under `name`, in order."""
        return [values[name] for _, values in self.metric_rows if name in values]


class TrainingDiverged(RunFailure):
    """The loss or the gradient is no longer a finite number; nothing was saved."""

    kind = FailureKind.DIVERGED


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise `TrainingDiverged` when a value is NaN or infinite: call it before the optimiser step is
    applied."""
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if broken:
        named = ", ".join(f"{name} is {value}" for name, value in broken.items())
        raise TrainingDiverged(
            f"Training diverged at step {step}: {named}. Nothing was saved. "
            "Lower learning_rate or max_grad_norm, or look for broken rows in the data."
        )
