"""The parts of a reward model: a trunk, a head with one output and, for LoRA, adapters on the trunk.

There are two kinds of trunk. A causal language model's head is `score`, a linear layer without a bias. The
score is read at the last token of each response, so several responses can share a row. An encoder processes a
row as a whole. Depending on the architecture, an encoder's `classifier` follows a pooler, reads the first
token, or follows an additional layer. For this reason, an encoder is run as in
`AutoModelForSequenceClassification`. Only the last layer, the head, is applied here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

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


def layers_of(model: Any) -> tuple[nn.Module, int] | None:
    """Return the module that contains the model's layers, and the position of the layers among its children,
    or None if the layers can't be identified."""
    total = plain(model).config.get_text_config().num_hidden_layers
    for parent in trunk_of(model).modules():
        for place, stack in enumerate(parent.children()):
            if isinstance(stack, nn.ModuleList) and len(stack) == total:
                return parent, place
    return None


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
    if hasattr(head, "modules_to_save"):  # peft trains a separate copy of the head
        head = head.modules_to_save[_active(head)]
    if head is not None and not isinstance(head, nn.Linear):
        head = getattr(head, "out_proj", None)  # as in RoBERTa, where another layer precedes the output layer
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise NoRewardModel(
            f"{type(inner).__name__} does not end in a linear layer with one output ({' or '.join(HEADS)}), "
            "so it can't compute a reward. Use a causal language model or an encoder"
        )
    return head


def is_classifier(model: Any) -> bool:
    """Return whether the model has a sequence classifier's head."""
    return any(hasattr(plain(model), name) for name in HEADS)


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


def _active(wrapper: Any) -> str:
    active = wrapper.active_adapter
    return str(active if isinstance(active, str) else active[0])
