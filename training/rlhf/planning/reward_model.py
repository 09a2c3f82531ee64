"""The cost of training a reward model."""

from __future__ import annotations

from dataclasses import replace

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning import sharding
from training.rlhf.planning.answers import scored_tokens
from training.rlhf.planning.backward import Backward, backward
from training.rlhf.planning.cost import (
    PADDED,
    USUAL,
    Conditions,
    Cost,
    Data,
    Part,
    Stage,
    float32_kernels,
    largest_part,
    loading_and_saving,
    weights,
)
from training.rlhf.planning.sharding import shards
from training.rlhf.planning.trained import (
    HALF_KERNELS,
    TRAINING,
    TRAINING_AN_ADAPTER,
    exchanged,
    last_layers,
    trained_layers,
)
from training.rlhf.planning.transformer import (
    FLOAT,
    HALF,
    Pass,
    adapter_weights,
    forward_operations,
    keys_per_place,
    passing_bytes,
)
from training.rlhf.recipes.reward_model import RewardModelConfig

# The memory of an uncertainty estimate, counted in float32 arrays of `hidden` × `hidden` elements. An
# estimate stores the Hessian, its eigenvectors, the square root of its inverse, and the solver's workspace.
# The first three are float64, so each counts as two arrays.
CURVATURES = 8


def reward_model(recipe: RewardModelConfig, policy: Shape, data: Data, *, given: Conditions = USUAL) -> Cost:
    # A packed row contains the prompt once. An encoder processes every response in its own row.
    prompts = data.responses if policy.encoder else 1.0
    ranking = prompts * data.prompt + data.responses * data.response
    row = data.prompt + data.response if policy.encoder else ranking
    width = min(data.longest if given.cautious else data.prompt + data.response, recipe.max_length)
    heldout = data.items * recipe.heldout_fraction
    batch = min(recipe.batch_rankings, data.items) / given.processes
    wide = data.in_largest(min(batch, recipe.micro_batch_tokens / ranking))
    most = prompts * wide.prompt + data.responses * wide.response
    # On a CPU, the rows of a decoder have no padding. A ranking is never split, even if the ranking alone
    # exceeds the size of a micro-batch.
    padded = PADDED if policy.encoder or given.gpu or given.cautious else 1.0
    longest = prompts * data.prompt + data.responses * (width - data.prompt)
    widest = longest if given.cautious else padded * most
    places = max(min(recipe.micro_batch_tokens, batch * most * padded), widest)
    if padded == 1.0:
        places = largest_part(batch * most, item=most, limit=recipe.micro_batch_tokens)
    rows = ranking / row
    around = 2 * row if policy.encoder else row  # an encoder attends in both directions
    forward = rows * forward_operations(policy, row, around=around, projected=0)
    trained = recipe.epochs * (data.items - heldout)
    adapter = adapter_weights(policy, recipe) if recipe.use_peft else 0.0
    learning = adapter or policy.weights
    if recipe.num_layers_unfrozen is not None:
        learning = last_layers(recipe, policy)
    times = TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING
    calls = recipe.epochs * data.items * ranking * padded / min(places, batch * ranking * padded)
    again, autocast = recipe.gradient_checkpointing, recipe.precision == "bfloat16"
    shared = 1.0
    if not policy.encoder:
        shared = keys_per_place(
            prompt=wide.prompt, answer=wide.response, answers=data.responses, gpu=given.gpu
        )
    step = Backward(
        policy,
        Pass(adapted=recipe.use_peft, autocast=autocast, keys=shared),
        learning,
        places,
        row,
        layers=trained_layers(recipe, policy),
        head=False,
        embedding=not recipe.use_peft and recipe.num_layers_unfrozen is None,
        recompute=again,
        shards=shards(recipe, given),
    )
    model = weights("reward model", policy)
    if step.shards > 1:
        model = sharding.weights("reward model", policy, processes=step.shards)
    parts = [model, Part("Adam's moments", 2 * FLOAT * learning / step.shards)]
    if adapter:
        parts.append(Part("weights: adapter", FLOAT * adapter))
    if autocast:
        # Autocast makes a bfloat16 copy of each matrix. The backward pass needs these copies, but only those
        # of one layer if layers are recomputed.
        matrices = policy.weights - policy.vocabulary * policy.hidden + adapter
        parts.append(Part("weights: bfloat16 copy", HALF * matrices / (policy.layers if again else 1)))
        parts += [] if given.gpu else [HALF_KERNELS]
    if given.processes > step.shards:
        parts.append(exchanged(learning))
    before = step.gradients if batch * most * padded > places else 0.0
    parts += backward(step, before=before, given=given)
    # Held-out rankings are scored during training, so the moments are in memory.
    held = [part for part in parts if part.name.startswith((model.name, "weights: adapter", "Adam"))]
    if step.shards > 1:  # the final scoring needs a complete copy of the model, but no moments
        moments = held.pop().bytes
        gathered = sharding.gathered(policy, number=FLOAT).bytes + moments
        held.append(Part("complete weights", max(gathered, sharding.complete(policy, number=FLOAT).bytes)))
    scoring = scored_tokens(max(heldout, data.items - heldout) * ranking, ranking)
    scored = [*held, Part("activations", passing_bytes(policy, scoring))]
    if recipe.uncertainty in ("laplace", "heads"):
        # The features are in memory twice: as separate parts, and as one array concatenated from the parts.
        numbers = 2 * (data.items - heldout) * data.responses * policy.hidden
        scored.append(Part("features", FLOAT * (numbers + CURVATURES * policy.hidden**2)))
    members: tuple[Stage, ...] = ()
    if recipe.uncertainty == "lora":
        each = recipe.model_copy(
            update={"uncertainty": "none", "use_peft": True, "num_layers_unfrozen": None, "keep": "last"}
        )
        beside = weights("reward model", policy)
        members = tuple(
            replace(
                stage,
                parts=(beside, *stage.parts),
                operations=recipe.members * stage.operations,
                layer_calls=recipe.members * stage.layer_calls,
            )
            for stage in reward_model(each, policy, data, given=given).stages
            if stage.name in ("update", "score")
        )
    stages = (
        Stage(
            "update",
            tuple(parts),
            (times + again) * trained * forward,
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
    whole = FLOAT * policy.weights if step.shards > 1 else 0.0
    kernels = () if autocast else float32_kernels(data, given)
    return loading_and_saving(Cost(stages), given, saved=3 * FLOAT * learning, whole=whole, kernels=kernels)
