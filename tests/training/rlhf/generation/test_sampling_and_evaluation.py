"""Sampled answers are distinct and are returned with their settings. Evaluations report means and standard
errors."""

import math
import statistics

import pytest

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import SHORT_ANSWERS, short_speaker, untrained_policy
from training import demo_world
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled
from training.rlhf.generation.evaluation import compare, evaluate, mean_and_error, repetition_rate
from training.rlhf.generation.sampling import sample
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig

PROMPTS = demo_world.prompts(70, seed=11)


def length(_: Messages, text: str) -> float:
    return float(len(text))


def test_answers_are_distinct_and_returned_with_their_sampling_settings() -> None:
    report = ListReporter()
    config = SampleConfig(responses_per_prompt=6, temperature=1.5, max_new_tokens=16, seed=3)
    sampled = sample(config, policy=short_speaker(), prompts=PROMPTS, report=report).prompts
    assert [one.messages for one in sampled] == PROMPTS
    for one in sampled:
        texts = [text for text, _ in one.responses]
        assert len(set(texts)) == len(texts)
        assert all(texts)
    text, settings = sampled[0].responses[0]
    assert text
    assert settings["temperature"] == 1.5
    assert settings["seed"] == 3
    assert 0 < report.series("distinct_share")[0] <= 1
    assert report.progress_rows[-1] == ("sample", 70, 70)


def test_seed_determines_the_answers() -> None:
    def texts(seed: int) -> list[str]:
        config = SampleConfig(responses_per_prompt=2, max_new_tokens=12, temperature=2.0, seed=seed)
        sampled = sample(config, policy=untrained_policy(), prompts=PROMPTS[:3]).prompts
        return [text for one in sampled for text, _ in one.responses]

    assert texts(1) == texts(1) != texts(2)


def test_sampling_and_evaluation_can_be_cancelled() -> None:
    report = ListReporter(cancel_after=1)
    with pytest.raises(Cancelled):
        sample(SampleConfig(), policy=untrained_policy(), prompts=PROMPTS, report=report)
    with pytest.raises(Cancelled):
        evaluate(EvaluateConfig(), policy=untrained_policy(), prompts=PROMPTS, judge=length, report=report)


def test_evaluation_reports_rows_and_a_mean_with_its_standard_error() -> None:
    config = EvaluateConfig(responses_per_prompt=3, max_new_tokens=16)
    result = evaluate(config, policy=short_speaker(), prompts=PROMPTS, judge=length)
    means = [statistics.mean(row.points) for row in result.rows]
    assert result.n == len(result.rows) == 70
    assert result.mean == pytest.approx(statistics.mean(means))
    assert result.standard_error == pytest.approx(statistics.stdev(means) / math.sqrt(70))
    assert [row.messages for row in result.rows] == PROMPTS
    assert {len(row.responses) for row in result.rows} == {3}
    assert 2 <= result.mean_tokens <= 16
    assert 0.5 < result.finished_share <= 1
    assert sum(text in SHORT_ANSWERS for row in result.rows for text in row.responses) > 100


def test_two_policies_are_compared_by_paired_differences_per_prompt() -> None:
    config = EvaluateConfig(max_new_tokens=12)
    old = evaluate(config, policy=short_speaker(), prompts=PROMPTS, judge=length)
    new = evaluate(config, policy=untrained_policy(), prompts=PROMPTS, judge=length)
    paired = compare(new, old)
    assert paired.n == paired.wins + paired.ties + paired.losses == 70
    assert paired.difference == pytest.approx(new.mean - old.mean)
    differences = [a.mean - b.mean for a, b in zip(new.rows, old.rows, strict=True)]
    assert paired.standard_error == pytest.approx(statistics.stdev(differences) / math.sqrt(70))
    assert compare(old, old).standard_error == 0
    other = evaluate(config, policy=short_speaker(), prompts=PROMPTS[1:], judge=length)
    with pytest.raises(ValueError, match="different prompts"):
        compare(new, other)


def test_single_value_has_no_standard_error() -> None:
    mean, error = mean_and_error([2.0])
    assert mean == 2.0
    assert math.isnan(error)
    with pytest.raises(ValueError, match="no prompts to answer"):
        evaluate(EvaluateConfig(), policy=untrained_policy(), prompts=[], judge=length)


def test_repetition_is_the_proportion_of_repeated_trigrams() -> None:
    assert repetition_rate("") == repetition_rate("one two three four") == 0.0
    assert repetition_rate("a b c a b c") == pytest.approx(1 - 3 / 4)
    assert repetition_rate("no " * 100) == pytest.approx(1 - 1 / 98)


def test_truncated_prompts_are_counted() -> None:
    policy = untrained_policy()
    room = chat.context_length(policy.model) - 8
    long = [{"role": "user", "content": "Where is my order? " * room}]
    config = SampleConfig(responses_per_prompt=2, max_new_tokens=8)
    assert sample(config, policy=policy, prompts=[*PROMPTS[:2], long]).cut == 1
