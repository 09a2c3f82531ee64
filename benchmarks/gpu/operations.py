"""The floating-point operations that a pass through a model needs, for model FLOP utilisation.

In a forward pass, a token costs 2 operations per weight of the layers, and a pair of tokens in attention
costs 4 operations per layer, head and dimension of the head (Kaplan et al. 2020, arXiv 2001.08361; Chowdhery
et al. 2022, arXiv 2204.02311, appendix B). The backward pass costs twice as much, so both passes together
cost 6 operations per weight and token. With LoRA, the weights need no gradient, and the backward pass costs
as much as the forward pass.

Only necessary work is counted. A prompt is counted once for all its answers, attention is counted only for
causal pairs, and the projection onto the vocabulary is counted only for the tokens that need it. Padding,
masked pairs and recomputed activations take time but are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape

FULL, LORA = 3, 2  # the cost of a training pass, as a multiple of a forward pass


@dataclass(frozen=True)
class Lengths:
    """The lengths of a prompt and of its answers, in tokens."""

    prompt: int
    answers: Sequence[int]

    @property
    def tokens(self) -> int:
        return self.prompt + sum(self.answers)

    @property
    def pairs(self) -> float:
        """The number of (token, attended token) pairs. The tokens of an answer attend to the prompt and to
        this answer."""
        return self.prompt**2 / 2 + sum(own * (self.prompt + own / 2) for own in self.answers)


def layer_weights(shape: Shape) -> int:
    """The number of weights in the matrices of all layers."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    attention = shape.hidden * (2 * queries + 2 * keys)
    return shape.layers * (attention + (3 if shape.gated else 2) * shape.hidden * shape.intermediate)


def trunk_operations(shape: Shape, groups: Sequence[Lengths]) -> float:
    """The operations of a forward pass through all layers."""
    tokens, pairs = sum(one.tokens for one in groups), sum(one.pairs for one in groups)
    attention = 4 * shape.layers * shape.heads * shape.head_size * pairs
    return 2 * layer_weights(shape) * tokens + attention


def projection_operations(shape: Shape, groups: Sequence[Lengths]) -> float:
    """The operations of projecting all answer tokens onto the vocabulary."""
    return 2 * shape.vocabulary * shape.hidden * sum(sum(one.answers) for one in groups)
