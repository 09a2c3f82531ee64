"""PPO with unusual inputs: equal or invalid rewards, endless answers, and prompts that can't be used."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.ppo.test_ppo import EOS, PROMPTS, config_of, reward_model
from tests.training.rlhf.policy.ppo.test_ppo_update import NOTHING, train
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.reporter import TrainingDiverged
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo
from training.rlhf.rollouts import rollout, steps


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("judge"))


def test_equal_rewards_do_not_change_the_policy(judge: Path, tmp_path: Path) -> None:
    """All answers get the same score, so their advantages are 0."""
    flat = load_reward_model(judge)
    with torch.no_grad():
        flat.model.score.weight.zero_()
    settings = {"steps": 3, "missing_eos_penalty": 0.0, "gae_lambda": 1.0, "value_learning_rate": NOTHING}
    report = train(tmp_path, flat, **settings)
    assert report.series("objective/scores") == [-1.0] * 3
    assert max(abs(kl) for kl in report.series("objective/kl")) < 1e-2
    assert "val/explained_variance" not in report.metric_rows[0][1]  # undefined for equal returns


def test_nan_rewards_and_nan_logits_end_the_run_and_keep_the_last_checkpoint(
    judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = rollout.sample_rollout

    def broken_at_step_three(
        config: Any, models: Any, *rest: Any, step: int, **options: Any
    ) -> rollout.Rollout:
        found = plain(config, models, *rest, step=step, **options)
        if step == 3:
            found.judged.scores[0] = math.nan
        return found

    monkeypatch.setattr(steps, "sample_rollout", broken_at_step_three)
    with pytest.raises(TrainingDiverged, match=r"step 3: objective/scores is nan"):
        train(tmp_path, judge, steps=4, checkpoint_steps=1)
    assert sorted(one.name for one in (tmp_path / "checkpoints").iterdir())[-1] == "step-00000002"
    assert not (tmp_path / "out").exists()

    def broken() -> PreTrainedModel:
        model = tiny.policy()
        with torch.no_grad():
            model.lm_head.weight[7] = math.nan
        return model

    with pytest.raises(TrainingDiverged, match=r"The policy can't answer. The logits of 16 of 16 answers"):
        train(tmp_path / "logits", judge, broken)


def test_policy_that_never_ends_its_answers_learns_from_truncated_answers(
    judge: Path, tmp_path: Path
) -> None:
    def endless() -> PreTrainedModel:
        model = tiny.policy(initializer_range=0.05)
        model.lm_head = torch.nn.Linear(32, 69)
        with torch.no_grad():
            model.lm_head.bias[EOS] = -1e4
        return model

    report = train(tmp_path, judge, endless, steps=2, max_new_tokens=5, missing_eos_penalty=2.0)
    assert report.series("eos_rate") == report.series("val/num_eos_tokens") == [0.0, 0.0]
    assert report.series("lengths/response_mean") == [5.0, 5.0]
    [first, _] = [row for _, row in report.metric_rows]
    assert first["objective/rlhf_reward"] == pytest.approx(first["objective/scores"] - 2.0, abs=1e-5)
    assert report.series("policy/approxkl_avg")[-1] > 0


def test_unusable_prompts_are_refused_or_counted(judge: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="no prompts to answer"):
        train(tmp_path, judge, prompts=[])
    with pytest.raises(UnusableInput, match="Lower max_new_tokens"):
        train(tmp_path, judge, max_new_tokens=127)
    long = [{"role": "user", "content": tiny.words(*[5] * 200)}]
    strict = tiny.tokenizer()
    strict.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ messages[-1]['content'] }}"
    )
    policy = save_model(tiny.policy(), strict, tmp_path / "policy")
    reward = load_reward_model(judge)
    result = ppo.train(
        config_of(samples=0, steps=1, rollout_prompts=3),
        policy=policy,
        reward_model=Loaded(reward.model, strict),
        prompts=[long, [{"role": "system", "content": "w1"}, *PROMPTS[0]], PROMPTS[1]],
        out_dir=tmp_path / "out",
    )
    assert (result.prompts_cut, result.prompts_refused) == (1, 1)


def test_answers_too_long_for_a_reward_model_are_refused(judge: Path, tmp_path: Path) -> None:
    short = load_reward_model(judge)
    short.model.config.rankloop = short.model.config.rankloop | {"max_length": 8}
    with pytest.raises(UnusableInput, match=r"reads at most 8 tokens. Lower max_new_tokens") as caught:
        train(tmp_path, Loaded(copy.deepcopy(short.model), short.tokenizer), max_new_tokens=8)
    assert caught.value.kind == FailureKind.TEXTS_TOO_LONG
