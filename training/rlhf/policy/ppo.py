"""PPO: the policy answers prompts, a reward model scores the answers, and the policy is trained to get higher
scores.

Each step samples answers, scores them, computes advantages, and runs a few epochs of clipped updates. PPO is
sensitive to these choices:

- Log-probabilities are never taken from the sampler. They are recomputed with the training forward pass, on
  the same rows as in the update. The ratio is therefore exactly 1 before the first update, and
  ``val/first_log_ratio`` reports any deviation.
- Updates use the token IDs as they were sampled. Answers are scored with exactly one EOS at their end.
- The score is placed on the last real token. A truncated answer is scored as if it ended at its last token,
  and ``missing_eos_penalty`` is subtracted from its score.
- The KL penalty is part of the reward (k1), or its gradient is part of the loss (k2, k3). In the loss, the
  mean gradient of k1 would be 0.
- The critic is a separate model, which starts as a copy of the reward model's trunk, or a second adapter on
  the policy's trunk. In both cases, the critic's gradient doesn't affect the policy, and the policy and the
  critic have separate optimisers. With ``critic=shared``, the critic is only a head on the policy's states,
  and its gradient also trains the policy's trunk. The weights of every critic's head start at 0, so the
  explained variance of the critic's first values is exactly 0.
- Scores are in standard deviations of the rewards of the reward model's training responses. The KL
  coefficient, the clip ranges and the penalty therefore have the same meaning for every reward model.
- Advantages are whitened over all tokens in the batch. Losses are averaged over all tokens in the minibatch.
  Neither is done separately for each micro-batch.
- There is no dropout: models stay in eval mode.

The loop is in ``rollouts.on_policy``. One state contains everything that changes during a run.
``roll_out(…, state)`` samples answers and does not change the state. ``update(…, state, batch)`` trains on
the answers and changes the state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.rlhf.core import distributed
from training.rlhf.core.alive import counted
from training.rlhf.core.checkpoint import digest
from training.rlhf.core.loop_state import Modules, Optimisers
from training.rlhf.core.masters import clipped_norm
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import Reporter, require_finite
from training.rlhf.core.seeds import generator_for, seed_everything
from training.rlhf.core.sharding import in_step
from training.rlhf.data.answers import Row, Together, shared_layout
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Judges
from training.rlhf.judging.shaping import token_scores
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.models.tokens import chat
from training.rlhf.objectives import advantages
from training.rlhf.objectives.kl import kl_k1
from training.rlhf.objectives.token_rewards import token_rewards
from training.rlhf.policy.ppo_gradients import (
    Part,
    critic_backward,
    explained_variance,
    policy_backward,
    spare_part,
)
from training.rlhf.policy.ptx import encode_demonstrations, ptx_backward
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts import ceiling, steps
from training.rlhf.rollouts.critic import Critic, critic_for, values_of
from training.rlhf.rollouts.on_policy import OnPolicyResult, run_on_policy
from training.rlhf.rollouts.rollout import (
    MicroBatch,
    Models,
    Rollout,
    load_models,
    observations,
    usable_prompts,
)
from training.rlhf.rollouts.sampler import sampler_metrics
from training.rlhf.rollouts.state import OnPolicyBatch, OnPolicyState, adam


@dataclass(kw_only=True)
class PPOState(OnPolicyState):
    """Everything that changes during a run. ``policy_steps`` counts the steps that trained the policy."""

    critic: Critic
    critic_optimiser: torch.optim.Adam
    policy_steps: int = 0

    @property
    def modules(self) -> Modules:
        return {**super().modules, "critic": self.critic}

    @property
    def optimisers(self) -> Optimisers:
        return {**super().optimisers, "critic": self.critic_optimiser}

    def counters(self) -> dict[str, Any]:
        return super().counters() | {"policy_steps": self.policy_steps}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(OnPolicyBatch):
    minibatches: list[list[Part]]


def train(
    config: PPOConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource | Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    demonstrations: Sequence[Demonstration] = (),
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> OnPolicyResult:
    """Train ``policy`` against ``reward_model`` on ``prompts``, and save the trained policy to ``out_dir``.

    ``reward_model`` is one model or several named models. ``demonstrations`` are used if ``ptx_coefficient``
    is above 0.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The checkpoint folder is not removed. A run that is stopped saves a checkpoint before it ends, unless
    an update is in progress and needs more than a few seconds to finish.

    docs/ppo.md lists the metrics.

    Raises TrainingDiverged if a score, a loss or a gradient is not finite. Raises UnusableInput, a
    ValueError, if there are no prompts or a model can't be used. Raises CheckpointRefused if the folder
    contains checkpoints of a run with other inputs.
    """
    seed_everything(config.seed)
    state = new_state(config, load_models(policy, reward_model, config, out_dir=out_dir))
    models = state.models
    context = min(chat.context_length(models.actor), chat.context_length(state.critic.trunk))
    shown = encode_demonstrations(config, models.tokenizer, demonstrations, context=context)
    return run_on_policy(
        config,
        state,
        usable_prompts(config, models, prompts, context=context),
        roll_out=roll_out,
        update=partial(update, demonstrations=shown),
        inputs={"demonstrations": digest(shown)},
        out_dir=out_dir,
        checkpoints=checkpoints,
        report=report,
    )


def new_state(config: PPOConfig, models: Models) -> PPOState:
    critic = critic_for(models, config)
    models = replace(models, layout=shared_layout(models.actor, models.reference.model, critic.trunk))
    own = config.critic_kind == "separate"
    rate = config.value_learning_rate or rate_for(
        critic if own else critic.trunk, at_2m=5e-4, at_1b=5e-6, adapter=critic.adapter is not None
    )
    return PPOState.starting(config, models, critic=critic, critic_optimiser=adam(critic, rate))


def roll_out(
    config: PPOConfig, state: PPOState, prompts: EncodedPrompts, progress: steps.Progress = steps.no_progress
) -> Batch:
    """Sample and score answers, and compute their advantages. The only part of the state that can change is
    the limit of token positions, which is lowered if the device runs out of memory."""
    step, models = state.step + 1, state.models
    # 1. Sample answers to the next prompts and score them.
    rollout, position = steps.next_rollout(config, state, prompts, progress)
    # 2. Run the same rows through policy, reference and critic, with the training forward pass.
    observe = partial(observed_with_values, state, rollout)
    dealt = steps.observed_minibatches(config, state, rollout, observe)
    every = [pair for minibatch in dealt for pair in minibatch]
    kl = ceiling.mean_kl([seen for seen, _ in every])
    rewards = rollout.rewards(config)
    require_finite(
        step,
        {
            "objective/scores": float(rollout.judged.scores.mean()),
            "objective/kl": kl,
            "the critic's mean value": float(
                distributed.joined([values.flatten() for _, values in every]).mean()
            ),
        },
    )
    # 3. Compute rewards per token. If the KL exceeds the ceiling, the reward is only the KL penalty. The
    # critic was trained to predict other rewards, so such a step doesn't use the critic.
    recovery, compared = ceiling.beyond_ceiling(config, [seen for seen, _ in every])
    acts = step > config.warmup_steps and not recovery
    estimate = ceiling.kl_estimate([seen for seen, _ in every])
    controller = state.kl.after(estimate, rate=policy_rate(config, state), acted=acts)
    in_reward = ceiling.kl_weight(config, controller.beta, recovery=recovery)
    masks = [seen.mask for seen, _ in every]
    per_token = [
        token_rewards(
            rewards[seen.numbers].to(values.device) * (not recovery),
            kl_k1(seen.log_probs, seen.reference),
            seen.mask,
            kl_coefficient=in_reward,
        )
        for seen, values in every
    ]
    if config.reward_spread == "sentences" and not recovery:
        shaped = shaping_rewards(config, models.judges, rollout, state.floors)
        per_token = [
            reward + pad_sequence([shaped[i] for i in seen.numbers], batch_first=True).to(reward.device)
            for reward, (seen, _) in zip(per_token, every, strict=True)
        ]
    if config.whiten_rewards:
        per_token = advantages.whiten(per_token, masks, shift_mean=False, join=distributed.joined)
    # 4. Compute advantages per answer, and whiten them over the tokens of all answers.
    found = [
        advantages.generalised_advantages(
            reward, values * (not recovery), seen.mask, gamma=config.gamma, lam=config.gae_lambda
        )
        for reward, (seen, values) in zip(per_token, every, strict=True)
    ]
    whitened = iter(advantages.whiten([advantage for advantage, _ in found], masks, join=distributed.joined))
    returns = iter([part for _, part in found])
    minibatches = [
        [Part(seen, values, next(whitened), next(returns)) for seen, values in minibatch]
        for minibatch in dealt
    ]
    entropy = [(-seen.log_probs * seen.mask).sum(dim=1) for seen, _ in every]
    metrics = steps.rollout_metrics(
        config,
        state,
        rollout,
        kl=kl,
        controller=controller,
        entropy=float(distributed.joined(entropy).mean()),
    )
    metrics |= sampler_metrics(config, [seen for seen, _ in every])
    explained = explained_variance([part for parts in minibatches for part in parts])
    return Batch(
        rollout=rollout,
        minibatches=minibatches,
        position=position,
        floors=models.judges.adapted(state.floors, rollout.judged, acts=acts),
        kl=controller,
        recovery=recovery,
        metrics=metrics | explained | compared,
    )


def observed_with_values(
    state: PPOState, rollout: Rollout, parts: Sequence[Together]
) -> list[tuple[MicroBatch, Tensor]]:
    """Run micro-batches through policy, reference and critic."""
    return observations(
        state.models, rollout, parts, lambda seen, states: (seen, values_of(state.critic, seen, states))
    )


def policy_rate(config: PPOConfig, state: PPOState) -> float:
    """Return the policy's learning rate in the next update, as a fraction of its peak."""
    if state.step < config.warmup_steps:
        return 0.0
    return rate_factor(config.schedule, state.policy_steps, config.steps - config.warmup_steps)


def shaping_rewards(config: PPOConfig, judges: Judges, rollout: Rollout, floors: FloorState) -> list[Tensor]:
    """For each answer, return what the spreading of the reward over sentences adds to each token's reward:
    one tensor of shape (T,), whose sum is 0 if gamma is 1. Each process scores a share of the prompts.
    """
    lengths = [[len(answer.ids) for answer in group] for group in rollout.answers]
    mine = distributed.share([len(p) + sum(n) for p, n in zip(rollout.prompts, lengths, strict=True)])
    own: list[Tensor] = []
    if mine:
        own = token_scores(
            judges,
            [rollout.asked[i] for i in mine],
            torch.zeros(sum(len(lengths[i]) for i in mine)),
            lengths=[length for i in mine for length in lengths[i]],
            max_new_tokens=config.max_new_tokens,
            gamma=config.gamma,
            clip=config.score_clip,
            state=floors,
        )
    found: dict[int, Tensor] = {}
    for numbers, spread in distributed.gather_objects((mine, own)):
        rows = [i * config.responses_per_prompt + k for i in numbers for k in range(len(lengths[i]))]
        found |= zip(rows, spread, strict=True)
    return [found[row] for row in sorted(found)]


def update(
    config: PPOConfig, state: PPOState, batch: Batch, demonstrations: Sequence[Row] = ()
) -> dict[str, float]:
    """Run a few epochs of clipped updates, and update the rest of the state. Return the step's metrics."""
    step = batch.rollout.step
    trains_policy, trains_critic = step > config.warmup_steps, not batch.recovery
    ceiling.keep_below_ceiling(config, state, recovery=batch.recovery)
    state.kl = batch.kl
    steps.set_rate(state.policy_optimiser, policy_rate(config, state))
    rate = rate_factor(config.schedule, state.step, config.steps)
    steps.set_rate(state.critic_optimiser, rate if trains_critic else 0.0)
    with steps.counting_updates(config, batch):
        passes = epochs(
            ceiling.update_settings(config, recovery=batch.recovery),
            state,
            batch,
            demonstrations,
            trains_policy=trains_policy,
            trains_critic=trains_critic,
        )
    state.policy_steps += trains_policy
    return steps.end_step(config, state, batch, passes)


def epochs(
    config: PPOConfig,
    state: PPOState,
    batch: Batch,
    demonstrations: Sequence[Row],
    *,
    trains_policy: bool,
    trains_critic: bool,
) -> dict[str, float]:
    """Train on the rollout for all epochs, with one optimiser step per minibatch. Return the metrics,
    averaged over these steps.

    ``val/first_log_ratio`` is the largest |log ratio| before the first step. The value is 0 unless the
    rollout's forward pass differs from the forward pass in training. Such a difference is a common bug in PPO
    code.
    """
    step = batch.rollout.step
    optimisers = [
        *([state.policy_optimiser] if trains_policy else []),
        *([state.critic_optimiser] if trains_critic else []),
    ]
    means, first_log_ratio = steps.Means(), 0.0
    for epoch, number in steps.minibatch_order(config, step, len(batch.minibatches)):
        tokens, _ = steps.sizes([part.seen for part in batch.minibatches[number]])
        seen, largest = steps.within_memory(
            state,
            batch,
            number,
            partial(
                minibatch_backward,
                config,
                state,
                tokens=tokens,
                temperature=batch.rollout.temperature,
                trains_policy=trains_policy,
                trains_critic=trains_critic,
                demonstrations=demonstrations,
                place=(step, epoch, number),
                spare=lambda: spare_part(state.models, batch.rollout),
            ),
        )
        first_log_ratio = first_log_ratio if means.steps else largest
        seen = steps.combine(seen, *optimisers)
        if trains_policy:
            seen["val/ratio_var"] -= seen["val/ratio"] ** 2
            seen["grad_norm/policy"] = clipped_norm(state.policy_optimiser, config.max_grad_norm)
        if trains_critic:
            seen["grad_norm/value"] = clipped_norm(state.critic_optimiser, config.max_grad_norm)
        if not steps.take_step(config, step, seen, *optimisers):
            break
        means.add(seen)
    if not trains_policy:
        return means.metrics()
    return means.metrics() | {"val/first_log_ratio": distributed.highest(first_log_ratio)}


def minibatch_backward(
    config: PPOConfig,
    state: PPOState,
    minibatch: Sequence[Part],
    *,
    tokens: int,
    temperature: float,
    trains_policy: bool,
    trains_critic: bool,
    demonstrations: Sequence[Row],
    place: tuple[int, int, int],
    spare: Callable[[], Part],
) -> tuple[defaultdict[str, float], float]:
    """Add the gradients of this process's micro-batches of a minibatch. Return their metrics, and the largest
    |log ratio|.

    Each micro-batch adds its summed loss, divided by the entire minibatch's number of ``tokens``. The result
    therefore does not depend on how the minibatch is split into micro-batches. ``place`` is the step, the
    epoch and the number of the minibatch, and determines which demonstrations are mixed in. ``spare`` returns
    a micro-batch for passes that have no effect (`in_step`)."""
    metrics, log_ratios = defaultdict[str, float](float), [0.0]

    def process(part: Part, counts: bool) -> None:
        found: dict[str, float] = {}
        if trains_policy:
            found, log_ratio = policy_backward(
                config,
                state,
                part,
                tokens,
                temperature,
                critic=state.critic if state.critic.shared and trains_critic else None,
                counts=counts,
            )
            log_ratios.append(log_ratio if counts else 0.0)
        if trains_critic and "loss/value_avg" not in found:
            found |= critic_backward(
                config, state.critic, part, tokens, trains_policy=trains_policy, counts=counts
            )
        steps.add(metrics, found if counts else {})
        counted(part.size if counts else 0)

    in_step(state.models.actor, minibatch, spare, process)
    if trains_policy and config.ptx_coefficient > 0:
        metrics["loss/ptx"] = ptx_backward(
            config,
            state.models.actor,
            state.models.tokenizer,
            demonstrations,
            generator_for(config.seed, "demonstrations", *place),
            max_tokens=state.micro_batch_tokens,
        )
    return metrics, max(log_ratios)
