"""Estimate a run's memory and compute before the run starts, from its recipe and the sizes of its models and
data.

Pure functions without torch. A run consists of consecutive stages, for example a rollout and then an update.
Each stage frees its data when it ends, so the run's peak memory is that of its largest stage. Sizes are in
bytes, and numbers are float32 unless stated otherwise. A stage's memory has these parts:

- weights of every loaded model: 4 bytes per weight, because all training loops load weights as float32;
- gradients: 4 bytes per trained weight;
- Adam's two moments: 8 bytes per trained weight;
- activations of the widest micro-batch, stored for the backward pass (see `transformer.kept_bytes`);
- the projection onto the vocabulary: six arrays of at most 1024 positions (`logprobs.CHUNK_TOKENS`);
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

import math
from dataclasses import dataclass

from training.rlhf.models.shapes import Shape
from training.rlhf.planning.transformer import (
    FLOAT,
    adapter_weights,
    forward_operations,
    kept_bytes,
    kept_bytes_recomputed,
    passing_bytes,
)
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.recipes.sft import SFTConfig

CHUNK_TOKENS = 1024
LOGIT_ARRAYS = 6
PICKING_ARRAYS = 4
ROWS_PER_BATCH = 256
COPIED_BYTES = 2**30
READ_TOKENS = 4096  # prompt tokens that a model like Llama reads together
SCORING_TOKENS = 16_384
PROMPTS_SAMPLED = 64  # number of prompts per batch in sampling and evaluation
ANSWERS_PER_REJECTION_BATCH = 256  # number of answers per batch in rejection sampling
HELDOUT_MEASUREMENTS = 10
PADDED = 1.2  # token positions per real token; at most about a fifth of a micro-batch is padding
# The memory of an uncertainty estimate, in float32 arrays of `hidden` × `hidden` elements. An estimate stores
# the Hessian, its eigenvectors, the square root of its inverse, and the solver's workspace. The first three
# are float64.
CURVATURES = 8
# The cost of a forward and a backward pass, as a multiple of the cost of a forward pass.
TRAINING, TRAINING_AN_ADAPTER = 3, 2


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


def sft(recipe: SFTConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    """Return the cost of a fine-tuning run.

    In every function of this module, `cautious=True` assumes the worst case instead of typical values. The
    worst case is the widest micro-batch and the longest answers that the recipe allows.
    """
    shown = min(recipe.sample_prompts, data.items)
    asking = _decoding(
        policy, 1, data, rows=shown, n=1, limit=recipe.sample_tokens, batches=2, cautious=cautious
    )
    telling = Stage(
        "samples", (_weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls
    )
    return Cost((_fine_tuning(recipe, policy, data, cautious=cautious), telling))


def reward_model(recipe: RewardModelConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    # A packed row contains the prompt once. An encoder processes every response in its own row.
    prompts = data.responses if policy.encoder else 1.0
    ranking = prompts * data.prompt + data.responses * data.response
    row = data.prompt + data.response if policy.encoder else ranking
    width = min(data.longest if cautious else PADDED * (data.prompt + data.response), recipe.max_length)
    heldout = data.items * recipe.heldout_fraction
    batch = min(recipe.batch_rankings, data.items)
    # A ranking is never split, even if the ranking alone exceeds the size of a micro-batch.
    longest = prompts * data.prompt + data.responses * (width - data.prompt)
    widest = longest if cautious else PADDED * ranking
    places = max(min(recipe.micro_batch_tokens, batch * ranking * PADDED), widest)
    rows = ranking / row
    around = 2 * row if policy.encoder else row  # an encoder attends in both directions
    forward = rows * forward_operations(policy, row, around=around, projected=0)
    trained = recipe.epochs * (data.items - heldout)
    adapter = adapter_weights(policy, recipe) if recipe.use_peft else 0.0
    learning = adapter or policy.weights
    passes = TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING
    calls = recipe.epochs * data.items * ranking * PADDED / min(places, batch * ranking * PADDED)
    half = 0.5 if recipe.precision == "bfloat16" else 1.0
    again = recipe.gradient_checkpointing
    kept = kept_bytes_recomputed(policy, places, row=row) if again else kept_bytes(policy, places, row=row)
    parts = [
        _weights("reward model", policy),
        Part("gradients", FLOAT * learning),
        Part("Adam's moments", 2 * FLOAT * learning),
        Part("activations", half * kept),
    ]
    if adapter:
        parts.append(Part("weights: adapter", FLOAT * adapter))
    scored = [_weights("reward model", policy), Part("activations", passing_bytes(policy, SCORING_TOKENS))]
    if recipe.uncertainty in ("laplace", "heads"):
        # The features are in memory twice: as separate parts, and as one array concatenated from the parts.
        numbers = 2 * (data.items - heldout) * data.responses * policy.hidden
        scored.append(Part("features", FLOAT * (numbers + CURVATURES * policy.hidden**2)))
    members: tuple[Stage, ...] = ()
    if recipe.uncertainty == "lora":
        each = recipe.model_copy(update={"uncertainty": "none", "use_peft": True, "keep": "last"})
        beside = _weights("reward model", policy)
        members = tuple(
            Stage(
                stage.name,
                (beside, *stage.parts),
                recipe.members * stage.operations,
                recipe.members * stage.layer_calls,
            )
            for stage in reward_model(each, policy, data, cautious=cautious).stages
        )
    return Cost(
        (
            Stage(
                "train",
                tuple(parts),
                (passes + again) * trained * forward,
                (TRAINING + again) * calls * policy.layers,
            ),
            Stage(
                "score",
                tuple(scored),
                (recipe.evaluations * heldout + trained / recipe.epochs) * forward,
                calls * policy.layers * (1 / recipe.epochs + recipe.evaluations * recipe.heldout_fraction),
            ),
            *members,
        )
    )


def dpo(recipe: DPOConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    """Return the cost of direct preference optimisation. Each response has its own row with the prompt. If
    the rows of a ranking exceed a micro-batch, they take several passes, which are recomputed."""
    row = min(data.prompt + data.response, recipe.max_length)
    width = min(data.longest if cautious else PADDED * row, recipe.max_length, policy.context)
    heldout = data.items * recipe.heldout_fraction
    trained = recipe.epochs * (data.items - heldout)
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_rankings) * recipe.epochs
    ranking = data.responses * width
    batch = min(recipe.batch_rankings, max(1, data.items)) * ranking
    places = max(min(recipe.micro_batch_tokens, batch), width)
    again = ranking > recipe.micro_batch_tokens
    forward = data.responses * forward_operations(policy, row, around=row, projected=min(data.response, row))
    projected = min(CHUNK_TOKENS, places * data.response / (data.prompt + data.response))
    micro_batches = max(steps, trained * ranking / places)
    evaluations = min(recipe.evaluations, steps) * heldout
    passed = data.items + evaluations  # rankings without a backward pass: the reference and the evaluations
    loaded = (_weights("policy", policy), Part("Adam's moments", 2 * FLOAT * policy.weights))
    logits = Part("logits", LOGIT_ARRAYS * FLOAT * projected * policy.vocabulary)
    limit = recipe.sample_tokens
    shown, asked = min(recipe.sample_prompts, data.items), min(recipe.kl_samples, data.items)
    asking = _decoding(policy, 1, data, rows=shown, n=1, limit=limit, batches=2, cautious=cautious)
    measuring = _decoding(policy, 1, data, rows=asked, n=1, limit=limit, cautious=cautious)
    return Cost(
        (
            Stage(
                "reference",
                (*loaded, Part("activations", passing_bytes(policy, places)), logits),
                passed * forward,
                policy.layers * passed * ranking / places,
            ),
            Stage(
                "train",
                (
                    *loaded,
                    Part("gradients", FLOAT * policy.weights),
                    Part("activations", kept_bytes(policy, places, row=width)),
                    logits,
                ),
                (TRAINING + again) * trained * forward,
                policy.layers * (TRAINING + again) * micro_batches,
            ),
            Stage("samples", (*loaded, *asking.parts), asking.operations, asking.layer_calls),
            # The starting policy, whose divergence is measured, takes the place of the moments.
            Stage("measure KL", (*loaded, *measuring.parts), measuring.operations, measuring.layer_calls),
        )
    )


def ppo(recipe: PPOConfig, policy: Shape, judge: Shape, data: Data, *, cautious: bool = False) -> Cost:
    return _on_policy(recipe, policy, judge, data, critic=judge, cautious=cautious)


def rloo(recipe: RLOOConfig, policy: Shape, judge: Shape, data: Data, *, cautious: bool = False) -> Cost:
    return _on_policy(recipe, policy, judge, data, critic=None, cautious=cautious)


def _on_policy(
    recipe: RolloutConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    critic: Shape | None,
    cautious: bool,
) -> Cost:
    """Return the cost of a loop that samples rollouts and trains on them, with or without a critic."""
    rows = recipe.rollout_prompts * recipe.responses_per_prompt
    answer = _answer(recipe.max_new_tokens, data, cautious=cautious)
    longest = (
        min(data.longest - data.response, policy.context - recipe.max_new_tokens) + recipe.max_new_tokens
    )
    row = data.prompt + answer
    tokens = rows * row
    trained = [policy, critic] if critic else [policy]
    learning = sum(shape.weights for shape in trained)
    judges = 2 if critic else 1
    models = (
        Part("weights: policy, reference", 2 * FLOAT * policy.weights),
        Part(f"weights: reward model{', critic' if critic else ''}", judges * FLOAT * judge.weights),
        Part("Adam's moments", 2 * FLOAT * learning),
        *([Part("weights: policy within kl_ceiling", FLOAT * policy.weights)] if recipe.kl_ceiling else []),
    )
    asking = _decoding(
        policy,
        recipe.steps,
        data,
        rows=recipe.rollout_prompts,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        cautious=cautious,
        memory=recipe.generation_memory,
    )
    one = forward_operations(policy, row, around=row, projected=answer)
    judged = forward_operations(judge, row, around=row, projected=0)
    valued = judged if critic else 0.0
    places = min(recipe.micro_batch_tokens, PADDED * tokens / recipe.minibatches)
    places = max(places, longest if cautious else PADDED * row)
    micro_batches = max(recipe.minibatches, PADDED * tokens / places)
    # forward passes of the policy, the reference, the reward model and the critic
    observed = rows * (2 * one + judged + valued) * recipe.steps
    projected = min(CHUNK_TOKENS, places * answer / row)
    layers = sum(shape.layers for shape in trained)
    return Cost(
        (
            Stage("roll out", (*models, *asking.parts), asking.operations, asking.layer_calls),
            Stage(
                "observe",
                models,
                observed,
                recipe.steps * micro_batches * (2 * policy.layers + judges * judge.layers),
            ),
            Stage(
                "update",
                (
                    *models,
                    Part("gradients", FLOAT * learning),
                    Part("activations", sum(kept_bytes(shape, places, row=row) for shape in trained)),
                    Part("logits", LOGIT_ARRAYS * FLOAT * projected * policy.vocabulary),
                ),
                recipe.steps * recipe.epochs * rows * TRAINING * (one + valued),
                TRAINING * recipe.steps * recipe.epochs * micro_batches * layers,
            ),
        )
    )


def rejection_sampling(
    recipe: RejectionSamplingConfig, policy: Shape, judge: Shape, data: Data, *, cautious: bool = False
) -> Cost:
    """Return the cost of rejection sampling, over all rounds. During fine-tuning, the reward model stays in
    memory too.

    With `keep=threshold`, the number of kept answers is unknown. Half of the answers are assumed, and all of
    them in the worst case.
    """
    n = recipe.samples_per_prompt
    asking = _answering(
        policy,
        data,
        n=n,
        limit=recipe.max_new_tokens,
        per_batch=max(1, ANSWERS_PER_REJECTION_BATCH // n),
        cautious=cautious,
        memory=recipe.generation_memory,
    )
    chosen = {"top_1": 1, "top_k": recipe.k, "threshold": n if cautious else n / 2}[recipe.keep]
    answer = _answer(recipe.max_new_tokens, data, cautious=cautious)
    ranking = data.prompt + n * answer
    models = (_weights("policy", policy), _weights("reward model", judge))
    judged = data.items * forward_operations(judge, ranking, around=ranking, projected=0)
    longest = data.longest - data.response + recipe.max_new_tokens
    kept = Data(math.ceil(chosen * data.items), data.prompt, answer, longest)
    training = sft(recipe, policy, kept, cautious=cautious)
    beside = _weights("reward model", judge)
    stages = (
        Stage("sample", (*models, *asking.parts), asking.operations, asking.layer_calls),
        Stage(
            "score",
            (*models, Part("activations", passing_bytes(judge, SCORING_TOKENS))),
            judged,
            judge.layers * data.items * ranking / SCORING_TOKENS,
        ),
        *(Stage(s.name, (beside, *s.parts), s.operations, s.layer_calls) for s in training.stages),
    )
    rounds = recipe.rounds
    return Cost(tuple(Stage(s.name, s.parts, rounds * s.operations, rounds * s.layer_calls) for s in stages))


def sample(recipe: SampleConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    return Cost((_answers_of(recipe, policy, data, cautious=cautious),))


def evaluate(
    recipe: EvaluateConfig, policy: Shape, judge: Shape | None, data: Data, *, cautious: bool = False
) -> Cost:
    """Return the cost of an evaluation. `judge` is None if the judge is a function rather than a model. A
    judge model reads a prompt once for all of its answers."""
    asking = _answers_of(recipe, policy, data, cautious=cautious)
    if judge is None:
        return Cost((asking,))
    group = data.prompt + recipe.responses_per_prompt * _answer(
        recipe.max_new_tokens, data, cautious=cautious
    )
    loaded = _weights("reward model", judge)
    judging = Stage(
        "judge",
        (
            _weights("policy", policy),
            loaded,
            Part("activations", passing_bytes(judge, max(SCORING_TOKENS, group))),
        ),
        data.items * forward_operations(judge, group, around=group, projected=0),
        judge.layers * data.items * group / SCORING_TOKENS,
    )
    return Cost((Stage(asking.name, (loaded, *asking.parts), asking.operations, asking.layer_calls), judging))


def _fine_tuning(recipe: SFTConfig, policy: Shape, data: Data, *, cautious: bool) -> Stage:
    row = min(data.prompt + data.response, recipe.max_length)
    padded = 1.0 if recipe.packing == "auto" and not cautious else PADDED
    longest = min(data.longest if cautious else PADDED * row, recipe.max_length, policy.context)
    heldout = data.items * recipe.heldout_share
    trained = recipe.epochs * (data.items - heldout)
    batch = min(recipe.batch_size, max(1, data.items)) * padded * row
    # A row is never split, even if the row alone exceeds the size of a micro-batch.
    places = max(min(recipe.micro_batch_tokens, batch), longest)
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_size) * recipe.epochs
    # Without packing, rows of very different lengths do not share a micro-batch. The estimate then assumes
    # two more micro-batches per batch than the number of tokens requires.
    micro_batches = steps * (math.ceil(batch / places) + (0 if padded == 1.0 else 2))
    forward = forward_operations(policy, row, around=row, projected=min(data.response, row))
    evaluations = min(HELDOUT_MEASUREMENTS, steps) * heldout
    projected = min(CHUNK_TOKENS, places * data.response / (data.prompt + data.response))
    return Stage(
        "train",
        (
            _weights("policy", policy),
            Part("gradients", FLOAT * policy.weights),
            Part("Adam's moments", 2 * FLOAT * policy.weights),
            Part("activations", kept_bytes(policy, places, row=longest)),
            Part("logits", LOGIT_ARRAYS * FLOAT * projected * policy.vocabulary),
        ),
        (TRAINING * trained + evaluations) * forward,
        policy.layers * (TRAINING * micro_batches + evaluations * padded * row / places),
    )


def _answers_of(recipe: SampleConfig | EvaluateConfig, policy: Shape, data: Data, *, cautious: bool) -> Stage:
    asking = _answering(
        policy,
        data,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        per_batch=PROMPTS_SAMPLED,
        cautious=cautious,
        memory=recipe.generation_memory,
    )
    return Stage("sample", (_weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls)


def _answering(
    policy: Shape,
    data: Data,
    *,
    n: int,
    limit: int,
    per_batch: int,
    cautious: bool,
    memory: float | None,
) -> Stage:
    """Return the cost of answering all prompts in the data, `per_batch` prompts at a time."""
    rows = min(per_batch, data.items)
    batches = data.items / max(1, rows)
    return _decoding(policy, batches, data, rows=rows, n=n, limit=limit, cautious=cautious, memory=memory)


def _decoding(
    policy: Shape,
    times: float,
    data: Data,
    *,
    rows: int,
    n: int,
    limit: int,
    cautious: bool,
    batches: float = 1,
    memory: float | None = None,
) -> Stage:
    """Return the cost of sampling `n` answers to each of `rows` prompts. The sampling is repeated `times` ×
    `batches` times.

    A batch continues until its longest answer ends. The estimate assumes that this answer is twice as long
    as the mean answer, up to the limit. `memory` is the recipe's `generation_memory`.
    """
    limit = min(limit, policy.context - 1)
    prompt = min((data.longest - data.response) if cautious else data.prompt, policy.context - limit)
    answer = _answer(limit, data, cautious=cautious)
    llama = policy.gated and not policy.encoder
    row = FLOAT * policy.cache_numbers * ((prompt / n if llama else prompt) + limit)
    together = min(rows, max(1, ROWS_PER_BATCH // n)) * n
    if memory is not None:
        together = max(1, min(together, int(memory * 1e9 / row)))
    turns = times * batches * (rows * n / together if together else 0)
    answers = times * batches * rows * n
    read_together = min(rows, max(1, together // n)) * prompt
    copied = FLOAT * policy.weights if llama and FLOAT * policy.weights <= COPIED_BYTES else 0.0
    read = times * batches * rows * forward_operations(policy, prompt, around=prompt, projected=1)
    written = answers * forward_operations(policy, answer, around=prompt + answer, projected=answer)
    return Stage(
        "sample",
        (
            Part("keys and values", together * row * (1 if llama else 1 + 1 / policy.layers)),
            Part("copied weights", copied),
            Part("choosing tokens", PICKING_ARRAYS * FLOAT * together * policy.vocabulary),
            Part(
                "activations",
                passing_bytes(
                    policy, min(read_together, max(READ_TOKENS, prompt)) if llama else read_together
                ),
            ),
        ),
        read + written,
        policy.layers * turns * (1 + min(limit, 2 * answer)),
    )


def _answer(limit: int, data: Data, *, cautious: bool) -> float:
    return float(limit) if cautious else min(float(limit), data.response)


def _weights(name: str, shape: Shape) -> Part:
    return Part(f"weights: {name}", FLOAT * shape.weights)
