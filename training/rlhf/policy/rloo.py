"""RLOO, GRPO and Dr. GRPO: the policy answers each prompt several times and moves towards the answers whose
reward is above the mean reward of the prompt's answers. There is no critic.

Each step samples answers, scores them, compares each answer with the other answers to its prompt, and runs a
few epochs of clipped updates. An answer has one advantage, which all of its tokens share. The recipe's
settings (`RLOOConfig`) determine the method:

- RLOO subtracts the KL penalty from the reward, and then subtracts the mean reward of the prompt's other
  answers. It clips one probability ratio per answer.
- GRPO subtracts the mean reward of all answers to the prompt and divides by the standard deviation of these
  rewards. It clips one ratio per token, averages the loss over the tokens of each answer, and adds the KL
  penalty to the loss.
- Dr. GRPO is GRPO without the division by the standard deviation and by the answer's length.

The choices to which PPO is sensitive matter here, too (see `ppo`). Log-probabilities come from the training
forward pass, on the same rows as in the update. The policy is trained on the answers as they were sampled,
and answers are scored with exactly one EOS. Models stay in eval mode. If all answers to a prompt have the
same reward, the policy learns nothing from the prompt, except from a KL penalty in the loss.
``frac_reward_zero_std`` is the share of such prompts.

The loop is in ``rollouts.on_policy``. One state contains everything that changes during a run.
``roll_out(…, state)`` samples answers and does not change the state. ``update(…, state, batch)`` trains on
the answers and changes the state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from training.rlhf.core import distributed
from training.rlhf.core.alive import counted
from training.rlhf.core.masters import clipped_norm
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_factor
from training.rlhf.core.reporter import Reporter, require_finite
from training.rlhf.core.seeds import seed_everything
from training.rlhf.core.sharding import in_step
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.models.forward.logprobs import log_probs_and_entropies
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.objectives import losses
from training.rlhf.objectives.group_advantages import group_advantages, share_without_spread, token_weights
from training.rlhf.objectives.importance import answer_sums, truncated_weights
from training.rlhf.objectives.kl import kl_k1, kl_k3, ratio_of
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts import ceiling, steps
from training.rlhf.rollouts.on_policy import OnPolicyResult, run_on_policy
from training.rlhf.rollouts.rollout import (
    MicroBatch,
    Models,
    load_models,
    spare_micro_batch,
    usable_prompts,
)
from training.rlhf.rollouts.sampler import sampler_metrics
from training.rlhf.rollouts.state import OnPolicyBatch, OnPolicyState


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(OnPolicyBatch):
    """``advantages``, with shape (N,), are in the order of the rollout's rows."""

    minibatches: list[list[MicroBatch]]
    advantages: Tensor


def train(
    config: RLOOConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource | Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> OnPolicyResult:
    """Train ``policy`` against ``reward_model`` on ``prompts``, and save the trained policy to ``out_dir``.

    ``reward_model`` is one model or several named models. Reward models can be encoders and can have
    vocabularies and templates that differ from those of the policy.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The checkpoint folder is not removed. A run that is stopped saves a checkpoint before it ends, unless
    an update is in progress and needs more than a few seconds to finish.

    docs/rloo.md lists the metrics.

    Raises TrainingDiverged if a score, a loss or a gradient is not finite. Raises UnusableInput, a
    ValueError, if there are no prompts or a model can't be used. Raises CheckpointRefused if the folder
    contains checkpoints of a run with other inputs.
    """
    seed_everything(config.seed)
    state = new_state(config, load_models(policy, reward_model, config, out_dir=out_dir))
    return run_on_policy(
        config,
        state,
        usable_prompts(config, state.models, prompts),
        roll_out=roll_out,
        update=update,
        out_dir=out_dir,
        checkpoints=checkpoints,
        report=report,
    )


def new_state(config: RLOOConfig, models: Models) -> OnPolicyState:
    return OnPolicyState.starting(config, models)


def roll_out(
    config: RLOOConfig,
    state: OnPolicyState,
    prompts: EncodedPrompts,
    progress: steps.Progress = steps.no_progress,
) -> Batch:
    """Sample and score answers, and compare each answer with the other answers to the same prompt. The only
    part of the state that can change is the limit of token positions, which is lowered if the device runs out
    of memory."""
    models = state.models
    # 1. Sample answers to the next prompts and score them.
    rollout, position = steps.next_rollout(config, state, prompts, progress)
    # 2. Run the same rows through policy and reference, with the training forward pass.
    observe = partial(steps.observed_parts, models, rollout)
    minibatches = steps.observed_minibatches(config, state, rollout, observe)
    kl, surprise = torch.zeros(len(rollout.rows)), torch.zeros(len(rollout.rows))
    every = [seen for minibatch in minibatches for seen in minibatch]
    for seen in every:
        kl[seen.numbers] = kl_k1(seen.log_probs, seen.reference).sum(dim=1).cpu()
        surprise[seen.numbers] = -seen.log_probs.sum(dim=1).cpu()
    distributed.sum_tensors(kl, surprise)  # each process has observed a share of the rows
    # 3. Compute one reward per answer. If the KL exceeds the ceiling, the reward is only the KL penalty.
    recovery, compared = ceiling.beyond_ceiling(config, every)
    rate = rate_factor(config.schedule, state.step, config.steps)
    controller = state.kl.after(ceiling.kl_estimate(every), rate=rate, acted=not recovery)
    in_reward = ceiling.kl_weight(config, controller.beta, recovery=recovery)
    rewards = rollout.rewards(config) * (not recovery) - in_reward * kl
    rewards = rewards.view(len(rollout.prompts), config.responses_per_prompt)
    # 4. Compare each answer with the other answers to the same prompt.
    advantages = group_advantages(rewards, kind=config.advantage, normalise=config.normalise_advantages)
    metrics = steps.rollout_metrics(
        config,
        state,
        rollout,
        kl=float(kl.mean()),
        controller=controller,
        entropy=float(surprise.mean()),
    )
    metrics |= compared | {
        "reward_std": float(rewards.std(dim=1).mean()),
        "frac_reward_zero_std": share_without_spread(rewards),
    }
    metrics |= sampler_metrics(config, every)
    require_finite(rollout.step, metrics)
    return Batch(
        rollout=rollout,
        minibatches=minibatches,
        advantages=advantages.flatten(),
        position=position,
        floors=models.judges.adapted(state.floors, rollout.judged, acts=not recovery),
        kl=controller,
        recovery=recovery,
        metrics=metrics,
    )


def update(config: RLOOConfig, state: OnPolicyState, batch: Batch) -> dict[str, float]:
    """Run a few epochs of clipped updates, and update the rest of the state. Return the step's metrics."""
    ceiling.keep_below_ceiling(config, state, recovery=batch.recovery)
    state.kl = batch.kl
    steps.set_rate(state.policy_optimiser, rate_factor(config.schedule, state.step, config.steps))
    with steps.counting_updates(config, batch):
        passes = epochs(ceiling.update_settings(config, recovery=batch.recovery), state, batch)
    return steps.end_step(config, state, batch, passes)


def epochs(config: RLOOConfig, state: OnPolicyState, batch: Batch) -> dict[str, float]:
    """Train on the rollout for all epochs, with one optimiser step per minibatch. Return the metrics,
    averaged over these steps.

    ``val/first_log_ratio`` is the largest |log ratio| before the first step. It is 0 unless the rollout's
    forward pass differs from the one in training.
    """
    step = batch.rollout.step
    means, first_log_ratio = steps.Means(), 0.0
    for _, number in steps.minibatch_order(config, step, len(batch.minibatches)):
        tokens, answers = steps.sizes(batch.minibatches[number])
        found, largest = steps.within_memory(
            state,
            batch,
            number,
            partial(minibatch_backward, config, state, batch, tokens=tokens, answers=answers),
        )
        first_log_ratio = first_log_ratio if means.steps else largest
        found = steps.combine(found, state.policy_optimiser)
        found["grad_norm/policy"] = clipped_norm(state.policy_optimiser, config.max_grad_norm)
        if not steps.take_step(config, step, found, state.policy_optimiser):
            break
        means.add(found)
    return means.metrics() | {"val/first_log_ratio": distributed.highest(first_log_ratio)}


def minibatch_backward(
    config: RLOOConfig,
    state: OnPolicyState,
    batch: Batch,
    minibatch: Sequence[MicroBatch],
    *,
    tokens: int,
    answers: int,
) -> tuple[defaultdict[str, float], float]:
    """Add the gradients of this process's micro-batches of a minibatch. Return their metrics, and the largest
    |log ratio|. ``tokens`` and ``answers`` are the numbers of tokens and answers in the entire minibatch."""
    found, log_ratios = defaultdict[str, float](float), [0.0]

    def process(part: MicroBatch, counts: bool) -> None:
        old = part.log_probs[part.mask]
        log_probs, entropy = log_probs_and_entropies(
            state.models.actor, part.rows.inputs, temperature=batch.rollout.temperature
        )
        surrogate, loss, clipped = loss_of(
            config,
            part,
            log_probs,
            entropy,
            batch.advantages[part.numbers],
            kl_coefficient=state.kl.beta,
            answers=answers,
            tokens=tokens,
        )
        torch.autograd.backward(loss if counts else 0 * loss)
        if not counts:
            return
        new = log_probs.detach()
        log_ratios.append(float((new - old).abs().max()))
        found["loss/policy_avg"] += surrogate
        found["policy/clipfrac_avg"] += clipped
        found["policy/approxkl_avg"] += float(kl_k3(old, new).sum()) / tokens
        found["policy/entropy_avg"] += float(entropy.detach().sum()) / tokens
        found["val/ratio"] += float(ratio_of(new, old).sum()) / tokens
        counted(part.size)

    in_step(state.models.actor, minibatch, lambda: spare_micro_batch(state.models, batch.rollout), process)
    return found, max(log_ratios)


def loss_of(
    config: RLOOConfig,
    part: MicroBatch,
    log_probs: Tensor,
    entropy: Tensor,
    advantages: Tensor,
    *,
    kl_coefficient: float,
    answers: int,
    tokens: int,
) -> tuple[float, Tensor, float]:
    """Return a micro-batch's contribution to the minibatch's surrogate loss, complete loss and fraction of
    clipped ratios.

    ``log_probs`` and ``entropy`` are those of the current policy, with one entry per token of the micro-batch
    and shape (N,). ``advantages`` has shape (B,). ``answers`` and ``tokens`` are the numbers of answers and
    tokens in the entire minibatch. The contributions of its micro-batches add up, so the result doesn't
    depend on how the minibatch is split into micro-batches.
    """
    old, reference, lengths = part.log_probs[part.mask], part.reference[part.mask], part.mask.sum(dim=1)
    per_token = token_weights(
        lengths, kind=config.aggregation, answers=answers, tokens=tokens, limit=config.max_new_tokens
    ).repeat_interleave(lengths)
    advantages = advantages.to(log_probs.device)
    if config.ratio == "sequence":
        # The ratio of an answer's probabilities is the product of the ratios of its tokens.
        new, before = part.rows.per_answer(log_probs).sum(dim=1), part.log_probs.sum(dim=1)
        weights, share = torch.full_like(before, 1.0 / answers), 1.0 / answers
    else:
        new, before, weights, share = log_probs, old, per_token, 1.0 / tokens
        advantages = advantages.repeat_interleave(lengths)
    surrogate = losses.clipped_policy_loss(
        new, before, advantages, clip=config.clip, dual_clip=config.dual_clip
    )
    if part.sampler is not None and config.importance_cap is not None:
        sampler = part.sampler
        if config.ratio == "sequence":
            sampler = answer_sums(sampler, lengths)
        correction = truncated_weights(before, sampler, cap=config.importance_cap)
        weights = weights * correction
        per_token = per_token * (
            correction.repeat_interleave(lengths) if config.ratio == "sequence" else correction
        )
    surrogate = (weights * surrogate).sum()
    penalties = losses.penalties(config, log_probs, old, reference, entropy, kl_coefficient=kl_coefficient)
    clipped = (ratio_of(new.detach(), before) - 1).abs() > config.clip
    return (
        float(surrogate.detach()),
        surrogate + (per_token * penalties).sum(),
        share * float(clipped.sum()),
    )
