"""The loss of a batch of rankings as specified by the recipe, and the metrics computed with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.sharding import in_step
from training.rlhf.data.batching import Batch, Group
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses
from training.rlhf.reward.answer_model import AnswerModel
from training.rlhf.reward.scoring import batches, rewards_of

SUMS = ("loss", "pairs", "correct", "responses", "reward", "reward_squared", "tokens")


def shared_batches(
    config: RewardModelConfig, model: PreTrainedModel, groups: Sequence[Group], pad_id: int
) -> Iterator[tuple[Batch, bool]]:
    """Yield ``(micro-batch, True)`` for each micro-batch of this process's share of the groups. If the model
    is sharded, ``(spare micro-batch, False)`` can follow (`in_step`)."""
    read = partial(batches, model, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id)
    mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
    shortest = min(groups, key=lambda group: group.packed_tokens)
    yield from in_step(model, (batch for _, batch in read(mine)), lambda: next(read([shortest]))[1])


def preference_loss(config: RewardModelConfig, rewards: Tensor, batch: Batch, answers: AnswerModel) -> Tensor:
    """Return the loss per ranking, as specified by the recipe.

    The result has shape (B,), and ``rewards`` has shape (B, K). Training and evaluation both use this
    function.
    """
    per_ranking: Tensor = answers(rewards, batch.stated)
    if config.centring:
        per_ranking = per_ranking + config.centring * losses.centring(rewards, batch.tiers)
    return per_ranking


@torch.no_grad()
def suspects(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    answers: AnswerModel,
    pad_id: int,
) -> str:
    """Return a phrase that names the rankings with a non-finite loss. If every ranking's loss is finite, the
    phrase names all rankings in the batch."""
    spoiled: list[int] = []
    for indices, batch in batches(
        model, groups, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id
    ):
        rewards = rewards_of(model, batch, precision=config.precision)
        finite = (preference_loss(config, rewards, batch, answers) * batch.weights).isfinite().tolist()
        spoiled += [index for index, fine in zip(indices, finite, strict=True) if not fine]
    named = ", ".join(groups[i].name for i in sorted(spoiled) or range(len(groups)))[:300]
    return f"the rankings {'with this loss' if spoiled else 'of this batch'}: {named}"


def batch_sums(loss: Tensor, rewards: Tensor, batch: Batch) -> dict[str, float]:
    """Return a micro-batch's contribution to its step's sums (SUMS). Sums are used because they weight
    micro-batches by size, whereas a mean of means would not."""
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
    """Return the weighted mean loss per ranking, the accuracy per pair and the number of pairs, on held-out
    groups."""
    weight = sum(group.weight for group in groups)
    summed = Counter(dict.fromkeys(SUMS, 0.0))
    for batch, counts in shared_batches(config, model, groups, pad_id):
        rewards = rewards_of(model, batch, precision=config.precision)
        loss = (preference_loss(config, rewards, batch, answers) * batch.weights).sum() / weight
        summed.update(batch_sums(loss, rewards, batch) if counts else {})
    sums = distributed.all_sum(summed)
    accuracy = sums["correct"] / max(sums["pairs"], 1)
    return {"heldout/loss": sums["loss"], "heldout/accuracy": accuracy, "heldout/pairs": sums["pairs"]}
