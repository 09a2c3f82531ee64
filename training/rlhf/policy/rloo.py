"""RLOO, GRPO and Dr. GRPO: the policy answers each prompt several times and moves towards the answers whose
reward is higher than that of the other answers. There is no critic.

Each step samples answers, scores them, compares each answer with the others to its prompt, and makes a few
clipped updates. An answer is one action with one advantage, which all of its tokens share. The recipe's
settings name the method (`RLOOConfig`):

- RLOO puts the KL penalty into the reward, subtracts the mean reward of the prompt's other answers, and clips
  one probability ratio per answer.
- GRPO subtracts the mean reward of all answers to the prompt, divides by their standard deviation, clips one
  ratio per token, and adds the KL penalty to the loss.
- Dr. GRPO is GRPO without the division by the standard deviation and by the length of the answer.

As in PPO, log-probabilities are recomputed with the training forward pass on the same rows that are trained
on, so ``val/first_log_ratio`` is 0. Answers are trained on as they were sampled, and scored with exactly one
EOS at the end. Scores are measured in standard deviations of the training responses' rewards.

If all answers to a prompt have the same reward, the prompt changes nothing. ``frac_reward_zero_std`` is the
share of such prompts.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.checkpoint import digest, open_store, save_checkpoint, saving_when_stopped
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import generator_for, seed_everything, seed_for
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.prompts import EncodedPrompts, encode_prompts
from training.rlhf.judging.judges import Asked, Judges, open_judges
from training.rlhf.models import chat
from training.rlhf.models.loading import Loaded, ModelSource, open_policy, save_model
from training.rlhf.models.logprobs import token_log_probs
from training.rlhf.policy import advantages, losses
from training.rlhf.policy.group_advantages import group_advantages, share_without_spread, token_weights
from training.rlhf.policy.rollout import split_rollout
from training.rlhf.recipes.rloo import RLOOConfig

# Adam's epsilon, as in PPO.
ADAM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class RLOOResult:
    """The path of the saved policy, with the metrics of the last step and some metrics of the first step,
    whose names end in ``_first``. ``prompts_cut`` and ``prompts_refused`` count truncated prompts and prompts
    that the chat template can't render."""

    path: Path
    steps: int
    metrics: dict[str, float]
    prompts_cut: int
    prompts_refused: int


@dataclass(slots=True)
class State:
    """A run between two steps. ``reference`` and ``judges`` are frozen; a checkpoint contains the rest.

    There is no state of a random generator: every random choice follows from the seed and the step.
    """

    actor: PreTrainedModel
    reference: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    judges: Judges
    prompts: EncodedPrompts
    optimiser: torch.optim.Optimizer
    peak_rate: float
    kl_coefficient: float
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)

    def counters(self) -> dict[str, Any]:
        return {
            "kl_coefficient": self.kl_coefficient,
            "step": self.step,
            "metrics": self.metrics,
            "first": self.first,
        }


@dataclass(slots=True)
class MicroBatch:
    """B answers that are processed together, in the same shapes in the rollout and in every epoch.

    ``input_ids``, ``attention_mask`` and ``wanted`` have shape (B, T) and are right-padded; ``wanted`` marks
    the answers' tokens. ``answers`` are the answers' numbers in the rollout, and ``lengths`` their numbers of
    tokens. ``log_probs`` and ``reference``, with shape (N,), belong to the N wanted tokens, in row order.
    """

    input_ids: Tensor
    attention_mask: Tensor
    wanted: Tensor
    answers: Tensor
    lengths: Tensor
    log_probs: Tensor
    reference: Tensor

    @property
    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.input_ids, self.attention_mask, self.wanted

    def per_answer(self, values: Tensor) -> Tensor:
        """Return the sums of N token values over each answer, with shape (B,)."""
        return (
            self.wanted.new_zeros(self.wanted.shape, dtype=values.dtype)
            .masked_scatter(self.wanted, values)
            .sum(dim=1)
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """The answers of one step, divided into minibatches of micro-batches. ``advantages`` has one entry per
    answer."""

    minibatches: list[list[MicroBatch]]
    advantages: Tensor
    metrics: dict[str, float]
    kl: float
    answers: int


def train(
    config: RLOOConfig,
    *,
    policy: ModelSource,
    reward_models: Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> RLOOResult:
    """Train ``policy`` against ``reward_models`` on ``prompts``, and save the trained policy to ``out_dir``.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the result is bitwise equal to that of an uninterrupted run.

    Metrics per step, grouped by unit:

    - In nats per answer: objective/kl.
    - In standard deviations of the reward: objective/scores, objective/rlhf_reward, reward_std (the mean
      standard deviation of a prompt's rewards) and, if a reward model estimates its uncertainty,
      objective/spread.
    - In nats per token: policy/entropy, policy/approxkl_avg.
    - As shares: policy/clipfrac_avg, eos_rate, frac_reward_zero_std.
    - In tokens: lengths/response_mean.
    - Other metrics: loss/policy_avg, loss/kl_avg, val/{ratio, first_log_ratio}, grad_norm/policy,
      kl_coefficient, learning_rate, updates, seconds/{rollout, update}.

    Raises TrainingDiverged if a loss or a gradient is not finite, UnusableInput if there are no usable
    prompts, and CheckpointRefused if the checkpoints belong to a run with other inputs.
    """
    report = report or NullReporter()
    seed_everything(config.seed)
    state = start(config, policy, reward_models, prompts)
    modules, optimisers = {"actor": state.actor}, {"actor": state.optimiser}
    of = {"prompts": digest(state.prompts.ids), "policy": fingerprint(modules)}
    of |= {f"reward model {judge.name}": fingerprint({"judge": judge.model}) for judge in state.judges.judges}
    store = open_store(checkpoints, config, of=of)
    if resumed := store.resume(modules, optimisers):
        for name, value in resumed.counters.items():
            setattr(state, name, value)

    def save() -> None:
        save_checkpoint(store, report, state.step, modules, optimisers, state.counters())

    report.progress("train", state.step, config.steps)
    while state.step < config.steps:
        started = time.perf_counter()
        with saving_when_stopped(save):
            report.check()
            batch = rollout(config, state, report)
        rolled_out = time.perf_counter()
        updated = update(config, state, batch)
        state.step += 1
        state.metrics = (
            batch.metrics
            | updated
            | {
                "seconds/rollout": rolled_out - started,
                "seconds/update": time.perf_counter() - rolled_out,
            }
        )
        state.first = state.first or {
            f"{name}_first": state.metrics[name] for name in ("objective/scores", "objective/kl")
        }
        report.metrics(state.step, state.metrics)
        report.progress("train", state.step, config.steps)
        if store.due():
            save()

    path = save_model(state.actor, state.tokenizer, out_dir)
    return RLOOResult(path, state.step, state.metrics | state.first, state.prompts.cut, state.prompts.refused)


def start(
    config: RLOOConfig,
    policy: ModelSource,
    reward_models: Mapping[str, ModelSource],
    prompts: Sequence[Messages],
) -> State:
    """Return the state before the first step. The reference is a frozen copy of the policy."""
    actor, tokenizer = open_policy(policy)
    actor.eval()  # there is no dropout: with dropout, the first ratio would not be 1
    judges = open_judges(reward_models, config, policy=Loaded(actor, tokenizer))
    limit = chat.context_length(actor) - config.max_new_tokens - 1  # one position is reserved for EOS
    rate = config.learning_rate or rate_for(actor, at_2m=4e-4, at_1b=1e-6)
    return State(
        actor=actor,
        reference=copy.deepcopy(actor).requires_grad_(False),
        tokenizer=tokenizer,
        judges=judges,
        prompts=encode_prompts(tokenizer, prompts, limit=limit),
        optimiser=torch.optim.Adam(actor.parameters(), lr=rate, eps=ADAM_EPSILON),
        peak_rate=rate,
        kl_coefficient=config.kl_coefficient,
    )


def rollout(config: RLOOConfig, state: State, report: Reporter) -> Rollout:
    """Sample, score and compare the answers of the next step. The state doesn't change."""
    step, eos = state.step + 1, chat.eos_id(state.tokenizer)
    # 1. Sample. With top-k or top-p, the answers would come from a different policy than the one in training.
    chosen = prompts_of_step(len(state.prompts.ids), config.rollout_prompts, seed=config.seed, step=step)
    prompts = [state.prompts.ids[i] for i in chosen]
    answers = generate(
        state.actor,
        state.tokenizer,
        prompts,
        n=config.responses_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=seed_for(config.seed, "rollout", step),
        check=report.check,
    )
    # 2. Score complete answers that end with EOS, as in the reward model's training.
    judged = state.judges.score(
        [
            Asked(state.prompts.messages[i], prompt, [answer.ended(eos) for answer in group])
            for i, prompt, group in zip(chosen, prompts, answers, strict=True)
        ]
    )
    finished = torch.tensor([answer.finished for group in answers for answer in group])
    penalised = judged.scores.clamp(-config.score_clip, config.score_clip)
    penalised = penalised - config.missing_eos_penalty * ~finished
    # 3. Run the rows through policy and reference, with the training forward pass.
    rows = [(prompt, a.ids) for prompt, group in zip(prompts, answers, strict=True) for a in group]
    dealt = split_rollout(
        rows,
        minibatches=config.minibatches,
        max_tokens=config.micro_batch_tokens,
        generator=generator_for(config.seed, "minibatches", step),
    )
    kl, entropy = torch.zeros(len(rows)), torch.zeros(len(rows))
    minibatches = []
    for parts in dealt:
        minibatches.append([])
        for numbers in parts:
            report.check()
            part = collate([rows[i] for i in numbers], numbers, state.actor.device, pad=eos)
            with torch.no_grad():
                part.log_probs, entropies = token_log_probs(
                    state.actor, *part.rows, temperature=config.temperature
                )
                part.reference, _ = token_log_probs(
                    state.reference, *part.rows, temperature=config.temperature
                )
            kl[part.answers] = part.per_answer(advantages.kl_k1(part.log_probs, part.reference)).cpu()
            entropy[part.answers] = part.per_answer(entropies).cpu()
            minibatches[-1].append(part)
    # 4. Compare the answers to each prompt.
    in_reward = state.kl_coefficient * kl if config.kl_estimator == "k1" else torch.zeros_like(kl)
    rewards = (penalised - in_reward).view(len(prompts), config.responses_per_prompt)
    compared = group_advantages(rewards, kind=config.advantage, normalise=config.normalise_advantages)
    tokens = sum(len(answer) for _, answer in rows)
    metrics = {
        "objective/kl": float(kl.mean()),
        "objective/scores": float(judged.scores.mean()),
        "objective/rlhf_reward": float((penalised - state.kl_coefficient * kl).mean()),
        "reward_std": float(rewards.std(dim=1).mean()),
        "frac_reward_zero_std": share_without_spread(rewards),
        "policy/entropy": float(entropy.sum()) / tokens,
        "lengths/response_mean": tokens / len(rows),
        "eos_rate": float(finished.float().mean()),
        "kl_coefficient": state.kl_coefficient,
    }
    if state.judges.estimates_uncertainty:
        metrics["objective/spread"] = float(judged.spreads.mean())
    return Rollout(minibatches, compared.flatten(), metrics, metrics["objective/kl"], len(rows))


def update(config: RLOOConfig, state: State, batch: Rollout) -> dict[str, float]:
    """Make ``epochs`` passes over the rollout with an optimiser step per minibatch, and adapt the KL
    coefficient. Return the metrics, averaged over the optimiser steps.

    If the policy's KL from the sampling policy exceeds ``stop_kl``, the updates end before the next optimiser
    step.
    """
    rate = state.peak_rate * rate_factor(config.schedule, state.step, config.steps)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    sums: defaultdict[str, float] = defaultdict(float)
    updates, first_log_ratio = 0, 0.0
    order = generator_for(config.seed, "epochs", state.step + 1)
    turns = [n for _ in range(config.epochs) for n in torch.randperm(len(batch.minibatches), generator=order)]
    for number in turns:
        minibatch = batch.minibatches[int(number)]
        answers = sum(len(part.lengths) for part in minibatch)
        tokens = sum(int(part.lengths.sum()) for part in minibatch)
        seen: defaultdict[str, float] = defaultdict(float)
        for part in minibatch:
            log_probs, _ = token_log_probs(state.actor, *part.rows, temperature=config.temperature)
            policy_loss, kl_loss, clipped = losses_of(
                config, part, log_probs, batch.advantages[part.answers], answers=answers, tokens=tokens
            )
            # Each loss is a sum that is already divided by the size of the minibatch. The gradients therefore
            # don't depend on how the minibatch is split into micro-batches.
            penalty = (
                state.kl_coefficient * kl_loss if config.kl_estimator != "k1" else torch.zeros_like(kl_loss)
            )
            torch.autograd.backward(policy_loss + penalty)
            log_ratio = (log_probs - part.log_probs).detach()
            log_ratio = log_ratio.clamp(-losses.LOG_RATIO_LIMIT, losses.LOG_RATIO_LIMIT)
            if updates == 0:
                first_log_ratio = max(first_log_ratio, float(log_ratio.abs().max()))
            seen["loss/policy_avg"] += float(policy_loss.detach())
            seen["loss/kl_avg"] += float(kl_loss.detach())
            seen["policy/approxkl_avg"] += float((torch.expm1(log_ratio) - log_ratio).sum()) / tokens
            seen["policy/clipfrac_avg"] += clipped
            seen["val/ratio"] += float(log_ratio.exp().sum()) / tokens
        seen["grad_norm/policy"] = float(
            nn.utils.clip_grad_norm_(state.actor.parameters(), config.max_grad_norm)
        )
        require_finite(state.step + 1, seen)
        if config.stop_kl is not None and seen["policy/approxkl_avg"] > config.stop_kl:
            break
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        updates += 1
        for name, value in seen.items():
            sums[name] += value
    state.optimiser.zero_grad(set_to_none=True)
    if config.kl_target is not None:
        state.kl_coefficient = advantages.adapted_kl_coefficient(
            state.kl_coefficient,
            kl=batch.kl,
            target=config.kl_target,
            samples=batch.answers,
            horizon=config.kl_horizon,
        )
    return {name: value / updates for name, value in sums.items()} | {
        "val/first_log_ratio": first_log_ratio,
        "learning_rate": rate,
        "updates": float(updates),
    }


def losses_of(
    config: RLOOConfig,
    part: MicroBatch,
    log_probs: Tensor,
    compared: Tensor,
    *,
    answers: int,
    tokens: int,
) -> tuple[Tensor, Tensor, float]:
    """Return a micro-batch's share of the minibatch's policy loss, mean KL estimate and clipped ratios.

    ``log_probs``, with shape (N,), are those of the current policy. ``compared``, with shape (B,), are the
    answers' advantages. ``answers`` and ``tokens`` count the entire minibatch.
    """
    log_ratio = log_probs - part.log_probs
    per_token = token_weights(
        part.lengths, kind=config.aggregation, answers=answers, tokens=tokens, limit=config.max_new_tokens
    ).repeat_interleave(part.lengths)
    if config.ratio == "sequence":
        log_ratio = part.per_answer(log_ratio)
        weights = torch.full_like(log_ratio, 1.0 / answers)
        share = weights.detach()
    else:
        compared = compared.repeat_interleave(part.lengths)
        weights, share = per_token, torch.full_like(per_token, 1.0 / tokens)
    surrogate = losses.clipped_policy_loss(log_ratio, torch.zeros_like(log_ratio), compared, clip=config.clip)
    clipped = (log_ratio.detach().clamp(-20, 20).exp() - 1).abs() > config.clip
    drift = (log_probs - part.log_probs).clamp(-losses.LOG_RATIO_LIMIT, losses.LOG_RATIO_LIMIT).exp()
    kl = (
        drift * advantages.kl_k3(log_probs, part.reference)
        if config.kl_estimator == "k3"
        else drift.detach() * 0.5 * (log_probs - part.reference).square()
    )
    return (weights * surrogate).sum(), (per_token * kl).sum(), float((share * clipped).sum())


def collate(
    rows: Sequence[tuple[list[int], list[int]]], numbers: Sequence[int], device: torch.device, *, pad: int
) -> MicroBatch:
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    input_ids = torch.full((len(rows), width), pad)
    attention_mask = torch.zeros(len(rows), width, dtype=torch.long)
    wanted = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        input_ids[i, :end] = torch.tensor(prompt + answer)
        attention_mask[i, :end] = 1
        wanted[i, len(prompt) : end] = True
    lengths = torch.tensor([len(answer) for _, answer in rows])
    none = torch.empty(0, device=device)
    return MicroBatch(
        *(t.to(device) for t in (input_ids, attention_mask, wanted)),
        answers=torch.tensor(numbers),
        lengths=lengths.to(device),
        log_probs=none,
        reference=none,
    )


def prompts_of_step(length: int, wanted: int, *, seed: int, step: int) -> list[int]:
    """Return the numbers of the prompts that are answered in a step. All prompts are passed over in a random
    order, again and again, so that every prompt occurs equally often."""
    places = range((step - 1) * wanted, step * wanted)
    orders = {
        turn: torch.randperm(length, generator=generator_for(seed, "order", turn)).tolist()
        for turn in {place // length for place in places}
    }
    return [orders[place // length][place % length] for place in places]
