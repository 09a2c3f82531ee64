"""Reward models from rankings: train one, and score with it.

A reward model is a language model's trunk with one linear output, read at the end-of-sequence token of a
response. It is saved so that plain ``AutoModelForSequenceClassification`` gives the same raw scores. The
constant of a reward is free, so the mean and the standard deviation over the training responses are stored
beside the weights (`RewardScale`, in ``config.json``) and applied only where asked for: ``score(…,
centred=True)``, and always in PPO.
"""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf import chat, losses
from training.rlhf.answer_model import AnswerKey, AnswerModel, Reliability, answer_key
from training.rlhf.batching import Batch, Group, ResponseTooLongError, fit_group
from training.rlhf.data import Ranking, split_by_prompt
from training.rlhf.loading import save_model
from training.rlhf.rates import rate_factor, rate_for
from training.rlhf.recipe import seed_everything
from training.rlhf.recipes import RewardModelConfig
from training.rlhf.report import NullReporter, Reporter, TrainingDiverged
from training.rlhf.scoring import (
    RewardScale,
    batches,
    head_of,
    load_for_training,
    rewards_of,
    score,
    score_groups,
)

# Log-odds, or reward units, per step. What is learned of the answers is a few numbers that start at a guess,
# and their scale is known, so the rate that suits a trunk of whatever size says nothing about theirs.
ANSWER_RATE = 0.02
NOTHING_LEARNED = AnswerKey()

__all__ = ["RewardModelConfig", "RewardModelResult", "score", "train"]


@dataclass(frozen=True, slots=True)
class RewardModelResult:
    """Where the model was saved and what it reached.

    ``left_out`` counts rankings that could not be used, by reason; ``prompts_cut`` those that lost the left
    of their prompt; ``annotators`` has everyone's reliability, by pseudonym, where it was learned. It is kept
    in the model's ``config.json`` too, with the other numbers learned of the answers.
    """

    path: Path
    metrics: dict[str, float]
    scale: RewardScale
    left_out: dict[str, int]
    prompts_cut: int
    annotators: dict[str, Reliability]


def train(
    config: RewardModelConfig,
    *,
    base_model: str | Path,
    rankings: Sequence[Ranking],
    heldout: Sequence[Ranking] = (),
    out_dir: str | Path,
    report: Reporter | None = None,
) -> RewardModelResult:
    """Train on ``rankings``, choose by ``heldout`` (none given: cut off by prompt), save to ``out_dir``.

    ``base_model`` is the policy whose responses are to be judged (its SFT checkpoint: a reward model of
    another lineage gives worse PPO however well it ranks), or a reward model, which is trained on. Metrics
    per step: loss (nats per pair; with the annotators' priors where those are learned), accuracy (pairs, this
    batch), grad_norm, learning_rate, reward/mean, reward/std, tokens_per_second; at evaluations also
    heldout/loss and heldout/accuracy. Raises TrainingDiverged on a loss that is not finite, ValueError
    without data, or where the recipe is to learn from what the rankings don't state (strengths, annotators,
    positions).
    """
    report = report or NullReporter()
    seed_everything(config.seed)
    if not heldout:
        rankings, heldout = split_by_prompt(rankings, heldout_fraction=config.heldout_fraction)
    model, tokenizer = load_for_training(base_model)
    device, pad = model.device, chat.pad_id(tokenizer)
    limit = min(config.max_length, chat.context_length(model))
    key = answer_key(config, rankings)
    groups, left_out, prompts_cut = encode_rankings(
        rankings, tokenizer, max_length=limit, ties=config.ties, key=key
    )
    heldout_groups, _, _ = encode_rankings(heldout, tokenizer, max_length=limit, ties=config.ties, key=key)
    if not groups:
        raise ValueError(f"there is no ranking to learn from (left out: {left_out or 'none'})")

    answers = AnswerModel(config, key, groups).to(device)
    peak = config.learning_rate or rate_for(model, at_2m=5e-4, at_1b=1e-5)
    optimiser = torch.optim.AdamW(
        [
            {"params": list(model.base_model.parameters()), "lr": peak},
            {"params": list(head_of(model).parameters()), "lr": peak * config.head_learning_rate_factor},
            {"params": list(answers.parameters()), "lr": ANSWER_RATE, "weight_decay": 0.0},
        ],
        weight_decay=config.weight_decay,
    )
    steps_per_epoch = math.ceil(len(groups) / config.batch_rankings)
    total = steps_per_epoch * config.epochs
    warmup = round(config.warmup_fraction * total)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: rate_factor(config.schedule, done, total, warmup=warmup)
    )
    evaluate_at = {round(total * n / config.evaluations) for n in range(1, config.evaluations + 1)}
    order = torch.Generator().manual_seed(config.seed)
    best_state, step = None, 0
    kept, metrics = {"heldout/loss": math.inf}, {"loss": math.nan}  # held-out numbers of the weights to save

    for _ in range(config.epochs):
        for indices in torch.split(torch.randperm(len(groups), generator=order), config.batch_rankings):
            report.check()
            started, step = time.perf_counter(), step + 1
            chosen = [groups[i] for i in indices.tolist()]
            weight = sum(group.weight for group in chosen)
            summed: Counter[str] = Counter()
            for _, batch in batches(
                model, chosen, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad
            ):
                rewards = rewards_of(model, batch, precision=config.precision)
                per_ranking = preference_loss(config, rewards, batch, answers) + answers.prior(batch.said)
                # Over the weight of the whole batch: however it is cut into micro-batches, they only add up.
                loss = (per_ranking * batch.weights).sum() / weight
                loss.backward()
                summed.update(batch_sums(loss.detach(), rewards.detach(), batch))
            trained = [*model.parameters(), *answers.parameters()]
            grad_norm = float(nn.utils.clip_grad_norm_(trained, config.max_grad_norm))
            if not (math.isfinite(summed["loss"]) and math.isfinite(grad_norm)):
                named = ", ".join(group.name for group in chosen if group.name)[:300]
                raise TrainingDiverged(
                    f"step {step} of {total}: loss {summed['loss']}, gradient norm {grad_norm}. "
                    f"Nothing was saved. Lower learning_rate or look at the rankings of this batch: {named}"
                )
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            metrics = {
                "loss": summed["loss"],
                "accuracy": summed["correct"] / max(summed["pairs"], 1),
                "grad_norm": grad_norm,
                "learning_rate": float(scheduler.get_last_lr()[0]),
                "reward/mean": (mean := summed["reward"] / summed["responses"]),
                "reward/std": math.sqrt(max(summed["reward_squared"] / summed["responses"] - mean**2, 0.0)),
                "tokens_per_second": summed["tokens"] / (time.perf_counter() - started),
            }
            scheduler.step()
            if heldout_groups and step in evaluate_at:
                heldout_metrics = evaluate(config, model, heldout_groups, answers, pad)
                metrics |= heldout_metrics
                if config.keep == "last" or heldout_metrics["heldout/loss"] < kept["heldout/loss"]:
                    kept = heldout_metrics
                    if config.keep == "best":
                        best_state = copy.deepcopy((model.state_dict(), answers.state_dict()))
            report.metrics(step, metrics)
            report.progress("train", step, total)

    if best_state is not None:
        model.load_state_dict(best_state[0])
        answers.load_state_dict(best_state[1])
    scores = score_groups(model, groups, pad_id=pad)
    reliabilities = answers.settle_reliabilities(groups, scores)
    rewards = torch.cat(scores)
    scale = RewardScale(float(rewards.mean()), float(rewards.std(unbiased=False)))
    notes = answers.notes(reliabilities) | {"max_length": limit}
    model.config.rankloop = {"reward_mean": scale.mean, "reward_std": scale.std, **notes}
    path = save_model(model, tokenizer, out_dir)
    result = {"train/loss": metrics["loss"], "train/accuracy": metrics["accuracy"]} | (
        kept if heldout_groups else {}
    )
    result |= {"reward/mean": scale.mean, "reward/std": scale.std}
    if reliabilities:
        values = [one.value for one in reliabilities.values()]
        result |= {"reliability/mean": sum(values) / len(values), "reliability/lowest": min(values)}
    return RewardModelResult(path, result, scale, left_out, prompts_cut, reliabilities)


def preference_loss(config: RewardModelConfig, rewards: Tensor, batch: Batch, answers: AnswerModel) -> Tensor:
    """(B, K) rewards -> (B,) loss per ranking, as the recipe asks for. Held-out loss is this, too."""
    per_ranking: Tensor = answers(rewards, batch.said)
    if config.centring:
        per_ranking = per_ranking + config.centring * losses.centring(rewards, batch.tiers)
    return per_ranking


def encode_rankings(
    rankings: Sequence[Ranking],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    ties: str,
    key: AnswerKey = NOTHING_LEARNED,
) -> tuple[list[Group], dict[str, int], int]:
    """Rankings as token groups; how many were left out, by reason; how many prompts were cut on the left.

    Left out: ``all_tied`` where ties are ignored (no pair to learn from), ``response_too_long`` where a
    response leaves no room for its prompt in ``max_length`` tokens (a response is never cut: its end is what
    is scored).
    """
    groups: list[Group] = []
    left_out: Counter[str] = Counter()
    prompts_cut = 0
    for number, ranking in enumerate(rankings):
        if ranking.all_tied and ties == "ignore":
            left_out["all_tied"] += 1
            continue
        prompt = chat.encode_prompt(tokenizer, ranking.messages)
        responses = [chat.encode_response(tokenizer, text) for text in ranking.responses]
        name = ranking.ranking_id or f"ranking {number}"
        try:
            whole = Group(
                prompt,
                responses,
                ranking.tier_of_each(),
                ranking.weight,
                name,
                strength=key.levels.get(ranking.strength or 0, 0),
                annotator=key.annotators.get(ranking.annotator, 0),
                in_shown_order=ranking.in_shown_order,
            )
            group, was_cut = fit_group(whole, max_length=max_length)
        except ResponseTooLongError:
            left_out["response_too_long"] += 1
            continue
        groups.append(group)
        prompts_cut += was_cut
    return groups, dict(left_out), prompts_cut


def batch_sums(loss: Tensor, rewards: Tensor, batch: Batch) -> dict[str, float]:
    """What a micro-batch adds to the numbers of its step: sums, so that unlike micro-batches weigh what they
    hold."""
    pairs = losses.preferred_pairs(batch.tiers).sum(dim=(1, 2))
    real = rewards[batch.tiers >= 0]
    return {
        "loss": float(loss),
        "pairs": float(pairs.sum()),
        "correct": float((losses.pair_accuracy(rewards, batch.tiers).nan_to_num() * pairs).sum()),
        "responses": float(real.numel()),
        "reward": float(real.sum()),
        "reward_squared": float((real**2).sum()),
        "tokens": float(batch.tokens),
    }


@torch.no_grad()
def evaluate(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    answers: AnswerModel,
    pad_id: int,
) -> dict[str, float]:
    """Loss per ranking (weighted) and accuracy per pair on held-out groups, and the number of those pairs."""
    weight = sum(group.weight for group in groups)
    summed: Counter[str] = Counter()
    for _, batch in batches(
        model, groups, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id
    ):
        rewards = rewards_of(model, batch, precision=config.precision)
        loss = (preference_loss(config, rewards, batch, answers) * batch.weights).sum() / weight
        summed.update(batch_sums(loss, rewards, batch))
    accuracy = summed["correct"] / max(summed["pairs"], 1)
    return {"heldout/loss": summed["loss"], "heldout/accuracy": accuracy, "heldout/pairs": summed["pairs"]}
