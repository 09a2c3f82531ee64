"""One frozen reward model that scores a policy's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, RunFailure, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.data.batching import Group, fit_group
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.checks.reward import refuse_flat
from training.rlhf.models.loading.opening import open_reward_model
from training.rlhf.models.loading.pairs import refuse_other_tokens
from training.rlhf.models.loading.shared_trunk import share_trunk
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.parts import lora
from training.rlhf.models.tokens import chat
from training.rlhf.reward.beliefs import Uncertainty, cautious_scores
from training.rlhf.reward.scoring import RewardScale, length_limit, stored_scale
from training.rlhf.reward.uncertainty import uncertainty_of


class RewardNotFinite(RunFailure):
    """Raised if a reward model returns NaN or an infinite reward."""

    kind = FailureKind.REWARD_NOT_FINITE


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt and K answers to it. `prompt` and `answers` are token IDs of the policy, and each answer
    ends with the policy's EOS."""

    messages: Messages
    prompt: list[int]
    answers: list[list[int]]


class Rewards(NamedTuple):
    """`raw` contains one reward model's rewards for N answers, in the model's own units and after the
    deduction for caution. `spreads` contains the standard deviations of these rewards. Both have shape (N,).

    `truncated` counts the answers that were too long to be read in full. `refused` counts the answers whose
    prompt the reward model's chat template rejects.
    """

    raw: Tensor
    spreads: Tensor
    truncated: int
    refused: int


@dataclass(frozen=True, slots=True)
class Judge:
    """A frozen reward model.

    `adapter` names the reward model's adapter if it shares the policy's trunk (`loading.shared_trunk`).

    `limit` is the maximum length in tokens of a prompt and an answer together, as in the model's training. If
    `same_tokens` is true, the policy's token IDs are scored unchanged. Otherwise, the reward model has a
    different vocabulary or chat template, and the answer's text is encoded again.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    scale: RewardScale
    limit: int
    uncertainty: Uncertainty | None
    caution: float
    same_tokens: bool
    adapter: str | None = None

    def rewards(self, asked: Sequence[Asked], policy: PreTrainedTokenizerBase) -> Rewards:
        """Score every answer, prompt by prompt.

        An answer that fills the reward model's maximum length is truncated, so that EOS and a part of the
        prompt fit. Answers to a prompt that the reward model's chat template rejects get the mean training
        reward, so that this reward model has no influence on the choice between them. Raises RewardNotFinite.
        """
        return self._rewards([self._group(one, policy) for one in asked], [len(one.answers) for one in asked])

    def rewards_of_texts(self, items: Sequence[tuple[Messages, Sequence[str]]]) -> Rewards:
        """Score texts instead of token IDs (see `rewards`). The reward model's own tokenizer and chat
        template encode the texts."""
        groups = [self._text_group(messages, texts) for messages, texts in items]
        return self._rewards(groups, [len(texts) for _, texts in items])

    def _rewards(self, asked: Sequence[Group | None], answers: Sequence[int]) -> Rewards:
        """Return the rewards of the groups in `asked`. A group is None if the template rejects its prompt.
        `answers` contains the number of answers to each prompt."""
        truncated = refused = position = 0
        groups: list[Group] = []
        places: list[list[int]] = []  # the positions of each group's answers in the result
        for group, number in zip(asked, answers, strict=True):
            if group is None:
                refused += number
            else:
                truncated += sum(len(answer) >= self.limit for answer in group.responses)
                for part, chosen in self._fitting(group):
                    groups.append(part)
                    places.append([position + i for i in chosen])
            position += number
        raw, spreads = torch.full((position,), self.scale.mean), torch.zeros(position)
        with lora.using(self.model, self.adapter):
            scored = cautious_scores(
                self.model, groups, self.uncertainty, caution=self.caution, pad_id=chat.pad_id(self.tokenizer)
            )
        for where, rewards, deviations in zip(places, *scored, strict=True):
            raw[where], spreads[where] = rewards, deviations
        self._refuse_broken(raw)
        return Rewards(raw, spreads, truncated, refused)

    def can_read(self, messages: Messages) -> bool:
        """Whether the reward model's chat template accepts the prompt."""
        try:
            chat.encode_prompt(self.tokenizer, messages)
        except chat.TemplateRefuses:
            return False
        return True

    def _group(self, one: Asked, policy: PreTrainedTokenizerBase) -> Group | None:
        if self.same_tokens:
            return Group(one.prompt, one.answers, [])
        return self._text_group(one.messages, [chat.decode(policy, ids) for ids in one.answers])

    def _text_group(self, messages: Messages, texts: Sequence[str]) -> Group | None:
        try:
            prompt = chat.encode_prompt(self.tokenizer, messages)
        except chat.TemplateRefuses:
            return None
        return Group(prompt, [chat.encode_response(self.tokenizer, text) for text in texts], [])

    def _fitting(self, group: Group) -> list[tuple[Group, list[int]]]:
        """Split a group into parts that fit the limit, each with the indices of its answers. All answers of a
        part share one truncated prompt. The answers that are too long are put in a separate part, so that
        the other answers keep more of the prompt."""
        short = [i for i, answer in enumerate(group.responses) if len(answer) < self.limit]
        long = [i for i, answer in enumerate(group.responses) if len(answer) >= self.limit]
        room = self.limit - max(1, min(len(group.prompt), self.limit // 2))
        cut = [[*group.responses[i][: room - 1], group.responses[i][-1]] for i in long]
        parts = [([group.responses[i] for i in short], short), (cut, long)]
        cls = self.tokenizer.cls_token_id
        return [
            (fit_group(Group(group.prompt, answers, []), max_length=self.limit, cls=cls)[0], chosen)
            for answers, chosen in parts
            if chosen
        ]

    def _refuse_broken(self, raw: Tensor) -> None:
        broken = int((~raw.isfinite()).sum())
        if broken:
            raise RewardNotFinite(
                f"the reward model {self.name!r} gave {broken} of {len(raw)} answers a reward that is NaN or "
                "infinite. Use another reward model, or train this one again at a lower learning rate"
            )


def open_judge(
    name: str,
    source: ModelSource,
    *,
    caution: float = 0.0,
    policy: Loaded | None,
    dtype: torch.dtype = torch.float32,
) -> Judge:
    """Load a reward model. The reward model shares the policy's trunk if both are adapters of the same base
    model. Without a policy, the judge can only score texts. Raises the exceptions listed in
    `judges.open_judges`."""
    try:
        uncertainty = uncertainty_of(source, caution=caution)
    except ValueError as error:
        raise UnusableInput(f"reward model {name!r}: {error}") from error
    shared = None if policy is None else share_trunk(policy.model, source)
    loaded = open_reward_model(source, dtype=dtype) if shared is None else shared.loaded
    scale = stored_scale(loaded.model)
    refuse_flat(scale.std)
    if shared is None:
        loaded.model.requires_grad_(False)
    return Judge(
        name,
        *loaded,
        scale=scale,
        limit=length_limit(loaded.model),
        uncertainty=uncertainty,
        caution=caution,
        same_tokens=policy is not None and _same_tokens(policy, loaded),
        adapter=None if shared is None else shared.adapter,
    )


def _same_tokens(policy: Loaded, judge: Loaded) -> bool:
    try:
        refuse_other_tokens(policy, judge)
    except Refused:
        return False
    return True
