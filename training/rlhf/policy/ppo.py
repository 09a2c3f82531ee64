"""PPO: the policy answers prompts, a reward model scores the answers, and the policy moves towards higher
scores.

Each iteration samples answers, scores them, computes advantages, and makes a few epochs of clipped updates.
PPO is sensitive to these choices:

- Log-probabilities are never taken from the sampler. They are recomputed with the training forward pass on
  the same rows that are trained on. The ratio is therefore exactly 1 before the first update, and
  ``val/first_log_ratio`` reports any deviation.
- The score is placed on the last real token. A truncated answer is scored as if it ended at its last token,
  and ``missing_eos_penalty`` is subtracted from its score.
- The KL penalty is part of the reward. In the loss, the penalty's gradient would be incorrect. The penalty is
  k1 per token, against the frozen initial policy.
- The critic is a separate model that starts as a copy of the reward model. The critic's first value at every
  token is the reward model's centred score, which has the correct scale. The critic's gradient never affects
  the policy's trunk.
- Scores are measured in standard deviations of the training responses' rewards. The KL coefficient, the clip
  ranges and the penalty therefore have the same meaning for every reward model.
- Advantages are whitened over all tokens in the batch. Losses are averaged over all tokens in the minibatch.
  Neither step is carried out per micro-batch.
- There is no dropout: models stay in eval mode.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import seed_everything
from training.rlhf.generation.decoding import generate
from training.rlhf.models import chat
from training.rlhf.models.loading import ModelSource, open_policy, save_model
from training.rlhf.models.logprobs import token_log_probs
from training.rlhf.policy import advantages, losses
from training.rlhf.policy.rollout import (
    MicroBatch,
    Models,
    Samples,
    endless_order,
    load_models,
    observe,
    score_answers,
    split_rollout,
)
from training.rlhf.recipes.ppo import PPOConfig

# Adam's epsilon, as in OpenAI's code and CleanRL. With torch's default of 1e-8, the initial steps would be
# far larger.
ADAM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class PPOResult:
    """The path of the saved policy, with the metrics of the last step and some metrics of the first step. The
    keys of the first step's metrics end in ``_first``."""

    path: Path
    steps: int
    metrics: dict[str, float]
    prompts_cut: int


def train(
    config: PPOConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource,
    prompts: Sequence[Messages],
    out_dir: str | Path,
    report: Reporter | None = None,
) -> PPOResult:
    """Train ``policy`` against ``reward_model`` on ``prompts``, and save the trained policy to ``out_dir``.

    Metrics per step, grouped by unit:

    - In nats per answer: objective/kl.
    - In standard deviations of the reward: objective/scores, objective/rlhf_reward and objective/spread.
      objective/scores is the score minus ``caution`` times the uncertainty. objective/rlhf_reward is the
      score minus penalties. If the reward model estimates its uncertainty, objective/spread is this
      uncertainty.
    - In nats per token: policy/entropy, policy/approxkl_avg.
    - As shares: policy/clipfrac_avg, eos_rate.
    - In tokens: lengths/response_mean.
    - Other metrics: loss/{policy_avg, value_avg}, val/{ratio, first_log_ratio, explained_variance},
      grad_norm/{policy, value}, kl_coefficient, learning_rate, updates, seconds/{rollout, update}.

    Raises TrainingDiverged if a loss or a gradient is not finite. Raises ValueError if there are no prompts
    or the models' vocabularies or chat templates differ.
    """
    report = report or NullReporter()
    seed_everything(config.seed)
    opened = open_policy(policy, config.arguments_of_template)
    models = load_models(opened, reward_model, caution=config.caution)
    actor, critic, tokenizer = models.actor, models.critic, models.tokenizer
    eos = chat.eos_id(tokenizer)
    encoded = [chat.encode_prompt(tokenizer, messages) for messages in prompts]
    if not encoded:
        raise UnusableInput("there are no prompts to answer", FailureKind.DATA_EMPTY)
    context = min(chat.context_length(actor), chat.context_length(models.judge))
    # One position is reserved for EOS.
    encoded, prompts_cut = chat.cut_prompts(encoded, context - config.max_new_tokens - 1)
    optimiser = torch.optim.Adam(
        [
            {
                "params": list(actor.parameters()),
                "lr": config.learning_rate or rate_for(actor, at_2m=4e-4, at_1b=1e-6),
            },
            {
                "params": list(critic.parameters()),
                "lr": config.value_learning_rate or rate_for(critic, at_2m=5e-4, at_1b=5e-6),
            },
        ],
        eps=ADAM_EPSILON,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: rate_factor(config.schedule, done, config.steps)
    )
    chooser = torch.Generator().manual_seed(config.seed)
    upcoming = endless_order(len(encoded), chooser)
    kl_coefficient = config.kl_coefficient
    first: dict[str, float] = {}
    metrics: dict[str, float] = {}
    samples = Samples(
        models,
        prompts[: config.samples],
        encoded[: config.samples],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
    )
    samples.report_to(0, report)

    for step in range(1, config.steps + 1):
        report.check()
        started = time.perf_counter()

        # 1. Roll out with plain sampling. With top-k or top-p, the answers would come from a different policy
        # than the one being trained.
        chosen = [encoded[next(upcoming)] for _ in range(config.rollout_prompts)]
        answers = generate(
            actor,
            tokenizer,
            chosen,
            n=config.responses_per_prompt,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed + step,
        )
        # 2. Score complete answers that end with EOS, as in the reward model's training.
        scores, finished, spreads = score_answers(models, chosen, answers, eos=eos)
        penalised = (
            scores.clamp(-config.score_clip, config.score_clip) - config.missing_eos_penalty * ~finished
        )
        # 3. Run the same rows through policy, reference and critic, with the training forward pass.
        rows = [(prompt, a.ids) for prompt, group in zip(chosen, answers, strict=True) for a in group]
        dealt = split_rollout(
            rows, minibatches=config.minibatches, max_tokens=config.micro_batch_tokens, generator=chooser
        )
        minibatches = [
            [
                observe(models, [rows[i] for i in part], penalised[part], eos, config.temperature)
                for part in parts
            ]
            for parts in dealt
        ]
        batch = [part for minibatch in minibatches for part in minibatch]
        # 4. Compute rewards per token and advantages per answer, and whiten the advantages over all answers.
        for part in batch:
            kl = advantages.kl_k1(part.log_probs, part.reference)
            rewards = advantages.token_rewards(part.scores, kl, part.mask, kl_coefficient=kl_coefficient)
            part.advantages, part.returns = advantages.generalised_advantages(
                rewards, part.values, part.mask, gamma=config.gamma, lam=config.gae_lambda
            )
        whitened = advantages.whiten([part.advantages for part in batch], [part.mask for part in batch])
        for part, advantage in zip(batch, whitened, strict=True):
            part.advantages = advantage
        rolled_out = time.perf_counter()

        # 5. Make a few epochs of clipped updates.
        updated = update(config, models, optimiser, minibatches, chooser, step=step)
        rate = float(scheduler.get_last_lr()[0])
        scheduler.step()

        # 6. Report metrics and adapt the KL coefficient.
        kl_sums = torch.cat([(part.log_probs - part.reference).sum(dim=1) for part in batch])
        mask = torch.cat([part.mask.flatten() for part in batch])
        lengths = torch.cat([part.mask.sum(dim=1) for part in batch])
        kl_mean = float(kl_sums.mean())
        metrics = {
            "objective/kl": kl_mean,
            "objective/scores": float(scores.mean()),
            "objective/rlhf_reward": float(penalised.mean()) - kl_coefficient * kl_mean,
            "policy/entropy": float(torch.cat([part.entropy.flatten() for part in batch])[mask].mean()),
            **updated,
            "val/explained_variance": advantages.explained_variance(
                torch.cat([part.values.flatten() for part in batch])[mask],
                torch.cat([part.returns.flatten() for part in batch])[mask],
            ),
            "lengths/response_mean": float(lengths.float().mean()),
            "eos_rate": float(finished.float().mean()),
            "kl_coefficient": kl_coefficient,
            "learning_rate": rate,
            "seconds/rollout": rolled_out - started,
            "seconds/update": time.perf_counter() - rolled_out,
        }
        if models.uncertainty:
            metrics["objective/spread"] = float(spreads.mean())
        first = first or {f"{name}_first": metrics[name] for name in ("objective/scores", "objective/kl")}
        if config.kl_target is not None:
            kl_coefficient = advantages.adapted_kl_coefficient(
                kl_coefficient,
                kl=kl_mean,
                target=config.kl_target,
                samples=len(rows),
                horizon=config.kl_horizon,
            )
        report.metrics(step, metrics)
        report.progress("train", step, config.steps)
        if step % config.sample_every == 0 or step == config.steps:
            samples.report_to(step, report)

    path = save_model(actor, tokenizer, out_dir)
    return PPOResult(path, config.steps, metrics | first, prompts_cut)


def update(
    config: PPOConfig,
    models: Models,
    optimiser: torch.optim.Optimizer,
    minibatches: Sequence[Sequence[MicroBatch]],
    chooser: torch.Generator,
    *,
    step: int,
) -> dict[str, float]:
    """Make one pass over the rollout with an optimiser step per minibatch. Return the metrics, averaged
    over these steps.

    If the policy's KL from the sampling policy exceeds ``stop_kl``, the pass ends before the next step.
    Beyond that limit, clipped ratios carry little information. ``val/first_log_ratio`` is the largest |log
    ratio| before the first step. ``val/first_log_ratio`` is 0 unless the rollout's forward pass differs from
    the one in training. A difference between these forward passes is the most common bug in PPO code.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    updates, first_log_ratio = 0, 0.0
    for _ in range(config.epochs):
        for index in torch.randperm(len(minibatches), generator=chooser).tolist():
            tokens = sum(int(part.mask.sum()) for part in minibatches[index])
            seen: defaultdict[str, float] = defaultdict(float)
            for part in minibatches[index]:
                mask, old, old_values = part.mask, part.log_probs[part.mask], part.values[part.mask]
                log_probs, _ = token_log_probs(models.actor, *part.rows, temperature=config.temperature)
                policy_losses = losses.clipped_policy_loss(
                    log_probs, old, part.advantages[mask], clip=config.clip
                )
                value_losses = losses.clipped_value_loss(
                    models.critic(*part.rows), old_values, part.returns[mask], clip=config.value_clip
                )
                # One backward pass serves both losses, because the critic and the policy share no weights.
                # Each micro-batch adds its summed loss, divided by the minibatch's number of tokens. The
                # result therefore does not depend on how the minibatch is split into micro-batches.
                policy_part = policy_losses.sum() * float(step > config.critic_warmup_steps)
                torch.autograd.backward((policy_part + value_losses.sum()) / tokens)
                log_ratio = (log_probs - old).detach()
                if updates == 0:
                    first_log_ratio = max(first_log_ratio, float(log_ratio.abs().max()))
                seen["loss/policy_avg"] += float(policy_losses.detach().sum()) / tokens
                seen["loss/value_avg"] += float(value_losses.detach().sum()) / tokens
                seen["policy/approxkl_avg"] += float(advantages.kl_k3(old, old + log_ratio).sum()) / tokens
                clipped = (log_ratio.exp() - 1).abs() > config.clip
                seen["policy/clipfrac_avg"] += float(clipped.sum()) / tokens
                seen["val/ratio"] += float(log_ratio.exp().sum()) / tokens
            norms = {
                "grad_norm/policy": float(
                    nn.utils.clip_grad_norm_(models.actor.parameters(), config.max_grad_norm)
                ),
                "grad_norm/value": float(
                    nn.utils.clip_grad_norm_(models.critic.parameters(), config.max_grad_norm)
                ),
            }
            require_finite(step, seen | norms)
            if config.stop_kl is not None and seen["policy/approxkl_avg"] > config.stop_kl:
                optimiser.zero_grad(set_to_none=True)
                return means(sums, updates) | {"val/first_log_ratio": first_log_ratio}
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            updates += 1
            for name, value in (seen | norms).items():
                sums[name] += value
    return means(sums, updates) | {"val/first_log_ratio": first_log_ratio}


def means(sums: Mapping[str, float], updates: int) -> dict[str, float]:
    return {name: value / updates for name, value in sums.items()} | {"updates": float(updates)}
