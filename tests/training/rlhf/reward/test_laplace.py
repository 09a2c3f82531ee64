"""The posterior of a reward head on known features is compared with exact quadrature, repeated estimates and
nominal coverage.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.rlhf import known_rewards as known
from training.rlhf.reward import laplace, losses
from training.rlhf.reward.laplace import Part

WIDTH = 4
NINETY = 1.645  # half the width of a two-sided 90% interval, in standard deviations
REPETITIONS = 80


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def repetition(
    seed: int, *, n: int, k: int, spread: float = 1.0, loss: str = "bradley_terry", head: Tensor | None = None
) -> tuple[Tensor, Part]:
    """Return (true head, rankings). The head is drawn from the prior unless it is given."""
    head = known.weights(seed, width=WIDTH, spread=spread) if head is None else head
    responses = known.features(seed, n, k, width=WIDTH)
    return head, known.part(responses, known.ranked(seed, responses @ head), loss=loss)


def test_second_derivative_of_the_loss_of_pairs_equals_the_closed_form() -> None:
    head, part = repetition(0, n=30, k=2)
    found = known.posterior(part, precision=2.0)
    apart = part.features[:, 0] - part.features[:, 1]
    p = torch.sigmoid(apart @ found.weight)
    exact = 2.0 * torch.eye(WIDTH) + torch.einsum("n,ni,nj->ij", p * (1 - p), apart, apart)
    assert torch.allclose(torch.linalg.inv(found.root @ found.root.T), exact, rtol=1e-6)
    won = known.ranked(0, part.features @ head)[:, 0] == 0
    slope = ((p - won.double())[:, None] * apart).sum(dim=0) + 2.0 * found.weight
    assert slope.abs().max() < 1e-4  # the posterior mode


@pytest.mark.parametrize("name", ["plackett_luce", "rao_kupper", "davidson", "cumulative"])
def test_derivatives_of_every_loss_are_exact(name: str) -> None:
    responses = known.features(1, 12, 4, width=WIDTH)
    tiers = known.ranked(1, responses.sum(dim=2)).clamp(max=2)  # the last two responses are tied
    number = torch.tensor(0.4, dtype=torch.float64)
    strengths = torch.arange(12) % 3
    thresholds = torch.tensor([0.2, 0.9], dtype=torch.float64)

    def likelihood(rewards: Tensor) -> Tensor:
        if name == "plackett_luce":
            return losses.plackett_luce(rewards, tiers)
        if name == "cumulative":
            return losses.cumulative_strength(rewards, tiers, strengths, thresholds, ties=True)
        return getattr(losses, name)(rewards, tiers, number)

    head = known.weights(1, width=WIDTH, spread=1.0)
    slope, bend = laplace.derivatives([Part(responses, likelihood)], head)

    def whole(weight: Tensor) -> Tensor:
        return likelihood(responses @ weight).sum()

    assert torch.allclose(slope, torch.autograd.functional.jacobian(whole, head), atol=1e-9)
    assert torch.allclose(bend, torch.autograd.functional.hessian(whole, head), atol=1e-9)


def test_negative_curvature_is_ignored() -> None:
    """CrowdBT attributes an implausible verdict to annotator error, so the verdict provides no information
    about rewards."""
    reliability = torch.full((1,), 2.0, dtype=torch.float64)

    def likelihood(rewards: Tensor) -> Tensor:
        return losses.bradley_terry(rewards, torch.tensor([[0, 1]]), reliability=reliability)

    _, absurd = laplace.by_rewards(likelihood, torch.tensor([[-6.0, 0.0]], dtype=torch.float64))
    _, sensible = laplace.by_rewards(likelihood, torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    assert torch.linalg.eigvalsh(absurd).min() > -1e-12
    assert absurd.abs().max() < 1e-12 < sensible.abs().max()


def test_evidence_and_mean_and_covariance_match_the_exact_posterior() -> None:
    """The exact values come from quadrature on a grid, which is feasible for a head with two parameters."""
    head = torch.tensor([1.0, -0.5], dtype=torch.float64)
    responses = known.features(3, 120, 2, width=2)
    tiers = known.ranked(3, responses @ head)
    part, precision = known.part(responses, tiers), 1.5
    found = known.posterior(part, precision=precision)

    axis = torch.linspace(-4, 4, 321, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    d = (responses[:, 0] - responses[:, 1]) * torch.where(tiers[:, :1] == 0, 1.0, -1.0)
    log_joint = torch.nn.functional.logsigmoid(grid @ d.T).sum(dim=1)
    log_joint = log_joint - precision / 2 * grid.square().sum(dim=1) + math.log(precision / (2 * math.pi))
    weight = log_joint.softmax(dim=0)
    mean = weight @ grid
    covariance = (grid - mean).T @ (weight[:, None] * (grid - mean))
    assert torch.allclose(found.root @ found.root.T, covariance, rtol=0.1, atol=2e-3)
    assert ((found.weight - mean).abs() < 0.25 * covariance.diagonal().sqrt()).all()
    exact = float(log_joint.logsumexp(dim=0)) + 2 * math.log(float(axis[1] - axis[0]))
    assert found.evidence == pytest.approx(exact, abs=0.05)


def test_sampling_variance_of_estimates_equals_the_posterior_variance() -> None:
    """With a weak prior and much data, the posterior covariance equals the covariance of repeated estimates.

    The pairs formed from five responses are dependent. Weighting pairs by 3 / (K + 1) corrects for this
    dependence.
    """
    head = known.weights(7, width=WIDTH, spread=0.5)
    found = [
        known.posterior(repetition(seed, n=100, k=5, head=head)[1], precision=0.01)
        for seed in range(REPETITIONS)
    ]
    over_repetitions = torch.stack([one.weight for one in found]).T.cov()
    said = torch.stack([one.root @ one.root.T for one in found]).mean(dim=0)
    share = torch.linalg.eigvals(torch.linalg.solve(said, over_repetitions)).real
    assert 0.8 < share.mean() < 1.2  # the mean of 320 values of about 1 has a standard error of 0.08


@pytest.mark.parametrize(("n", "k", "loss"), [(30, 4, "bradley_terry"), (30, 3, "plackett_luce")])
def test_intervals_have_their_nominal_coverage(n: int, k: int, loss: str) -> None:
    fresh = known.features(-1, 1, 40, width=WIDTH)[0]
    held = []
    for seed in range(REPETITIONS):
        head, part = repetition(seed, n=n, k=k, spread=1.5, loss=loss)
        found = known.posterior(part, precision=WIDTH / 1.5**2)
        error = (fresh[:20] - fresh[20:]) @ (found.weight - head)
        held.append(error.abs() < NINETY * ((fresh[:20] - fresh[20:]) @ found.root).norm(dim=1))
    assert 0.86 < torch.stack(held).double().mean() < 0.94


def test_maximum_evidence_recovers_the_prior_standard_deviation() -> None:
    width = 24  # enough weights to estimate their spread to within about 20%
    for spread in (0.5, 2.0):
        responses = known.features(3, 200, 3, width=width)
        part = known.part(
            responses, known.ranked(3, responses @ known.weights(3, width=width, spread=spread))
        )
        weight = known.mode(part, precision=width / spread**2)
        found = laplace.around(weight, [part], typical_square=width)
        assert spread / 1.5 < math.sqrt(width / found.precision) < spread * 1.5
        given = laplace.around(weight, [part], typical_square=width, prior_spread=0.7)
        assert given.precision == pytest.approx(width / 0.7**2)
        assert given.evidence < found.evidence


def test_posterior_around_the_mode_is_exact_and_narrows_with_more_data() -> None:
    _, few = repetition(5, n=20, k=3)
    _, many = repetition(5, n=200, k=3)
    mode = known.mode(few, precision=WIDTH)
    same = laplace.around(mode, [few], typical_square=WIDTH, prior_spread=1.0)
    precision = laplace.derivatives([few], mode)[1] + WIDTH * torch.eye(WIDTH, dtype=torch.float64)
    assert torch.allclose(same.root @ same.root.T, torch.linalg.inv(precision), atol=1e-9)
    assert torch.equal(same.weight, mode)
    assert same.determined == pytest.approx(WIDTH - WIDTH * float(same.root.square().sum()))
    surer = laplace.around(mode, [many], typical_square=WIDTH, prior_spread=1.0)
    assert surer.root.square().sum() < same.root.square().sum() / 2
    assert surer.determined > same.determined
    best = laplace.around(mode, [few], typical_square=WIDTH)
    assert best.evidence >= same.evidence


def test_preference_probability_integrates_over_the_uncertainty() -> None:
    nodes, shares = np.polynomial.hermite_e.hermegauss(80)
    mean, variance = torch.meshgrid(torch.linspace(-5, 5, 21), torch.linspace(0, 30, 16), indexing="ij")
    at = mean[..., None] + variance.sqrt()[..., None] * torch.tensor(nodes, dtype=torch.float32)
    exact = (torch.sigmoid(at) * torch.tensor(shares / shares.sum(), dtype=torch.float32)).sum(dim=-1)
    assert (laplace.preference(mean, variance) - exact).abs().max() < 0.02
    assert torch.equal(laplace.preference(mean, torch.zeros(())), torch.sigmoid(mean))


def test_preferences_averaged_over_the_posterior_are_better_calibrated() -> None:
    """The trained head has almost no regularisation, so it is close to the maximum-likelihood estimate."""
    fresh = known.features(-1, 1, 60, width=WIDTH)[0]
    apart = fresh[:30] - fresh[30:]
    plain, integrated, true = [], [], []
    for seed in range(40):
        head, part = repetition(seed, n=12, k=3, spread=2.0)
        trained = known.mode(part, precision=0.1)
        found = laplace.around(trained, [part], typical_square=WIDTH)
        d = apart @ trained
        plain.append(torch.sigmoid(d))
        integrated.append(laplace.preference(d, (apart @ found.root).square().sum(dim=1)))
        true.append(torch.sigmoid(apart @ head))
    errors = [known.calibration_error(torch.cat(said), torch.cat(true)) for said in (plain, integrated)]
    assert errors[1] < 0.65 * errors[0]
    assert errors[1] < 0.05
