"""A run's reward is the weighted mean of its reward models' standardised scores."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import GPT2ForSequenceClassification

from tests.training.rlhf import tiny
from tests.training.rlhf.judging.reward_models import EOS, asked, policy, reward_model
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.judging.floors import FloorState, combined_spread
from training.rlhf.judging.judge import RewardNotFinite
from training.rlhf.judging.judges import Asked, Judges, open_judges
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.parts.trunks import head_of
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.parts.rewards import Floor, UsesRewards
from training.rlhf.reward.scoring import score_groups

torch.set_num_threads(1)
HELPFUL: dict[str, Any] = {"mean": 0.3, "std": 0.5}
HARMLESS: dict[str, Any] = {"mean": -0.2, "std": 2.0}
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}w1 {{ m['content'] }} w2 {% endfor %}"
)


def two(**settings: object) -> Judges:
    sources = {"helpful": reward_model(1, **HELPFUL), "harmless": reward_model(2, **HARMLESS)}
    return open_judges(sources, UsesRewards(**settings), policy=policy())  # type: ignore[arg-type]


def state(floor: float, multiplier: float) -> FloorState:
    return FloorState(
        floors={"harmless": floor}, integrals={"harmless": multiplier}, multipliers={"harmless": multiplier}
    )


def test_reward_is_the_weighted_mean_of_standardised_scores() -> None:
    found = two(reward_weights="helpful=1, harmless=0.5").score(asked())
    helpful, harmless = (found.parts[name].double() for name in ("helpful", "harmless"))
    expected = (1.0 * (helpful - 0.3) / 0.5 + 0.5 * (harmless + 0.2) / 2.0) / 1.5
    torch.testing.assert_close(found.scores.double(), expected, atol=1e-6, rtol=0)
    assert expected.std() > 0.05


def test_multiplier_is_the_weight_of_the_distance_to_the_floor() -> None:
    judges = two(reward_floors="harmless=0.25")
    found = judges.score(asked(), state(0.25, 3.0))
    z = {name: scores.double() for name, scores in found.standard.items()}
    expected = (z["helpful"] + 3.0 * (z["harmless"] - 0.25)) / (1 + 3.0)
    torch.testing.assert_close(found.scores.double(), expected, atol=1e-6, rtol=0)


def test_reward_of_a_single_reward_model_is_its_standardised_score() -> None:
    loaded, questions = reward_model(1, **HELPFUL), asked()
    judges = open_judges(loaded, UsesRewards(), policy=policy())
    found = judges.score(questions)
    groups = [judges.judges[0]._group(one, judges.policy) for one in questions]
    raw = torch.cat(score_groups(loaded.model, groups, pad_id=chat.pad_id(loaded.tokenizer)))
    assert torch.equal(found.scores, (raw - 0.3) / 0.5)
    assert judges.metrics(found, judges.initial_state()) == {}
    assert judges.adapted(judges.initial_state(), found) == judges.initial_state()


def test_reward_model_with_dropout_gives_the_same_rewards_as_in_eval_mode() -> None:
    """The reward model is passed in memory, in train mode."""
    config = tiny.gpt2_policy().config
    config.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2ForSequenceClassification(config)
    assert config.resid_pdrop > 0
    model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    judges = open_judges(Loaded(model.train(), tiny.tokenizer()), UsesRewards(), policy=policy())
    found = [judges.score(asked()).scores for _ in range(2)]
    assert torch.equal(*found)
    model.train(False)
    assert torch.equal(found[0], judges.score(asked()).scores)


def test_first_reward_model_has_weight_1_unless_the_weights_setting_lists_it() -> None:
    assert two(reward_weights="harmless=0.5").weights == {"helpful": 1.0, "harmless": 0.5}
    assert two(reward_weights="harmless=2,helpful=0.1").weights == {"helpful": 0.1, "harmless": 2.0}
    assert two(reward_floors="harmless=start").weights == {"helpful": 1.0, "harmless": 0.0}


def test_spreads_are_combined_as_independent_errors() -> None:
    spreads = {"a": torch.tensor([0.3, 0.0]), "b": torch.tensor([0.4, 0.4])}
    none = FloorState(floors={}, integrals={}, multipliers={})
    found = combined_spread(spreads, {"a": 1.0, "b": 3.0}, none)
    torch.testing.assert_close(found, torch.tensor([math.hypot(0.3, 1.2) / 4, 0.3]))
    assert torch.equal(combined_spread({"a": spreads["a"]}, {"a": 5.0}, none), spreads["a"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reward_weights": "helpful"}, "contains 'helpful'. Write weights as"),
        ({"reward_weights": "helpful=1 harmless=2"}, "contains 'helpful=1 harmless=2'"),
        ({"reward_weights": "helpful=-1"}, "A weight must be a number above 0"),
        ({"reward_weights": "helpful=nan"}, "A weight must be a number"),
        ({"reward_weights": "a=1, a=2"}, "contains a twice"),
        ({"reward_floors": "harmless=begin"}, "A floor must be start"),
        ({"reward_floors": "harmless=start*2"}, "A floor must be start"),
        ({"reward_floors": "harmless=inf"}, "A floor must be start"),
    ],
)
def test_invalid_weights_and_floors_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UsesRewards(**settings)  # type: ignore[arg-type]


def test_floor_is_a_number_or_relative_to_the_starting_policy() -> None:
    text = "a=start, b = start - 0.2, c=start+.5, d=-1.5"
    assert UsesRewards(reward_floors=text).floors_of() == {  # type: ignore[call-arg]
        "a": Floor(True, 0.0),
        "b": Floor(True, -0.2),
        "c": Floor(True, 0.5),
        "d": Floor(False, -1.5),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"reward_weights": "kind=1, harmless=1"},
            "`reward_weights` lists kind, but the run's reward models",
        ),
        ({"reward_floors": "kind=0, harmless=0"}, "`reward_floors` lists kind"),
        ({}, "harmless have neither a weight nor a floor"),
    ],
)
def test_recipe_that_does_not_match_the_reward_models_is_refused(
    settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UnusableInput, match=message):
        two(**settings)


def test_floor_on_the_only_reward_model_is_refused() -> None:
    config = UsesRewards(reward_floors="reward_model=0")  # type: ignore[call-arg]
    with pytest.raises(UnusableInput, match="the run's only reward model"):
        open_judges(reward_model(), config, policy=policy())


def test_loop_that_does_not_support_floors_fails_instead_of_ignoring_them() -> None:
    with pytest.raises(UnusableInput, match="depends on the state of the floors"):
        two(reward_floors="harmless=start").score(asked())


def test_error_for_a_nan_reward_names_the_reward_model() -> None:
    judges = two(reward_weights="harmless=1")
    with torch.no_grad():
        head_of(judges.judges[1].model).weight.fill_(math.inf)
    with pytest.raises(RewardNotFinite, match=r"'harmless' gave 6 of 6 answers") as caught:
        judges.score(asked())
    assert caught.value.kind == FailureKind.REWARD_NOT_FINITE


def test_answer_too_long_for_the_reward_model_is_truncated_and_counted() -> None:
    """The other answers are scored with the complete prompt, so their scores don't change."""
    [one] = asked(1)
    long = replace(one, answers=[*one.answers, [*range(10, 40), EOS]])
    limit = 24
    judges = open_judges(reward_model(1, max_length=limit), UsesRewards(), policy=policy())
    alone, found = judges.score([one]), judges.score([long])
    torch.testing.assert_close(found.scores[:2], alone.scores)
    seen = limit - len(one.prompt)
    cut = judges.score([replace(one, answers=[[*range(10, 10 + seen - 1), EOS]])])
    torch.testing.assert_close(found.scores[2:], cut.scores)
    assert found.truncated == {"reward_model": 1}
    assert judges.metrics(found, judges.initial_state()) == {"rewards/reward_model/truncated": 1.0}


def test_answers_to_a_prompt_that_the_template_rejects_get_the_mean_reward() -> None:
    words = tiny.tokenizer()
    words.chat_template = NO_SYSTEM
    judges = open_judges(reward_model(1, **HELPFUL, words=words), UsesRewards(), policy=policy())
    assert not judges.judges[0].same_tokens
    [first, second, third] = asked()
    rejected = Asked([{"role": "system", "content": "w1"}, *second.messages], second.prompt, second.answers)
    found, without = judges.score([first, rejected, third]), judges.score([first, third])
    torch.testing.assert_close(found.scores[[0, 1, 4, 5]], without.scores)
    assert found.scores[[2, 3]].tolist() == [0.0, 0.0]
    assert found.refused == {"reward_model": 2}
    prompts = [first.messages, rejected.messages]
    assert judges.readable(prompts) == [first.messages]


def test_reward_model_with_a_different_vocabulary_scores_the_text() -> None:
    other = Loaded(reward_model(2).model, tiny.tokenizer(pad_is_eos=True))
    other.tokenizer.chat_template = NO_SYSTEM
    judges = open_judges(
        {"helpful": reward_model(1), "harmless": other},
        UsesRewards(reward_weights="harmless=1"),  # type: ignore[call-arg]
        policy=policy(),
    )
    assert [judge.same_tokens for judge in judges.judges] == [True, False]
    assert judges.score(asked()).scores.shape == (6,)
