"""Rankings as rows of tokens, and the log-probabilities of their responses under a policy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.sharding import is_sharded
from training.rlhf.data.answers import Answers, lay_out, layout_of, pieces, shared_layout
from training.rlhf.data.batching import Group, Layout, micro_batches, places_of, stated_in
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.tokens import chat
from training.rlhf.reward.encoding import encode_rankings


@dataclass(frozen=True)
class RankingRows:
    """A run's rankings as tokens: the training rankings, then the held-out rankings.

    A tensor with one entry per response, such as the reference log-probabilities, has R entries. ``first`` is
    the index of each ranking's first response in such a tensor. ``layouts`` contains the layout of each
    ranking.
    """

    groups: list[Group]
    first: list[int]
    n_training: int
    pad_id: int
    max_tokens: int
    layouts: list[Layout]

    @classmethod
    def of(
        cls,
        training: Sequence[Group],
        heldout: Sequence[Group],
        *,
        pad_id: int,
        max_tokens: int,
        policy: PreTrainedModel,
    ) -> RankingRows:
        groups = [*training, *heldout]
        sizes = torch.tensor([0, *(len(group.responses) for group in groups)])
        best, hidden_size = shared_layout(policy), int(policy.config.get_text_config().hidden_size)
        layouts = [layout_of(group, best, hidden_size=hidden_size) for group in groups]
        return cls(groups, sizes.cumsum(0)[:-1].tolist(), len(training), pad_id, max_tokens, layouts)

    def limited(self, max_tokens: int) -> RankingRows:
        """Return the same rankings with a different limit of token positions."""
        return replace(self, max_tokens=max_tokens)

    def largest(self, parts: Iterable[Sequence[int]], *, sharded: bool = False) -> int:
        """Return the size of the largest divisible pass over these micro-batches, in token positions, or 0 if
        no pass can be divided. A pass over a single response can't be divided and, with a sharded policy,
        neither can a pass over a single ranking."""
        sizes = [
            places_of(groups, self.layouts[part[0]])
            for part in parts
            if len(part) > sharded
            for groups in self.passes(part)
            if sum(len(group.responses) for group in groups) > 1
        ]
        return max(sizes, default=0)

    def passes(self, part: Sequence[int]) -> list[list[Group]]:
        """Return one list of groups for each pass over a micro-batch. The responses of a single ranking can
        need several passes."""
        if len(part) > 1:
            return [[self.groups[i] for i in part]]
        layout, [group] = self.layouts[part[0]], [self.groups[i] for i in part]
        return [[one] for one in pieces(group, layout=layout, max_tokens=self.max_tokens)]

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
        """Split this process's share of the rankings into micro-batches with little or no padding. The
        responses of a ranking stay together."""
        return self.split(self.mine(indices))

    def mine(self, indices: Sequence[int]) -> list[int]:
        """Return this process's share of the rankings."""
        return [indices[i] for i in distributed.share([self.groups[i].packed_tokens for i in indices])]

    def split(self, indices: Sequence[int]) -> list[list[int]]:
        """Split these rankings into micro-batches."""
        parts = micro_batches(
            [self.groups[i] for i in indices],
            layouts=[self.layouts[i] for i in indices],
            max_tokens=self.max_tokens,
        )
        return [[indices[i] for i in part] for _, part in parts]

    def shortest(self, indices: Iterable[int]) -> list[int]:
        """Return the ranking with the fewest token positions, as a micro-batch."""
        return [min(indices, key=lambda index: self.groups[index].packed_tokens)]

    def places(self, indices: Sequence[int]) -> Tensor:
        """Return the positions of these rankings' responses in a tensor of R entries."""
        return torch.cat([torch.arange(len(self.groups[i].responses)) + self.first[i] for i in indices])


@dataclass(frozen=True)
class Responses:
    """The responses of B rankings, with at most K responses each.

    ``log_probs`` contains the sum of each response's log-probabilities in nats. ``lengths`` contains each
    response's number of tokens, including EOS. ``tiers`` is -1 for padding. All three have shape (B, K).
    ``slots`` contains the row and the column of each of the N responses. ``weights`` and ``all_bad`` have
    shape (B,). ``positions`` is the number of token positions that the model processed.
    """

    log_probs: Tensor
    lengths: Tensor
    tiers: Tensor
    slots: tuple[Tensor, Tensor]
    weights: Tensor
    all_bad: Tensor
    positions: int


def score_responses(policy: PreTrainedModel, rows: RankingRows, indices: Sequence[int]) -> Responses:
    """Run the responses of these rankings through the policy. If the policy supports it, the responses to a
    prompt share the prompt's tokens.

    A ranking can exceed ``max_tokens``. Its responses then go through the policy in several passes. The
    backward pass recomputes the activations of one pass at a time. The largest pass therefore determines the
    memory use, and a ranking takes a third longer in several passes than in one.

    If the policy is sharded, the responses of a ranking go through the policy in one pass. Several passes are
    not possible, because all processes must run the same number of passes. The recomputation would also
    gather all layers at once.
    """
    groups, [layout] = [rows.groups[i] for i in indices], {rows.layouts[i] for i in indices}
    passes = [groups] if is_sharded(policy) else rows.passes(indices)
    laid_out = [lay_out(some, layout=layout, pad_id=rows.pad_id, device=policy.device) for some in passes]

    def summed_log_probs(answers: Answers, _: Tensor | None = None) -> Tensor:
        per_token = token_log_probs(policy, answers.inputs, temperature=1.0)
        # The sum over a padded row is deterministic, whereas index_add is not deterministic on a GPU.
        return answers.per_answer(per_token).sum(dim=1)

    if len(passes) > 1 and torch.is_grad_enabled():
        # Only reentrant checkpointing frees the activations of one pass before it recomputes those of the
        # next. With reentrant checkpointing, four passes of 1000 tokens needed 1.2 times the memory of one
        # pass. Without reentrant checkpointing, they needed 1.7 times the memory. Reentrant checkpointing
        # requires an input with a gradient.
        needed = torch.zeros((), requires_grad=True)
        found = [checkpoint(summed_log_probs, some, needed, use_reentrant=True) for some in laid_out]
    else:
        found = [summed_log_probs(some) for some in laid_out]
    summed, lengths = torch.cat(found), torch.cat([some.mask.sum(dim=1) for some in laid_out])
    stated = stated_in(groups)
    sizes = [len(group.responses) for group in groups]
    owner = torch.arange(len(groups)).repeat_interleave(torch.tensor(sizes))
    slot = torch.cat([torch.arange(size) for size in sizes])
    slots = (owner.to(policy.device), slot.to(policy.device))
    tiers = stated.tiers.to(policy.device)
    empty = torch.zeros_like(tiers, dtype=torch.float32)
    return Responses(
        log_probs=empty.index_put(slots, summed),
        lengths=empty.index_put(slots, lengths.float()),
        tiers=tiers,
        slots=slots,
        weights=torch.tensor([group.weight for group in groups], device=policy.device),
        all_bad=torch.tensor([group.all_bad for group in groups], device=policy.device),
        positions=sum(some.inputs.places for some in laid_out),
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
