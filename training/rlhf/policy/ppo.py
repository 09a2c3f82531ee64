"""PPO: the policy answers prompts, a reward model scores the answers, and the policy moves towards higher
scores.

Each step samples answers, scores them, computes advantages, and makes a few epochs of clipped updates. PPO is
sensitive to these choices:

- Log-probabilities are never taken from the sampler. They are recomputed with the training forward pass on
  the same rows that are trained on. The ratio is therefore exactly 1 before the first update, and
  ``val/first_log_ratio`` reports any deviation.
- Updates use the token IDs as they were sampled. Answers are scored with exactly one EOS at their end.
- The score is placed on the last real token. A truncated answer is scored as if it ended at its last token,
  and ``missing_eos_penalty`` is subtracted from its score.
- The KL penalty is part of the reward (k1), or its gradient is part of the loss (k2, k3). In the loss, the
  mean gradient of k1 would be 0.
- The critic is a separate model on the reward model's trunk. Its head starts at zero, so the explained
  variance of its first values is exactly 0. The critic's gradient never affects the policy, and each of the
  two models has its own optimiser.
- Scores are measured in standard deviations of the training responses' rewards. The KL coefficient, the clip
  ranges and the penalty therefore have the same meaning for every reward model.
- Advantages are whitened over all tokens in the batch. Losses are averaged over all tokens in the minibatch.
  Neither step is carried out per micro-batch.
- There is no dropout: models stay in eval mode.

The loop runs over an explicit state. ``roll_out(…, state)`` changes nothing, so a run that is stopped during
a rollout saves the state and loses only that rollout. ``update(…, state, batch)`` changes the state. A run
that is stopped during an update resumes from its newest checkpoint.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from training.rlhf.core.alive import heard_by
from training.rlhf.core.checkpoint import digest, open_store, save_checkpoint, saving_when_stopped
from training.rlhf.core.loop_state import Modules, Optimisers, fingerprint
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import generator_for, seed_everything
from training.rlhf.data.answers import Row, shared_layout
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Judges
from training.rlhf.judging.shaping import token_scores
from training.rlhf.models import chat
from training.rlhf.models.loading import ModelSource, save_model
from training.rlhf.models.logprobs import log_probs_and_entropies
from training.rlhf.objectives import advantages, losses
from training.rlhf.objectives.kl import KLController, kl_k1, kl_k3, ratio_of
from training.rlhf.policy.ptx import encode_demonstrations, ptx_backward
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.critic import Critic, critic_for, values_of
from training.rlhf.rollouts.on_policy import (
    OnPolicyState,
    ceiling_kl,
    keep_below_ceiling,
    mean_kl,
    show_samples,
    stay_below_ceiling,
    update_settings,
)
from training.rlhf.rollouts.reference import move_reference
from training.rlhf.rollouts.rollout import (
    MicroBatch,
    Models,
    Position,
    Rollout,
    choose_prompts,
    load_models,
    observe,
    sample_rollout,
    split_rollout,
    usable_prompts,
)

# Adam's epsilon, as in OpenAI's code and CleanRL. With torch's default of 1e-8, the initial steps would be
# far larger.
ADAM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class PPOResult:
    """The path of the saved policy, with the metrics of the last step and some metrics of the first step. The
    keys of the first step's metrics end in ``_first``. ``prompts_refused`` counts the prompts that the chat
    template can't render."""

    path: Path
    steps: int
    metrics: dict[str, float]
    prompts_cut: int
    prompts_refused: int


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


@dataclass(frozen=True, slots=True)
class Part:
    """A micro-batch with the targets of its update. ``values``, ``advantages`` and ``returns`` have shape
    (B, R) and are 0 in padding."""

    seen: MicroBatch
    values: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's rollout, ready for the update. ``position`` is the position in the prompts after the
    rollout, and ``floors`` is the state of the floors after it. If the KL of the answers exceeds
    ``kl_ceiling``, the step is a ``recovery``."""

    rollout: Rollout
    minibatches: list[list[Part]]
    position: Position
    recovery: bool
    kl: float
    floors: FloorState
    metrics: dict[str, float]


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
) -> PPOResult:
    """Train ``policy`` against ``reward_model`` on ``prompts``, and save the trained policy to ``out_dir``.

    ``reward_model`` is one model or several named models. ``demonstrations`` are for ``ptx_coefficient``.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The folder is not removed. A run that is stopped during a rollout saves a checkpoint first. A run
    that is stopped during an update does not, because its weights are between two steps.

    docs/ppo.md lists the metrics.

    Raises TrainingDiverged if a score, a loss or a gradient is not finite. Raises UnusableInput, a
    ValueError, if there are no prompts or a model can't be used. Raises CheckpointRefused if the folder
    contains checkpoints of a run with other inputs.
    """
    report = report or NullReporter()
    seed_everything(config.seed)
    sources = reward_model if isinstance(reward_model, Mapping) else {"reward": reward_model}
    state = new_state(config, load_models(policy, sources, config))
    models = state.models
    context = min(chat.context_length(models.actor), chat.context_length(state.critic.trunk))
    usable = usable_prompts(config, models, prompts, context=context)
    shown = encode_demonstrations(config, models.tokenizer, demonstrations, context=context)
    of = {
        "prompts": digest([usable.messages, usable.ids]),
        "demonstrations": digest(shown),
        "policy": fingerprint({"policy": models.actor}),
        "reward models": fingerprint({judge.name: judge.model for judge in models.judges.judges}),
    }
    store = open_store(checkpoints, config, of=of)
    if resumed := store.resume(state.modules, state.optimisers):
        state.restore(resumed)

    def save() -> None:
        save_checkpoint(
            store, report, state.step, state.modules, state.optimisers, state.counters(),
            state.tensors(config),
        )  # fmt: skip

    # Long passes call `alive` for every token or micro-batch. `heard_by` makes each of these calls check for
    # a stop request, so a cancellation takes effect within seconds.
    report.progress("train", state.step, config.steps)
    while True:
        with saving_when_stopped(save), heard_by(report.check):
            report.check()
            if state.step == config.steps:
                stay_below_ceiling(config, state, usable)
            show_samples(config, state, usable, report)
            if state.step == config.steps:
                break
            started = time.perf_counter()
            batch = roll_out(config, state, usable, progress=partial(report.progress, "generate"))
        rolled_out = time.perf_counter()
        with heard_by(report.check):
            updated = update(config, state, batch, shown)
        seconds = {
            "seconds/rollout": rolled_out - started,
            "seconds/update": time.perf_counter() - rolled_out,
        }
        report.metrics(state.step, updated | seconds)
        report.progress("train", state.step, config.steps)
        if store.due():
            save()

    path = save_model(models.actor, models.tokenizer, out_dir)
    return PPOResult(path, config.steps, state.metrics | state.first, usable.cut, usable.refused)


def new_state(config: PPOConfig, models: Models) -> PPOState:
    critic = critic_for(models)
    models = replace(models, layout=shared_layout(models.actor, models.reference, critic.trunk))
    rates = {
        "policy": config.learning_rate or rate_for(models.actor, at_2m=4e-4, at_1b=1e-6),
        "critic": config.value_learning_rate or rate_for(critic, at_2m=5e-4, at_1b=5e-6),
    }
    return PPOState(
        models=models,
        critic=critic,
        policy_optimiser=torch.optim.Adam(models.actor.parameters(), lr=rates["policy"], eps=ADAM_EPSILON),
        critic_optimiser=torch.optim.Adam(critic.parameters(), lr=rates["critic"], eps=ADAM_EPSILON),
        kl=KLController.starting(config.kl_coefficient, config.kl_target),
        floors=models.judges.initial_state(),
    )


def roll_out(
    config: PPOConfig,
    state: PPOState,
    prompts: EncodedPrompts,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Batch:
    """Sample and score answers, and compute their advantages. Doesn't change the state."""
    step, models, beta = state.step + 1, state.models, state.kl.beta
    # 1. Sample answers to the next prompts and score them.
    chosen, position = choose_prompts(
        config.seed, state.position, count=config.rollout_prompts, of=len(prompts.ids)
    )
    rollout = sample_rollout(
        config, models, prompts, chosen, step=step, floors=state.floors, progress=progress
    )
    # 2. Run the same rows through policy, reference and critic, with the training forward pass.
    dealt = [
        [(seen, values_of(state.critic, seen)) for seen in (observe(models, rollout, part) for part in parts)]
        for parts in split_rollout(config, models, rollout)
    ]
    every = [pair for minibatch in dealt for pair in minibatch]
    kl = mean_kl([seen for seen, _ in every])
    rewards = rollout.rewards(config)
    require_finite(
        step,
        {
            "objective/scores": float(rollout.judged.scores.mean()),
            "objective/kl": kl,
            "the critic's mean value": float(sum(values.sum() for _, values in every)),
        },
    )
    # 3. Compute rewards per token. If the KL exceeds the ceiling, the reward is only the KL penalty. The
    # critic was trained to predict other rewards, so such a step doesn't use the critic.
    upper = ceiling_kl([seen for seen, _ in every])
    recovery = config.kl_ceiling is not None and upper > config.kl_ceiling
    in_reward = max(1.0, beta) if recovery else beta if config.kl_estimator == "k1" else 0.0
    masks = [seen.mask for seen, _ in every]
    per_token = [
        advantages.token_rewards(
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
        per_token = advantages.whiten(per_token, masks, shift_mean=False)
    # 4. Compute advantages per answer, and whiten them over all answers.
    found = [
        advantages.generalised_advantages(
            reward, values * (not recovery), seen.mask, gamma=config.gamma, lam=config.gae_lambda
        )
        for reward, (seen, values) in zip(per_token, every, strict=True)
    ]
    whitened = iter(advantages.whiten([advantage for advantage, _ in found], masks))
    returns = iter([part for _, part in found])
    minibatches = [
        [Part(seen, values, next(whitened), next(returns)) for seen, values in minibatch]
        for minibatch in dealt
    ]
    metrics = rollout_metrics(
        config,
        rollout,
        [part for parts in minibatches for part in parts],
        rewards,
        beta=beta,
        estimates_uncertainty=models.judges.estimates_uncertainty,
    )
    if config.kl_ceiling is not None:
        metrics |= {"recovery": float(recovery), "objective/kl_upper": upper}
    metrics |= {"objective/kl": kl} | models.judges.metrics(rollout.judged, state.floors)
    acts = step > config.warmup_steps and not recovery
    floors = models.judges.adapted(state.floors, rollout.judged, acts=acts)
    return Batch(rollout, minibatches, position, recovery, kl, floors, metrics)


def shaping_rewards(config: PPOConfig, judges: Judges, rollout: Rollout, floors: FloorState) -> list[Tensor]:
    """Return, for each answer, the difference between its rewards spread over sentences and its reward at the
    end: one tensor of shape (T,), whose sum is 0 if gamma is 1."""
    return token_scores(
        judges,
        rollout.asked,
        torch.zeros(len(rollout.rows)),
        lengths=rollout.lengths.tolist(),
        max_new_tokens=config.max_new_tokens,
        gamma=config.gamma,
        clip=config.score_clip,
        state=floors,
    )


def update(
    config: PPOConfig, state: PPOState, batch: Batch, demonstrations: Sequence[Row] = ()
) -> dict[str, float]:
    """Make a few epochs of clipped updates, and bring the state to the end of the step. Return the step's
    metrics."""
    step, beta = state.step + 1, state.kl.beta
    trains_policy, trains_critic = step > config.warmup_steps, not batch.recovery
    keep_below_ceiling(config, state, recovery=batch.recovery)
    after_warmup = config.steps - config.warmup_steps
    rates = {
        "policy": rate_factor(config.schedule, state.policy_steps, after_warmup) if trains_policy else 0.0,
        "critic": rate_factor(config.schedule, state.step, config.steps) if trains_critic else 0.0,
    }
    for name, optimiser in state.optimisers.items():
        for group in optimiser.param_groups:
            group["lr"] = optimiser.defaults["lr"] * rates[name]
    settings = update_settings(config, recovery=batch.recovery)
    passes = epochs(
        settings, state, batch, demonstrations, trains_policy=trains_policy, trains_critic=trains_critic
    )
    if not batch.recovery:
        move_reference(config, state.models, step)
    state.step, state.position, state.floors = step, batch.position, batch.floors
    state.policy_steps += trains_policy
    state.episodes += len(batch.rollout.rows)
    state.metrics = batch.metrics | passes
    state.metrics |= {
        "kl_coefficient": beta,
        "lr": float(state.policy_optimiser.param_groups[0]["lr"]),
        "episode": float(state.episodes),
    }
    state.kl = state.kl.after(batch.kl, acted=trains_policy and not batch.recovery)
    if not state.first:
        state.first = {f"{name}_first": state.metrics[name] for name in ("objective/scores", "objective/kl")}
    return state.metrics


def epochs(
    config: PPOConfig,
    state: PPOState,
    batch: Batch,
    demonstrations: Sequence[Row],
    *,
    trains_policy: bool,
    trains_critic: bool,
) -> dict[str, float]:
    """Pass over the rollout, with an optimiser step per minibatch. Return the metrics, averaged over these
    steps.

    If the policy's KL from the sampling policy exceeds ``stop_kl``, the passes end before the next step.
    Beyond that limit, clipped ratios carry little information. ``val/first_log_ratio`` is the largest |log
    ratio| before the first step. It is 0 unless the rollout's forward pass differs from the one in training.
    Such a difference is the most common bug in PPO code.
    """
    step, actor, temperature = batch.rollout.step, state.models.actor, batch.rollout.temperature
    sums: defaultdict[str, float] = defaultdict(float)
    updates, first_log_ratio = 0, 0.0
    for epoch in range(config.epochs):
        order = torch.randperm(
            len(batch.minibatches), generator=generator_for(config.seed, "epoch", step, epoch)
        )
        for number in order.tolist():
            minibatch = batch.minibatches[number]
            tokens = sum(int(part.seen.mask.sum()) for part in minibatch)
            seen: defaultdict[str, float] = defaultdict(float)
            for part in minibatch:
                # Each micro-batch adds its summed loss, divided by the minibatch's number of tokens. The
                # result therefore does not depend on how the minibatch is split into micro-batches.
                if trains_policy:
                    found, largest = policy_backward(config, state, part, tokens, temperature)
                    first_log_ratio = first_log_ratio if updates else max(first_log_ratio, largest)
                    add(seen, found)
                if trains_critic:
                    add(seen, critic_backward(config, state.critic, part, tokens))
            if trains_policy and config.ptx_coefficient > 0:
                generator = generator_for(config.seed, "demonstrations", step, epoch, number)
                seen["loss/ptx"] = ptx_backward(
                    config, actor, state.models.tokenizer, demonstrations, generator
                )
            if trains_policy:
                ratio_mean = seen["val/ratio"]
                seen["val/ratio_var"] -= ratio_mean**2
                seen["grad_norm/policy"] = clipped_norm(actor, config.max_grad_norm)
            if trains_critic:
                seen["grad_norm/value"] = clipped_norm(state.critic, config.max_grad_norm)
            require_finite(step, seen)
            stops = config.stop_kl is not None and seen["policy/approxkl_avg"] > config.stop_kl
            for optimiser, trains in (
                (state.policy_optimiser, trains_policy),
                (state.critic_optimiser, trains_critic),
            ):
                if trains and not stops:
                    optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            if stops:
                return means(sums, updates) | {"val/first_log_ratio": first_log_ratio}
            updates += 1
            add(sums, seen)
    return means(sums, updates) | ({"val/first_log_ratio": first_log_ratio} if trains_policy else {})


def policy_backward(
    config: PPOConfig, state: PPOState, part: Part, tokens: int, temperature: float
) -> tuple[dict[str, float], float]:
    """Add the gradient of the policy's loss on a micro-batch. Return its share of the minibatch's metrics,
    and the largest |log ratio|."""
    seen, mask = part.seen, part.seen.mask
    old, advantage = seen.log_probs[mask], part.advantages[mask]
    log_probs, entropy = log_probs_and_entropies(
        state.models.actor,
        seen.rows.inputs,
        temperature=temperature,
    )
    surrogate, loss = losses.policy_loss(
        config, log_probs, old, seen.reference[mask], advantage, entropy, kl_coefficient=state.kl.beta
    )
    torch.autograd.backward(loss.sum() / tokens)
    new = log_probs.detach()
    ratio = ratio_of(new, old)
    shares = {
        "loss/policy_avg": surrogate.detach(),
        "policy/approxkl_avg": kl_k3(old, new),
        "policy/clipfrac_avg": ((ratio - 1).abs() > config.clip).float(),
        "policy/entropy_avg": entropy.detach(),
        "val/ratio": ratio,
        "val/ratio_var": ratio.square(),  # becomes the variance when the minibatch is complete
    }
    return (
        {name: float(values.sum()) / tokens for name, values in shares.items()},
        float((new - old).abs().max()),
    )


def critic_backward(config: PPOConfig, critic: Critic, part: Part, tokens: int) -> dict[str, float]:
    """Add the gradient of the critic's loss on a micro-batch. Return its share of the minibatch's metrics."""
    mask = part.seen.mask
    loss, clipped = losses.clipped_value_loss(
        critic(part.seen.rows.inputs), part.values[mask], part.returns[mask], clip=config.value_clip
    )
    torch.autograd.backward(config.value_coefficient * loss.sum() / tokens)
    return {
        "loss/value_avg": float(loss.detach().sum()) / tokens,
        "val/clipfrac_avg": float(clipped.sum()) / tokens,
    }


def rollout_metrics(
    config: PPOConfig,
    rollout: Rollout,
    parts: Sequence[Part],
    rewards: Tensor,
    *,
    beta: float,
    estimates_uncertainty: bool,
) -> dict[str, float]:
    kl = mean_kl([part.seen for part in parts])
    entropies = [(-part.seen.log_probs * part.seen.mask).sum(dim=1) for part in parts]
    last = [one.ids[-1] for group in rollout.answers for one in group if one.finished]
    metrics = {
        "objective/scores": float(rollout.judged.scores.mean()),
        "objective/entropy": float(torch.cat(entropies).mean()),
        "objective/non_score_reward": -beta * kl,
        "objective/rlhf_reward": float(rewards.mean()) - beta * kl,
        "val/num_eos_tokens": float(len(last)),
        "lengths/response_mean": float(rollout.lengths.float().mean()),
        "eos_rate": float(rollout.finished.float().mean()),
    }
    if estimates_uncertainty:
        metrics["objective/spread"] = float(rollout.judged.spreads.mean())
    if config.temperature_end is not None:
        metrics["temperature"] = rollout.temperature
    explained = advantages.explained_variance(
        torch.cat([part.values[part.seen.mask] for part in parts]),
        torch.cat([part.returns[part.seen.mask] for part in parts]),
    )
    return metrics | ({} if explained is None else {"val/explained_variance": explained})


def clipped_norm(module: nn.Module, limit: float) -> float:
    return float(nn.utils.clip_grad_norm_(module.parameters(), limit))


def add(sums: defaultdict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        sums[name] += value


def means(sums: Mapping[str, float], updates: int) -> dict[str, float]:
    return {name: value / updates for name, value in sums.items()} | {"updates": float(updates)}
