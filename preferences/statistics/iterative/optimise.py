"""L-BFGS for likelihoods with many thousands of parameters. Pure NumPy.

Nocedal & Wright, "Numerical Optimization" (2nd ed. 2006), algorithms 7.4 and 7.5, with Armijo backtracking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.iterative.convergence import Convergence

MEMORY = 10
MAX_BACKTRACKS = 30
SUFFICIENT = 1e-4

Vector = NDArray[np.float64]
# When rounding prevents further progress, the search counts as converged if another step would decrease the
# value by at most this amount.
NEGLIGIBLE = 1e-6


class Minimum(NamedTuple):
    """`at` contains the parameters for which the function had the lowest value found."""

    at: Vector
    convergence: Convergence


def minimise(
    function: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    *,
    scale: Vector,
    tolerance: float,
    max_iterations: int,
) -> Minimum:
    """Find a local minimum of `function` (which returns its value and gradient), starting at `start`.

    `scale`, with shape (n,), estimates the inverse curvature for each parameter, and scales the initial step.
    The search stops when no component of the scaled gradient exceeds `tolerance`, or when rounding prevents
    further improvement. Each component of the scaled gradient is approximately the distance of a parameter
    from its value at the minimum. The value never increases, so the result after `max_iterations` iterations
    is the best point that was found.
    """
    x = start.copy()
    value, gradient = function(x)
    steps: list[Vector] = []
    changes: list[Vector] = []
    for iteration in range(max_iterations + 1):
        # If the function were quadratic with this curvature, its value could decrease by this amount.
        left = 0.5 * float(gradient @ (gradient * scale))
        if np.abs(gradient * scale).max(initial=0.0) <= tolerance:
            return Minimum(x, Convergence(True, iteration, left))
        if iteration == max_iterations:
            break
        direction = -_two_loops(gradient, steps, changes, scale)
        slope = float(gradient @ direction)
        if slope >= 0:
            steps, changes = [], []
            direction = -gradient * scale
            slope = float(gradient @ direction)
        length = 1.0
        for _ in range(MAX_BACKTRACKS):
            candidate = x + length * direction
            new_value, new_gradient = function(candidate)
            if np.isfinite(new_gradient).all() and new_value <= value + SUFFICIENT * length * slope:
                break
            length /= 2
        else:
            return Minimum(x, Convergence(left <= NEGLIGIBLE, iteration, left))
        step, change = candidate - x, new_gradient - gradient
        if float(step @ change) > 1e-12 * float(change @ change):
            steps, changes = [*steps[1 - MEMORY :], step], [*changes[1 - MEMORY :], change]
        x, value, gradient = candidate, new_value, new_gradient
    return Minimum(x, Convergence(False, max_iterations, left))


def _two_loops(gradient: Vector, steps: list[Vector], changes: list[Vector], scale: Vector) -> Vector:
    """The gradient times the approximate inverse Hessian."""
    q = gradient.copy()
    weights = []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        weight = float(step @ q) / float(step @ change)
        weights.append(weight)
        q -= weight * change
    q = q * scale
    for (step, change), weight in zip(zip(steps, changes, strict=True), reversed(weights), strict=True):
        q += (weight - float(change @ q) / float(step @ change)) * step
    return q
