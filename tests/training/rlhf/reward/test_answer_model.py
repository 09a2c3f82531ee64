"""Training learns parameters for preference strengths, annotator reliability and position effects."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS, message
from training.rlhf.data.batching import Group, Stated, stated_in
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.models.loading.saving import save_model
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses
from training.rlhf.reward.answer_model import AnswerKey, AnswerModel, answer_key
from training.rlhf.reward.batch_loss import preference_loss
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.reward_model import train
from training.rlhf.reward.scoring import LayoutChoice, batches, load_for_training, rewards_of

CROWD = RewardModelConfig(annotators="crowd_bt")


def said_by(annotator: str, **changes: Any) -> Ranking:
    return dataclasses.replace(
        Ranking(message("w1"), ("w2", "w3"), ((0,), (1,)), annotator=annotator), **changes
    )


def pair(annotator: int, *, weight: float = 1.0, first_wins: bool = True, **changes: Any) -> Group:
    return Group([2], [[5], [6]], [0, 1] if first_wins else [1, 0], weight, annotator=annotator, **changes)


def test_levels_and_annotators_are_collected_from_the_rankings() -> None:
    rankings = [
        said_by("b", strength=4),
        said_by("a", strength=1),
        said_by("b", strength=2),
        said_by("", strength=4),
        said_by("a"),
        said_by("a", strength=0),
    ]
    config = RewardModelConfig(strength="cumulative", annotators="crowd_bt")
    assert answer_key(config, rankings) == AnswerKey({1: 1, 2: 2, 4: 3}, {"a": 1, "b": 2})
    assert answer_key(RewardModelConfig(), rankings) == AnswerKey()


@pytest.mark.parametrize(
    ("recipe", "rankings", "reason"),
    [
        ({"strength": "cumulative"}, [said_by("a", strength=0)], "Set `strength` to `ignore`"),
        (
            {"strength": "cumulative"},
            [said_by("a", strength=n) for n in range(1, 22)],
            "21 different strengths.*at most 20",
        ),
        (
            {"strength": "margin", "margins": "1=0.5"},
            [said_by("a", strength=n) for n in (1, 2, 2)],
            "no entry for strength 2, which 2 rankings state. List all levels: 1, 2",
        ),
        ({"annotators": "crowd_bt"}, [said_by("")], "Set `annotators` to `alike`"),
        ({"positions": "learned"}, [said_by("a")], "Set `positions` to `ignore`"),
    ],
)
def test_recipe_is_rejected_if_the_rankings_lack_the_required_data(
    recipe: dict[str, Any], rankings: list[Ranking], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        answer_key(RewardModelConfig.model_validate(recipe), rankings)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"strength": "cumulative", "loss": "plackett_luce"}, "Set `loss` to `bradley_terry`"),
        ({"strength": "cumulative", "ties": "davidson"}, "Set `ties` to `rao_kupper`"),
        ({"strength": "margin"}, "`margins` is empty. Write margins as"),
        ({"margins": "1=0.5"}, "Set `strength` to `margin`"),
        ({"strength": "margin", "margins": "1=0.5, 2"}, "'2'. Write margins as"),
        ({"strength": "margin", "margins": "1=-1"}, "between 0 and 100 reward units"),
        ({"strength": "margin", "margins": "1=nan"}, "between 0 and 100 reward units"),
        ({"strength": "margin", "margins": "1=1", "ties": "davidson"}, "not a likelihood"),
        ({"strength": "margin", "margins": "1=1", "label_smoothing": 0.1}, "not a likelihood"),
        ({"strength": "margin", "margins": "1=1", "annotators": "crowd_bt"}, "not a likelihood"),
        ({"annotators": "crowd_bt", "loss": "plackett_luce"}, "Set `loss` to `bradley_terry`"),
        ({"annotators": "crowd_bt", "label_smoothing": 0.1}, "Set `label_smoothing` to 0"),
        ({"annotators": "crowd_bt", "prior_right": 2}, "prior_right must exceed prior_wrong"),
    ],
)
def test_contradictory_recipe_is_rejected_with_a_reason(recipe: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RewardModelConfig.model_validate(recipe)


def test_answer_model_uses_the_loss_that_its_recipe_specifies() -> None:
    groups = [
        Group([2], [[5], [6], [7]], [0, 1, 2], strength=2, annotator=1, in_shown_order=True),
        Group([2], [[5], [6], [7]], [1, 0, 0], strength=0, annotator=0, in_shown_order=False),
    ]
    said = stated_in(groups)
    rewards = torch.tensor([[0.4, -0.1, 1.0], [0.2, 0.9, -0.3]])
    key = AnswerKey({1: 1, 3: 2}, {"a": 1})

    def model(**recipe: Any) -> AnswerModel:
        made = AnswerModel(RewardModelConfig.model_validate(recipe), key, groups)
        with torch.no_grad():
            for number, parameter in enumerate(made.parameters()):
                parameter.copy_(0.3 + 0.1 * number + 0.2 * torch.arange(parameter.numel()).view_as(parameter))
        return made

    crowd = model(strength="cumulative", ties="rao_kupper", annotators="crowd_bt")
    half = crowd.thresholds()
    assert half.tolist() == sorted(half.tolist())
    assert half[0] > 0
    # An unknown annotator's reliability is the prior mean.
    odds = torch.stack((crowd.reliability[0], torch.tensor(math.log(8 / 2))))
    assert torch.equal(
        crowd(rewards, said),
        losses.cumulative_strength(
            rewards, said.tiers, torch.tensor([2, 0]), half, ties=True, reliability=odds
        ),
    )
    assert model(strength="cumulative").thresholds()[0] == 0
    assert torch.equal(
        model(strength="margin", margins="1=0.5, 3=1.5")(rewards, said),
        losses.bradley_terry(rewards, said.tiers, margins=torch.tensor([1.5, 0.0])),
    )
    placed = model(positions="learned")
    seen = rewards + torch.tensor([[0.0, *placed.offsets.tolist()], [0.0, 0.0, 0.0]])
    assert torch.equal(placed(rewards, said), losses.bradley_terry(seen, said.tiers))
    wider = Stated(torch.tensor([[0, 1, 2, 3]]), *(column[:1] for column in said[1:]))
    assert torch.isfinite(placed(torch.zeros(1, 4), wider)).all()  # a position that did not occur in training


def test_each_prior_counts_once_per_epoch_however_the_rankings_are_batched() -> None:
    groups = [pair(1), pair(1, weight=3.0), pair(2, weight=0.5), pair(0)]
    answers = AnswerModel(CROWD, AnswerKey({}, {"a": 1, "b": 2}), groups)
    with torch.no_grad():
        answers.reliability.copy_(torch.tensor([0.4, -1.0]))
    weights = torch.tensor([group.weight for group in groups])
    whole = (answers.prior(stated_in(groups)) * weights).sum()
    expected = losses.beta_prior(torch.tensor([0.4, -1.0]), right=8, wrong=2).sum()
    assert whole.item() == pytest.approx(expected.item(), rel=1e-6)
    assert answers.prior(stated_in(groups[3:])).item() == 0.0


def test_reliabilities_maximise_the_posterior_and_intervals_match_its_curvature() -> None:
    generator = torch.Generator().manual_seed(0)
    eta = torch.tensor([0.95, 0.7, 0.4], dtype=torch.float64)
    who = torch.arange(3).repeat_interleave(400)
    rewards = 1.5 * torch.randn(1200, 2, generator=generator)
    better = torch.sigmoid((rewards[:, 0] - rewards[:, 1]).double())
    chance = eta[who] * better + (1 - eta[who]) * (1 - better)
    first_won = torch.rand(1200, generator=generator) < chance
    groups = [pair(k + 1, first_wins=won) for k, won in zip(who.tolist(), first_won.tolist(), strict=True)]
    answers = AnswerModel(CROWD, AnswerKey({}, {"a": 1, "b": 2, "c": 3}), [*groups, pair(0)])
    found = answers.settle_reliabilities([*groups, pair(0)], [*rewards, torch.zeros(2)])

    grid = torch.linspace(-6, 6, 6001, dtype=torch.float64)
    for number, one in enumerate(found.values()):
        agreed = torch.where(first_won, better, 1 - better)[who == number]
        e = grid.sigmoid()[:, None]
        density = (e * agreed + (1 - e) * (1 - agreed)).log().sum(1) + 7 * e[:, 0].log() + (1 - e[:, 0]).log()
        best = int(density.argmax())
        assert math.log(one.value / (1 - one.value)) == pytest.approx(float(grid[best]), abs=0.002)
        around = density[[best - 50, best, best + 50]]
        curvature = -float(around[0] - 2 * around[1] + around[2]) / 0.1**2
        half_width = (math.log(one.high / (1 - one.high)) - math.log(one.low / (1 - one.low))) / 2
        assert half_width == pytest.approx(1.96 / math.sqrt(curvature), rel=0.02)
        assert one.rankings == 400
        assert one.low < eta[number] < one.high
    assert found["a"].low > found["b"].high
    assert found["b"].low > found["c"].high
    assert torch.sigmoid(answers.reliability).tolist() == pytest.approx([r.value for r in found.values()])


def test_position_effects_are_recovered_if_the_display_order_is_known() -> None:
    """If two responses are equally good, the one shown first wins 70% of the time: sigma(-offset) = 0.7."""
    config = RewardModelConfig(positions="learned")
    groups = [pair(0, first_wins=n % 10 < 7, in_shown_order=True) for n in range(100)]
    groups += [pair(0, first_wins=False) for _ in range(300)]
    answers = AnswerModel(config, AnswerKey(), groups)
    said, rewards = stated_in(groups), torch.zeros(len(groups), 2)
    search = torch.optim.LBFGS([answers.offsets], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> float:
        search.zero_grad()
        loss = answers(rewards, said).sum()
        loss.backward()
        return float(loss.detach())

    search.step(closure)
    assert torch.sigmoid(-answers.offsets).item() == pytest.approx(0.7, abs=1e-4)


def test_gradients_of_micro_batches_in_every_layout_sum_to_those_of_the_batch(tmp_path: Path) -> None:
    """Every ranking keeps its annotator, strength and display order in every micro-batch."""
    config = RewardModelConfig(
        strength="cumulative", ties="rao_kupper", annotators="crowd_bt", positions="learned"
    )
    rankings = [
        dataclasses.replace(
            ranking,
            annotator=("ann", "ben", "")[number % 3],
            strength=(1, 2, None)[number % 2 + number // 8],
            weight=1 + number % 2,
            in_shown_order=number % 4 > 0,
        )
        for number, ranking in enumerate(RANKINGS[:12])
    ]
    key = answer_key(config, rankings)
    groups, _, _ = encode_rankings(rankings, tiny.tokenizer(), max_length=100, ties="rao_kupper", key=key)
    answers = AnswerModel(config, key, groups)
    model, _ = load_for_training(save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy"))
    found = []
    cuts: tuple[tuple[LayoutChoice, int], ...] = (("packed", 10_000), ("packed", 60), ("separate", 90))
    for layout, max_tokens in cuts:
        for _, batch in batches(model, groups, layout=layout, max_tokens=max_tokens, pad_id=0):
            per_ranking = preference_loss(config, rewards_of(model, batch), batch, answers)
            ((per_ranking + answers.prior(batch.stated)) * batch.weights).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in answers.parameters() if p.grad is not None]))
        answers.zero_grad()
    assert found[0].abs().min() > 1e-3  # every parameter has a gradient
    assert torch.allclose(found[1], found[0], atol=1e-4)
    assert torch.allclose(found[2], found[0], atol=1e-4)


def test_training_learns_reliabilities_and_thresholds_and_position_effects(tmp_path: Path) -> None:
    """Half of Carl's rankings are reversed. All annotators state strength 1 for a small difference and
    strength 2 for a large difference."""
    rankings = []
    for number, ranking in enumerate(RANKINGS * 2):
        best, second, *rest = ranking.tiers
        # In every second ranking, the best response is paired with the worst one instead of the second best.
        wide = number % 2 == 0
        tiers = (best, rest[-1]) if wide else (best, second)
        texts = tuple(ranking.responses[tier[0]] for tier in tiers)
        name = ("ann", "ben", "carl")[number % 3]
        turned = name == "carl" and number % 4 < 2
        rankings.append(
            dataclasses.replace(
                ranking,
                responses=texts if number % 5 else texts[::-1],
                tiers=((0,), (1,)) if turned == (number % 5 == 0) else ((1,), (0,)),
                strength=2 if wide else 1,
                annotator=name,
                in_shown_order=True,
            )
        )
    config = RewardModelConfig(
        strength="cumulative",
        annotators="crowd_bt",
        positions="learned",
        epochs=3,
        batch_rankings=8,
        learning_rate=5e-3,
        evaluations=1,
    )
    policy = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    result = train(config, base_model=policy, rankings=rankings, heldout=HELDOUT, out_dir=tmp_path / "rm")
    ann, ben, carl = (result.annotators[name] for name in ("ann", "ben", "carl"))
    assert carl.high < min(ann.value, ben.value)
    assert carl.value == pytest.approx(0.5, abs=0.15)
    assert {one.rankings for one in (ann, ben, carl)} == {42, 43}
    notes = json.loads((result.path / "config.json").read_text())["rankloop"]
    assert notes["annotators"]["carl"] == {
        "reliability": carl.value, "low": carl.low, "high": carl.high, "rankings": carl.rankings
    }  # fmt: skip
    assert notes["strength_thresholds"]["1"] == 0
    assert notes["strength_thresholds"]["2"] > 0
    assert len(notes["position_offsets"]) == 2
    assert result.metrics["reliability/lowest"] == carl.value
    assert result.metrics["heldout/accuracy"] > 0.85


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_initial_tie_probability_equals_the_tie_frequency_in_the_data(ties: str) -> None:
    # In the three rankings, 1 of 3, 0 of 1 and 1 of 3 pairs are ties. The two responses that the top-2
    # ranking leaves unranked are not tied.
    tiers = [[0, 0, 1], [1, 0], [0, 0, UNRANKED_TIER, UNRANKED_TIER]]
    groups = [Group([2], [[5]] * len(each), each) for each in tiers]
    config = RewardModelConfig.model_validate({"ties": ties})
    model = AnswerModel(config, AnswerKey(), groups)
    tied = model(torch.zeros(1, 2), stated_in([Group([2], [[5], [6]], [0, 0])]))
    assert math.exp(-tied.item()) == pytest.approx((2 + 0.5) / (3 + 1 + 5 + 1), rel=1e-5)
    assert AnswerModel(config, AnswerKey(), []).tie.isfinite()
    alike = [Group([2], [[5], [6]], [0, 0])] * 1000
    assert AnswerModel(config, AnswerKey(), alike).tie.isfinite()
