"""How an iterative estimation ended. Every estimator in this package returns its best estimate after a
bounded number of steps, and states whether the estimate is final."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Convergence(NamedTuple):
    """Whether an estimation reached the maximum of its objective.

    `steps` is the number of steps. `change` is an increase in the log-likelihood (with a prior: in the log
    posterior density), in nats: the increase in the last step, or the increase expected from a further step.
    At an estimate that is one standard error away from the maximum, the log-likelihood is 0.5 nats lower than
    at the maximum. A change of 1e-6 is therefore negligible, and a change of 0.1 is not.
    """

    converged: bool
    steps: int
    change: float


def worst(parts: Iterable[Convergence]) -> Convergence:
    """The combined convergence of several estimations: whether all of them converged, and the largest `steps`
    and `change`."""
    found = list(parts)
    return Convergence(
        all(part.converged for part in found),
        max((part.steps for part in found), default=0),
        max((part.change for part in found), default=0.0),
    )
