"""Score a policy's answers with a run's reward models.

A reward's unit and its zero are arbitrary. Scores are therefore measured in standard deviations of a reward
model's training rewards, from their mean (`RewardScale`). Coefficients and limits such as the KL coefficient
then have the same meaning for every reward model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.messages import Messages
from training.rlhf.data.batching import Group, fit_group
from training.rlhf.models import chat
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.checks.reward import refuse_flat
from training.rlhf.models.loading import Loaded, ModelSource, open_reward_model
from training.rlhf.models.pairs import refuse_other_tokens
from training.rlhf.recipes.rewards import UsesRewards
from training.rlhf.reward.beliefs import Uncertainty, cautious_scores
from training.rlhf.reward.scoring import RewardScale, length_limit, stored_scale
from training.rlhf.reward.uncertainty import uncertainty_of


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt and K answers to it. `prompt` and `answers` are token IDs of the policy, and each answer
    ends with the policy's EOS."""

    messages: Messages
    prompt: list[int]
    answers: list[list[int]]


@dataclass(frozen=True, slots=True)
class Judged:
    """The scores of N answers, on the CPU, in the order of the prompts and of their answers.

    `scores`, with shape (N,), is the run's reward: in standard deviations, after the deduction for caution.
    `spreads`, with shape (N,), is the standard deviation of the uncertainty, in the same unit. It is 0
    without an uncertainty estimate. `parts` maps each reward model's name to its raw rewards, with shape
    (N,).
    """

    scores: Tensor
    spreads: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Judge:
    """A frozen reward model.

    `limit` is the maximum length in tokens of a prompt and an answer together, as in the model's training. If
    `same_tokens`, the policy's token IDs are scored as they are. Otherwise, the reward model has another
    vocabulary or chat template, and the answer's text is encoded again.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    scale: RewardScale
    limit: int
    uncertainty: Uncertainty | None
    caution: float
    same_tokens: bool

    def rewards(self, asked: Sequence[Asked], policy: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
        """Return the raw rewards after the deduction for caution, and their uncertainty. Both have shape
        (N,)."""
        cls = self.tokenizer.cls_token_id
        groups = [fit_group(self._group(one, policy), max_length=self.limit, cls=cls)[0] for one in asked]
        found = cautious_scores(
            self.model, groups, self.uncertainty, caution=self.caution, pad_id=chat.pad_id(self.tokenizer)
        )
        raw, spreads = (torch.cat(values) for values in found)
        return raw, spreads

    def _group(self, one: Asked, policy: PreTrainedTokenizerBase) -> Group:
        if self.same_tokens:
            return Group(one.prompt, one.answers, [])
        texts = [chat.decode(policy, ids) for ids in one.answers]
        answers = [chat.encode_response(self.tokenizer, text) for text in texts]
        return Group(chat.encode_prompt(self.tokenizer, one.messages), answers, [])


@dataclass(frozen=True, slots=True)
class Judges:
    """The reward models of a run. `policy` is the policy's tokenizer."""

    judges: tuple[Judge, ...]
    policy: PreTrainedTokenizerBase

    @property
    def estimates_uncertainty(self) -> bool:
        return any(judge.uncertainty is not None for judge in self.judges)

    def score(self, asked: Sequence[Asked]) -> Judged:
        """Score the answers to each prompt. Raises ResponseTooLongError if an answer alone fills a reward
        model's maximum length."""
        [judge] = self.judges
        raw, spreads = judge.rewards(asked, self.policy)
        scale = judge.scale
        return Judged((raw - scale.mean) / scale.std, spreads / scale.std, {judge.name: raw})


def open_judges(sources: Mapping[str, ModelSource], config: UsesRewards, *, policy: Loaded) -> Judges:
    """Load the run's reward models. `sources` maps the name of each reward model to the model.

    Raises ModelNotFound, and ValueError for a reward model with constant rewards or, if `caution` is above 0,
    without an uncertainty estimate.
    """
    return Judges(
        tuple(_open(name, source, config, policy) for name, source in sources.items()), policy.tokenizer
    )


def _open(name: str, source: ModelSource, config: UsesRewards, policy: Loaded) -> Judge:
    uncertainty = uncertainty_of(source, caution=config.caution)
    loaded = open_reward_model(source)
    scale = stored_scale(loaded.model)
    refuse_flat(scale.std)
    loaded.model.requires_grad_(False)
    return Judge(
        name,
        *loaded,
        scale=scale,
        limit=length_limit(loaded.model),
        uncertainty=uncertainty,
        caution=config.caution,
        same_tokens=_same_tokens(policy, loaded),
    )


def _same_tokens(policy: Loaded, judge: Loaded) -> bool:
    try:
        refuse_other_tokens(policy, judge)
    except Refused:
        return False
    return True
