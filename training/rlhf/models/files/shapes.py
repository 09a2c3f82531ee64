"""The size of a language model, read from its `config.json` and the headers of its weights.

A run's requirements are estimated before launch, in a process that does not train. This module therefore
neither imports torch nor loads the model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.rlhf.models.files import adapters
from training.rlhf.models.files.adapters import CONFIG_FILE
from training.rlhf.models.files.headers import BrokenWeights, shapes_in_files
from training.rlhf.models.files.json_files import BrokenFile, object_in, reading

NAMED_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])", re.IGNORECASE)
# Models whose weights are counted like those of GPT-2 and BERT: with biases, learned position embeddings, and
# two matrix products in the MLP.
TWO_PRODUCTS = {"gpt_neox", "opt", "phi"}
ENCODERS = {
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "eurobert"),
    *("modernbert", "mpnet", "roberta", "xlm-roberta"),
}
GATED_ENCODERS = {"eurobert", "modernbert"}
NORMED_HEADS = {"qwen3", "gemma3_text", "olmo2"}
# If only the number of parameters is known, the model is assumed to have the shape of Qwen3: 28 layers with
# about 13 hidden² weights each, eight key-value heads of size 128, and a vocabulary of 151,936 tokens.
TYPICAL_LAYERS, TYPICAL_WEIGHTS_PER_LAYER, TYPICAL_VOCABULARY = 28, 13, 151_936


class UnknownShape(BrokenFile):
    """Raised if a model's size cannot be determined. The error message gives the reason."""


@dataclass(frozen=True)
class Shape:
    """The shape of a model with `layers` blocks.

    `weights` is the number of all stored parameters. `intermediate` is the width inside the MLP of a block.
    `gated` is true if the MLP has three matrix products, as in Llama, and false if it has two, as in GPT-2.
    `normed_heads` is true if queries and keys have norms, as in Qwen3.
    """

    weights: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    gated: bool = True
    encoder: bool = False
    normed_heads: bool = False

    @property
    def cache_numbers(self) -> int:
        """The number of values per token in the key-value cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_size


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return the shape described by a `config.json`. Raises UnknownShape if a size is missing."""
    inner = config.get("text_config")
    config = {**config, **inner} if isinstance(inner, Mapping) else config
    if any(config.get(name) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise UnknownShape("mixture-of-experts models are not supported")
    hidden = _number(config, "hidden_size", "n_embd", "dim")
    layers = _number(config, "num_hidden_layers", "n_layer", "n_layers")
    heads = _number(config, "num_attention_heads", "n_head", "n_heads")
    vocabulary = _number(config, "vocab_size")
    encoder = config.get("model_type") in ENCODERS
    two = TWO_PRODUCTS | (ENCODERS - GATED_ENCODERS)
    gated = "intermediate_size" in config and config.get("model_type") not in two
    between = config.get("intermediate_size") or config.get("n_inner") or config.get("hidden_dim")
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_size = int(config.get("head_dim") or hidden // heads)
    shape = Shape(
        weights=0,
        hidden=hidden,
        intermediate=int(between or 4 * hidden),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        vocabulary=vocabulary,
        context=_number(config, "max_position_embeddings", "n_positions"),
        gated=gated,
        encoder=encoder,
        normed_heads=config.get("model_type") in NORMED_HEADS,
    )
    tied = encoder or bool(config.get("tie_word_embeddings", "n_embd" in config))
    return replace(shape, weights=count_weights(shape, tied=tied))


def count_weights(shape: Shape, *, tied: bool) -> int:
    """Count the weights of a model of this shape: embeddings, a final norm and, in each layer, four attention
    matrices, two or three MLP matrices and two norms. Models like GPT-2 also have biases and learned position
    embeddings. If ``tied``, the output layer shares the input embeddings."""
    d, inner = shape.hidden, shape.heads * shape.head_size
    kv = shape.kv_heads * shape.head_size
    layer = d * inner + 2 * d * kv + inner * d + (3 if shape.gated else 2) * d * shape.intermediate + 2 * d
    layer += 2 * shape.head_size if shape.normed_heads else 0
    if not shape.gated:
        layer += 2 * d + inner + 2 * kv + d + shape.intermediate + d
    embeddings = shape.vocabulary * d * (1 if tied else 2) + (0 if shape.gated else shape.context * d)
    return embeddings + shape.layers * layer + (d if shape.gated else 2 * d)


def shape_in(folder: Path) -> Shape:
    """Return the shape of the model in a folder. Weights are counted from the file headers if possible.

    For an adapter, the base model's shape is returned, because the base model is loaded with the adapter.
    """
    if adapters.is_adapter(folder):
        try:
            base = adapters.base_of(folder)
        except adapters.BrokenAdapter as error:
            raise UnknownShape(str(error)) from error
        return shape_in(Path(base)) if Path(base).is_dir() else shape_named(base)
    try:
        with reading(CONFIG_FILE):
            shape = shape_of(object_in(folder / CONFIG_FILE))
    except UnknownShape:
        raise
    except BrokenFile as error:
        raise UnknownShape(f"{error} (in {folder})") from error
    stored = stored_weights(folder)
    return replace(shape, weights=stored) if stored else shape


def stored_weights(folder: Path) -> int:
    """Count the weights in the folder's safetensors files from their headers. Returns 0 if there are no such
    files or if a file cannot be read."""
    try:
        shapes = shapes_in_files(folder.glob("*.safetensors"))
    except BrokenWeights:
        return 0
    return sum(math.prod(shape) for shape in shapes.values())


def shape_named(name: str) -> Shape:
    """Guess the shape from the size in a model's name (`Qwen/Qwen3-0.6B`). Raises UnknownShape if the name
    contains no size."""
    found = NAMED_SIZE.search(name.replace("-", " ").replace("_", " "))
    if found is None or float(found[1]) == 0:
        raise UnknownShape(f"the name {name!r} does not contain the model's size")
    weights = int(float(found[1]) * (1e9 if found[2].lower() == "b" else 1e6))
    hidden = max(64, round(math.sqrt(weights / (TYPICAL_LAYERS * TYPICAL_WEIGHTS_PER_LAYER)) / 64) * 64)
    return Shape(
        weights=weights,
        hidden=hidden,
        intermediate=3 * hidden,
        layers=TYPICAL_LAYERS,
        heads=max(1, hidden // 64),
        kv_heads=8,
        head_size=128,
        vocabulary=TYPICAL_VOCABULARY,
        context=32_768,
        normed_heads=True,
    )


def demo_shape() -> Shape:
    """Return the shape of the policy that `training.demo_world.build_policy` builds."""
    shape = Shape(
        weights=0,
        hidden=192,
        intermediate=512,
        layers=2,
        heads=6,
        kv_heads=6,
        head_size=32,
        vocabulary=1939,
        context=512,
    )
    return replace(shape, weights=count_weights(shape, tied=True))


def _number(config: Mapping[str, Any], *names: str) -> int:
    for name in names:
        if isinstance(value := config.get(name), int) and value > 0:
            return value
    raise UnknownShape(f"{CONFIG_FILE} has no {names[0]}")
