"""Newton's method for concave log-likelihoods, for many problems at once. Pure NumPy.

A step that does not increase the log-likelihood enough is halved (Boyd & Vandenberghe, "Convex Optimization"
(2004), §9.5). With this rule, the method converges from any starting point, also if some parameters are
nearly unbounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.convergence import Convergence

Array = NDArray[np.float64]
MAX_STEPS = 200
TOLERANCE = 1e-9
# The longest change of a parameter in one step. Where the curvature is nearly 0, a full step could be
# arbitrarily long.
MAX_LENGTH = 4.0
SUFFICIENT = 1e-4
MAX_HALVINGS = 30
# Rounding errors of the log-likelihood, relative to its value.
ROUNDING = 1e-14
# A maximum that is reached as nearly as rounding allows is accepted if another step would bring at most this
# many nats. Such an estimate is less than 0.002 standard errors away from the maximum.
NEGLIGIBLE = 1e-6


class Slopes(NamedTuple):
    """The log-likelihood of B problems, its gradient, and its negative second derivatives, with shapes (B,),
    (B, P) and (B, P, P)."""

    value: Array
    gradient: Array
    information: Array


def maximise(
    slopes_of: Callable[[Array, NDArray[np.int64]], Slopes],
    start: Array,
    *,
    sharing_offset: int,
) -> tuple[Array, Convergence]:
    """Maximise B concave functions of P parameters, starting at `start`, which has shape (B, P).

    `slopes_of` takes the parameters of some problems, with shape (b, P), and the indices of these problems,
    with shape (b,). The search for a problem ends when no parameter changes by more than TOLERANCE, and after
    MAX_STEPS steps at the latest. The test ignores a common offset of the first `sharing_offset` parameters,
    because it can be nearly undetermined.
    """
    found, remaining = start.copy(), np.zeros(len(start))
    done = np.ones(len(start), dtype=bool)
    active = np.arange(len(start))
    at, slopes, steps = found, slopes_of(found, active), 0
    while len(active):
        step = _steps(slopes)
        gain = 0.5 * np.maximum((slopes.gradient * step).sum(-1), 0.0)
        remaining[active] = gain
        apart = np.concatenate([centred(step[:, :sharing_offset]), step[:, sharing_offset:]], axis=1)
        going = np.abs(apart).max(-1, initial=0.0) >= TOLERANCE
        active, at, step, gain = active[going], at[going], step[going], gain[going]
        slopes = Slopes(*(part[going] for part in slopes))
        if steps == MAX_STEPS:
            done[active] = gain <= NEGLIGIBLE
            break
        steps += 1
        at, slopes, moved = _search(slopes_of, active, at, slopes, step, gain)
        found[active] = at
        done[active[~moved]] = gain[~moved] <= NEGLIGIBLE
        active, at = active[moved], at[moved]
        slopes = Slopes(*(part[moved] for part in slopes))
    return found, Convergence(bool(done.all()), steps, float(remaining.max(initial=0.0)))


def centred(values: Array) -> Array:
    """Subtract the mean over the last axis, which can be empty."""
    found: Array = values - values.sum(-1, keepdims=True) / max(1, values.shape[-1])
    return found


def _search(
    slopes_of: Callable[[Array, NDArray[np.int64]], Slopes],
    active: NDArray[np.int64],
    at: Array,
    slopes: Slopes,
    step: Array,
    gain: Array,
) -> tuple[Array, Slopes, NDArray[np.bool_]]:
    """Take the longest of the step, half of the step, a quarter, … that increases the log-likelihood enough.
    The third array is False where rounding prevents an increase."""
    longest = np.abs(step).max(-1, initial=0.0)
    length = np.minimum(1.0, MAX_LENGTH / np.maximum(longest, MAX_LENGTH))
    at, slopes = at.copy(), Slopes(*(part.copy() for part in slopes))
    least = slopes.value - ROUNDING * np.abs(slopes.value)
    trying = np.arange(len(active))
    for _ in range(MAX_HALVINGS):
        candidate = at[trying] + length[trying, None] * step[trying]
        new = slopes_of(candidate, active[trying])
        better = new.value >= least[trying] + SUFFICIENT * length[trying] * gain[trying]
        chosen = trying[better]
        at[chosen] = candidate[better]
        for part, value in zip(slopes, new, strict=True):
            part[chosen] = value[better]
        trying = trying[~better]
        if len(trying) == 0:
            break
        length[trying] /= 2
    moved = np.ones(len(active), dtype=bool)
    moved[trying] = False
    return at, slopes, moved


def _steps(slopes: Slopes) -> Array:
    """The Newton steps. If the second derivatives are singular, the step has the least length, and if it then
    does not increase the function, it follows the gradient."""
    try:
        step: Array = np.linalg.solve(slopes.information, slopes.gradient[..., None])[..., 0]
    except np.linalg.LinAlgError:
        step = np.full_like(slopes.gradient, np.nan)
    poor = ~((slopes.gradient * step).sum(-1) >= 0) & np.abs(slopes.gradient).any(-1)
    if poor.any():
        inverse = np.asarray(np.linalg.pinv(slopes.information[poor], hermitian=True), dtype=np.float64)
        step[poor] = (inverse @ slopes.gradient[poor][..., None])[..., 0]
        still = ~((slopes.gradient * step).sum(-1) >= 0)
        step[still] = slopes.gradient[still]
    return np.where(np.abs(slopes.gradient).any(-1, keepdims=True), step, 0.0)
