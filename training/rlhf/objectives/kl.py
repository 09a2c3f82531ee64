"""The KL divergence of the policy from the reference: estimators, and the controller of the KL coefficient.
Pure functions on tensors and numbers. `token_rewards` subtracts the KL penalty from the rewards.

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

# The controller's settings. Distances are sqrt(KL / target): 0 at the reference and 1 at the target.
DISTANCE_GAIN, SPEED_GAIN = 0.5, 0.2  # the filter's gains after the first few steps
PROPORTIONAL_GAIN, INTEGRAL_GAIN = 1.0, 0.2  # the controller's gains per step, in units of log beta
# Distance beyond which the weights are pulled back. With 1, noise would cause too many pulls.
PULL_FROM = 1.03
LARGEST_PULL = 0.5  # maximum fraction of the distance to the reference that one pull covers
LOOKAHEAD = 2.0  # number of steps for which an optimiser's momentum continues to move the policy
# Limit of the error 2 · (distance - 1), which is about KL / target - 1 near the target.
LARGEST_ERROR = 1.0
# The integral doesn't change while the policy moves towards the target so fast that it would reach the target
# within ARRIVES_WITHIN steps. Otherwise, beta would fall during the first steps, and the KL would overshoot.
ARRIVES_WITHIN = 4.0
# Maximum factor by which the integral raises or lowers beta.
LARGEST_CHANGE = 1000.0


def ratio_of(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """Return exp(new - old), the ratio of the probabilities. The log-ratio is clamped before exp."""
    return (log_probs - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def kl_k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return log pi - log ref of the sampled tokens, in nats. All arguments have the same shape.

    The mean of this estimator over samples from pi is KL(pi || ref). Individual values can be negative. As a
    reward, the estimator gives the correct policy gradient. As a loss, the estimator has a gradient with mean
    0. Schulman, "Approximating KL divergence".
    """
    return log_probs - reference


def kl_k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return (log pi - log ref)² / 2. All arguments have the same shape.

    The value is a biased estimate of KL(pi || ref). The mean of the estimate's gradient over samples from pi
    is exactly the gradient of KL(pi || ref). Schulman, "Approximating KL divergence".
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
    """Return k2, weighted by the ratio of the policy's probability to that of the policy that sampled the
    tokens. All arguments and the result have the same shape.

    The weight carries no gradient. The mean gradient over tokens from the sampling policy is then exactly the
    gradient of KL(pi || ref).
    """
    return ratio_of(log_probs, old_log_probs).detach() * kl_k2(log_probs, reference)


def kl_k3_loss(log_probs: Tensor, old_log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return k3, weighted by the ratio of the policy's probability to that of the policy that sampled the
    tokens. All arguments and the result have the same shape.

    The weight carries a gradient. The mean value and the mean gradient over tokens from the sampling policy
    are then exactly KL(pi || ref) and its gradient. Without the weight, the mean gradient of k3 would be that
    of the reverse divergence, KL(ref || pi).
    """
    return ratio_of(log_probs, old_log_probs) * kl_k3(log_probs, reference)


@dataclass(frozen=True, slots=True)
class KLController:
    """Keeps the KL of a policy near a target by means of two quantities: `beta`, the KL coefficient, and
    `pull`, the fraction of the distance to the reference by which the weights are moved back after a step's
    update.

    A proportional-integral controller adapts log beta. The controller needs several steps, and beta alone
    can't always keep the KL near the target: the gradient of a penalty in the reward (k1) is noisy, and the
    noise itself moves the policy away. With RLOO and 64 answers per step on the demo, the KL of steps 11 to
    30 was 1.6 times its target, although beta had reached 1000 times its initial value. `pull` adds no such
    noise. Near the reference, the KL is a quadratic function of the weights, so moving the weights back by a
    fraction p of the distance multiplies the KL by (1 - p)². WARP (arXiv 2406.16768) also interpolates
    towards the initial weights to trade reward for KL.

    All decisions use the distance sqrt(KL / target), which changes at a constant rate if a policy moves at a
    constant speed. The KL of one step is a noisy mean over its answers, so the distance and its change per
    step, `speed`, are estimated with a g-h filter. `measured` counts the steps in the estimate. The filter's
    first gains are those of a least-squares line through all steps so far (a growing-memory filter), so the
    estimate closely follows the first steps, in which the policy moves fastest.

    `initial` is beta at the start, and `integral` is the sum of the weighted errors, in units of log beta.
    Without a target, the controller never changes.
    """

    initial: float
    target: float | None
    beta: float
    pull: float = 0.0
    integral: float = 0.0
    distance: float = 0.0
    speed: float = 0.0
    rate: float = 1.0
    measured: int = 0

    @classmethod
    def starting(cls, coefficient: float, target: float | None) -> KLController:
        return cls(coefficient, target, coefficient)

    def after(self, kl: float, *, rate: float = 1.0, acted: bool = True) -> KLController:
        """Return the controller after a step, given `kl`, the mean KL of the step's answers in nats per
        answer.

        `rate` is the policy's learning rate in this step's update, as a fraction of its peak. `acted` states
        whether the update depends on beta. The update does not depend on beta during warm-up, or in a step
        whose KL exceeds the ceiling. In these cases, the KL provides no information about beta, so the
        integral doesn't change.
        """
        if self.target is None or (kl == 0.0 and not self.measured):
            return self
        n = self.measured + 1
        steps = (n + 1) * (n + 2)
        kept = 1 - self.pull
        expected = kept * (self.distance + self.speed)
        seen = math.sqrt(max(kl, 0.0) / self.target)
        distance = max(expected + max(DISTANCE_GAIN, (4 * n + 2) / steps) * (seen - expected), 0.0)
        # The estimated speed is limited, so that one step moves the policy by at most its measured distance
        # from the reference.
        speed = self.speed + max(SPEED_GAIN, 6 / steps) * (seen - expected) / kept
        speed = min(max(speed, -seen), seen / kept) * (rate / self.rate if self.rate else 1.0)
        free = distance + speed
        pull = min(1 - PULL_FROM / max(free, PULL_FROM), LARGEST_PULL)
        change = (1 - pull) * free - distance
        error, ahead = error_of(distance), error_of(distance + LOOKAHEAD * speed)
        arrives = abs(change) * ARRIVES_WITHIN > abs(1 - distance) and change * (1 - distance) > 0
        gain = 0.0 if arrives or not acted else INTEGRAL_GAIN
        widest = math.log(LARGEST_CHANGE)
        integral = min(max(self.integral + gain * error, -widest), widest)
        beta = self.initial * math.exp(integral + PROPORTIONAL_GAIN * ahead)
        return KLController(
            self.initial, self.target, beta, pull, integral, distance, speed, rate, measured=n
        )


def error_of(distance: float) -> float:
    return min(max(2 * (distance - 1), -LARGEST_ERROR), LARGEST_ERROR)
