"""Estimate a run's memory and compute before the run starts, from its recipe and the sizes of its models and
data.

Pure functions without torch. A run consists of consecutive stages: load, generate, score, log-probs, update
and save. Each stage frees its data when it ends, so the run's peak memory is that of its largest stage. Sizes
are in bytes, and values are float32 unless stated otherwise. A stage's memory has these parts:

- weights of every loaded model: 4 bytes per weight, or 2 if the recipe's dtype is bfloat16;
- Adam's two moments of the trained weights, and adapters or float32 masters (`trained`);
- gradients, activations and logits of the widest micro-batch (`backward`);
- keys and values of the rows that are decoded together, including space for tokens that are not generated
  yet, and the probabilities of the next token (`answers`).

On a CPU, all of these parts are in main memory. On a GPU, they are in the memory of one GPU, and each stage
also needs main memory (`Stage.host`): a model is read into main memory first, and a checkpoint is copied to
it.

`transformer` describes how activations and operations are counted. Layer calls are counted separately
because, in a small model, launching an operation takes longer than executing it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.transformer import FLOAT

SCORING_TOKENS = 16_384
# A compiled kernel for 400 to 1,600 rows took 1.4 to 1.7 MB. `models.parts.products` limits how many kernels
# are kept. A micro-batch has products of about five shapes, each with three kernels. On a processor without
# AVX-512, all kernels of a run took less than 0.3 MB, so the estimate is too high for such a processor.
KERNEL_BYTES, KEPT_KERNELS, KERNELS_OF_A_LENGTH = 1_600_000, 64, 20
LARGEST = 2.0  # the expected maximum of about 25 normally distributed values, in standard deviations
PADDED = 1.2  # token positions per real token; at most a fifth of a micro-batch is padding


@dataclass(frozen=True)
class Conditions:
    """What an estimate assumes about the texts and the device.

    `cautious` assumes the worst case instead of typical values: the widest micro-batch and the longest
    answers that the recipe allows. `memory` is the device's memory in bytes, which limits how many answers
    are generated together, or None if it is unknown.

    `processes` is the number of processes that divide each batch among them. Each process stores all models,
    unless the recipe divides the trained models as well (`planning.sharding`).
    """

    cautious: bool = False
    gpu: bool = False
    memory: float | None = None
    processes: int = 1


USUAL = Conditions()


@dataclass(frozen=True)
class Data:
    """The amount of data in a run: `items` demonstrations, rankings or prompts, with lengths in tokens.

    `longest` is the length of the longest prompt with its response. `responses` is the number of responses
    per item. The deviations are standard deviations of lengths.
    """

    items: int
    prompt: float
    response: float
    longest: float
    responses: float = 1.0
    prompt_deviation: float = 0.0
    response_deviation: float = 0.0

    def in_largest(self, items: float) -> Data:
        """Return the data with the mean lengths that are expected in the largest of several batches of
        `items` items. These lengths are LARGEST standard errors above the overall mean. The difference
        matters if a few prompts are much longer than the others."""
        errors = LARGEST / math.sqrt(max(1.0, items))
        return replace(
            self,
            prompt=self.prompt + errors * self.prompt_deviation,
            response=self.response + errors * self.response_deviation / math.sqrt(self.responses),
        )


@dataclass(frozen=True)
class Part:
    name: str
    bytes: float


@dataclass(frozen=True)
class Stage:
    """One stage of a run. `operations` counts floating-point operations, and `layer_calls` counts layer
    executions, forward or backward. `host` is the main memory of a stage whose `parts` are on a GPU."""

    name: str
    parts: tuple[Part, ...] = ()
    operations: float = 0.0
    layer_calls: float = 0.0
    host: tuple[Part, ...] = ()

    @property
    def bytes(self) -> float:
        return sum(part.bytes for part in self.parts)

    @property
    def host_bytes(self) -> float:
        return sum(part.bytes for part in self.host)


@dataclass(frozen=True)
class Cost:
    stages: tuple[Stage, ...]

    @property
    def peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.bytes)

    @property
    def host_peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.host_bytes)


@dataclass(frozen=True)
class Speed:
    """Operations per second in large matrix products, and the fixed overhead of a layer call, in seconds."""

    operations: float
    layer_seconds: float


def seconds(cost: Cost, speed: Speed) -> float:
    """Return the time in seconds that all stages take in sequence at this speed."""
    return sum(
        stage.operations / speed.operations + stage.layer_calls * speed.layer_seconds for stage in cost.stages
    )


def largest_part(batch: float, *, item: float, limit: float) -> float:
    """Return the number of tokens in the largest micro-batch, without padding
    (`data.batching.cut_by_tokens`). The batch of `batch` tokens is divided into parts of nearly equal size,
    with at most `limit` tokens each. Items of `item` tokens are never split."""
    share = batch / math.ceil(batch / limit)
    return item * max(1, min(limit // item, math.floor(share / item + 0.5)))


def weights(name: str, shape: Shape) -> Part:
    return Part(f"weights: {name}", FLOAT * shape.weights)


def float32_kernels(data: Data, given: Conditions) -> tuple[Part, ...]:
    """Return the memory that oneDNN's compiled kernels for products of float32 matrices take on a CPU. If the
    texts differ in length, oneDNN compiles more kernels than it keeps, so the number of kept kernels reaches
    the limit."""
    if given.gpu:
        return ()
    varied = data.prompt_deviation > 0 or data.response_deviation > 0
    return (Part("float32 kernels", KERNEL_BYTES * (KEPT_KERNELS if varied else KERNELS_OF_A_LENGTH)),)


def loading_and_saving(
    cost: Cost, given: Conditions, *, saved: float, whole: float = 0.0, kernels: tuple[Part, ...] = ()
) -> Cost:
    """Return the cost, with a stage for loading and a stage for saving if these stages need additional
    memory. `kernels` is the memory that compiled kernels take during all other stages.

    On a GPU, each model is read into main memory first, and all tensors of a checkpoint are copied to main
    memory before they are written. `saved` is the size of a checkpoint. `whole` is the size of the models
    that each process reads completely before they are divided among the processes, or 0 if no model is
    divided. If models are divided, the first process gathers the checkpoint in main memory, even on a CPU.
    """
    cost = Cost(tuple(replace(stage, parts=(*stage.parts, *kernels)) for stage in cost.stages))
    held = max(cost.stages, key=lambda stage: stage.bytes).parts
    models = tuple(part for part in held if part.name.startswith("weights"))
    if given.gpu:
        read = max([given.processes * whole, *(part.bytes for part in models)])
        load = Stage("load", models, host=(Part("model before it is moved to the GPU", read),))
        save = Stage("save", models, host=(Part("checkpoint", saved),)) if saved else None
        return Cost((load, *cost.stages, *([save] if save else [])))
    if not whole:
        return cost
    stored = tuple(part for part in held if part.name.startswith(("weights", "Adam")))
    load = Stage("load", (Part("weights: complete models", whole),))
    save = Stage("save", (*stored, Part("checkpoint", saved / given.processes)))
    return Cost((load, *cost.stages, save))
