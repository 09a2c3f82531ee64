"""Newton's method for concave log-likelihoods, for many problems at once. Pure NumPy.

A step that does not increase the log-likelihood enough is halved (Boyd & Vandenberghe, "Convex Optimization"
(2004), §9.5). With this rule, the method converges from any starting point, even if some parameters are
nearly unbounded.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.iterative.convergence import Convergence

Array = NDArray[np.float64]
MAX_STEPS = 200
TOLERANCE = 1e-9
# The largest change of a parameter in one step. Where the curvature is nearly 0, a full step could be
# arbitrarily long.
MAX_LENGTH = 4.0
SUFFICIENT = 1e-4
MAX_HALVINGS = 30
# The relative rounding error of the log-likelihood.
ROUNDING = 1e-14
# When rounding prevents further progress, the estimate counts as converged if another step would increase the
# log-likelihood by at most this many nats. Such an estimate is less than 0.002 standard errors away from the
# maximum.
NEGLIGIBLE = 1e-6


class Slopes(NamedTuple):
    """The gradients of B log-likelihoods and their negative second derivatives, with shapes (B, P) and (B, P,
    P)."""

    gradient: Array
    information: Array


class Problems(Protocol):
    """Concave log-likelihoods of P parameters. `at` has shape (b, P), and `which` selects the b problems."""

    def value(self, at: Array, which: NDArray[np.int64]) -> Array: ...

    def slopes(self, at: Array, which: NDArray[np.int64]) -> Slopes: ...


def maximise(problems: Problems, start: Array, *, sharing_offset: int) -> tuple[Array, Convergence]:
    """Maximise B problems, starting at `start`, which has shape (B, P).

    The iteration for a problem ends when no parameter changes by more than TOLERANCE, or after MAX_STEPS
    steps. A change that is the same for each of the first `sharing_offset` parameters does not count, because
    their common offset can be nearly undetermined.
    """
    found, remaining = start.copy(), np.zeros(len(start))
    done = np.ones(len(start), dtype=bool)
    active = np.arange(len(start))
    at, slopes, steps = found, problems.slopes(found, active), 0
    while len(active):
        step = _steps(slopes)
        gain = 0.5 * np.maximum((slopes.gradient * step).sum(-1), 0.0)
        remaining[active] = gain
        apart = np.concatenate([centred(step[:, :sharing_offset]), step[:, sharing_offset:]], axis=1)
        going = np.abs(apart).max(-1, initial=0.0) >= TOLERANCE
        active, at, step, gain = active[going], at[going], step[going], gain[going]
        if len(active) == 0:
            break
        if steps == MAX_STEPS:
            done[active] = gain <= NEGLIGIBLE
            break
        steps += 1
        at, slopes, moved = _search(problems, active, at, step, gain)
        found[active] = at
        done[active[~moved]] = gain[~moved] <= NEGLIGIBLE
        active, at = active[moved], at[moved]
    return found, Convergence(bool(done.all()), steps, float(remaining.max(initial=0.0)))


def centred(values: Array) -> Array:
    """Subtract the mean over the last axis. The axis can have length 0."""
    found: Array = values - values.sum(-1, keepdims=True) / max(1, values.shape[-1])
    return found


def _search(
    problems: Problems, active: NDArray[np.int64], at: Array, step: Array, gain: Array
) -> tuple[Array, Slopes, NDArray[np.bool_]]:
    """Try the full step, half of the step, a quarter and so on, until the log-likelihood increases enough.
    Returns the new parameters, their slopes, and whether each problem's parameters changed. For a problem in
    which rounding prevents an increase, the parameters do not change, and no slopes are returned.

    A concave log-likelihood that still rises at the end of a step has risen along the whole step. The
    log-likelihood therefore needs to be computed only for steps that pass the maximum.
    """
    longest = np.abs(step).max(-1, initial=0.0)
    length = np.minimum(1.0, MAX_LENGTH / np.maximum(longest, MAX_LENGTH))
    found = at.copy()
    trying = np.arange(len(active))
    parts: list[tuple[NDArray[np.int64], Slopes]] = []
    for _ in range(MAX_HALVINGS):
        candidate = at[trying] + length[trying, None] * step[trying]
        new = problems.slopes(candidate, active[trying])
        better = (new.gradient * step[trying]).sum(-1) >= 0
        too_far = trying[~better]
        if len(too_far):
            old = problems.value(at[too_far], active[too_far])
            risen = problems.value(candidate[~better], active[too_far]) - old
            least = SUFFICIENT * length[too_far] * gain[too_far] - ROUNDING * np.abs(old)
            better[~better] = risen >= least
        found[trying[better]] = candidate[better]
        parts.append((trying[better], new if better.all() else Slopes(*(part[better] for part in new))))
        trying = trying[~better]
        if len(trying) == 0:
            break
        length[trying] /= 2
    moved = np.ones(len(active), dtype=bool)
    moved[trying] = False
    if len(parts) == 1:
        return found, parts[0][1], moved
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    joined = (np.concatenate(column)[order] for column in zip(*(part for _, part in parts), strict=True))
    return found, Slopes(*joined), moved


def _steps(slopes: Slopes) -> Array:
    """The Newton steps. If the matrix of second derivatives is singular, the step is the pseudo-inverse of
    the matrix times the gradient. If the log-likelihood does not increase in this direction, the step is the
    gradient."""
    try:
        step = np.asarray(
            np.linalg.solve(slopes.information, slopes.gradient[..., None])[..., 0], dtype=np.float64
        )
    except np.linalg.LinAlgError:
        step = np.full_like(slopes.gradient, np.nan)
    poor = ~((slopes.gradient * step).sum(-1) >= 0) & np.abs(slopes.gradient).any(-1)
    if poor.any():
        inverse = np.asarray(np.linalg.pinv(slopes.information[poor], hermitian=True), dtype=np.float64)
        step[poor] = (inverse @ slopes.gradient[poor][..., None])[..., 0]
        still = ~((slopes.gradient * step).sum(-1) >= 0)
        step[still] = slopes.gradient[still]
    return np.where(np.abs(slopes.gradient).any(-1, keepdims=True), step, 0.0)
