"""What a reward model consists of: a trunk, a head of one output, and adapters on the trunk where it is
trained by LoRA.

There are two kinds of trunk. A causal language model is read at the last token of each response (`score`, a
linear layer without a bias), so that several responses can stand in one row. An encoder reads a whole row at
once, and its architecture says where its `classifier` stands: after a pooler, at the first token, behind a
layer of its own. It is therefore run as `AutoModelForSequenceClassification` runs it, and only the last
layer, the head, is applied here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from training.rlhf.core.recipes import RewardModelConfig

# Where sequence classifiers keep what is not of the trunk. peft trains modules of these names whole and saves
# them with the adapter.
HEADS = ("score", "classifier")


class NoRewardModel(ValueError):
    """The model doesn't end in one number per text."""


def plain(model: Any) -> PreTrainedModel:
    """The transformers model, without the wrapper that holds its adapters (which stay in its layers)."""
    inner: PreTrainedModel = model.get_base_model() if has_adapters(model) else model
    return inner


def has_adapters(model: Any) -> bool:
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def trunk_of(model: Any) -> nn.Module:
    return plain(model).base_model


def head_of(model: Any) -> nn.Linear:
    """The linear layer of one output that ends the model. Raises NoRewardModel for a model that ends
    otherwise."""
    inner: Any = plain(model)
    head: Any = next((getattr(inner, name) for name in HEADS if hasattr(inner, name)), None)
    if hasattr(head, "modules_to_save"):  # trained beside an adapter, and so a copy of its own
        head = head.modules_to_save[_active(head)]
    if head is not None and not isinstance(head, nn.Linear):
        head = getattr(head, "out_proj", None)  # RoBERTa's kind: a layer of its own before the output
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise NoRewardModel(
            f"{type(inner).__name__} does not end in one linear output ({' or '.join(HEADS)}), so it gives "
            "no reward. Take a causal language model or an encoder"
        )
    return head


def is_encoder(model: Any) -> bool:
    """Whether it reads a whole row at once, in place of the last token of each response."""
    return not isinstance(getattr(plain(model), "score", None), nn.Module) or head_of(model).bias is not None


def start_head(model: Any) -> None:
    """A new head: N(0, 1/(d + 1)) and no bias, as in OpenAI's lm-human-preferences: rewards start with a
    spread near 1, where transformers' 0.02 starts a wide model near 0 and lets the first steps go into the
    scale."""
    head = head_of(model)
    nn.init.normal_(head.weight, std=(head.in_features + 1) ** -0.5)
    if head.bias is not None:
        nn.init.zeros_(head.bias)


def add_lora(model: PreTrainedModel, config: RewardModelConfig, *, base: str, new: Sequence[str] = ()) -> Any:
    """The model with a LoRA adapter on its trunk: the trunk's own weights no longer learn.

    The head, and the modules in ``new`` (an encoder's pooler, which a language model comes without), are
    trained whole and saved with the adapter: ``base`` doesn't have them.
    """
    from peft import LoraConfig, TaskType, get_peft_model  # seconds to import: only who needs it waits

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
            f"lora_target_modules={config.lora_target_modules!r} doesn't fit {type(model).__name__}: {error}"
        ) from error
    # peft takes the name by which the model was loaded, which may be a path from here.
    adapted.active_peft_config.base_model_name_or_path = base
    return adapted


def trained_parameters(model: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What learns, as (of the trunk and what lies between, of the head)."""
    head = list(head_of(model).parameters())
    known = set(map(id, head))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return rest, head


def modules_of(keys: Iterable[str]) -> list[str]:
    """The modules that these weights belong to, each once."""
    return sorted({key.rsplit(".", 1)[0] for key in keys})


def act_on_dropout(model: Any) -> None:
    """An adapter's dropout acts where gradients are asked for, and nowhere else. The trunk's own never does:
    models stay in eval mode, so that every layout gives the same rewards."""
    if not has_adapters(model) or not any(c.lora_dropout for c in model.peft_config.values()):
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.train(torch.is_grad_enabled())


def _active(wrapper: Any) -> str:
    active = wrapper.active_adapter
    return str(active if isinstance(active, str) else active[0])
