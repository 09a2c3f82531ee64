"""RLOO and GRPO on a tiny model: exact identities, bad input, and runs that are stopped and resumed."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS, World
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.reporter import Cancelled
from training.rlhf.judging.judge import RewardNotFinite
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo, rejection_sampling, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.reward.scoring import load_for_training
from training.rlhf.rollouts.on_policy import OnPolicyResult
from training.rlhf.rollouts.rollout import load_models, usable_prompts

torch.set_num_threads(1)
SETTINGS: dict[str, Any] = ROLLOUTS | {
    "steps": 2,
    "rollout_prompts": 6,  # the second step begins a second pass over the prompts
    "responses_per_prompt": 3,
    "minibatches": 2,
    "learning_rate": 3e-3,
    "stop_kl": None,
}
GRPO = {"advantage": "grpo", "ratio": "token", "kl_estimator": "k3", "aggregation": "answer_mean"}
DR_GRPO = {"advantage": "dr_grpo", "ratio": "token", "kl_estimator": "k2", "aggregation": "fixed_length"}
METHODS: dict[str, dict[str, Any]] = {"rloo": {}, "grpo": GRPO, "dr_grpo": DR_GRPO}


class Telling(ListReporter):
    """Omits times, which depend on the clock. Kills its process after the metrics of step `last`."""

    last: int | None = None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        super().metrics(step, {k: v for k, v in values.items() if not k.startswith("seconds/")})
        if step == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def world() -> World:
    return known_optimum.world(0)


def run(
    world: World,
    folder: Path,
    report: ListReporter | None = None,
    judge: Loaded | None = None,
    **changes: Any,
) -> tuple[OnPolicyResult, dict[str, torch.Tensor]]:
    """Train for a few steps. Return the result and the trained weights."""
    policy = world.policy()
    result = rloo.train(
        RLOOConfig.model_validate(SETTINGS | changes),
        policy=policy,
        reward_model=judge or world.reward_model(),
        prompts=PROMPTS,
        out_dir=folder / "model",
        checkpoints=folder / "checkpoints",
        report=report,
    )
    return result, policy.model.state_dict()


@pytest.mark.parametrize("method", METHODS)
def test_ratio_is_exactly_one_before_the_first_update(method: str, world: World, tmp_path: Path) -> None:
    for tokens in (16, 10_000):
        report = ListReporter()
        changes = METHODS[method] | {"temperature": 0.7, "micro_batch_tokens": tokens}
        run(world, tmp_path / str(tokens), report, **changes)
        assert report.series("val/first_log_ratio") == [0.0, 0.0]
        assert report.series("objective/kl")[0] == 0.0
        assert report.series("policy/approxkl_avg")[0] > 0  # the second update of a step changes the ratio


def test_ppo_and_rloo_train_on_the_same_rollouts(world: World) -> None:
    rollouts = []
    for loop, config in (
        (rloo, RLOOConfig.model_validate(SETTINGS)),
        (ppo, PPOConfig.model_validate(SETTINGS)),
    ):
        models = load_models(world.policy(), {"good": world.reward_model()}, config)
        state: Any = loop.new_state(config, models)
        found = loop.roll_out(config, state, usable_prompts(config, models, PROMPTS)).rollout
        rollouts.append((found.rows, found.rewards(config).tolist()))
    assert rollouts[0] == rollouts[1]


@pytest.mark.parametrize("method", METHODS)
def test_micro_batches_do_not_change_the_update(method: str, world: World, tmp_path: Path) -> None:
    """Losses are divided by the size of the minibatch, so its division into micro-batches is irrelevant."""
    reports = [ListReporter(), ListReporter()]
    for tokens, report in zip((1, 10_000), reports, strict=True):
        changes = METHODS[method] | {"micro_batch_tokens": tokens, "epochs": 2, "steps": 1}
        run(world, tmp_path / str(tokens), report, **changes)
    one, other = (report.metric_rows[0][1] for report in reports)
    for name in ("loss/policy_avg", "grad_norm/policy", "policy/approxkl_avg", "policy/clipfrac_avg"):
        assert one[name] == pytest.approx(other[name], abs=1e-5), name
    assert one["grad_norm/policy"] > 0.01


def test_metrics_are_finite_and_have_standard_names(world: World, tmp_path: Path) -> None:
    report = ListReporter()
    result, _ = run(world, tmp_path, report, samples=2, sample_every=1)
    names = {
        "objective/kl", "objective/scores", "objective/rlhf_reward", "objective/non_score_reward",
        "objective/entropy", "reward_std", "frac_reward_zero_std", "loss/policy_avg", "policy/approxkl_avg",
        "policy/clipfrac_avg", "policy/entropy_avg", "val/ratio", "val/num_eos_tokens", "grad_norm/policy",
        "lengths/response_mean", "eos_rate", "kl_coefficient", "lr", "episode", "updates",
    }  # fmt: skip
    for _, row in report.metric_rows:
        assert names <= row.keys()
        assert all(math.isfinite(value) for value in row.values())
    assert report.series("episode") == [18.0, 36.0]
    assert result.metrics["objective/scores_first"] == report.series("objective/scores")[0]
    assert [row["step"] for row in report.sample_rows] == [0, 0, 1, 1, 2, 2]


def test_answers_with_equal_rewards_do_not_change_the_policy(world: World, tmp_path: Path) -> None:
    flat = world.reward_model()
    with torch.no_grad():
        flat.model.get_parameter("score.weight").zero_()
    for method, settings in METHODS.items():
        report = ListReporter()
        changes = settings | {"kl_coefficient": 0.0, "missing_eos_penalty": 0.0}
        _, weights = run(world, tmp_path / method, report, flat, **changes)
        assert report.series("frac_reward_zero_std") == [1.0, 1.0]
        start = world.start.model.state_dict()
        assert all(torch.equal(weights[name], start[name]) for name in start), method


def test_updates_within_a_step_stop_if_the_kl_exceeds_the_limit(world: World, tmp_path: Path) -> None:
    held = ListReporter()
    run(world, tmp_path, held, epochs=4, learning_rate=1e-2, stop_kl=1e-4)
    assert max(held.series("updates")) < 8
    assert max(held.series("policy/approxkl_avg")) <= 1e-4


def test_saved_policy_is_not_beyond_the_kl_ceiling(world: World, tmp_path: Path) -> None:
    """Without a KL penalty, the policy moves to the best answers and reaches a KL of more than 5 nats."""
    settings = {"steps": 12, "learning_rate": 5e-3, "kl_coefficient": 0.0, "schedule": "constant"}
    settings |= {"rollout_prompts": 16, "responses_per_prompt": 4}
    reached = {}
    for name, ceiling in (("free", None), ("held", 0.5)):
        report = ListReporter()
        _, weights = run(world, tmp_path / name, report, **settings, kl_ceiling=ceiling)
        policy = world.policy().model
        policy.load_state_dict(weights)
        reached[name] = world.kl(policy)
    assert reached["free"] > 5
    # The run estimates the KL from 64 answers, with a standard error of about 0.13 at the ceiling.
    assert 0.1 < reached["held"] < 0.75
    assert set(report.series("recovery")) == {0.0, 1.0}  # the policy moved back and then forward again


def test_run_stopped_after_the_final_kl_check_keeps_the_result_of_the_check(
    world: World, tmp_path: Path
) -> None:
    """If the resumed run measured the KL again, it would find the restored weights within the ceiling, and
    its metrics would differ."""
    settings = {"steps": 3, "learning_rate": 2e-2, "kl_coefficient": 0.0, "kl_ceiling": 0.3}
    settings |= {"schedule": "constant", "samples": 2, "sample_every": 1000, "checkpoint_steps": 1000}
    uninterrupted = ListReporter()
    expected, weights = run(world, tmp_path / "whole", uninterrupted, **settings)
    assert expected.metrics["went_back"] == 1.0
    assert expected.metrics["objective/kl_final"] > 0.3
    # The last check is made while the final policy answers the sample prompts.
    stopped = ListReporter(cancel_after=uninterrupted.checks)
    with pytest.raises(Cancelled):
        run(world, tmp_path / "cut", stopped, **settings)
    assert len(stopped.metric_rows) == 3
    resumed = ListReporter()
    result, found = run(world, tmp_path / "cut", resumed, **settings)
    assert not resumed.metric_rows
    assert result.metrics == expected.metrics
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_final_kl_is_measured_before_the_reference_is_reset(world: World, tmp_path: Path) -> None:
    """After the reset, the reference equals the policy, so a KL measured then would be 0."""
    settings = {"steps": 2, "learning_rate": 2e-2, "kl_coefficient": 0.0, "kl_ceiling": 100, "samples": 0}
    result, _ = run(world, tmp_path, reference="reset", reference_steps=2, **settings)
    assert result.metrics["objective/kl_final"] > 0.05


@pytest.mark.parametrize(
    "moving",
    [{"reference": "reset", "reference_steps": 1}, {"reference": "ema", "reference_decay": 0.0}],
    ids=["reset", "ema"],
)
def test_weights_beyond_the_ceiling_never_become_the_reference(
    moving: dict[str, Any], world: World, tmp_path: Path
) -> None:
    """With these settings, the reference would follow every update before the KL of the new weights was
    known. The KL from this reference would then always be 0, no matter how far a step moved the policy."""
    settings = {"steps": 3, "learning_rate": 3e-2, "kl_coefficient": 0.0, "kl_ceiling": 0.3}
    report = ListReporter()
    run(world, tmp_path, report, **settings, **moving, schedule="constant")
    kl = report.series("objective/kl_upper")
    assert kl[0] == 0.0
    assert kl[1] > 0.3
    assert report.series("recovery")[:2] == [0.0, 1.0]


@pytest.mark.parametrize("method", METHODS)
def test_ratios_in_the_metrics_are_clamped_as_in_the_loss(method: str, world: World) -> None:
    config = RLOOConfig.model_validate(SETTINGS | METHODS[method] | {"minibatches": 1})
    state = rloo.new_state(config, load_models(world.policy(), {"good": world.reward_model()}, config))
    batch = rloo.roll_out(config, state, usable_prompts(config, state.models, PROMPTS))
    [[part]] = batch.minibatches
    far = dataclasses.replace(part, log_probs=(part.log_probs - 100).masked_fill(~part.mask, 0.0))
    tokens, answers = int(part.mask.sum()), len(part.numbers)
    found, _ = rloo.minibatch_backward(config, state, batch, [far], tokens=tokens, answers=answers)
    assert all(math.isfinite(value) for value in found.values())
    assert found["val/ratio"] == pytest.approx(math.exp(20), rel=1e-4)


def test_run_without_prompts_is_refused(world: World, tmp_path: Path) -> None:
    given: dict[str, Any] = {"reward_model": world.reward_model(), "prompts": [], "out_dir": tmp_path / "out"}
    with pytest.raises(UnusableInput, match="no prompts to answer"):
        rloo.train(RLOOConfig.model_validate(SETTINGS), policy=world.policy(), **given)
    selecting = RejectionSamplingConfig(max_new_tokens=3, max_length=16)
    with pytest.raises(UnusableInput, match="no prompts to answer"):
        rejection_sampling.train(selecting, policy=world.policy(), **given)
    assert not (tmp_path / "out").exists()


def test_one_answer_per_prompt_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"responses_per_prompt\n.*greater than or equal to 2"):
        RLOOConfig.model_validate({"responses_per_prompt": 1})


def test_reward_that_is_not_a_number_ends_the_run_before_an_update(world: World, tmp_path: Path) -> None:
    broken = world.reward_model()
    with torch.no_grad():
        broken.model.get_parameter("score.weight").fill_(math.nan)
    with pytest.raises(RewardNotFinite, match="'reward' gave 18 of 18 answers a reward that is NaN"):
        run(world, tmp_path, judge=broken)
    assert not (tmp_path / "model").exists()


def test_reward_model_can_be_an_encoder_with_a_different_vocabulary(world: World, tmp_path: Path) -> None:
    """RLOO has no critic and scores the text of the answers, so the vocabularies can differ."""
    trunk = save_model(tiny.bert(), tiny.encoder_tokenizer(), tmp_path / "trunk")
    judge = load_for_training(trunk)
    judge.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    result, _ = run(world, tmp_path, judge=judge)
    assert math.isfinite(result.metrics["objective/scores"])
    assert result.metrics["reward_std"] > 0


# Settings that use every part of the state.
DURABLE: dict[str, Any] = {
    **{"steps": 4, "kl_target": 0.2, "kl_ceiling": 0.4, "reference": "ema", "reference_decay": 0.9},
    **{"temperature_end": 0.7, "entropy_coefficient": 0.01, "samples": 2, "sample_every": 2},
    **{"learning_rate": 1e-2, "checkpoint_steps": 2, "checkpoint_minutes": None},
}


def test_cancelled_run_resumes_bitwise(world: World, tmp_path: Path) -> None:
    """The run is cancelled several times: while it answers prompts, observes answers, updates the policy, and
    generates the sample answers."""
    uninterrupted = Telling()
    expected, weights = run(world, tmp_path / "whole", uninterrupted, **DURABLE)
    assert max(uninterrupted.series("recovery")) == 1.0  # the ceiling was reached
    reports: list[Telling] = []
    for attempt in range(60):
        reports.append(Telling(cancel_after=9 + 7 * attempt))
        try:
            result, resumed = run(world, tmp_path / "cut", reports[-1], **DURABLE)
        except Cancelled:
            assert not (tmp_path / "cut" / "model").exists()
        else:
            break
    assert len(reports) > 4
    assert {report.progress_rows[0][1] for report in reports} >= {0, 1, 2}
    assert result.metrics == expected.metrics
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)
    rows = [row for report in reports for row in report.metric_rows]
    assert dict(rows) == dict(uninterrupted.metric_rows)
    assert all(row in uninterrupted.metric_rows for row in rows)  # a repeated step reports the same metrics


def test_killed_run_resumes_bitwise_from_its_last_checkpoint(world: World, tmp_path: Path) -> None:
    changes = DURABLE | GRPO | {"kl_ceiling": None}
    uninterrupted = Telling()
    expected, weights = run(world, tmp_path / "whole", uninterrupted, **changes)
    pid = os.fork()
    if not pid:
        report = Telling()
        report.last = 3
        run(world, tmp_path / "cut", report, **changes)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    report = Telling()
    result, resumed = run(world, tmp_path / "cut", report, **changes)
    assert report.progress_rows[0] == ("train", 2, 4)
    assert report.metric_rows == uninterrupted.metric_rows[2:]
    assert result.metrics == expected.metrics
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)
    with pytest.raises(CheckpointRefused, match=r"recipe.clip was 0.2 and is now 0.1"):
        run(world, tmp_path / "cut", **changes | {"clip": 0.1})
