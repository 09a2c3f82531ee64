"""The predicted probabilities of a saved model equal its training likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from training.rlhf.data.batching import Group, stated_in
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.reward.answer_model import AnswerKey, AnswerModel, Reliability

RECIPES: list[dict[str, Any]] = [
    {},
    {"loss": "plackett_luce"},
    {"ties": "rao_kupper"},
    {"ties": "davidson"},
    {"ties": "rao_kupper", "strength": "cumulative"},
    {"ties": "ignore", "strength": "cumulative"},
    {"ties": "rao_kupper", "annotators": "crowd_bt"},
    {"ties": "davidson", "annotators": "crowd_bt", "positions": "learned"},
    {"ties": "rao_kupper", "strength": "cumulative", "annotators": "crowd_bt", "positions": "learned"},
]
PEOPLE = ("", "ann", "bob")
LEVELS = (1, 2, 4)
DIFFERENCES = (-6.0, -0.7, 0.0, 0.4, 2.5)


def learned(recipe: dict[str, Any]) -> tuple[AnswerModel, AnswerLink]:
    """An answer model with fixed parameters, and the answer link restored from its saved parameters."""
    config = RewardModelConfig.model_validate(recipe)
    key = AnswerKey(
        {level: place for place, level in enumerate(LEVELS, 1)} if config.strength != "ignore" else {},
        {"ann": 1, "bob": 2} if config.annotators == "crowd_bt" else {},
    )
    seen = [Group([2], [[5], [6]], [0, 1], annotator=1 if key.annotators else 0, in_shown_order=True)]
    answers = AnswerModel(config, key, seen).double()
    with torch.no_grad():
        answers.tie.fill_(0.3)
        answers.steps.copy_(torch.linspace(0.2, 0.9, len(answers.steps)))
        answers.reliability.copy_(torch.tensor([2.0, -0.4][: len(answers.reliability)]))
        answers.offsets.fill_(-0.35)
    known = {
        name: Reliability(float(odds.sigmoid()), 0.0, 1.0, rankings=1)
        for name, odds in zip(key.annotators, answers.reliability.detach(), strict=True)
    }
    return answers, AnswerLink.from_notes(answers.notes(known))


def chance_by_loss(
    answers: AnswerModel, difference: float, tiers: list[int], *, annotator: str, strength: int = 0
) -> float:
    """The training likelihood of one pair: e^−loss."""
    group = Group(
        [2],
        [[5], [6]],
        tiers,
        annotator=answers.key.annotators.get(annotator, 0),
        strength=answers.key.levels.get(strength, 0),
        in_shown_order=True,
    )
    rewards = torch.tensor([[difference, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        return float((-answers(rewards, stated_in([group]))).exp())


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("annotator", PEOPLE)
def test_probabilities_equal_the_training_likelihood(recipe: dict[str, Any], annotator: str) -> None:
    answers, link = learned(recipe)
    moved = float(np.diff(link.offset_of(np.array([1, 0])))[0])
    seen = np.array(DIFFERENCES) + moved
    eta = link.reliability_of([annotator] * len(seen))
    probabilities = link.probabilities(seen, eta)
    assert np.sum(probabilities, axis=0) == pytest.approx(1.0, abs=1e-9)
    for place, d in enumerate(DIFFERENCES):
        by_loss = [chance_by_loss(answers, d, tiers, annotator=annotator) for tiers in ([0, 1], [1, 0])]
        assert [probabilities.first[place], probabilities.second[place]] == pytest.approx(by_loss, rel=1e-5)
        if link.ties != "ignore":
            tie = chance_by_loss(answers, d, [0, 0], annotator=annotator)
            assert probabilities.tie[place] == pytest.approx(tie, rel=1e-5)
        else:
            assert probabilities.tie[place] == 0
        if link.strength_thresholds:
            reached = link.at_least(seen, eta)[place]
            exactly = np.append(reached[:-1] - reached[1:], reached[-1])
            of_levels = [chance_by_loss(answers, d, [0, 1], annotator=annotator, strength=s) for s in LEVELS]
            assert exactly == pytest.approx(of_levels, rel=1e-4, abs=1e-12)
    if "positions" in recipe:
        assert moved == pytest.approx(0.35)
    if recipe.get("annotators"):
        assert link.reliability_of(PEOPLE) == pytest.approx([0.8, 0.880797, 0.401312], abs=1e-5)


def test_model_trained_with_other_software_uses_bradley_terry() -> None:
    for notes in (None, {}):
        link = AnswerLink.from_notes(notes)
        probabilities = link.probabilities(np.array([np.log(3.0), -800.0, 800.0]))
        assert probabilities.first == pytest.approx([0.75, 0.0, 1.0])
        assert probabilities.tie == pytest.approx(0.0)


def test_unknown_tie_model_is_rejected() -> None:
    with pytest.raises(ValueError, match="ties is 'thurstone'; it must be one of ignore, rao_kupper"):
        AnswerLink.from_notes({"ties": "thurstone"})
