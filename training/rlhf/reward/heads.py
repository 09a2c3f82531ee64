"""An ensemble of small heads on the features that one trunk gives: how far beliefs that fit the same rankings
lie apart.

Each member is a function of a response's features of its own random draw, and it is fitted by adding what the
rankings ask for to that draw, held near it (Osband, Aslanides & Cassirer 2018, arXiv 1806.03335: randomised
prior functions; Pearce et al. 2020, arXiv 1810.05546: anchored ensembles). Where rankings say something the
members come together; where they say nothing each keeps to its draw. With a member's weights θ ~ N(θ₀, I) a
priori and θ₀ drawn from the prior, the anchored fit min Σ wᵢ lossᵢ(θ) + |θ - θ₀|²/2 is, for a linear member,
a draw from the posterior but for the noise of the data; that is in the weights wᵢ ~ Exp(1) of the rankings
(the Bayesian bootstrap, Rubin 1981), other ones for each member.

Every weight is N(0, 1), and the products are scaled by their width in place: half of a member's prior
variance is linear in the features, half goes through one layer of ReLUs, and the whole is ``prior_spread``²
at a typical training response. Far from the training responses the members lie apart in proportion to the
distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from training.rlhf.core.rates import rate_factor
from training.rlhf.reward.laplace import Part

WIDTH = 16  # ReLUs of a member
RANKINGS_PER_UPDATE = 64
PASSES = 5
# On the demo world's features 60 give what 200 at a quarter of the rate do, from 50 rankings and from 450.
LEAST_UPDATES = 60
RATE = 0.2  # Adam's, cosine to 0; in standard deviations of the prior per update

# A draw of (number of rankings) from them, as one part. The indices say which.
Draw = Callable[[Tensor], Part]


class Heads(NamedTuple):
    """M members: ``linear`` (M, d), ``inner`` (M, d, h), ``bias`` (M, h), ``outer`` (M, h); ``centre`` (d,)
    and ``scale`` () bring features to mean 0 and mean square 1; ``offset`` (M,) is each member's mean over
    the training responses, which rankings never tell and which is taken off."""

    linear: Tensor
    inner: Tensor
    bias: Tensor
    outer: Tensor
    centre: Tensor
    scale: Tensor
    offset: Tensor
    prior_spread: Tensor


def draw_heads(
    *, members: int, centre: Tensor, scale: Tensor, prior_spread: float, seed: int, width: int = WIDTH
) -> Heads:
    """Members as the prior has them."""
    generator = torch.Generator().manual_seed(seed)
    d = len(centre)
    shapes = ((members, d), (members, d, width), (members, width), (members, width))
    linear, inner, bias, outer = (torch.randn(shape, generator=generator).to(centre) for shape in shapes)
    spread = torch.tensor(prior_spread).to(centre)
    return Heads(linear, inner, bias, outer, centre, scale, centre.new_zeros(members), spread)


def outputs(heads: Heads, features: Tensor) -> Tensor:
    """(N, d) features -> (N, M) reward of each response to each member, the member's mean taken off."""
    seen = (features - heads.centre) / heads.scale
    root = math.sqrt(seen.shape[-1])
    linear = seen @ heads.linear.T / root
    before = torch.einsum("nd,mdh->nmh", seen, heads.inner) / root + heads.bias
    # E relu(z)² = Var z / 2 = 1 here: the variance is 2, one of the features and one of the bias.
    bent = torch.einsum("nmh,mh->nm", torch.relu(before), heads.outer) / math.sqrt(heads.outer.shape[1])
    return heads.prior_spread * math.sqrt(0.5) * (linear + bent) - heads.offset


def fit_heads(
    prior: Heads, draw: Draw, rankings: int, *, seed: int, check: Callable[[], None] = lambda: None
) -> Heads:
    """The members after ``rankings`` rankings, of which ``draw`` gives any few.

    ``check`` is called before each update, and may raise to stop.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    anchors = (prior.linear, prior.inner, prior.bias, prior.outer)
    linear, inner, bias, outer = weights = [anchor.clone().requires_grad_() for anchor in anchors]
    fitted = prior._replace(linear=linear, inner=inner, bias=bias, outer=outer)
    at_once = min(rankings, RANKINGS_PER_UPDATE)
    per_pass = math.ceil(rankings / at_once)
    passes = max(PASSES, math.ceil(LEAST_UPDATES / per_pass))
    # Bayesian bootstrap, one weight per ranking and member.
    believed = torch.empty(rankings, len(prior.offset)).exponential_(generator=generator)
    optimiser = torch.optim.Adam(weights, lr=RATE)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: rate_factor("cosine", done, passes * per_pass)
    )
    for _ in range(passes):
        for chosen in torch.split(torch.randperm(rankings, generator=generator), at_once):
            check()
            part = draw(chosen)
            b, k, _ = part.features.shape
            rewards = outputs(fitted, part.features.flatten(0, 1)).T.reshape(-1, b, k)
            losses = part.likelihood(rewards) * believed[chosen].T
            apart = sum(
                (weight - anchor).square().sum() for weight, anchor in zip(weights, anchors, strict=True)
            )
            # Over all rankings and by their number: the gradient's size is that of a ranking's.
            torch.autograd.backward(losses.sum() / b + apart / 2 / rankings)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            scheduler.step()
    return Heads._make(value.detach() for value in fitted)
