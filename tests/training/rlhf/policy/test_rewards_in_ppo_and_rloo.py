"""PPO and RLOO can use several reward models and floors, and PPO can spread rewards over sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import small_world, tiny
from tests.training.rlhf.judging.reward_models import token_reward_model
from tests.training.rlhf.list_reporter import ListReporter
from training import demo_world
from training.rlhf.core.reporter import Cancelled
from training.rlhf.judging.shaping import potentials_of
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.on_policy import OnPolicyResult
from training.rlhf.rollouts.rollout import load_models, usable_prompts

torch.set_num_threads(1)
PROMPTS = [[{"role": "user", "content": tiny.words(*range(n % 7 + 1))}] for n in range(24)]
GOOD, FINE = 67, 9  # token IDs
SETTINGS: dict[str, Any] = {
    "steps": 14,
    "rollout_prompts": 16,
    "max_new_tokens": 8,
    "learning_rate": 5e-3,
    "schedule": "constant",
    "kl_coefficient": 0.01,
    "samples": 1,
    "sample_every": 1000,
}
OF_CRITIC: dict[str, Any] = {"value_learning_rate": 1e-3, "critic_warmup_steps": 0}


def judges() -> dict[str, Any]:
    """GOOD is helpful but harmful. FINE is helpful and harmless."""
    return {
        "helpful": token_reward_model({GOOD: 3.0, FINE: 2.0}),
        "harmless": token_reward_model({GOOD: -3.0}, mean=-0.5),
    }


def run(out: Path, report: ListReporter, method: str = "ppo", **changes: Any) -> OnPolicyResult:
    inputs: dict[str, Any] = {
        "policy": Loaded(tiny.policy(initializer_range=0.05), tiny.tokenizer()),
        "reward_model": judges(),
        "prompts": PROMPTS,
        "out_dir": out,
        "checkpoints": out / "checkpoints",
        "report": report,
    }
    if method == "rloo":
        return rloo.train(RLOOConfig.model_validate(SETTINGS | changes), **inputs)
    return ppo.train(PPOConfig.model_validate(SETTINGS | OF_CRITIC | changes), **inputs)


def test_floor_holds_in_ppo_while_the_helpful_reward_rises(tmp_path: Path) -> None:
    held, free = ListReporter(), ListReporter()
    run(tmp_path / "held", held, reward_floors="harmless=start")
    # A floor that is never violated has no effect.
    run(tmp_path / "free", free, reward_floors="harmless=-50")

    def late(report: ListReporter, name: str) -> float:
        return sum(report.series(f"rewards/{name}/mean")[-5:]) / 5

    floor = held.series("rewards/harmless/floor")[-1]
    assert floor == held.series("rewards/harmless/mean")[0]
    assert late(free, "harmless") < floor - 2.0
    assert late(held, "harmless") > floor - 0.25
    assert late(held, "helpful") > held.series("rewards/helpful/mean")[0] + 2.0
    assert max(held.series("rewards/harmless/multiplier")) > 0.1
    assert set(free.series("rewards/harmless/multiplier")) == {0.0}
    scores = held.sample_rows[-1]["scores"]
    assert {"rewards/helpful_after", "rewards/harmless_after", "reward_minus_kl_after"} <= scores.keys()


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_cancelled_run_with_a_floor_resumes_exactly(method: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"method": method, "steps": 4, "reward_floors": "harmless=start+0.5"}
    # A run that is cancelled during an update resumes from the newest checkpoint.
    changes |= {"checkpoint_steps": 1, "checkpoint_minutes": None}
    whole, first, second = ListReporter(), ListReporter(), ListReporter()
    expected = run(tmp_path / "whole", whole, **changes)
    first.cancel_after = whole.checks - whole.checks // 3
    with pytest.raises(Cancelled):
        run(tmp_path / "cut", first, **changes)
    resumed = run(tmp_path / "cut", second, **changes)
    assert 0 < len(second.metric_rows) < 4
    weights = [(result.path / "model.safetensors").read_bytes() for result in (expected, resumed)]
    assert weights[0] == weights[1]
    assert (
        second.series("rewards/harmless/multiplier")
        == whole.series("rewards/harmless/multiplier")[-len(second.metric_rows) :]
    )
    assert whole.series("rewards/harmless/multiplier")[-1] > 0


def test_return_of_each_token_is_the_reward_minus_its_potential() -> None:
    """The critic's values are 0, λ is 1 and there is no KL penalty, as in the derivation of potential-based
    shaping."""
    config = PPOConfig(
        reward_spread="sentences",
        rollout_prompts=8,
        max_new_tokens=48,
        temperature=3.0,
        gae_lambda=1.0,
        kl_coefficient=0.0,
        length_penalty=0.0,
    )
    models = load_models(small_world.short_speaker(), {"rm": small_world.arbitrary_reward_model()}, config)
    state = ppo.new_state(config, models)
    prompts = usable_prompts(config, models, demo_world.prompts(8, seed=1))
    batch = ppo.roll_out(config, state, prompts)
    rollout = batch.rollout
    potentials = potentials_of(models.judges, rollout.asked, max_new_tokens=config.max_new_tokens)
    assert sum(bool(one.count_nonzero()) for one in potentials) >= 4
    rewards = rollout.rewards(config)
    for part in (part for parts in batch.minibatches for part in parts):
        for row, number in enumerate(part.seen.numbers):
            length = int(rollout.lengths[number])
            expected = rewards[number] - potentials[number][:length].clamp(
                -config.score_clip, config.score_clip
            )
            torch.testing.assert_close(part.returns[row, :length], expected, atol=1e-4, rtol=0)
