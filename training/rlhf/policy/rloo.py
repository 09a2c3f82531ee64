"""RLOO, GRPO and Dr. GRPO: the policy answers each prompt several times and moves towards the answers whose
reward is higher than that of the other answers. There is no critic.

Each step samples answers, scores them, compares each answer with the others to its prompt, and makes a few
epochs of clipped updates. An answer has one advantage, which all of its tokens share. The recipe's settings
name the method (`RLOOConfig`):

- RLOO subtracts the KL penalty from the reward, then the mean reward of the prompt's other answers. It clips
  one probability ratio per answer.
- GRPO subtracts the mean reward of all answers to the prompt and divides by their standard deviation. It
  clips one ratio per token, averages the tokens of each answer, and adds the KL penalty to the loss.
- Dr. GRPO is GRPO without the division by the standard deviation and by the answer's length.

The choices to which PPO is sensitive matter here, too (see `ppo`). Log-probabilities come from the training
forward pass on the rows that are trained on. The policy is trained on the answers as they were sampled, and
answers are scored with exactly one EOS. Models stay in eval mode. If all answers to a prompt have the same
reward, the policy learns nothing from the prompt, except from a KL penalty in the loss.
``frac_reward_zero_std`` is the share of such prompts.

The loop runs over an explicit state. ``roll_out(…, state)`` changes nothing, so a run that is stopped during
a rollout saves the state and loses only that rollout. ``update(…, state, batch)`` changes the state. A run
that is stopped during an update resumes from its newest checkpoint.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from training.rlhf.core.alive import heard_by
from training.rlhf.core.checkpoint import digest, open_store, save_checkpoint, saving_when_stopped
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import generator_for, seed_everything
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.models.loading import ModelSource, save_model
from training.rlhf.models.logprobs import log_probs_and_entropies
from training.rlhf.objectives import losses
from training.rlhf.objectives.group_advantages import group_advantages, share_without_spread, token_weights
from training.rlhf.objectives.kl import KLController, kl_k1, kl_k3, ratio_of
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.on_policy import (
    OnPolicyState,
    ceiling_kl,
    keep_below_ceiling,
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

ADAM_EPSILON = 1e-5  # as in PPO


@dataclass(frozen=True, slots=True)
class RLOOResult:
    """The path of the saved policy, with the metrics of the last step and some metrics of the first step. The
    keys of the first step's metrics end in ``_first``. ``prompts_refused`` counts the prompts that the chat
    template can't render."""

    path: Path
    steps: int
    metrics: dict[str, float]
    prompts_cut: int
    prompts_refused: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's rollout, ready for the update. ``advantages``, with shape (N,), are in the order of the
    rollout's rows. ``position`` is the position in the prompts after the rollout, and ``floors`` is the state
    of the floors after it. If the KL of the answers exceeds ``kl_ceiling``, the step is a ``recovery``."""

    rollout: Rollout
    minibatches: list[list[MicroBatch]]
    advantages: Tensor
    position: Position
    recovery: bool
    floors: FloorState
    metrics: dict[str, float]


def train(
    config: RLOOConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource | Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> RLOOResult:
    """Train ``policy`` against ``reward_model`` on ``prompts``, and save the trained policy to ``out_dir``.

    ``reward_model`` is one model or several named models. They can be encoders and can have other
    vocabularies and templates than the policy.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The folder is not removed. A run that is stopped during a rollout saves a checkpoint first. A run
    that is stopped during an update does not, because its weights are between two steps.

    docs/rloo.md lists the metrics.

    Raises TrainingDiverged if a score, a loss or a gradient is not finite. Raises UnusableInput, a
    ValueError, if there are no prompts or a model can't be used. Raises CheckpointRefused if the folder
    contains checkpoints of a run with other inputs.
    """
    report = report or NullReporter()
    seed_everything(config.seed)
    sources = reward_model if isinstance(reward_model, Mapping) else {"reward": reward_model}
    state = new_state(config, load_models(policy, sources, config))
    models = state.models
    usable = usable_prompts(config, models, prompts)
    of = {
        "prompts": digest([usable.messages, usable.ids]),
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

    report.progress("train", state.step, config.steps)
    while True:
        # `heard_by` makes each call of `alive` in a long pass check for a stop request, so a cancellation
        # takes effect within seconds.
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
            updated = update(config, state, batch)
        seconds = {
            "seconds/rollout": rolled_out - started,
            "seconds/update": time.perf_counter() - rolled_out,
        }
        report.metrics(state.step, updated | seconds)
        report.progress("train", state.step, config.steps)
        if store.due():
            save()

    path = save_model(models.actor, models.tokenizer, out_dir)
    return RLOOResult(path, config.steps, state.metrics | state.first, usable.cut, usable.refused)


def new_state(config: RLOOConfig, models: Models) -> OnPolicyState:
    rate = config.learning_rate or rate_for(models.actor, at_2m=4e-4, at_1b=1e-6)
    return OnPolicyState(
        models=models,
        policy_optimiser=torch.optim.Adam(models.actor.parameters(), lr=rate, eps=ADAM_EPSILON),
        kl=KLController.starting(config.kl_coefficient, config.kl_target),
        floors=models.judges.initial_state(),
    )


def roll_out(
    config: RLOOConfig,
    state: OnPolicyState,
    prompts: EncodedPrompts,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Batch:
    """Sample and score answers, and compare the answers to each prompt. Doesn't change the state."""
    step, models, beta = state.step + 1, state.models, state.kl.beta
    # 1. Sample answers to the next prompts and score them.
    chosen, position = choose_prompts(
        config.seed, state.position, count=config.rollout_prompts, of=len(prompts.ids)
    )
    rollout = sample_rollout(
        config, models, prompts, chosen, step=step, floors=state.floors, progress=progress
    )
    # 2. Run the same rows through policy and reference, with the training forward pass.
    minibatches = [
        [observe(models, rollout, part) for part in parts] for parts in split_rollout(config, models, rollout)
    ]
    kl, surprise = torch.zeros(len(rollout.rows)), torch.zeros(len(rollout.rows))
    for seen in (part for minibatch in minibatches for part in minibatch):
        kl[seen.numbers] = kl_k1(seen.log_probs, seen.reference).sum(dim=1).cpu()
        surprise[seen.numbers] = -seen.log_probs.sum(dim=1).cpu()
    # 3. Compute one reward per answer. If the KL exceeds the ceiling, the reward is only the KL penalty.
    scored = rollout.rewards(config)
    upper = ceiling_kl([part for minibatch in minibatches for part in minibatch])
    recovery = config.kl_ceiling is not None and upper > config.kl_ceiling
    in_reward = max(1.0, beta) if recovery else beta if config.kl_estimator == "k1" else 0.0
    rewards = (scored * (not recovery) - in_reward * kl).view(len(chosen), config.responses_per_prompt)
    # 4. Compare each answer with the others to its prompt.
    advantages = group_advantages(rewards, kind=config.advantage, normalise=config.normalise_advantages)
    metrics = rollout_metrics(config, models, rollout, rewards)
    metrics |= {
        "objective/kl": float(kl.mean()),
        "objective/entropy": float(surprise.mean()),
        "objective/non_score_reward": -beta * float(kl.mean()),
        "objective/rlhf_reward": float(scored.mean()) - beta * float(kl.mean()),
        "kl_coefficient": beta,
    }
    if config.kl_ceiling is not None:
        metrics |= {"recovery": float(recovery), "objective/kl_upper": upper}
    metrics |= models.judges.metrics(rollout.judged, state.floors)
    require_finite(step, metrics)
    floors = models.judges.adapted(state.floors, rollout.judged, acts=not recovery)
    return Batch(rollout, minibatches, advantages.flatten(), position, recovery, floors, metrics)


def update(config: RLOOConfig, state: OnPolicyState, batch: Batch) -> dict[str, float]:
    """Make a few epochs of clipped updates, and bring the state to the end of the step. Return the step's
    metrics."""
    step, optimiser = batch.rollout.step, state.policy_optimiser
    keep_below_ceiling(config, state, recovery=batch.recovery)
    for group in optimiser.param_groups:
        group["lr"] = optimiser.defaults["lr"] * rate_factor(config.schedule, state.step, config.steps)
    passes = epochs(update_settings(config, recovery=batch.recovery), state, batch)
    if not batch.recovery:
        move_reference(config, state.models, step)
    state.step, state.position, state.floors = step, batch.position, batch.floors
    state.episodes += len(batch.rollout.rows)
    state.metrics = batch.metrics | passes
    state.metrics |= {"lr": float(optimiser.param_groups[0]["lr"]), "episode": float(state.episodes)}
    state.kl = state.kl.after(batch.metrics["objective/kl"], acted=not batch.recovery)
    if not state.first:
        state.first = {f"{name}_first": state.metrics[name] for name in ("objective/scores", "objective/kl")}
    return state.metrics


def epochs(config: RLOOConfig, state: OnPolicyState, batch: Batch) -> dict[str, float]:
    """Pass over the rollout, with an optimiser step per minibatch. Return the metrics, averaged over these
    steps.

    If the policy's KL from the sampling policy exceeds ``stop_kl``, the passes end before the next step.
    ``val/first_log_ratio`` is the largest |log ratio| before the first step. It is 0 unless the rollout's
    forward pass differs from the one in training.
    """
    actor, optimiser, step = state.models.actor, state.policy_optimiser, batch.rollout.step
    sums: defaultdict[str, float] = defaultdict(float)
    updates, first_log_ratio, stopped = 0, 0.0, False
    for epoch in range(config.epochs):
        generator = generator_for(config.seed, "epoch", step, epoch)
        for number in torch.randperm(len(batch.minibatches), generator=generator).tolist():
            minibatch = batch.minibatches[number]
            tokens = sum(int(part.mask.sum()) for part in minibatch)
            answers = sum(len(part.numbers) for part in minibatch)
            found: defaultdict[str, float] = defaultdict(float)
            for part in minibatch:
                old = part.log_probs[part.mask]
                log_probs, entropy = log_probs_and_entropies(
                    actor,
                    part.rows.inputs,
                    temperature=batch.rollout.temperature,
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
                torch.autograd.backward(loss)
                new = log_probs.detach()
                if not updates:
                    first_log_ratio = max(first_log_ratio, float((new - old).abs().max()))
                found["loss/policy_avg"] += surrogate
                found["policy/clipfrac_avg"] += clipped
                found["policy/approxkl_avg"] += float(kl_k3(old, new).sum()) / tokens
                found["policy/entropy_avg"] += float(entropy.detach().sum()) / tokens
                found["val/ratio"] += float(ratio_of(new, old).sum()) / tokens
            found["grad_norm/policy"] = float(
                nn.utils.clip_grad_norm_(actor.parameters(), config.max_grad_norm)
            )
            require_finite(step, found)
            stopped = config.stop_kl is not None and found["policy/approxkl_avg"] > config.stop_kl
            if not stopped:
                optimiser.step()
                updates += 1
                for name, value in found.items():
                    sums[name] += value
            optimiser.zero_grad(set_to_none=True)
            if stopped:
                break
        if stopped:
            break
    means = {name: value / updates for name, value in sums.items()}
    return means | {"updates": float(updates), "val/first_log_ratio": first_log_ratio}


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
    """Return a micro-batch's share of the minibatch's surrogate loss, complete loss and clipped ratios.

    ``log_probs`` and ``entropy`` of the current policy have the shape (N,) of the micro-batch's tokens.
    ``advantages`` has shape (B,). ``answers`` and ``tokens`` count the entire minibatch. The shares of its
    micro-batches add up, so the result doesn't depend on how the minibatch is split into micro-batches.
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
    surrogate = (weights * surrogate).sum()
    penalties = losses.penalties(config, log_probs, old, reference, entropy, kl_coefficient=kl_coefficient)
    clipped = (ratio_of(new.detach(), before) - 1).abs() > config.clip
    return (
        float(surrogate.detach()),
        surrogate + (per_token * penalties).sum(),
        share * float(clipped.sum()),
    )


def rollout_metrics(
    config: RLOOConfig, models: Models, rollout: Rollout, rewards: Tensor
) -> dict[str, float]:
    """Return the metrics of the answers. ``rewards``, with shape (P, K), contains the rewards that are
    compared."""
    metrics = {
        "objective/scores": float(rollout.judged.scores.mean()),
        "reward_std": float(rewards.std(dim=1).mean()),
        "frac_reward_zero_std": share_without_spread(rewards),
        "lengths/response_mean": float(rollout.lengths.float().mean()),
        "val/num_eos_tokens": float(rollout.finished.sum()),
        "eos_rate": float(rollout.finished.float().mean()),
    }
    if models.judges.estimates_uncertainty:
        metrics["objective/spread"] = float(rollout.judged.spreads.mean())
    if config.temperature_end is not None:
        metrics["temperature"] = rollout.temperature
    return metrics
