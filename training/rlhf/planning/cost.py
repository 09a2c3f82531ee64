"""Estimate a run's memory and compute before the run starts, from its recipe and the sizes of its models and
data.

Pure functions without torch. A run consists of consecutive stages, for example a rollout and then an update.
Each stage frees its data when it ends, so the run's peak memory is that of its largest stage. Sizes are in
bytes, and numbers are float32 unless stated otherwise. A stage's memory has these parts:

- weights of every loaded model: 4 bytes per weight, or 2 if the recipe's dtype is bfloat16;
- gradients and Adam's two moments of the trained weights, and adapters or float32 masters (`trained`);
- activations of the widest micro-batch, stored for the backward pass (see `transformer.kept_bytes`);
- the projection onto the vocabulary: the logits of one chunk of tokens, and in training another gradient
  of the output embedding (see `transformer.projection_bytes`);
- keys and values of the rows that are decoded together (`batches.CPU_ROWS`), including space for tokens that
  are not generated yet. A model like Llama stores a prompt once for all its samples;
- a copy of the weights during decoding, if they take at most COPIED_BYTES (`llama.trunk`);
- four arrays of probabilities during decoding (rows × vocabulary).

With LoRA, only the adapter's matrices are trained. These matrices are additional weights. With gradient
checkpointing, the stored activations are only the inputs of all layers and the activations of one layer.

Checkpoints, including the best weights so far, take no additional memory. They are written to disk directly
from the tensors.

`transformer` describes how operations are counted. Layer calls are counted separately. In a small model,
launching an operation takes longer than executing the operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.transformer import FLOAT

SCORING_TOKENS = 16_384
PADDED = 1.2  # token positions per real token; at most about a fifth of a micro-batch is padding


@dataclass(frozen=True)
class Data:
    """The amount of data in a run: `items` demonstrations, rankings or prompts, with lengths in tokens.

    `longest` is the length of the longest prompt with its response. `responses` is the number of responses
    per item.
    """

    items: int
    prompt: float
    response: float
    longest: float
    responses: float = 1.0


@dataclass(frozen=True)
class Part:
    name: str
    bytes: float


@dataclass(frozen=True)
class Stage:
    """One stage of a run. `operations` are floating-point operations, and `layer_calls` counts layer
    executions, forward or backward."""

    name: str
    parts: tuple[Part, ...] = ()
    operations: float = 0.0
    layer_calls: float = 0.0

    @property
    def bytes(self) -> float:
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True)
class Cost:
    stages: tuple[Stage, ...]

    @property
    def peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.bytes)


@dataclass(frozen=True)
class Speed:
    """Operations per second in large matrix products, and the fixed overhead of a layer call in seconds."""

    operations: float
    layer_seconds: float


def seconds(cost: Cost, speed: Speed) -> float:
    """Return the time in seconds that all stages take in sequence at this speed."""
    return sum(
        stage.operations / speed.operations + stage.layer_calls * speed.layer_seconds for stage in cost.stages
    )


def weights(name: str, shape: Shape) -> Part:
    return Part(f"weights: {name}", FLOAT * shape.weights)
