"""A reporter that stores a training loop's reports in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, NullReporter


@dataclass
class ListReporter(NullReporter):
    """Stores reports in lists. With `cancel_after=n`, the n-th call to `check` raises `Cancelled`."""

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
        """All reported values of the metric `name`, in order."""
        return [values[name] for _, values in self.metric_rows if name in values]
