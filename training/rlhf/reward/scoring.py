"""Scoring with a reward model: a trunk with one linear output.

A language model's score is read at the end of each response. An encoder scores the response as a whole. Raw
rewards equal those of plain ``AutoModelForSequenceClassification`` on prompt + response + EOS. A reward's
additive constant is arbitrary. The mean and the standard deviation over the training responses are therefore
stored with the weights. The stored mean and standard deviation form the `RewardScale`, under ``rankloop`` in
``config.json``. PPO always centres and scales rewards by this mean and standard deviation. By default,
``score`` returns raw rewards. ``score(…, centred=True)`` subtracts only the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.alive import alive, counted
from training.rlhf.core.memory import halves_of, within_memory
from training.rlhf.core.messages import Messages
from training.rlhf.core.sharding import run, shards
from training.rlhf.data.batching import (
    Batch,
    Group,
    Layout,
    can_pack,
    cheaper_layout,
    collate,
    fit_group,
    micro_batches,
    places_of,
)
from training.rlhf.models.files.adapters import lasting_name
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.sharding import shard_model
from training.rlhf.models.loading.opening import open_classifier
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.loading.trainable import freeze_all_but_last
from training.rlhf.models.parts import products
from training.rlhf.models.parts.lora import act_on_dropout, add_lora, merged
from training.rlhf.models.parts.trunks import (
    has_adapters,
    head_of,
    is_encoder,
    modules_of,
    plain,
    start_head,
    trunk_of,
)
from training.rlhf.models.tokens import chat

if TYPE_CHECKING:
    from training.rlhf.recipes.reward_model import RewardModelConfig

# Maximum number of token positions in a micro-batch without gradients, including padding.
SCORING_TOKENS = 16_384
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
    """Return the rewards of the responses to each prompt. The list contains one fp32 CPU tensor of shape (K,)
    per item, without gradient.

    Raw rewards equal the output of plain ``AutoModelForSequenceClassification`` on prompt + response + EOS.
    ``centred`` subtracts the mean reward of the training responses. A prompt that is too long for the maximum
    length that was used in training loses its first tokens. Raises ResponseTooLongError if a response alone
    fills that length.
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
    """Encode prompts and responses for scoring. Raises ResponseTooLongError if a response alone fills the
    maximum length that was used in training, and ValueError if an item has no responses."""
    limit = length_limit(model)
    groups = []
    for number, (messages, responses) in enumerate(items):
        if not responses:
            raise ValueError(f"item {number} has no response to score")
        encoded = [chat.encode_response(tokenizer, text) for text in responses]
        group = Group(chat.encode_prompt(tokenizer, messages), encoded, [], name=f"item {number}")
        groups.append(fit_group(group, max_length=limit, cls=tokenizer.cls_token_id)[0])
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
    """Return the raw rewards of encoded responses. The list contains one fp32 CPU tensor of shape (K,) per
    group, in the order of ``groups``."""
    scores: list[list[Tensor]] = [[] for _ in groups]
    read = partial(rewards_of, model)
    for pieces, _, rewards in passes(
        model, groups, read, layout=layout, max_tokens=max_tokens, pad_id=pad_id
    ):
        for row, (index, piece) in enumerate(pieces):
            scores[index].append(rewards[row, : len(piece.responses)].clone())
    return [torch.cat(one) for one in scores]


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
    """Return the raw rewards, as in `score_groups`, and the head's input features.

    The features are one fp32 CPU tensor of shape (K, d) per group. With ``keep=False``, no features are
    returned. The features of many rankings can be as large as a model.
    """
    if not keep:
        return score_groups(model, groups, pad_id=pad_id, layout=layout, max_tokens=max_tokens), []
    scores: list[list[Tensor]] = [[] for _ in groups]
    found: list[list[Tensor]] = [[] for _ in groups]
    read = partial(features_of, model)
    for pieces, batch, features in passes(
        model, groups, read, layout=layout, max_tokens=max_tokens, pad_id=pad_id
    ):
        rewards, owner = head_values(model, features.to(model.device)).cpu(), batch.owner.cpu()
        for row, (index, _) in enumerate(pieces):
            scores[index].append(rewards[owner == row])
            found[index].append(features[owner == row])
    return [torch.cat(one) for one in scores], [torch.cat(one) for one in found]


def rewards_of(model: Any, batch: Batch, *, precision: str = "float32") -> Tensor:
    """Run one forward pass over all rows and apply the fp32 head. Return fp32 rewards with shape (B, K) and
    with 0 in padding."""

    def forward() -> Tensor:
        values = head_values(model, features_of(model, batch, precision=precision))
        return values.new_zeros(batch.tiers.shape).index_put((batch.owner, batch.slot), values)

    return run(model, forward)


def head_values(model: Any, features: Tensor) -> Tensor:
    """Return the fp32 rewards for ``features``. The rewards have shape (N,), and ``features`` has shape
    (N, d)."""
    head = head_of(model)
    bias = None if head.bias is None else head.bias.float()
    return nn.functional.linear(features, head.weight.float(), bias).squeeze(-1)


def features_of(model: Any, batch: Batch, *, precision: str = "float32") -> Tensor:
    """Return the head's input as an fp32 tensor of shape (N, d). Each response in the batch has one row, in
    order.

    For a language model, the head's input is the state at the end of the response. For an encoder, the head's
    input is the output of the classifier layers.
    """
    act_on_dropout(model)
    products.use_onednn(trunk_of(model))
    read = _of_whole_rows if is_encoder(model) else _at_the_ends
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        states = read(model, batch)
    return states.float()


def _of_whole_rows(model: Any, batch: Batch) -> Tensor:
    seen: list[Tensor] = []
    watched = head_of(model).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        plain(model)(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    finally:
        watched.remove()
    # In some models, the score is read at the last token, but the classifier is applied to all tokens.
    # Examples are ModernBERT's decoder and CTRL.
    return seen[0][batch.end_row, batch.end_column] if seen[0].ndim == 3 else seen[0][batch.end_row]


def _at_the_ends(model: Any, batch: Batch) -> Tensor:
    trunk = trunk_of(model)
    with segments.read_at(trunk, batch.end_row, batch.end_column):
        states: Tensor = trunk(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        ).last_hidden_state
    return states[batch.end_row, batch.end_column]


def load_for_training(base_model: str | Path, config: RewardModelConfig | None = None) -> Loaded:
    """Load a model for training as a reward model.

    A policy's trunk or an encoder gets a new head. A reward model keeps its own head. A new model's pad token
    differs from its EOS. With ``use_peft``, everything is frozen except the head and an adapter. If
    ``base_model`` is an adapter of a policy or of a reward model, this adapter is trained further, on its own
    base model. The adapter keeps its rank and modules. If the recipe does not use LoRA, the adapter is
    merged. In that case, either all weights are trained, or only the head and the last
    ``num_layers_unfrozen`` layers. With ``sharding``, the weights are divided among the processes.
    """
    divided = config is not None and shards(config)
    # A model that will be sharded is loaded onto the CPU, because it may be too large for one GPU.
    opened = open_classifier(base_model, device=torch.device("cpu") if divided else None)
    if opened.new:
        start_head(opened.model)
    if config is None or not config.use_peft:
        model = merged(opened.model)
        if config is not None and config.num_layers_unfrozen is not None:
            freeze_all_but_last(model, config.num_layers_unfrozen)
        if divided:
            shard_model(model, dtype=torch.float32)
        return Loaded(model, opened.tokenizer)
    if has_adapters(opened.model):
        return Loaded(opened.model, opened.tokenizer)
    base = lasting_name(opened.base)
    adapted = add_lora(
        opened.model, config, base=base, new=modules_of(opened.new), dropout=config.lora_dropout
    )
    return Loaded(adapted.eval(), opened.tokenizer)


def stored_scale(model: PreTrainedModel) -> RewardScale:
    """Return the scale saved with the model.

    A model trained with other software has no saved scale. For such a model, the scale (0, 1) is returned, so
    that rewards keep their additive constant.
    """
    notes: Mapping[str, Any] = getattr(model.config, "rankloop", None) or {}
    return RewardScale(float(notes.get("reward_mean", 0.0)), float(notes.get("reward_std", 1.0)))


def length_limit(model: PreTrainedModel) -> int:
    """Return the maximum length of prompt and response together, in tokens, that was used to train the reward
    model. Without a stored maximum, the limit is the model's context length."""
    notes: Mapping[str, Any] = getattr(model.config, "rankloop", None) or {}
    context = chat.context_length(model)
    return min(int(notes.get("max_length", context)), context)


def choose_layouts(model: PreTrainedModel, groups: Sequence[Group], layout: LayoutChoice) -> list[Layout]:
    """Return each group's layout. "auto" packs groups if packing is cheaper and supported by the model.

    Raises ValueError for "packed" with a model that does not support packing.
    """
    if layout == "separate":
        return ["separate"] * len(groups)
    possible = can_pack(model)
    if layout == "packed" and not possible:
        raise ValueError(
            f"{type(model).__name__} does not support shared prompts: set `layout` to `separate`"
        )
    if possible and model.device.type == "cpu" and segments.attend_by_segment(model):
        return ["flat"] * len(groups)
    if layout == "packed":
        return ["packed"] * len(groups)
    hidden_size = int(model.config.get_text_config().hidden_size)
    return [cheaper_layout(g, hidden_size=hidden_size) if possible else "separate" for g in groups]


def batches(
    model: PreTrainedModel, groups: Sequence[Group], *, layout: LayoutChoice, max_tokens: int, pad_id: int
) -> Iterator[tuple[list[int], Batch]]:
    """Yield batches on the model's device, each preceded by the indices of its groups in ``groups``. Every
    group occurs in exactly one batch."""
    layouts = choose_layouts(model, groups, layout)
    for kind, indices in micro_batches(groups, layouts=layouts, max_tokens=max_tokens):
        yield indices, laid_out(model, [groups[i] for i in indices], kind, pad_id)
        counted(sum(len(groups[i].responses) for i in indices))


def laid_out(model: PreTrainedModel, groups: Sequence[Group], layout: Layout, pad_id: int) -> Batch:
    """Return the groups as one batch on the model's device."""
    alive()
    # If a model trained with other software has EOS as its pad token, the model's score is read before EOS,
    # as in transformers. A reward model created by this library has a pad token other than EOS. The score of
    # such a model is read at EOS.
    unread = model.config.get_text_config().pad_token_id
    return collate(groups, layout=layout, pad_id=pad_id, unread=unread).to(model.device)


# A group, or a part of its responses, and the index of the group.
Piece: TypeAlias = tuple[int, Group]
Pass: TypeAlias = tuple[Layout, list[Piece]]


def passes(
    model: PreTrainedModel,
    groups: Sequence[Group],
    read: Callable[[Batch], Tensor],
    *,
    layout: LayoutChoice,
    max_tokens: int,
    pad_id: int,
) -> Iterator[tuple[Sequence[Piece], Batch, Tensor]]:
    """Yield the pieces of each pass, their batch, and the result of ``read``, moved to the CPU. The pieces of
    a group are in order.

    If the device runs out of memory, the groups of the pass are divided into two passes (`within_memory`). If
    the pass contains only one group, the group's responses are divided instead. A response's score does not
    depend on the pass that it is part of."""

    def work(one: Pass) -> tuple[Batch, Tensor]:
        batch = laid_out(model, [piece for _, piece in one[1]], one[0], pad_id)
        return batch, read(batch).cpu()

    layouts = choose_layouts(model, groups, layout)
    parts: Iterator[Pass] = (
        (kind, [(i, groups[i]) for i in indices])
        for kind, indices in micro_batches(groups, layouts=layouts, max_tokens=max_tokens)
    )
    for (_, pieces), (batch, found) in within_memory(
        model,
        parts,
        work,
        size=lambda one: places_of([piece for _, piece in one[1]], one[0]),
        halves=_halves,
        what="scoring",
    ):
        yield pieces, batch, found
        counted(sum(len(piece.responses) for _, piece in pieces))


def _halves(one: Pass) -> list[Pass]:
    layout, pieces = one
    if len(pieces) > 1:
        return [(layout, half) for half in halves_of(pieces)]
    [(index, group)] = pieces
    tiers = iter(halves_of(group.tiers)) if group.tiers else repeat([])
    return [
        (layout, [(index, replace(group, responses=list(half), tiers=list(next(tiers))))])
        for half in halves_of(group.responses)
    ]
