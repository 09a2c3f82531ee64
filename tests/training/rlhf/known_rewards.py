"""Simulated rankings of responses whose features and rewards are known, so that estimates can be checked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.rlhf.reward import laplace, losses
from training.rlhf.reward.laplace import Part, Posterior


def weights(seed: int, *, width: int, spread: float) -> Tensor:
    """A random head. With standard normal features, the head's rewards have a standard deviation of
    `spread`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, generator=generator, dtype=torch.float64) * spread / math.sqrt(width)


def features(seed: int, n: int, k: int, *, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 100_000)
    return torch.randn(n, k, width, generator=generator, dtype=torch.float64)


def ranked(seed: int, rewards: Tensor) -> Tensor:
    """Sample one Plackett–Luce ranking for each row of the (N, K) rewards: add Gumbel noise to the rewards,
    sort the responses, and return their tiers."""
    generator = torch.Generator().manual_seed(seed + 200_000)
    noise = -torch.log(-torch.log(torch.rand(rewards.shape, generator=generator, dtype=rewards.dtype)))
    return (rewards + noise).argsort(dim=1, descending=True).argsort(dim=1)


def part(responses: Tensor, tiers: Tensor, *, loss: str = "bradley_terry") -> Part:
    """Rankings with equal numbers of responses, weighted as in `uncertainty.observations`."""
    k = tiers.shape[1]
    of_pairs = loss == "bradley_terry"
    counted = k * (k - 1) / 2 * 3 / (k + 1) if of_pairs else k - 1
    per_ranking = losses.bradley_terry if of_pairs else losses.plackett_luce

    def likelihood(rewards: Tensor) -> Tensor:
        times = rewards.shape[:-2].numel()
        return counted * per_ranking(rewards.flatten(0, -2), tiers.repeat(times, 1)).view(rewards.shape[:-1])

    return Part(responses, likelihood)


def calibration_error(said: Tensor, true: Tensor, *, bins: int = 10) -> float:
    """Expected calibration error against the true probabilities, with each pair counted in both orders."""
    said, true = torch.cat([said, 1 - said]), torch.cat([true, 1 - true])
    place = (said * bins).long().clamp(max=bins - 1)
    apart = [(said - true)[place == n].sum().abs() for n in range(bins)]
    return float(torch.stack(apart).sum() / len(said))


def mode(part: Part, *, precision: float) -> Tensor:
    """Find the posterior mode of the head under the prior N(0, I / precision) with Newton's method."""

    def penalised(weight: Tensor) -> float:
        return float(part.likelihood(part.features @ weight).sum() + precision / 2 * weight @ weight)

    weight = torch.zeros(part.features.shape[-1], dtype=torch.float64)
    for _ in range(50):
        slope, bend = laplace.derivatives([part], weight)
        slope = slope + precision * weight
        step = torch.linalg.solve(bend + precision * torch.eye(len(weight), dtype=torch.float64), slope)
        if float(slope @ step) / 2 < 1e-9:
            break
        share = 1.0
        while penalised(weight - share * step) > penalised(weight) - 1e-4 * share * float(slope @ step) / 2:
            share /= 2
            if share < 1e-9:
                return weight
        weight = weight - share * step
    return weight


def posterior(part: Part, *, precision: float) -> Posterior:
    """The Laplace approximation of the posterior around its mode."""
    weight = mode(part, precision=precision)
    return laplace.around(weight, [part], typical_square=precision, prior_spread=1.0)
