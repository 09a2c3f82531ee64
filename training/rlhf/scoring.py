"""Scoring with a reward model: a language model's trunk with one linear output, read at the end of each
response.

Raw rewards equal those of plain ``AutoModelForSequenceClassification`` on prompt + response + EOS. The
constant of a reward is free, so the mean and the standard deviation over the training responses are stored
beside the weights (`RewardScale`, under ``rankloop`` in ``config.json``) and applied only where asked for:
``score(…, centred=True)``, and PPO.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf import chat, segments
from training.rlhf.batching import (
    Batch,
    Group,
    Layout,
    can_pack,
    cheaper_layout,
    collate,
    fit_group,
    micro_batches,
)
from training.rlhf.loading import Loaded, load_reward_model
from training.rlhf.messages import Messages

SCORING_TOKENS = 16_384  # token places of one no-grad micro-batch
LayoutChoice = Literal["auto", "packed", "separate"]


@dataclass(frozen=True, slots=True)
class RewardScale:
    """Mean and standard deviation of the raw rewards over the training responses."""

    mean: float
    std: float


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
    *,
    centred: bool = False,
    layout: LayoutChoice = "auto",
) -> list[Tensor]:
    """Rewards of the responses to each prompt: one fp32 CPU tensor (K,) per item, no gradient.

    Raw rewards equal plain ``AutoModelForSequenceClassification`` on prompt + response + EOS. ``centred``
    subtracts the mean reward of the training responses. Prompts are cut on the left to the model's context;
    raises ResponseTooLongError where a response alone fills it.
    """
    groups = encode_items(model, tokenizer, items)
    mean = stored_scale(model).mean if centred else 0.0
    return [
        rewards - mean
        for rewards in score_groups(model, groups, layout=layout, pad_id=chat.pad_id(tokenizer))
    ]


def encode_items(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
) -> list[Group]:
    """Prompts and their responses as they are scored. Raises ResponseTooLongError."""
    limit = chat.context_length(model)
    groups = []
    for number, (messages, responses) in enumerate(items):
        encoded = [chat.encode_response(tokenizer, text) for text in responses]
        group = Group(chat.encode_prompt(tokenizer, messages), encoded, [], name=f"item {number}")
        groups.append(fit_group(group, max_length=limit)[0])
    return groups


@torch.no_grad()
def score_groups(
    model: PreTrainedModel,
    groups: Sequence[Group],
    *,
    pad_id: int,
    layout: LayoutChoice = "auto",
    max_tokens: int = SCORING_TOKENS,
) -> list[Tensor]:
    """Raw rewards of encoded responses, one fp32 CPU tensor (K,) per group, in the order of ``groups``."""
    scores: list[Tensor] = [torch.empty(0)] * len(groups)
    for indices, batch in batches(model, groups, layout=layout, max_tokens=max_tokens, pad_id=pad_id):
        rewards = rewards_of(model, batch).cpu()
        for row, index in enumerate(indices):
            scores[index] = rewards[row, : len(groups[index].responses)].clone()
    return scores


@torch.no_grad()
def score_with_features(
    model: PreTrainedModel,
    groups: Sequence[Group],
    *,
    pad_id: int,
    layout: LayoutChoice = "auto",
    max_tokens: int = SCORING_TOKENS,
    keep: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    """Raw rewards as `score_groups` gives them, and the features that the head made them of, (K, d) per
    group: fp32, on the CPU. ``keep=False`` has no features: many rankings' are as large as a model."""
    if not keep:
        return score_groups(model, groups, pad_id=pad_id, layout=layout, max_tokens=max_tokens), []
    scores: list[Tensor] = [torch.empty(0)] * len(groups)
    found: list[Tensor] = [torch.empty(0)] * len(groups)
    for indices, batch in batches(model, groups, layout=layout, max_tokens=max_tokens, pad_id=pad_id):
        features = features_of(model, batch)
        rewards, features, owner = (
            part.cpu() for part in (head_values(model, features), features, batch.owner)
        )
        for row, index in enumerate(indices):
            scores[index], found[index] = rewards[owner == row], features[owner == row]
    return scores, found


def rewards_of(model: PreTrainedModel, batch: Batch, *, precision: str = "float32") -> Tensor:
    """One forward pass: the trunk over all rows, the fp32 head at the end of each response -> (B, K) fp32,
    padding 0."""
    values = head_values(model, features_of(model, batch, precision=precision))
    return values.new_zeros(batch.tiers.shape).index_put((batch.owner, batch.slot), values)


def head_values(model: PreTrainedModel, features: Tensor) -> Tensor:
    """(N, d) features -> (N,) rewards, in fp32."""
    return nn.functional.linear(features, head_of(model).weight.float()).squeeze(-1)


def features_of(model: PreTrainedModel, batch: Batch, *, precision: str = "float32") -> Tensor:
    """What the head is applied to, (N, d) fp32, one row for each response of the batch in its order."""
    with (
        torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"),
        segments.read_at(model.base_model, batch.end_row, batch.end_column),
    ):
        states = model.base_model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        ).last_hidden_state
    ends: Tensor = states[batch.end_row, batch.end_column].float()
    return ends


def load_for_training(base_model: str | Path) -> Loaded:
    """The trunk of a policy with a new head, or a reward model with its own; and a tokenizer whose pad is not
    its EOS.

    A new head is N(0, 1/(d + 1)), as in OpenAI's lm-human-preferences: rewards start with a spread near 1,
    where transformers' 0.02 starts a wide model near 0 and lets the first steps go into the scale.

    Plain ``AutoModelForSequenceClassification`` reads the last token that differs from ``pad_token_id``. With
    pad == EOS it would skip the EOS that we score, so a reward model gets another pad token; our own code
    never looks at it.
    """
    model, tokenizer = load_reward_model(base_model, new_head=True)
    if not str((model.config.architectures or [""])[0]).endswith("ForSequenceClassification"):
        head = head_of(model)
        nn.init.normal_(head.weight, std=(head.in_features + 1) ** -0.5)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == chat.eos_id(tokenizer):
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = pad_other_than_eos(tokenizer)
        model.config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model, tokenizer)


def pad_other_than_eos(tokenizer: PreTrainedTokenizerBase) -> str:
    """A token that can never end a response: unk, bos, another special token, or the first of the
    vocabulary."""
    eos = chat.eos_id(tokenizer)
    others = [
        token for token in tokenizer.all_special_tokens if tokenizer.convert_tokens_to_ids(token) != eos
    ]
    named = [token for token in (tokenizer.unk_token, tokenizer.bos_token) if token in others]
    return str([*named, *others, tokenizer.convert_ids_to_tokens(0 if eos != 0 else 1)][0])


def head_of(model: PreTrainedModel) -> nn.Linear:
    """The one-output linear layer without a bias. Raises ValueError for a model that ends otherwise (an
    encoder's pooler)."""
    head = getattr(model, "score", None)
    if not isinstance(head, nn.Linear) or head.out_features != 1 or head.bias is not None:
        raise ValueError(f"{type(model).__name__} does not end in one linear output without a bias (`score`)")
    return head


def stored_scale(model: PreTrainedModel) -> RewardScale:
    """The scale saved with the model; (0, 1) for a model trained elsewhere, which then keeps its own
    constant."""
    notes: Mapping[str, Any] = getattr(model.config, "rankloop", None) or {}
    return RewardScale(float(notes.get("reward_mean", 0.0)), float(notes.get("reward_std", 1.0)))


def choose_layouts(model: PreTrainedModel, groups: Sequence[Group], layout: LayoutChoice) -> list[Layout]:
    """A layout per group. "auto" packs where it is cheaper and the model allows it; "packed" on a model that
    doesn't is an error."""
    if layout == "separate":
        return ["separate"] * len(groups)
    possible = can_pack(model)
    if layout == "packed" and not possible:
        raise ValueError(f"{type(model).__name__} can't share a prompt: use layout separate")
    if possible and model.device.type == "cpu" and segments.attend_by_segment(model):
        return ["flat"] * len(groups)
    if layout == "packed":
        return ["packed"] * len(groups)
    hidden_size = int(model.config.get_text_config().hidden_size)
    return [cheaper_layout(g, hidden_size=hidden_size) if possible else "separate" for g in groups]


def batches(
    model: PreTrainedModel, groups: Sequence[Group], *, layout: LayoutChoice, max_tokens: int, pad_id: int
) -> Iterator[tuple[list[int], Batch]]:
    """(indices into groups, their batch on the model's device) until every group was laid out once."""
    layouts = choose_layouts(model, groups, layout)
    for kind, indices in micro_batches(groups, layouts=layouts, max_tokens=max_tokens):
        yield indices, collate([groups[i] for i in indices], layout=kind, pad_id=pad_id).to(model.device)
