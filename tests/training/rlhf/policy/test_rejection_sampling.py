"""A policy is fine-tuned on the best of N answers, and its mean reward from the reward model improves."""

import itertools
import random
import statistics
from pathlib import Path

import pytest
import torch

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import arbitrary_reward_model, short_speaker, tokenizer, untrained_policy
from training import demo_world
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled
from training.rlhf.generation.decoding import Completion
from training.rlhf.generation.evaluation import compare, evaluate
from training.rlhf.models.loading import load_policy, save_model
from training.rlhf.policy.rejection_sampling import (
    Candidates,
    best_of_curve,
    best_row,
    sample_and_score,
    train,
)
from training.rlhf.recipes.answers import EvaluateConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.reward import scoring
from training.rlhf.reward.beliefs import beliefs_about
from training.rlhf.reward.uncertainty import LastLayer, write

PROMPTS = demo_world.prompts(96, seed=21)
QUICK = RejectionSamplingConfig(
    samples_per_prompt=6, max_new_tokens=12, learning_rate=1e-2, epochs=4, batch_size=16, sample_tokens=12
)


def test_policy_improves_significantly(tmp_path: Path) -> None:
    reward_model, report = arbitrary_reward_model(), ListReporter()

    def judge(messages: Messages, text: str) -> float:
        return float(scoring.score(*reward_model, [(messages, [text])])[0][0])

    fresh = demo_world.prompts(60, seed=22)
    config = EvaluateConfig(responses_per_prompt=4, max_new_tokens=12)
    before = evaluate(config, policy=short_speaker(), prompts=fresh, judge=judge)
    result = train(
        QUICK,
        policy=short_speaker(),
        reward_model=reward_model,
        prompts=PROMPTS,
        out_dir=tmp_path / "better",
        report=report,
    )
    after = evaluate(config, policy=load_policy(result.path), prompts=fresh, judge=judge)
    paired = compare(after, before)
    assert paired.difference > 2 * paired.standard_error

    assert result.prompts == 96
    assert 0 < result.kept <= 96
    assert result.reward_best > result.reward_mean
    assert list(result.best_of.values()) == sorted(result.best_of.values())
    assert len(report.series("best_of_6")) == 1
    assert len(report.series("loss")) == result.steps
    assert {row["scores"].keys() == {"reward_before", "reward_after"} for row in report.sample_rows} == {True}


def test_cancelled_run_writes_nothing(tmp_path: Path) -> None:
    for checks in (1, 3, 9):
        with pytest.raises(Cancelled):
            train(
                QUICK,
                policy=short_speaker(),
                reward_model=arbitrary_reward_model(),
                prompts=PROMPTS[:40],
                out_dir=tmp_path / "better",
                report=ListReporter(cancel_after=checks),
            )
        assert list(tmp_path.iterdir()) == []


def test_run_fails_if_all_answers_are_truncated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of the 4 prompts.*Raise max_new_tokens"):
        train(
            QUICK.model_copy(update={"max_new_tokens": 2}),
            policy=untrained_policy(),
            reward_model=arbitrary_reward_model(),
            prompts=PROMPTS[:4],
            out_dir=tmp_path / "better",
        )
    assert list(tmp_path.iterdir()) == []


def candidates(rewards: list[float], finished: list[bool]) -> Candidates:
    completions = [Completion([10 + i], done) for i, done in enumerate(finished)]
    return Candidates(PROMPTS[0], [1, 2], completions, ["text"] * len(rewards), rewards)


def test_best_finished_answer_is_kept_with_its_sampled_tokens() -> None:
    row = best_row(candidates([1.0, 3.0, 9.0, 3.0], [True, True, False, True]), min_gain=0.0)
    assert row is None, "the mean of all four is above the best finished one"
    row = best_row(candidates([1.0, 3.0, 2.0, 3.0], [True, True, False, True]), min_gain=0.0)
    assert row is not None
    assert row.response == [11]
    assert best_row(candidates([1.0, 3.0], [False, False]), min_gain=0.0) is None
    assert best_row(candidates([1.0, 3.0], [True, True]), min_gain=1.5) is None
    assert best_row(candidates([1.0, 3.0], [True, True]), min_gain=1.0) is not None


def test_best_of_n_curve_is_the_mean_maximum_over_all_subsets() -> None:
    rng = random.Random(0)
    rewards = [rng.gauss(0, 1) for _ in range(7)]
    curve = best_of_curve(rewards)
    for n in range(1, 8):
        subsets = itertools.combinations(rewards, n)
        assert curve[n] == pytest.approx(statistics.mean(max(subset) for subset in subsets))
    assert curve[1] == pytest.approx(statistics.mean(rewards))
    assert curve[7] == pytest.approx(max(rewards))


def test_curve_is_an_unbiased_estimate_of_the_expected_maximum() -> None:
    draws = torch.rand(4000, 8, generator=torch.Generator().manual_seed(0)).tolist()
    for n in (1, 2, 4):
        mean = statistics.mean(best_of_curve(row)[n] for row in draws)
        assert mean == pytest.approx(n / (n + 1), abs=0.01)  # the expected maximum of n uniform values


def test_tokenizer_of_the_result_keeps_its_eos_token(tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"epochs": 1})
    result = train(
        config,
        policy=short_speaker(),
        reward_model=arbitrary_reward_model(),
        prompts=PROMPTS[:16],
        out_dir=tmp_path / "better",
    )
    assert load_policy(result.path).tokenizer.eos_token_id == tokenizer().eos_token_id


def test_caution_subtracts_standard_deviations_before_selection(tmp_path: Path) -> None:
    judge, report = arbitrary_reward_model(), ListReporter()
    generator = torch.Generator().manual_seed(1)
    uncertainty = LastLayer(
        torch.randn(32, 32, generator=generator), torch.zeros(32), torch.tensor(1.0), torch.tensor(1.0)
    )
    config = QUICK.model_copy(update={"caution": 2.0})
    candidates, _ = sample_and_score(config, short_speaker(), judge, uncertainty, PROMPTS[:6], report)
    for one in candidates:
        (belief,) = beliefs_about(*judge, [(one.messages, one.texts)], uncertainty)
        assert one.rewards == pytest.approx((belief.mean - 2 * belief.spread).tolist(), abs=1e-4)
    assert report.series("reward_spread")[0] > 0.1

    folder = save_model(*judge, tmp_path / "unsure", add=lambda partial: write(uncertainty, partial))
    bold, careful = (
        train(
            QUICK.model_copy(update={"caution": caution, "epochs": 1}),
            policy=short_speaker(),
            reward_model=folder,
            prompts=PROMPTS[:6],
            out_dir=tmp_path / f"by-{caution}",
        )
        for caution in (0.0, 2.0)
    )
    assert careful.reward_best < bold.reward_best
    with pytest.raises(ValueError, match="has no uncertainty estimate"):
        train(config, policy=short_speaker(), reward_model=judge, prompts=PROMPTS[:6], out_dir=tmp_path / "x")
