"""The loss that the recipe specifies for a batch of rankings, and the metrics computed together with this
loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.memory import HasLimit, until_it_fits
from training.rlhf.core.sharding import in_step
from training.rlhf.data.batching import Batch, Group, micro_batches, places_of
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses
from training.rlhf.reward.answer_model import AnswerModel
from training.rlhf.reward.scoring import batches, choose_layouts, rewards_of

SUMS = ("loss", "pairs", "correct", "responses", "reward", "reward_squared", "tokens")


def shared_batches(
    config: RewardModelConfig, model: PreTrainedModel, groups: Sequence[Group], pad_id: int
) -> tuple[Iterator[Batch], Callable[[], Batch]]:
    """Return the micro-batches of this process's share of the groups, and a function that returns a spare
    micro-batch for `in_step`."""
    read = partial(batches, model, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id)
    mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
    shortest = min(groups, key=lambda group: group.packed_tokens)
    return (batch for _, batch in read(mine)), lambda: next(read([shortest]))[1]


def fitting(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    state: HasLimit,
    work: Callable[[RewardModelConfig], Mapping[str, float]],
    *,
    optimisers: Collection[torch.optim.Optimizer] = (),
    what: str,
) -> dict[str, float]:
    """Call ``work`` with the recipe and the current limit of token positions (`until_it_fits`), and add up
    the results of all processes. A ranking is never divided, because its loss needs all of its rewards."""

    def limited() -> RewardModelConfig:
        return config.model_copy(update={"micro_batch_tokens": state.micro_batch_tokens})

    def largest() -> int:
        mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
        layouts = choose_layouts(model, mine, config.layout)
        parts = micro_batches(mine, layouts=layouts, max_tokens=state.micro_batch_tokens)
        sizes = [places_of([mine[i] for i in part], layout) for layout, part in parts if len(part) > 1]
        return max(sizes, default=0)

    return distributed.all_sum(
        until_it_fits(lambda: work(limited()), state, largest=largest, optimisers=optimisers, what=what)
    )


def add_gradients(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    answers: AnswerModel,
    pad_id: int,
    *,
    state: HasLimit,
    optimiser: torch.optim.Optimizer,
    what: str,
    check: Callable[[], None],
) -> dict[str, float]:
    """Add the gradients of this process's share of a batch of rankings. Return the SUMS of the entire
    batch."""
    weight = sum(group.weight for group in groups)

    def work(limited: RewardModelConfig) -> Mapping[str, float]:
        summed = Counter(dict.fromkeys(SUMS, 0.0))

        def process(batch: Batch, counts: bool) -> None:
            rewards = rewards_of(model, batch, precision=config.precision)
            per_ranking = preference_loss(config, rewards, batch, answers) + answers.prior(batch.stated)
            # Losses are divided by the entire batch's weight, so the losses of micro-batches and processes
            # simply add up.
            loss = (per_ranking * batch.weights).sum() / weight
            torch.autograd.backward(loss if counts else 0 * loss)
            summed.update(batch_sums(loss.detach(), rewards.detach(), batch) if counts else {})

        in_step(model, *shared_batches(limited, model, groups, pad_id), process, check=check)
        return summed

    return fitting(config, model, groups, state, work, optimisers=[optimiser], what=what)


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
    *,
    state: HasLimit,
    what: str = "the evaluation",
) -> dict[str, float]:
    """Return three metrics of held-out groups: the weighted mean loss per ranking, the accuracy per pair and
    the number of pairs."""
    weight = sum(group.weight for group in groups)

    def work(limited: RewardModelConfig) -> Mapping[str, float]:
        summed = Counter(dict.fromkeys(SUMS, 0.0))

        def process(batch: Batch, counts: bool) -> None:
            rewards = rewards_of(model, batch, precision=config.precision)
            loss = (preference_loss(config, rewards, batch, answers) * batch.weights).sum() / weight
            summed.update(batch_sums(loss, rewards, batch) if counts else {})

        in_step(model, *shared_batches(limited, model, groups, pad_id), process)
        return summed

    sums = fitting(config, model, groups, state, work, what=what)
    accuracy = sums["correct"] / max(sums["pairs"], 1)
    return {"heldout/loss": sums["loss"], "heldout/accuracy": accuracy, "heldout/pairs": sums["pairs"]}
