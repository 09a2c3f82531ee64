"""Steps of PPO: a rollout of the policy, scored by a reward model, and an update of policy and critic."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.gpu import operations
from benchmarks.gpu.machine import MATMUL, Device, forget_peak, peak_figures, timed
from benchmarks.gpu.operations import Lengths
from benchmarks.gpu.sections import Figures
from benchmarks.gpu.work import (
    Work,
    encoded_prompts,
    policy_shape,
    random_policy,
    random_reward_model,
    reward_shape,
    work_on,
)
from training.rlhf.models.loading.trainable import dtype_of
from training.rlhf.planning import on_policy
from training.rlhf.planning.cost import Conditions, Data
from training.rlhf.policy import ppo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.rollout import load_models

ROUNDS = 3
USED_SECONDS = 0.6  # share of the time limit after which no step starts


def measure(shape: str, device: Device, limits: Figures, *, seconds: float) -> Figures:
    started = time.monotonic()
    work = work_on(shape, device, lambda one: estimated_bytes(one, shape, device))
    config = recipe_of(work)
    judges = {"reward": random_reward_model(shape, device, dtype_of(config))}
    state = ppo.new_state(config, load_models(random_policy(shape, device), judges, config))
    prompts = encoded_prompts(work)
    forget_peak(device)
    rollouts: list[float] = []
    updates: list[float] = []
    speeds: list[float] = []
    used: list[float] = []
    while len(updates) <= ROUNDS and (not updates or time.monotonic() - started < USED_SECONDS * seconds):
        batch, rolling_out = timed(partial(ppo.roll_out, config, state, prompts), device)
        _, updating = timed(partial(ppo.update, config, state, batch), device)
        lengths = lengths_of(batch)
        rollouts.append(rolling_out)
        updates.append(updating)
        used.append(update_operations(config, shape, lengths))
        speeds.append(sum(sum(one.answers) for one in lengths) / (rolling_out + updating))
    peak = float(limits[MATMUL]) * 1e12
    median = _median_after_first
    return {
        "work": str(work),
        "trained": "LoRA" if work.lora else "all weights",
        "speed (generated tokens/s)": median(speeds),
        "rollout (s)": median(rollouts),
        "update (s)": median(updates),
        "MFU of the update": median([one / s for one, s in zip(used, updates, strict=True)]) / peak,
        **peak_figures(device, estimated_bytes(work, shape, device)),
    }


def recipe_of(work: Work) -> PPOConfig:
    return PPOConfig(
        steps=100,
        rollout_prompts=work.prompts,
        responses_per_prompt=work.samples,
        max_new_tokens=work.answer,
        epochs=1,
        minibatches=min(4, work.prompts),
        micro_batch_tokens=work.micro_batch_tokens,
        critic_warmup_steps=0,
        stop_kl=None,
        dtype="bfloat16",
        use_peft=work.lora,
        learning_rate=1e-6,
        value_learning_rate=1e-6,
    )


def estimated_bytes(work: Work, shape: str, device: Device) -> float:
    given = Conditions(gpu=device == "cuda")
    data = Data(work.prompts, work.prompt, work.answer, work.prompt + work.answer, 1)
    cost = on_policy.ppo(recipe_of(work), policy_shape(shape), reward_shape(shape), data, given=given)
    return cost.peak.bytes


def lengths_of(batch: ppo.Batch) -> list[Lengths]:
    rollout = batch.rollout
    return [
        Lengths(len(prompt), [len(one.ids) for one in group])
        for prompt, group in zip(rollout.prompts, rollout.answers, strict=True)
    ]


def update_operations(config: PPOConfig, shape: str, lengths: Sequence[Lengths]) -> float:
    """The operations of the forward and backward passes of the policy and the critic, over all epochs."""
    policy, critic = policy_shape(shape), reward_shape(shape)
    passes = operations.LORA if config.use_peft else operations.FULL
    of_policy = operations.trunk_operations(policy, lengths) + operations.projection_operations(
        policy, lengths
    )
    return config.epochs * passes * (of_policy + operations.trunk_operations(critic, lengths))


def _median_after_first(values: Sequence[float]) -> float:
    """Return the median without the first step, which is slower because it loads kernels. If there is only
    one step, return its value."""
    return statistics.median(values[1:] or values)
