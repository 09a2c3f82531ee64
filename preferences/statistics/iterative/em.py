"""EM with SQUAREM acceleration. Pure NumPy.

EM increases the likelihood in every step, but its steps become very short if the data hardly determine the
parameters. For annotators who answer near chance, plain EM needed up to 10,000 steps. SQUAREM extrapolates
from two EM steps and needs about a twentieth of the evaluations. Sources: Varadhan & Roland, "Simple and
globally convergent methods for accelerating the convergence of any EM algorithm" (Scand. J. Stat. 35, 2008),
scheme S3; and the adaptive limit for the step length from Du & Varadhan, "SQUAREM: An R package for
off-the-shelf acceleration of EM, MM and other EM-like monotone algorithms" (J. Stat. Softw. 92, 2020).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.iterative.convergence import Convergence

Vector = NDArray[np.float64]
# The number of steps without acceleration at the start. All parameters start from the same value. These steps
# move them towards the nearest maximum, so that an extrapolation does not reach a different maximum.
PLAIN_STEPS = 4
STEP_GROWTH = 4.0
# The relative rounding error of a sum of many logarithms.
ROUNDING = 1e-15


def maximise(
    step: Callable[[Vector], tuple[Vector, float]],
    start: Vector,
    *,
    tolerance: float,
    max_steps: int,
) -> tuple[Vector, Convergence]:
    """Repeat `step` until it increases the objective by at most `tolerance`.

    `step` takes parameters of shape (n,), and returns the parameters after one EM step together with the
    objective (the log-likelihood or log posterior) of its input parameters. An extrapolated point is used
    only if its objective is at least that of the EM steps, so the objective never decreases. The function
    runs at most `max_steps` EM steps (but at least two), and then returns the best parameters.
    """
    at, steps, limit = start, 0, 1.0
    while True:
        after, value = step(at)
        again, next_value = step(after)
        steps += 2
        change = next_value - value
        if change <= tolerance + ROUNDING * abs(value):
            return again, Convergence(True, steps, max(0.0, float(change)))
        if steps + 3 > max_steps:
            return again, Convergence(False, steps, float(change))
        first, second = after - at, again - 2 * after + at
        origin, at = at, again
        if steps <= PLAIN_STEPS:
            continue
        length = min(float(np.sqrt(first @ first / max(float(second @ second), 1e-300))), limit)
        if length > 1.0:
            further, further_value = step(origin + 2 * length * first + length * length * second)
            steps += 1
            if further_value >= next_value:
                at = further
            else:
                limit = max(1.0, limit / STEP_GROWTH)
                continue
        if length == limit:
            limit *= STEP_GROWTH
