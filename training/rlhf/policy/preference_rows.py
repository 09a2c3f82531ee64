"""Rankings as rows of tokens, and the log-probabilities of their responses under a policy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.data.batching import Group, collate, cut_by_width
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.models import chat
from training.rlhf.models.logprobs import token_log_probs
from training.rlhf.reward.encoding import encode_rankings


@dataclass(frozen=True)
class RankingRows:
    """A run's rankings as tokens: the training rankings, then the held-out rankings.

    A tensor with one entry per response, such as the reference log-probabilities, has R entries. ``first`` is
    the index of each ranking's first response in such a tensor.
    """

    groups: list[Group]
    first: list[int]
    n_training: int
    pad_id: int
    max_tokens: int

    @classmethod
    def of(
        cls, training: Sequence[Group], heldout: Sequence[Group], *, pad_id: int, max_tokens: int
    ) -> RankingRows:
        groups = [*training, *heldout]
        sizes = torch.tensor([0, *(len(group.responses) for group in groups)])
        return cls(groups, sizes.cumsum(0)[:-1].tolist(), len(training), pad_id, max_tokens)

    @property
    def n_responses(self) -> int:
        return sum(len(group.responses) for group in self.groups)

    @property
    def heldout(self) -> list[int]:
        return list(range(self.n_training, len(self.groups)))

    def weight(self, indices: Sequence[int]) -> float:
        return math.fsum(self.groups[i].weight for i in indices)

    def names(self, indices: Sequence[int]) -> str:
        return ", ".join(self.groups[i].name for i in indices)[:300]

    def micro_batches(self, indices: Sequence[int]) -> list[list[int]]:
        """Split this process's share of the rankings into micro-batches with little padding. The rows of a
        ranking stay together."""
        shapes = [(len(self.groups[i].responses), self.groups[i].separate_width) for i in indices]
        mine = distributed.share([count * width for count, width in shapes])
        indices, shapes = [indices[i] for i in mine], [shapes[i] for i in mine]
        return [[indices[i] for i in part] for part in cut_by_width(shapes, max_places=self.max_tokens)]

    def places(self, indices: Sequence[int]) -> Tensor:
        """The indices of these rankings' responses in a tensor of R entries."""
        return torch.cat([torch.arange(len(self.groups[i].responses)) + self.first[i] for i in indices])


@dataclass(frozen=True)
class Responses:
    """The responses of B rankings, at most K each.

    ``log_probs`` contains the sum of each response's log-probabilities in nats. ``lengths`` contains the
    number of its tokens, including EOS. ``tiers`` is -1 for padding. All three have shape (B, K). ``slots``
    contains the row and the column of each of the N responses. ``weights`` and ``all_bad`` have shape (B,).
    ``positions`` is the number of token positions that the model processed.
    """

    log_probs: Tensor
    lengths: Tensor
    tiers: Tensor
    slots: tuple[Tensor, Tensor]
    weights: Tensor
    all_bad: Tensor
    positions: int


def score_responses(policy: PreTrainedModel, rows: RankingRows, indices: Sequence[int]) -> Responses:
    """Run the responses of these rankings through the policy, one row each.

    A ranking can exceed ``max_tokens``. Its rows then go through the policy in several passes. The backward
    pass recomputes the activations of one pass at a time. The largest pass therefore determines the memory
    use, and rankings that need several passes take a third longer.
    """
    groups = [rows.groups[i] for i in indices]
    batch = collate(groups, layout="separate", pad_id=rows.pad_id).to(policy.device)
    start = torch.tensor([len(group.prompt) for group in groups], device=policy.device)[batch.owner]
    column = torch.arange(batch.input_ids.shape[1], device=policy.device)
    of_response = (column >= start[:, None]) & (column <= batch.end_column[:, None])

    def summed_log_probs(some: slice, _: Tensor | None = None) -> Tensor:
        at = of_response[some]
        per_token, _ = token_log_probs(
            policy, batch.input_ids[some], batch.attention_mask[some], at, temperature=1.0
        )
        # The sum over a padded row is deterministic. On a GPU, index_add is not.
        return torch.zeros_like(at, dtype=torch.float32).masked_scatter(at, per_token).sum(1)

    n, width = batch.input_ids.shape
    size = max(1, rows.max_tokens // width)
    passes = [slice(first, first + size) for first in range(0, n, size)]
    if len(passes) > 1 and torch.is_grad_enabled():
        # Only reentrant checkpointing frees the activations of one pass before it recomputes those of the
        # next. With it, four passes of 1000 tokens needed 1.2 times the memory of one pass. Without it, they
        # needed 1.7 times as much. Reentrant checkpointing requires an input with a gradient.
        needed = torch.zeros((), requires_grad=True)
        parts = [checkpoint(summed_log_probs, some, needed, use_reentrant=True) for some in passes]
    else:
        parts = [summed_log_probs(some) for some in passes]
    summed = torch.cat(parts)
    slots = (batch.owner, batch.slot)
    empty = torch.zeros_like(batch.tiers, dtype=torch.float32)
    return Responses(
        log_probs=empty.index_put(slots, summed),
        lengths=empty.index_put(slots, of_response.sum(1).float()),
        tiers=batch.tiers,
        slots=slots,
        weights=batch.weights,
        all_bad=torch.tensor([group.all_bad for group in groups], device=policy.device),
        positions=batch.tokens,
    )


def encode_preferences(
    rankings: Sequence[Ranking], tokenizer: PreTrainedTokenizerBase, *, ties: str, max_length: int
) -> tuple[list[Group], dict[str, int], int]:
    """Return the rankings as tokens, the number of omitted rankings by reason, and the number of truncated
    prompts (see `encode_rankings`)."""
    groups, left_out, cut = encode_rankings(rankings, tokenizer, max_length=max_length, ties=ties)
    usable = [group for group in groups if count_pairs(group, ties=ties)]
    if len(usable) < len(groups):  # responses that a top-k ranking left unranked are not tied
        left_out["without_a_pair"] = len(groups) - len(usable)
    return usable, left_out, cut


def count_pairs(group: Group, *, ties: str) -> int:
    """Return the number of pairs that `preference_losses.ranking_loss` uses."""
    sizes = Counter(group.tiers)
    equal = {tier: math.comb(size, 2) for tier, size in sizes.items()}
    different = math.comb(len(group.tiers), 2) - sum(equal.values())
    tied = sum(pairs for tier, pairs in equal.items() if tier != UNRANKED_TIER)
    return different + (tied if ties == "half" else 0)


def usable_prompts(rankings: Sequence[Ranking], tokenizer: PreTrainedTokenizerBase, n: int) -> list[Messages]:
    """Return the first n distinct prompts that the chat template can render."""
    shown: dict[str, Messages] = {}
    for ranking in rankings:
        if len(shown) == n:
            break
        try:
            chat.encode_prompt(tokenizer, ranking.messages)
        except chat.TemplateRefuses:
            continue
        shown.setdefault(ranking.prompt_hash, ranking.messages)
    return list(shown.values())


def nothing_to_learn_from(left_out: dict[str, int], *, heldout: int) -> UnusableInput:
    advice = ". To learn from ties, set `ties` to `half`" if left_out.get("all_tied") else ""
    return UnusableInput(
        f"there are no preferences to train on (left out: {left_out or 'none'}; held out: {heldout}){advice}",
        FailureKind.TEXTS_TOO_LONG if left_out.get("response_too_long") else FailureKind.DATA_EMPTY,
    )
