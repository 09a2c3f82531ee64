"""The parts of a reward model: a trunk, a head with one output and, for LoRA, adapters on the trunk.

There are two kinds of trunk. A causal language model's head is `score`, a linear layer without a bias. The
score is read at the last token of each response, so several responses can share a row. An encoder processes a
row as a whole. The position of an encoder's `classifier` depends on the architecture. The `classifier`
follows a pooler, reads the first token, or follows an additional layer. For this reason, an encoder is run as
in `AutoModelForSequenceClassification`. Only the last layer, the head, is applied here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from training.rlhf.recipes.reward_model import RewardModelConfig

# The names of a sequence classifier's modules outside the trunk. peft trains all weights of modules with
# these names and saves the weights with the adapter.
HEADS = ("score", "classifier")
# The number of token IDs that a model without an embedding matrix can read. CANINE hashes the IDs.
ANY_ID = sys.maxsize


class NoRewardModel(ValueError):
    """Raised if the model does not output a single number per text."""


def plain(model: Any) -> PreTrainedModel:
    """Return the transformers model without its adapter wrapper. The adapters stay in the model's layers."""
    inner: PreTrainedModel = model.get_base_model() if has_adapters(model) else model
    return inner


def has_adapters(model: Any) -> bool:
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def trunk_of(model: Any) -> nn.Module:
    return plain(model).base_model


def vocabulary_rows(model: Any) -> int:
    """Return the number of token IDs that the model can read and, if it generates text, write."""
    inner: Any = plain(model)
    output = inner.get_output_embeddings()
    rows = embedding_rows(model)
    return rows if output is None else min(rows, int(output.weight.shape[0]))


def embedding_rows(model: Any) -> int:
    """Return the number of token IDs that the model can read."""
    try:
        embeddings: Any = plain(model).get_input_embeddings()
    except NotImplementedError:
        return ANY_ID
    return int(embeddings.weight.shape[0])


def head_of(model: Any) -> nn.Linear:
    """Return the final linear layer with one output. Raises NoRewardModel if there is no such layer."""
    inner: Any = plain(model)
    head: Any = next((getattr(inner, name) for name in HEADS if hasattr(inner, name)), None)
    if hasattr(head, "modules_to_save"):  # a head trained with an adapter is a separate copy
        head = head.modules_to_save[_active(head)]
    if head is not None and not isinstance(head, nn.Linear):
        head = getattr(head, "out_proj", None)  # as in RoBERTa, where another layer precedes the output layer
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise NoRewardModel(
            f"{type(inner).__name__} does not end in a linear layer with one output ({' or '.join(HEADS)}), "
            "so it gives no reward. Use a causal language model or an encoder"
        )
    return head


def is_encoder(model: Any) -> bool:
    """Return whether the model is an encoder. An encoder scores a row as a whole, whereas a language model
    scores each response at its last token."""
    return not isinstance(getattr(plain(model), "score", None), nn.Module) or head_of(model).bias is not None


def start_head(model: Any) -> None:
    """Initialise a new head's weights from N(0, 1/(d + 1)) and its bias to 0, as in OpenAI's
    lm-human-preferences.

    With this initialisation, initial rewards have a standard deviation near 1. With transformers' default of
    0.02, a wide model's rewards start near 0. The initial steps then only increase the scale.
    """
    head = head_of(model)
    nn.init.normal_(head.weight, std=(head.in_features + 1) ** -0.5)
    if head.bias is not None:
        nn.init.zeros_(head.bias)


def add_lora(model: PreTrainedModel, config: RewardModelConfig, *, base: str, new: Sequence[str] = ()) -> Any:
    """Add a LoRA adapter to the trunk and freeze the trunk's own weights.

    All weights of the head and of the modules in ``new`` are trained and saved with the adapter. ``base``
    does not contain these weights. For example, ``new`` contains an encoder's pooler if the checkpoint lacks
    a pooler. Raises ValueError if the model does not have the target modules or peft cannot adapt them.
    """
    from peft import LoraConfig, TaskType, get_peft_model  # importing peft takes several seconds

    targets = config.lora_target_modules.strip()
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if targets == "all-linear" else [t.strip() for t in targets.split(",")],
        task_type=TaskType.SEQ_CLS,
        modules_to_save=[name for name in new if name.split(".")[0] not in HEADS],
    )
    try:
        adapted: Any = get_peft_model(model, settings)
    except ValueError as error:
        raise ValueError(
            f"lora_target_modules={config.lora_target_modules!r} does not fit {type(model).__name__}: {error}"
        ) from error
    # By default, peft stores the name from which the model was loaded. This name can be a relative path.
    adapted.active_peft_config.base_model_name_or_path = base
    return adapted


def trained_parameters(model: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return two lists of trainable parameters: first all parameters outside the head, then those of the
    head."""
    head = list(head_of(model).parameters())
    known = set(map(id, head))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return rest, head


def modules_of(keys: Iterable[str]) -> list[str]:
    """Return the sorted names of the modules that contain the weights in ``keys``."""
    return sorted({key.rsplit(".", 1)[0] for key in keys})


def act_on_dropout(model: Any) -> None:
    """Enable adapter dropout only while gradients are computed.

    The trunk's own dropout is never active. Models stay in eval mode, so that every layout gives the same
    rewards.
    """
    if not has_adapters(model) or not any(c.lora_dropout for c in model.peft_config.values()):
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.train(torch.is_grad_enabled())


def _active(wrapper: Any) -> str:
    active = wrapper.active_adapter
    return str(active if isinstance(active, str) else active[0])
