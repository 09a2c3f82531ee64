"""Each loss is compared with manual calculations and a simple fp64 loop, and its gradient with finite
differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from training.rlhf.data.rankings import UNRANKED_TIER
from training.rlhf.reward import losses

RAGGED = torch.tensor([[0, 1, 2, 3], [1, 0, 0, -1], [0, 0, -1, -1], [2, 0, 1, 1]])


def rewards() -> Tensor:
    return torch.randn(RAGGED.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def crowd_bt_chance(eta: float, d: float) -> float:
    return eta * sigmoid(d) + (1 - eta) * sigmoid(-d)


def pairs_of(tiers: list[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the strictly ordered pairs of a ranking, with the preferred response first, and the tied
    pairs."""
    real = [i for i, tier in enumerate(tiers) if tier >= 0]
    strict = [(i, j) for i, j in itertools.permutations(real, 2) if tiers[i] < tiers[j]]
    return strict, [(i, j) for i, j in itertools.combinations(real, 2) if tiers[i] == tiers[j]]


def by_hand(
    won: Callable[[float], float], tied: Callable[[float], float] | None, values: Tensor, tiers: Tensor
) -> list[float]:
    """Return the mean negative log-probability of the pairs in each ranking, computed with Python floats."""
    means = []
    for row, order in zip(values.tolist(), tiers.tolist(), strict=True):
        strict, ties = pairs_of(order)
        terms = [-math.log(won(row[i] - row[j])) for i, j in strict]
        if tied is not None:
            terms += [-math.log(tied(row[i] - row[j])) for i, j in ties]
        means.append(sum(terms) / len(terms) if terms else 0.0)
    return means


def test_bradley_terry_of_one_pair_is_minus_log_sigmoid() -> None:
    loss = losses.bradley_terry(torch.tensor([[1.5, 0.5]]), torch.tensor([[0, 1]]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-7)


def test_bradley_terry_is_averaged_over_pairs_of_responses_from_different_tiers() -> None:
    expected = by_hand(sigmoid, None, rewards(), RAGGED)
    assert losses.bradley_terry(rewards(), RAGGED).tolist() == pytest.approx(expected, abs=1e-12)
    assert expected[2] == 0.0  # all responses are tied, so there is no preference


def test_label_smoothing_adds_the_loss_of_the_reversed_pair() -> None:
    smoothed = losses.bradley_terry(torch.tensor([[2.0, 0.0]]), torch.tensor([[0, 1]]), label_smoothing=0.2)
    assert smoothed.item() == pytest.approx(
        -0.8 * math.log(sigmoid(2)) - 0.2 * math.log(sigmoid(-2)), abs=1e-6
    )
    with pytest.raises(ValueError, match="label_smoothing"):
        losses.bradley_terry(torch.zeros(1, 2), torch.tensor([[0, 1]]), label_smoothing=0.5)


def test_rao_kupper_matches_its_published_probabilities() -> None:
    threshold = torch.tensor(0.7, dtype=torch.float64)
    theta = math.exp(0.7)

    def won(d: float) -> float:
        return 1 / (1 + theta * math.exp(-d))

    def tied(d: float) -> float:  # (theta^2 - 1) p_i p_j / ((p_i + theta p_j) (p_j + theta p_i)) with p = e^r
        return (theta**2 - 1) / ((1 + theta * math.exp(-d)) * (1 + theta * math.exp(d)))

    assert won(0.3) + won(-0.3) + tied(0.3) == pytest.approx(1.0, abs=1e-12)
    assert losses.rao_kupper(rewards(), RAGGED, threshold).tolist() == pytest.approx(
        by_hand(won, tied, rewards(), RAGGED), abs=1e-12
    )


def test_davidson_matches_its_published_probabilities() -> None:
    nu = 0.4

    def won(d: float) -> float:
        return math.exp(d / 2) / (math.exp(d / 2) + math.exp(-d / 2) + nu)

    def tied(d: float) -> float:
        return nu / (math.exp(d / 2) + math.exp(-d / 2) + nu)

    assert won(0.3) + won(-0.3) + tied(0.3) == pytest.approx(1.0, abs=1e-12)
    log_nu = torch.tensor(math.log(nu), dtype=torch.float64)
    assert losses.davidson(rewards(), RAGGED, log_nu).tolist() == pytest.approx(
        by_hand(won, tied, rewards(), RAGGED), abs=1e-12
    )


def test_tie_models_with_zero_tie_probability_equal_bradley_terry() -> None:
    strict = torch.tensor([[0, 2, 1, 3]])
    values = rewards()[:1]
    plain = losses.bradley_terry(values, strict)
    assert torch.allclose(losses.rao_kupper(values, strict, torch.tensor(0.0)), plain)
    assert torch.allclose(losses.davidson(values, strict, torch.tensor(-60.0, dtype=torch.float64)), plain)


# The positive thresholds of a model with ties and three strength levels.
HALF = torch.tensor([0.3, 0.9, 2.0], dtype=torch.float64)
STATED = torch.tensor([2, 0, 3, 1])


def test_probability_of_a_cumulative_strength_is_a_difference_of_two_sigmoids() -> None:
    """One pair with d = 0.5 and every possible stated strength, compared with manual calculations."""
    d = 0.5
    edges = [-math.inf, -2.0, -0.9, -0.3, 0.3, 0.9, 2.0, math.inf]
    below = [0.0, *(sigmoid(edge - d) for edge in edges[1:-1]), 1.0]
    # The probabilities of the signed strengths -3 … 3.
    chances = [high - low for low, high in itertools.pairwise(below)]
    assert chances[4] == pytest.approx(0.598687660112452 - 0.450166002687522, abs=1e-12)  # strength 1
    values = torch.tensor([[d, 0.0]], dtype=torch.float64)
    for said, chance in zip(range(-3, 4), chances, strict=True):
        tiers = torch.tensor([[0, 1] if said > 0 else [1, 0] if said < 0 else [0, 0]])
        loss = losses.cumulative_strength(values, tiers, torch.tensor([abs(said)]), HALF, ties=True)
        assert loss.item() == pytest.approx(-math.log(chance), abs=1e-12)
    even = torch.cat((torch.zeros(1, dtype=torch.float64), HALF[1:]))
    total = sum(
        losses.cumulative_strength(
            values, torch.tensor([order]), torch.tensor([level]), even, ties=False
        ).neg().exp().item()
        for order in ([0, 1], [1, 0])
        for level in (1, 2, 3)
    )  # fmt: skip
    assert total == pytest.approx(1.0, abs=1e-12)


def test_strength_applies_only_to_pairs_of_the_best_and_second_best_tier() -> None:
    edges = [*HALF.tolist(), math.inf]
    expected = []
    for row, order, said in zip(rewards().tolist(), RAGGED.tolist(), STATED.tolist(), strict=True):
        strict, ties = pairs_of(order)
        terms = []
        for i, j in strict:
            d = row[i] - row[j]
            if said and (order[i], order[j]) == (0, 1):
                terms.append(-math.log(sigmoid(edges[said] - d) - sigmoid(edges[said - 1] - d)))
            else:
                terms.append(-math.log(sigmoid(d - edges[0])))
        terms += [
            -math.log(sigmoid(edges[0] - row[i] + row[j]) - sigmoid(-edges[0] - row[i] + row[j]))
            for i, j in ties
        ]
        expected.append(sum(terms) / len(terms))
    loss = losses.cumulative_strength(rewards(), RAGGED, STATED, HALF, ties=True)
    assert loss.tolist() == pytest.approx(expected, abs=1e-12)
    top_one = torch.tensor([[UNRANKED_TIER, 0, UNRANKED_TIER]])
    assert losses.stated_pairs(top_one)[0].nonzero().tolist() == [[1, 0], [1, 2]]


def test_cumulative_loss_without_stated_strengths_equals_the_plain_loss() -> None:
    none = torch.zeros(4, dtype=torch.long)
    odd = losses.cumulative_strength(rewards(), RAGGED, none, HALF, ties=True)
    assert torch.allclose(odd, losses.rao_kupper(rewards(), RAGGED, HALF[0]), atol=1e-12)
    zero = torch.zeros(1, dtype=torch.float64)
    even = losses.cumulative_strength(rewards(), RAGGED, none, zero, ties=False)
    assert torch.allclose(even, losses.bradley_terry(rewards(), RAGGED), atol=1e-12)


def test_margin_is_subtracted_only_from_pairs_with_a_strength() -> None:
    values = torch.tensor([[1.5, 0.0, -1.0]], dtype=torch.float64)
    loss = losses.bradley_terry(values, torch.tensor([[0, 1, 2]]), margins=torch.tensor([2 / 3]).double())
    by_pair = [-math.log(sigmoid(1.5 - 2 / 3)), -math.log(sigmoid(2.5)), -math.log(sigmoid(1.0))]
    assert loss.item() == pytest.approx(sum(by_pair) / 3, abs=1e-7)
    with pytest.raises(ValueError, match="not a likelihood"):
        losses.bradley_terry(
            values, torch.tensor([[0, 1, 2]]), margins=torch.ones(1), reliability=torch.ones(1)
        )


def test_crowd_bt_weights_both_verdicts_by_the_reliability() -> None:
    odds = torch.tensor([math.log(0.8 / 0.2), 0.0, 1.0, -0.5], dtype=torch.float64)
    pair = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    loss = losses.bradley_terry(pair, torch.tensor([[0, 1]]), reliability=odds[:1])
    assert loss.item() == pytest.approx(-math.log(0.8 * sigmoid(1.5) + 0.2 * sigmoid(-1.5)), abs=1e-12)
    expected = []
    for k, eta in enumerate(odds.sigmoid().tolist()):
        of_all = by_hand(partial(crowd_bt_chance, eta), None, rewards(), RAGGED)
        expected.append(of_all[k])
    assert losses.bradley_terry(rewards(), RAGGED, reliability=odds).tolist() == pytest.approx(
        expected, abs=1e-12
    )
    coin = losses.bradley_terry(pair, torch.tensor([[0, 1]]), reliability=torch.zeros(1).double())
    assert coin.item() == pytest.approx(math.log(2), abs=1e-12)
    with pytest.raises(ValueError, match="set only one"):
        losses.bradley_terry(pair, torch.tensor([[0, 1]]), reliability=odds[:1], label_smoothing=0.1)


def test_full_reliability_and_the_reliability_of_ties_do_not_change_the_loss() -> None:
    sure, unsure = torch.full((4,), 60.0, dtype=torch.float64), torch.full((4,), -0.3, dtype=torch.float64)
    h = HALF[0]
    for loss in (
        partial(losses.bradley_terry, rewards(), RAGGED),
        partial(losses.rao_kupper, rewards(), RAGGED, h),
        partial(losses.davidson, rewards(), RAGGED, h),
        partial(losses.cumulative_strength, rewards(), RAGGED, STATED, HALF, ties=True),
    ):
        assert torch.allclose(loss(reliability=sure), loss(), atol=1e-12)
        # All responses in the third ranking are tied.
        assert loss(reliability=unsure)[2].item() == pytest.approx(loss()[2].item(), abs=1e-12)
        assert not torch.allclose(loss(reliability=unsure)[:2], loss()[:2])


def test_beta_prior_loss_equals_the_negative_log_density_up_to_a_constant() -> None:
    odds = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
    density = torch.distributions.Beta(torch.tensor(8.0).double(), torch.tensor(2.0).double())
    difference = losses.beta_prior(odds, right=8.0, wrong=2.0) + density.log_prob(odds.sigmoid())
    assert torch.allclose(difference, difference[:1].expand(3), atol=1e-12)


def test_plackett_luce_multiplies_choice_probabilities_from_best_to_worst() -> None:
    values = rewards()[:1]
    strength = [math.exp(r) for r in values[0].tolist()]
    expected = 0.0
    for chosen, left in ((2, [0, 1, 2, 3]), (0, [0, 1, 3]), (3, [1, 3])):
        expected -= math.log(strength[chosen] / sum(strength[i] for i in left))
    loss = losses.plackett_luce(values, torch.tensor([[1, 3, 0, 2]]))
    assert loss.item() == pytest.approx(expected / 3, abs=1e-12)


def test_plackett_luce_probabilities_of_all_orders_sum_to_one() -> None:
    values = rewards()[:1]
    orders = torch.tensor(list(itertools.permutations(range(4))))
    total = (-3 * losses.plackett_luce(values.expand(24, 4), orders)).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def test_plackett_luce_has_one_choice_for_top_1_and_is_bradley_terry_for_a_pair() -> None:
    values = rewards()[:1]
    top = losses.plackett_luce(values, torch.tensor([[1, 0, 1, 1]]))
    assert top.item() == pytest.approx((values.logsumexp(1) - values[0, 1]).item(), abs=1e-12)
    pair, order = rewards()[:, :2], torch.tensor([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert torch.allclose(losses.plackett_luce(pair, order), losses.bradley_terry(pair, order))


def test_tied_responses_are_chosen_from_the_same_remaining_set() -> None:
    loss = losses.plackett_luce(
        torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64), torch.tensor([[0, 0, 1]])
    )
    remainder = math.log(math.exp(1) + math.exp(2) + math.exp(0.5))
    assert loss.item() == pytest.approx((2 * remainder - 3.0) / 2, abs=1e-12)


def test_unranked_responses_rank_below_all_others_and_are_not_tied() -> None:
    """A top-1 ranking of three responses yields two comparisons. Every loss counts exactly these two
    comparisons, however the loss treats ties."""
    values = torch.tensor([[0.3, 1.2, -0.5]], dtype=torch.float64)
    top_one = torch.tensor([[UNRANKED_TIER, 0, UNRANKED_TIER]])
    h, log_nu = torch.tensor(0.4, dtype=torch.float64), torch.tensor(-0.2, dtype=torch.float64)
    for loss in (
        losses.bradley_terry,
        lambda r, t: losses.rao_kupper(r, t, h),
        lambda r, t: losses.davidson(r, t, log_nu),
    ):
        pairs = [loss(values[:, [1, other]], torch.tensor([[0, 1]])) for other in (0, 2)]
        assert torch.allclose(loss(values, top_one), torch.stack(pairs).mean(dim=0))
        tied = loss(values, torch.tensor([[1, 0, 1]]))
        assert loss is losses.bradley_terry or not torch.allclose(tied, loss(values, top_one))
    as_last_tier = losses.plackett_luce(values, torch.tensor([[1, 0, 1]]))
    assert torch.allclose(losses.plackett_luce(values, top_one), as_last_tier)
    assert losses.pair_accuracy(values, top_one).item() == 1.0


def test_centring_penalty_is_the_mean_squared_sum_over_pairs() -> None:
    assert losses.centring(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0, 1, -1]])).item() == 9.0
    assert losses.centring(torch.tensor([[1.0, -1.0]]), torch.tensor([[0, 1]])).item() == 0.0


def test_accuracy_counts_equal_rewards_as_half_correct_and_is_nan_without_pairs() -> None:
    values = torch.tensor([[3.0, 1.0, 1.0], [1.0, 2.0, 0.0]])
    accuracy = losses.pair_accuracy(values, torch.tensor([[0, 1, 2], [0, 0, -1]]))
    assert accuracy[0].item() == pytest.approx(2.5 / 3)
    assert math.isnan(accuracy[1].item())


ODDS = torch.tensor([1.4, -0.2, 0.0, 0.7], dtype=torch.float64)
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "bradley_terry": lambda r: losses.bradley_terry(r, RAGGED, label_smoothing=0.1),
    "rao_kupper": lambda r: losses.rao_kupper(r, RAGGED, torch.tensor(0.5, dtype=torch.float64)),
    "davidson": lambda r: losses.davidson(r, RAGGED, torch.tensor(-0.5, dtype=torch.float64)),
    "cumulative_strength": lambda r: losses.cumulative_strength(r, RAGGED, STATED, HALF.to(r), ties=True),
    "crowd_bt": lambda r: losses.bradley_terry(r, RAGGED, reliability=ODDS.to(r)),
    "crowd_strength": lambda r: losses.cumulative_strength(
        r, RAGGED, STATED, HALF.to(r), ties=True, reliability=ODDS.to(r)
    ),
    "margins": lambda r: losses.bradley_terry(r, RAGGED, margins=STATED.to(r)),
    "plackett_luce": lambda r: losses.plackett_luce(r, RAGGED),
    "centring": lambda r: losses.centring(r, RAGGED),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_numerical_derivatives(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name], (rewards().requires_grad_(),))


def test_gradients_of_tie_parameters_equal_numerical_derivatives() -> None:
    parameter = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: losses.rao_kupper(rewards(), RAGGED, h), (parameter,))
    assert torch.autograd.gradcheck(lambda v: losses.davidson(rewards(), RAGGED, v), (parameter,))


def test_threshold_and_reliability_gradients_equal_numerical_derivatives() -> None:
    for half, ties in ((HALF, True), (torch.tensor([0.0, 0.9, 2.0], dtype=torch.float64), False)):
        assert torch.autograd.gradcheck(
            lambda a, o, ties=ties: losses.cumulative_strength(
                rewards(), RAGGED, STATED, a, ties=ties, reliability=o
            ),
            (half.clone().requires_grad_(), ODDS.clone().requires_grad_()),
        )
    odds = ODDS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda o: losses.bradley_terry(rewards(), RAGGED, reliability=o), (odds,))
    assert torch.autograd.gradcheck(lambda o: losses.beta_prior(o, right=8, wrong=2), (odds,))


@pytest.mark.parametrize("name", LOSSES)
def test_padding_affects_neither_losses_nor_gradients(name: str) -> None:
    clean, dirty = rewards().requires_grad_(), rewards()
    dirty[RAGGED < 0] = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    dirty.requires_grad_()
    (expected,) = torch.autograd.grad(LOSSES[name](clean).sum(), clean)
    (found,) = torch.autograd.grad(LOSSES[name](dirty).sum(), dirty)
    assert torch.equal(LOSSES[name](clean), LOSSES[name](dirty))
    assert torch.equal(expected, found)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_extreme_rewards_are_finite_in_single_precision(name: str) -> None:
    far = (rewards().float() * 1e4).requires_grad_()
    loss = LOSSES[name](far)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert far.grad is not None
    assert torch.isfinite(far.grad).all()


def test_mismatched_shapes_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"rewards \(2, 3\) and tiers \(2, 2\)"):
        losses.bradley_terry(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.long))
