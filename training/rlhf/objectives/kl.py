"""The KL divergence of the policy from the reference: estimators, and the controller of the KL coefficient.
Pure functions on tensors and numbers.

Tensors of log-probabilities contain the sampled tokens only, in nats. All estimators are per token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Limit of |log ratio| in nats. exp(20) is about 5e8. A larger ratio adds no information, and exp of large
# values overflows in bf16.
LOG_RATIO_LIMIT = 20.0

# The controller's gains, per step. The controller uses the distance sqrt(KL / target). If a policy moves at a
# constant speed, this distance changes at a constant rate, but the KL does not. The proportional part acts on
# the distance that is expected LOOKAHEAD steps later, because an optimiser's momentum continues to move the
# policy for a few steps after beta has changed. Without the look-ahead, the KL reached five times its target
# and oscillated around it. The speed is an average over a few steps, because the KL of one step is noisy.
PROPORTIONAL_GAIN = 2.0
INTEGRAL_GAIN = 0.5
LOOKAHEAD = 4.0
SPEED_MEMORY = 0.5
# Limits of the error 2 · (distance - 1), which is about KL / target - 1 near the target.
LOWEST_ERROR, HIGHEST_ERROR = -0.5, 2.0
# The integral part finds the beta that holds the target. It doesn't change while the KL approaches the
# target. Otherwise, beta would fall during the first steps, in which the KL rises from 0, and the KL would
# overshoot.
FALLING_SHARE = 0.8  # share of the integral gain that applies while the KL is below its target
# Beta stays within this factor of the initial coefficient, in both directions.
LARGEST_CHANGE = 1000.0


def ratio_of(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """Return exp(new - old), the ratio of the probabilities. The log-ratio is clamped before exp."""
    return (log_probs - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def kl_k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return log pi - log ref of the sampled tokens, in nats. All arguments have the same shape.

    The mean of this estimator over samples from pi is KL(pi || ref). Individual values can be negative. As a
    reward, the estimator gives the correct policy gradient. As a loss, the estimator's gradient has mean 0.
    Schulman, "Approximating KL divergence".
    """
    return log_probs - reference


def kl_k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return (log pi - log ref)² / 2. All arguments have the same shape.

    The value is a biased estimate of KL(pi || ref). The mean of its gradient over samples from pi is exactly
    the gradient of KL(pi || ref). Schulman, "Approximating KL divergence".
    """
    return 0.5 * (log_probs - reference).square()


def kl_k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return exp(ref - pi) - 1 - (ref - pi), an unbiased estimate of KL(pi || ref). The estimate is never
    negative. All arguments have the same shape.

    The log-ratio is clamped before exp. Schulman, "Approximating KL divergence".
    """
    backward = (reference - log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.expm1(backward) - backward


def kl_k2_loss(log_probs: Tensor, old_log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return k2, weighted with the probability ratio to the policy that sampled the tokens. All arguments and
    the result have the same shape.

    The weight carries no gradient. The mean gradient over samples from the *old* policy is then exactly the
    gradient of KL(pi || ref).
    """
    return ratio_of(log_probs, old_log_probs).detach() * kl_k2(log_probs, reference)


def kl_k3_loss(log_probs: Tensor, old_log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return k3, weighted with the probability ratio to the policy that sampled the tokens. All arguments and
    the result have the same shape.

    The weight carries a gradient. The means over samples from the *old* policy are then exactly KL(pi || ref)
    and its gradient. Without the weight, k3's gradient is the gradient of the reverse, KL(ref || pi).
    """
    return ratio_of(log_probs, old_log_probs) * kl_k3(log_probs, reference)


@dataclass(frozen=True, slots=True)
class KLController:
    """Adapts the KL coefficient beta so that the KL stays near a target. It is a
    proportional-integral controller of log beta.

    `initial` is beta at the start. `integral` is the sum of the weighted errors, in units of log beta. `beta`
    is the coefficient for the next step. `distance` is sqrt(KL / target) in the step before, and `speed` is
    its smoothed change per step. Without a target, beta never changes.

    The controller of Ziegler et al. (arXiv 1909.08593 eq. 5) has only an integral part, with a gain of
    answers / horizon. In a run of 40 steps of 64 answers with a horizon of 2,000, it can change beta by at
    most 29 %, and the KL reached 17 times its target. Here, the gain does not depend on the number of
    answers.
    """

    initial: float
    target: float | None
    beta: float
    integral: float = 0.0
    distance: float = 0.0
    speed: float = 0.0

    @classmethod
    def starting(cls, coefficient: float, target: float | None) -> KLController:
        return cls(coefficient, target, coefficient)

    def after(self, kl: float, *, acted: bool = True) -> KLController:
        """Return the controller for the next step. `kl` is this step's mean KL in nats per answer.

        `acted` is true if this step's update depends on beta, and false during warm-up and beyond the
        ceiling. If `acted` is false, the KL says nothing about beta, and the integral doesn't change.
        """
        if self.target is None:
            return self
        distance = math.sqrt(max(kl, 0.0) / self.target)
        speed = SPEED_MEMORY * self.speed + (1 - SPEED_MEMORY) * (distance - self.distance)
        error, expected = error_of(distance), error_of(distance + LOOKAHEAD * speed)
        rests = not acted or (speed < 0 if error > 0 else speed > 0)
        gain = 0.0 if rests else INTEGRAL_GAIN * (1.0 if error > 0 else FALLING_SHARE)
        widest = math.log(LARGEST_CHANGE)
        integral = min(max(self.integral + gain * error, -widest), widest)
        exponent = min(max(integral + PROPORTIONAL_GAIN * expected, -widest), widest)
        beta = self.initial * math.exp(exponent)
        return KLController(self.initial, self.target, beta, integral, distance, speed)


def error_of(distance: float) -> float:
    return min(max(2 * (distance - 1), LOWEST_ERROR), HIGHEST_ERROR)
