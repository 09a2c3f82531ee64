"""The weights of a model of the Llama family, arranged for decoding.

Up to rounding, the trunk computes the same results as transformers' modules with the same weights, but
without the modules' overhead per token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, rms_norm, silu

from training.rlhf.models.forward.recompute import is_recomputed
from training.rlhf.models.parts.products import is_linear, use_onednn

# The maximum total size, in bytes, of the matrices that are copied into oneDNN's layout on a CPU. With 32
# rows on an AMD EPYC, oneDNN reached 190 GFLOP/s per thread, and MKL, torch's default, reached 95. With
# weights that were not in the processor's cache, oneDNN reached 63 to 150, and MKL reached 33 to 54.
COPIED_BYTES = 2**30
ROWS = 32  # number of rows for which the layout is chosen; other numbers lead to nearly the same layout

Projection = Callable[[Tensor], Sequence[Tensor]]
Added = Callable[[Tensor, Tensor], Tensor]


class Layer(NamedTuple):
    """The parts of one layer. `heads_norm` contains Qwen3's norm weights for queries and keys, one row per
    head."""

    attention_norm: nn.Module
    queries_keys_values: Projection
    heads_norm: Tensor | None
    attention_out: Added
    mlp_norm: nn.Module
    gate_up: Projection
    down: Added


class Trunk:
    """The weights of a model of the family, arranged for decoding."""

    @torch.inference_mode()
    def __init__(self, model: Any) -> None:
        use_onednn(model)
        config = model.config
        attention = model.model.layers[0].self_attn
        self.model = model
        self.kv_heads: int = config.num_key_value_heads
        self.heads: int = config.num_attention_heads
        self.width: int = attention.head_dim
        self.epsilon: float = config.rms_norm_eps
        weight = model.model.embed_tokens.weight
        self.device, self.dtype = weight.device, weight.dtype
        layers = model.model.layers
        matrices = [*_matrices(layers), model.lm_head.weight]
        copied = _can_copy(weight) and sum(one.nbytes for one in matrices) <= COPIED_BYTES
        self.layers = [self._layer(layer, copied) for layer in layers]
        self.head = _projection([model.lm_head], copied)

    def _layer(self, layer: Any, copied: bool) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        norms = None
        if hasattr(attention, "q_norm"):
            rows = (
                attention.q_norm.weight.expand(self.heads, -1),
                attention.k_norm.weight.expand(self.kv_heads, -1),
            )
            norms = torch.cat(rows)
        return Layer(
            layer.input_layernorm,
            _projection([attention.q_proj, attention.k_proj, attention.v_proj], copied),
            norms,
            _added(attention.o_proj, copied),
            layer.post_attention_layernorm,
            _projection([mlp.gate_proj, mlp.up_proj], copied),
            _added(mlp.down_proj, copied),
        )

    @property
    def token_bytes(self) -> int:
        """The bytes of one token's keys and values."""
        return 2 * len(self.layers) * self.kv_heads * self.width * int(self.dtype.itemsize)

    def rotations(self, length: int) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines of positions below `length`, with shape (length, 1, width). The first
        half of the sines is negated, as `project` expects."""
        positions = torch.arange(length, device=self.device)[None]
        cos, sin = self.model.model.rotary_emb(
            torch.empty(0, dtype=self.dtype, device=self.device), positions
        )
        half = self.width // 2
        signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        return cos[0, :, None], signed[0, :, None]

    def embed(self, ids: Tensor) -> Tensor:
        return embedding(ids, self.model.model.embed_tokens.weight)

    def logits(self, hidden: Tensor) -> Tensor:
        [found] = self.head(self._norm(self.model.model.norm, hidden))
        return found

    def project(
        self, layer: Layer, hidden: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rotated queries, the rotated keys and the values, with shape (N, heads, width) each."""
        queries, keys, values = layer.queries_keys_values(self._norm(layer.attention_norm, hidden))
        both = torch.cat([queries, keys], dim=-1).view(len(hidden), -1, self.width)
        if layer.heads_norm is not None:
            both = rms_norm(both, (self.width,), None, self.epsilon) * layer.heads_norm
        both = both * cos + both.roll(self.width // 2, dims=-1) * sin
        return both[:, : self.heads], both[:, self.heads :], values.reshape(len(hidden), -1, self.width)

    def finish(self, layer: Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        """Compute the layer's output from its input and the output of its attention heads."""
        hidden = layer.attention_out(hidden, attended)
        gate, up = layer.gate_up(self._norm(layer.mlp_norm, hidden))
        return layer.down(hidden, silu(gate).mul_(up))

    def _norm(self, norm: Any, hidden: Tensor) -> Tensor:
        return rms_norm(hidden, (hidden.shape[-1],), norm.weight, self.epsilon)


def _projection(modules: Sequence[Any], copied: bool) -> Projection:
    """Return a function that applies all modules to the same input. If the weights are `copied`, the copies
    are joined into one matrix."""
    if not copied or not all(_is_plain(module) for module in modules):
        return lambda hidden: [module(hidden) for module in modules]
    apply = _in_layout_of_onednn(modules)
    sizes: list[int] = [module.out_features for module in modules]
    return lambda hidden: torch.split(apply(hidden), sizes, dim=-1)


def _added(module: nn.Module, copied: bool) -> Added:
    """Return a function that adds the module's output to a residual, in place where possible."""
    if _is_plain(module) and copied:
        apply = _in_layout_of_onednn([module])
        return lambda residual, inner: residual.add_(apply(inner))
    if _is_plain(module) and module.bias is None:
        weight: Any = module.weight
        return lambda residual, inner: residual.addmm_(inner, weight.mT)
    return lambda residual, inner: residual + module(inner)


def _in_layout_of_onednn(modules: Sequence[Any]) -> Callable[[Tensor], Tensor]:
    """Return a function that applies copies of linear layers, with the operators that `torch.compile`
    uses."""
    ops = torch.ops.mkldnn
    weight = ops._reorder_linear_weight(torch.cat([module.weight for module in modules]), ROWS)
    biases = [module.bias for module in modules]
    bias = None if biases[0] is None else torch.cat(biases)
    return lambda hidden: ops._linear_pointwise(hidden, weight, bias, "none", [], "")


def _can_copy(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def _matrices(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.dim() == 2]


def _is_plain(module: nn.Module) -> bool:
    """Return whether the module is a linear layer without an adapter, quantisation or hooks."""
    return is_linear(module) and not is_altered(module)


def is_altered(module: nn.Module) -> bool:
    """Return whether the module's output may differ from the output that its class computes."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    replaced = "forward" in vars(module) and not is_recomputed(module)
    return any(hooks) or replaced or hasattr(module, "_hf_hook")
