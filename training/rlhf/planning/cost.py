"""What a run will take, before it is launched: memory and arithmetic, from its recipe and the sizes of its
models and data. Pure functions; torch is not needed.

A run goes through stages (sampling, then training; a rollout, then an update), and each holds its own things
at once: the peak is that of the largest stage. Counted are, in bytes of float32 unless it says otherwise:

- weights of every model that is loaded, 4 bytes each (all loops load in float32);
- gradients, 4 bytes per trained weight, and Adam's two moments, 8: with LoRA, of the adapter's matrices
  alone, which are beside the weights;
- activations kept for the backward pass: (11 hidden + 4 intermediate) numbers per token and layer (norms,
  queries, keys, values, attention's output and its copy, two residuals; the MLP's three products and its
  nonlinearity), of the widest micro-batch; with gradient checkpointing the inputs of all layers, and one
  layer's activations;
- what is projected onto the vocabulary: six arrays of at most 1024 positions (`logprobs.CHUNK_TOKENS`);
- keys and values of the rows that are decoded together (`generation.ROWS_PER_BATCH`), with the places still
  to be written, and four arrays of one probability per vocabulary entry and row.

Checkpoints are on the disk, the best weights so far among them, and are written from where the tensors lie.

Arithmetic: a forward pass costs 2 operations per weight and token and 4 hidden per token, layer and token
looked at; a training step three times that, and two times where the trunk is frozen (nobody needs the
gradient of its weights); once more where activations are computed again. An encoder's rows share no prompt.
Calls count too: a small model spends more time in starting an operation than in doing it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.rlhf.core.recipes import (
    EvaluateConfig,
    PPOConfig,
    RejectionSamplingConfig,
    RewardModelConfig,
    SampleConfig,
    SFTConfig,
)
from training.rlhf.models.shapes import Shape

FLOAT = 4  # bytes
CHUNK_TOKENS = 1024
LOGIT_ARRAYS = 6
PICKING_ARRAYS = 4
ROWS_PER_BATCH = 256
SCORING_TOKENS = 16_384
PROMPTS_SAMPLED, PROMPTS_PER_REJECTION_BATCH = (
    64,
    32,
)  # a batch of sampling and evaluation; of rejection sampling
HELDOUT_MEASUREMENTS = 10
FORWARD_NUMBERS = (
    6,
    3,
)  # per token, × hidden and × intermediate: what one layer holds without a backward pass
PADDED = 1.2  # micro-batches end where a fifth would be padding
CURVATURES = 8  # hidden × hidden: second derivative, directions and root in float64, and a solver's work
TRAINING, TRAINING_AN_ADAPTER = 3, 2  # a forward and a backward pass, in forward passes


@dataclass(frozen=True)
class Data:
    """What a run reads: `items` demonstrations, rankings or prompts, with lengths in tokens. `longest` is of
    a prompt with its response, `responses` how many an item has."""

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
    """`operations` are floating-point ones; `layer_calls` how often a layer is run, forwards or backwards."""

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
    """Operations per second of large products, and seconds that running a layer takes however small it is."""

    operations: float
    layer_seconds: float


def seconds(cost: Cost, speed: Speed) -> float:
    """How long the stages take at this speed, one after the other."""
    return sum(
        stage.operations / speed.operations + stage.layer_calls * speed.layer_seconds for stage in cost.stages
    )


def sft(recipe: SFTConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    """`cautious`: the widest micro-batch and the longest answers that the recipe allows, in place of usual
    ones. So for every function here."""
    shown = min(recipe.sample_prompts, data.items)
    asking = _decoding(
        policy, 1, data, rows=shown, n=1, limit=recipe.sample_tokens, batches=2, cautious=cautious
    )
    telling = Stage(
        "samples", (_weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls
    )
    return Cost((_fine_tuning(recipe, policy, data, cautious=cautious), telling))


def reward_model(recipe: RewardModelConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    # Packed: the prompt once. An encoder reads every response on a row of its own.
    prompts = data.responses if policy.encoder else 1.0
    ranking = prompts * data.prompt + data.responses * data.response
    row = data.prompt + data.response if policy.encoder else ranking
    width = min(data.longest if cautious else PADDED * (data.prompt + data.response), recipe.max_length)
    heldout = data.items * recipe.heldout_fraction
    batch = min(recipe.batch_rankings, data.items)
    # One ranking is never cut in two, however small the micro-batch is to be.
    longest = prompts * data.prompt + data.responses * (width - data.prompt)
    widest = longest if cautious else PADDED * ranking
    places = max(min(recipe.micro_batch_tokens, batch * ranking * PADDED), widest)
    rows = ranking / row
    around = 2 * row if policy.encoder else row  # it looks both ways
    forward = rows * _forward(policy, row, around=around, projected=0)
    trained = recipe.epochs * (data.items - heldout)
    adapter = adapter_weights(policy, recipe) if recipe.use_peft else 0.0
    learning = adapter or policy.weights
    passes = TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING
    calls = recipe.epochs * data.items * ranking * PADDED / min(places, batch * ranking * PADDED)
    half = 0.5 if recipe.precision == "bfloat16" else 1.0
    again = recipe.gradient_checkpointing
    kept = _kept_inputs(policy, places, row=row) if again else _kept(policy, places, row=row)
    parts = [
        _weights("reward model", policy),
        Part("gradients", FLOAT * learning),
        Part("Adam's moments", 2 * FLOAT * learning),
        Part("activations", half * kept),
    ]
    if adapter:
        parts.append(Part("weights: adapter", FLOAT * adapter))
    scored = [_weights("reward model", policy), Part("activations", _passing(policy, SCORING_TOKENS))]
    if recipe.uncertainty in ("laplace", "heads"):
        numbers = 2 * (data.items - heldout) * data.responses * policy.hidden  # kept, and put together
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


def adapter_weights(shape: Shape, recipe: RewardModelConfig) -> float:
    """Of a LoRA adapter: rank × (inputs + outputs) for each product. Where the recipe names layers in place
    of all-linear they are taken for the four of attention: at least as many as people name."""
    d, queries = shape.hidden, shape.heads * shape.head_size
    keys = shape.kv_heads * shape.head_size
    attention = 2 * (d + queries) + 2 * (d + keys)
    mlp = (3 if shape.gated else 2) * (d + shape.intermediate)
    both = attention + (mlp if recipe.lora_target_modules.strip() == "all-linear" else 0)
    return recipe.lora_r * shape.layers * both + d


def ppo(recipe: PPOConfig, policy: Shape, judge: Shape, data: Data, *, cautious: bool = False) -> Cost:
    rows = recipe.rollout_prompts * recipe.responses_per_prompt
    answer = _answer(recipe.max_new_tokens, data, cautious=cautious)
    longest = (
        min(data.longest - data.response, policy.context - recipe.max_new_tokens) + recipe.max_new_tokens
    )
    row = data.prompt + answer
    tokens = rows * row
    models = (
        Part("weights: policy, reference", 2 * FLOAT * policy.weights),
        Part("weights: reward model, critic", 2 * FLOAT * judge.weights),
        Part("Adam's moments", 2 * FLOAT * (policy.weights + judge.weights)),
    )
    asking = _decoding(
        policy,
        recipe.steps,
        data,
        rows=recipe.rollout_prompts,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        cautious=cautious,
    )
    one = _forward(policy, row, around=row, projected=answer)
    critic = _forward(judge, row, around=row, projected=0)
    places = min(recipe.micro_batch_tokens, PADDED * tokens / recipe.minibatches)
    places = max(places, longest if cautious else PADDED * row)
    micro_batches = max(recipe.minibatches, PADDED * tokens / places)
    observed = (
        rows * (2 * one + 2 * critic) * recipe.steps
    )  # policy, reference, critic, and the judge's score
    projected = min(CHUNK_TOKENS, places * answer / row)
    layers = policy.layers + judge.layers
    return Cost(
        (
            Stage("roll out", (*models, *asking.parts), asking.operations, asking.layer_calls),
            Stage("observe", models, observed, 2 * recipe.steps * micro_batches * layers),
            Stage(
                "update",
                (
                    *models,
                    Part("gradients", FLOAT * (policy.weights + judge.weights)),
                    Part("activations", _kept(policy, places, row=row) + _kept(judge, places, row=row)),
                    Part("logits", LOGIT_ARRAYS * FLOAT * projected * policy.vocabulary),
                ),
                recipe.steps * recipe.epochs * rows * TRAINING * (one + critic),
                TRAINING * recipe.steps * recipe.epochs * micro_batches * layers,
            ),
        )
    )


def rejection_sampling(
    recipe: RejectionSamplingConfig, policy: Shape, judge: Shape, data: Data, *, cautious: bool = False
) -> Cost:
    """One answer is kept of each prompt; the fine-tuning then has both models in memory."""
    asking = _answering(
        policy,
        data,
        n=recipe.samples_per_prompt,
        limit=recipe.max_new_tokens,
        per_batch=PROMPTS_PER_REJECTION_BATCH,
        cautious=cautious,
    )
    answer = _answer(recipe.max_new_tokens, data, cautious=cautious)
    ranking = data.prompt + recipe.samples_per_prompt * answer
    models = (_weights("policy", policy), _weights("reward model", judge))
    judged = data.items * _forward(judge, ranking, around=ranking, projected=0)
    kept = Data(data.items, data.prompt, answer, data.longest - data.response + recipe.max_new_tokens)
    training = sft(recipe, policy, kept, cautious=cautious)
    beside = _weights("reward model", judge)
    return Cost(
        (
            Stage("sample", (*models, *asking.parts), asking.operations, asking.layer_calls),
            Stage(
                "score",
                (*models, Part("activations", _passing(judge, SCORING_TOKENS))),
                judged,
                judge.layers * data.items * ranking / SCORING_TOKENS,
            ),
            *(Stage(s.name, (beside, *s.parts), s.operations, s.layer_calls) for s in training.stages),
        )
    )


def sample(recipe: SampleConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    return Cost((_answers_of(recipe, policy, data, cautious=cautious),))


def evaluate(
    recipe: EvaluateConfig, policy: Shape, judge: Shape | None, data: Data, *, cautious: bool = False
) -> Cost:
    """`judge` is None where a function judges, not a model. A model judges one answer at a time."""
    asking = _answers_of(recipe, policy, data, cautious=cautious)
    if judge is None:
        return Cost((asking,))
    row = data.prompt + _answer(recipe.max_new_tokens, data, cautious=cautious)
    answers = data.items * recipe.responses_per_prompt
    loaded = _weights("reward model", judge)
    judging = Stage(
        "judge",
        (_weights("policy", policy), loaded, Part("activations", _passing(judge, row))),
        answers * _forward(judge, row, around=row, projected=0),
        answers * judge.layers,
    )
    return Cost((Stage(asking.name, (loaded, *asking.parts), asking.operations, asking.layer_calls), judging))


def _fine_tuning(recipe: SFTConfig, policy: Shape, data: Data, *, cautious: bool) -> Stage:
    row = min(data.prompt + data.response, recipe.max_length)
    width = min(data.longest if cautious else PADDED * row, recipe.max_length, policy.context)
    heldout = data.items * recipe.heldout_share
    trained = recipe.epochs * (data.items - heldout)
    rows = min(recipe.micro_batch_size, recipe.batch_size, max(1, data.items))
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_size) * recipe.epochs
    # Rows of unlike length don't share a micro-batch: a batch is cut in about three more than it must be.
    micro_batches = steps * (math.ceil(min(recipe.batch_size, data.items) / rows) + 2)
    forward = _forward(policy, row, around=row, projected=min(data.response, row))
    evaluations = min(HELDOUT_MEASUREMENTS, steps) * heldout
    projected = min(CHUNK_TOKENS, rows * width * data.response / (data.prompt + data.response))
    return Stage(
        "train",
        (
            _weights("policy", policy),
            Part("gradients", FLOAT * policy.weights),
            Part("Adam's moments", 2 * FLOAT * policy.weights),
            Part("activations", _kept(policy, rows * width, row=width)),
            Part("logits", LOGIT_ARRAYS * FLOAT * projected * policy.vocabulary),
        ),
        (TRAINING * trained + evaluations) * forward,
        policy.layers * (TRAINING * micro_batches + evaluations / rows),
    )


def _answers_of(recipe: SampleConfig | EvaluateConfig, policy: Shape, data: Data, *, cautious: bool) -> Stage:
    asking = _answering(
        policy,
        data,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        per_batch=PROMPTS_SAMPLED,
        cautious=cautious,
    )
    return Stage("sample", (_weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls)


def _answering(policy: Shape, data: Data, *, n: int, limit: int, per_batch: int, cautious: bool) -> Stage:
    """All prompts of the data, `per_batch` at a time."""
    rows = min(per_batch, data.items)
    batches = data.items / max(1, rows)
    return _decoding(policy, batches, data, rows=rows, n=n, limit=limit, cautious=cautious)


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
) -> Stage:
    """`times` × `batches` turns of `n` answers to each of `rows` prompts. A batch goes on until its longest
    answer ends: twice the mean, at most the limit."""
    limit = min(limit, policy.context - 1)
    prompt = min((data.longest - data.response) if cautious else data.prompt, policy.context - limit)
    answer = _answer(limit, data, cautious=cautious)
    together = min(rows, max(1, ROWS_PER_BATCH // n)) * n
    turns = times * batches * (rows * n / together if together else 0)
    answers = times * batches * rows * n
    cache = together * (prompt + limit) * policy.cache_numbers
    read = times * batches * rows * _forward(policy, prompt, around=prompt, projected=1)
    written = answers * _forward(policy, answer, around=prompt + answer, projected=answer)
    return Stage(
        "sample",
        (
            Part("keys and values", FLOAT * cache * (1 + 1 / policy.layers)),
            Part("choosing tokens", PICKING_ARRAYS * FLOAT * together * policy.vocabulary),
            Part("activations", _passing(policy, min(rows, max(1, together // n)) * prompt)),
        ),
        read + written,
        policy.layers * turns * (1 + min(limit, 2 * answer)),
    )


def _answer(limit: int, data: Data, *, cautious: bool) -> float:
    return float(limit) if cautious else min(float(limit), data.response)


def _weights(name: str, shape: Shape) -> Part:
    return Part(f"weights: {name}", FLOAT * shape.weights)


def _forward(shape: Shape, tokens: float, *, around: float, projected: float) -> float:
    """Operations of one row of `tokens` that look at half of `around` tokens each; `projected` of them onto
    the vocabulary."""
    inside = max(0, shape.weights - shape.vocabulary * shape.hidden)
    attended = 4 * shape.layers * shape.heads * shape.head_size * tokens * around / 2
    return 2 * inside * tokens + attended + 2 * shape.vocabulary * shape.hidden * projected


def _kept(shape: Shape, places: float, *, row: float) -> float:
    """Bytes of activations that a backward pass needs, and the mask of who looks at whom."""
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * (shape.layers * per_token + 2 * shape.hidden) + places * row


def _kept_inputs(shape: Shape, places: float, *, row: float) -> float:
    """The same where a backward pass computes each layer again: every layer's input, and one layer whole."""
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * ((shape.layers + 2) * shape.hidden + per_token) + places * row


def _passing(shape: Shape, places: float) -> float:
    """Bytes that a forward pass holds at once without a backward one to come."""
    times_hidden, times_intermediate = FORWARD_NUMBERS
    return FLOAT * places * (times_hidden * shape.hidden + times_intermediate * shape.intermediate)
