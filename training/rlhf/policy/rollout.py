"""PPO's data structures: the four models, and the rows of prompts and answers that these models process."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Reporter
from training.rlhf.data.batching import Group, cut_by_width
from training.rlhf.generation.decoding import Completion, generate
from training.rlhf.models import chat
from training.rlhf.models.checks.reward import refuse_encoder, refuse_flat
from training.rlhf.models.loading import Loaded, ModelSource, open_policy, open_reward_model
from training.rlhf.models.logprobs import token_log_probs
from training.rlhf.models.pairs import refuse_other_tokens
from training.rlhf.models.trunks import head_of, is_encoder
from training.rlhf.reward.beliefs import Uncertainty, cautious_scores
from training.rlhf.reward.scoring import RewardScale, stored_scale
from training.rlhf.reward.uncertainty import uncertainty_of


@dataclass(frozen=True, slots=True)
class Models:
    """The policy in training, its frozen initial copy, the frozen reward model with its scale, and the
    critic.

    ``uncertainty`` is the reward model's uncertainty estimate, if there is one. ``caution`` is the number of
    standard deviations that are subtracted from scores.
    """

    actor: PreTrainedModel
    reference: PreTrainedModel
    judge: PreTrainedModel
    critic: Critic
    scale: RewardScale
    tokenizer: PreTrainedTokenizerBase
    uncertainty: Uncertainty | None = None
    caution: float = 0.0


class Scored(NamedTuple):
    """The scores of N answers. Each field has shape (N,).

    ``scores``: in standard deviations from the training mean, after the deduction for caution. ``finished``:
    whether the answer ended with EOS. ``spreads``: the reward model's uncertainty as a standard deviation,
    or 0 if there is no uncertainty estimate.
    """

    scores: Tensor
    finished: Tensor
    spreads: Tensor


class Critic(nn.Module):
    """A trunk with one fp32 output per token. The output is the value of the state in which the next token is
    chosen."""

    def __init__(self, reward_model: PreTrainedModel, scale: RewardScale) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(reward_model.base_model).requires_grad_(True)
        weight = head_of(reward_model).weight.detach().float()
        self.head = nn.Linear(weight.shape[1], 1, device=weight.device)
        with torch.no_grad():  # the reward model's score, centred and scaled in the same way as PPO's rewards
            self.head.weight.copy_(weight / scale.std)
            self.head.bias.fill_(-scale.mean / scale.std)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, wanted: Tensor) -> Tensor:
        """Return the value of the state before each wanted token, with shape (N,), in row order. All
        arguments have shape (B, T)."""
        states = self.trunk(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        values: Tensor = self.head(states[:, :-1][wanted[:, 1:]].float()).squeeze(-1)
        return values


@dataclass(slots=True)
class MicroBatch:
    """Rows that the models process together. The rows have the same shapes in the rollout and in every epoch,
    so that results are bitwise equal.

    The B rows of T tokens are right-padded, and the longest response has R tokens. ``wanted``, with shape
    (B, T), marks the response tokens. ``mask``, with shape (B, R), marks the same tokens. In all (B, R)
    tensors, positions are counted from the start of the response. ``scores`` has shape (B,).
    """

    input_ids: Tensor
    attention_mask: Tensor
    wanted: Tensor
    mask: Tensor
    scores: Tensor
    log_probs: Tensor
    reference: Tensor
    values: Tensor
    entropy: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.input_ids, self.attention_mask, self.wanted


def load_models(policy: ModelSource, reward_model: ModelSource, *, caution: float = 0.0) -> Models:
    """Load the policy and the reward model. The reference is a frozen copy of the policy, and the critic is
    a trainable copy of the reward model.

    Raises ValueError for an encoder, for a different vocabulary or chat template, and for a reward model with
    constant rewards.
    """
    uncertainty = uncertainty_of(reward_model, caution=caution)
    actor, tokenizer = open_policy(policy)
    judge, judge_tokenizer = open_reward_model(reward_model)
    refuse_encoder(encoder=is_encoder(judge))
    refuse_other_tokens(Loaded(actor, tokenizer), Loaded(judge, judge_tokenizer))
    reference = copy.deepcopy(actor).requires_grad_(False)
    scale = stored_scale(judge)
    refuse_flat(scale.std)
    judge.requires_grad_(False)
    return Models(actor, reference, judge, Critic(judge, scale), scale, tokenizer, uncertainty, caution)


def score_answers(
    models: Models, prompts: Sequence[list[int]], answers: Sequence[Sequence[Completion]], *, eos: int
) -> Scored:
    """Return the reward model's scores for the answers to each prompt, in order.

    The sampled token IDs are scored directly, because decoding and re-encoding can change them. EOS is
    appended to a truncated answer, because a reward model's score is meaningful only at EOS.
    """
    judge, scale = models.judge, models.scale
    groups = [
        Group(prompt, [a.ids if a.finished else [*a.ids, eos] for a in group], [])
        for prompt, group in zip(prompts, answers, strict=True)
    ]
    found = cautious_scores(judge, groups, models.uncertainty, caution=models.caution, pad_id=eos)
    raw, spreads = (torch.cat(values).to(judge.device) for values in found)
    finished = torch.tensor([a.finished for group in answers for a in group], device=judge.device)
    return Scored((raw - scale.mean) / scale.std, finished, spreads / scale.std)


def split_rollout(
    rows: Sequence[tuple[list[int], list[int]]],
    *,
    minibatches: int,
    max_tokens: int,
    generator: torch.Generator,
) -> list[list[list[int]]]:
    """Divide rows at random into minibatches, each split by length into micro-batches of at most
    ``max_tokens`` token positions.

    Rows are divided once per rollout. Every epoch therefore processes a row in the same padded shape as in
    the rollout, and the first ratio is exactly 1. Returns, for each minibatch, the row indices of its
    micro-batches.
    """
    dealt = torch.randperm(len(rows), generator=generator).tensor_split(min(minibatches, len(rows)))
    result = []
    for minibatch in dealt:
        numbers = minibatch.tolist()
        shapes = [(1, len(rows[i][0]) + len(rows[i][1])) for i in numbers]
        result.append([[numbers[i] for i in part] for part in cut_by_width(shapes, max_places=max_tokens)])
    return result


@torch.no_grad()
def observe(
    models: Models,
    rows: Sequence[tuple[list[int], list[int]]],
    scores: Tensor,
    pad_id: int,
    temperature: float,
) -> MicroBatch:
    """Run the prompt and answer of each row through the policy, the reference and the critic."""
    device, width = models.actor.device, max(len(prompt) + len(answer) for prompt, answer in rows)
    longest = max(len(answer) for _, answer in rows)
    input_ids = torch.full((len(rows), width), pad_id)
    attention_mask, wanted = (
        torch.zeros(len(rows), width, dtype=torch.long),
        torch.zeros(len(rows), width, dtype=torch.bool),
    )
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, (prompt, answer) in enumerate(rows):
        input_ids[i, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        attention_mask[i, : len(prompt) + len(answer)] = 1
        wanted[i, len(prompt) : len(prompt) + len(answer)] = True
        mask[i, : len(answer)] = True
    triple = (input_ids.to(device), attention_mask.to(device), wanted.to(device))
    mask = mask.to(device)

    def per_answer(flat: Tensor) -> Tensor:
        return flat.new_zeros(mask.shape).masked_scatter(mask, flat)

    log_probs, entropy = token_log_probs(models.actor, *triple, temperature=temperature)
    reference, _ = token_log_probs(models.reference, *triple, temperature=temperature)
    values = per_answer(models.critic(*triple))
    empty = torch.zeros_like(values)
    return MicroBatch(
        *triple,
        mask,
        scores,
        per_answer(log_probs),
        per_answer(reference),
        values,
        per_answer(entropy),
        empty,
        empty,
    )


def endless_order(length: int, generator: torch.Generator) -> Iterator[int]:
    """Yield the indices 0 … length - 1 endlessly, in a new random order for each pass. Every prompt therefore
    occurs equally often."""
    while True:
        yield from torch.randperm(length, generator=generator).tolist()


class Samples:
    """Reports readable sample answers to a few fixed prompts, from the initial policy and, periodically, from
    the current policy."""

    def __init__(
        self,
        models: Models,
        prompts: Sequence[Messages],
        encoded: Sequence[list[int]],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
    ) -> None:
        self.models, self.prompts, self.encoded = models, prompts, encoded
        self.max_new_tokens, self.temperature, self.seed = max_new_tokens, temperature, seed
        self.before = self._answer(models.reference) if self.prompts else []

    def report_to(self, step: int, report: Reporter) -> None:
        if not self.prompts:
            return
        for messages, before, after in zip(
            self.prompts, self.before, self._answer(self.models.actor), strict=True
        ):
            scores = {"reward_before": before[1], "reward_after": after[1]}
            report.sample(step, messages=messages, before=before[0], after=after[0], scores=scores)

    def _answer(self, policy: PreTrainedModel) -> list[tuple[str, float]]:
        answers = generate(
            policy,
            self.models.tokenizer,
            self.encoded,
            n=1,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )
        scores = score_answers(
            self.models, self.encoded, answers, eos=chat.eos_id(self.models.tokenizer)
        ).scores
        texts = [chat.decode(self.models.tokenizer, group[0].ids) for group in answers]
        return list(zip(texts, scores.tolist(), strict=True))
