"""The cost of a run of fine-tuning, rejection sampling or DPO."""

from __future__ import annotations

import math
from dataclasses import replace

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.answers import answer_length, answering, decoding, scored_tokens
from training.rlhf.planning.backward import Backward, backward
from training.rlhf.planning.cost import (
    PADDED,
    SCORING_TOKENS,
    USUAL,
    Conditions,
    Cost,
    Data,
    Part,
    Stage,
    float32_kernels,
    largest_part,
    loading_and_saving,
)
from training.rlhf.planning.sharding import shards
from training.rlhf.planning.trained import (
    bytes_per_weight,
    complete_weights,
    frozen,
    gathered_weights,
    in_training,
    loaded,
    pass_of,
    passes,
    saved_bytes,
    trained_layers,
    trained_weights,
    trains_vocabulary,
    whole_bytes,
)
from training.rlhf.planning.transformer import (
    FLOAT,
    forward_operations,
    keys_per_place,
    passing_bytes,
    projection_bytes,
)
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.parts.weights import TrainsPolicy
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.sft import SFTConfig

ANSWERS_PER_REJECTION_BATCH = 256  # number of answers per batch in rejection sampling
HELDOUT_MEASUREMENTS = 10


def sft(recipe: SFTConfig, policy: Shape, data: Data, *, given: Conditions = USUAL) -> Cost:
    """Return the cost of a fine-tuning run."""
    stages = _fine_tuning(recipe, policy, data, given=given)
    return _from_load_to_save(recipe, policy, stages, data, given)


def rejection_sampling(
    recipe: RejectionSamplingConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    shared: bool = False,
    given: Conditions = USUAL,
) -> Cost:
    """Return the cost of rejection sampling, over all rounds. The reward model is `shared` if it is an
    adapter on the policy's trunk. During fine-tuning, the reward model stays in memory, too. After the first
    round, the moments stay in memory during sampling.

    With `keep=threshold`, the number of kept answers is unknown. The estimate assumes that half of the
    answers are kept or, in the worst case, all of them.
    """
    n, number = recipe.samples_per_prompt, bytes_per_weight(recipe)
    beside = frozen(recipe, "reward model", judge)
    if shared:
        beside = Part("weights: reward model", FLOAT * trained_weights(recipe, policy))
    held = loaded(recipe, policy, given) if recipe.rounds == 1 else in_training(recipe, policy, given)
    models = (*held, beside)
    generating = (*models, *complete_weights(recipe, policy, given))
    asking = answering(
        policy,
        replace(data, items=math.ceil(data.items / given.processes)),
        n=n,
        limit=recipe.max_new_tokens,
        per_batch=math.ceil(max(1, ANSWERS_PER_REJECTION_BATCH // n) / given.processes),
        given=given,
        held=sum(part.bytes for part in generating),
        memory=recipe.generation_memory,
        server=recipe.server,
        number=number,
        adapted=recipe.use_peft,
    )
    chosen = {"top_1": 1, "top_k": recipe.k, "threshold": n if given.cautious else n / 2}[recipe.keep]
    answer = answer_length(recipe.max_new_tokens, data, given=given)
    ranking = data.prompt + n * answer
    judged = data.items * forward_operations(judge, ranking, around=ranking, projected=0)
    longest = data.longest - data.response + recipe.max_new_tokens
    kept = replace(
        data, items=math.ceil(chosen * data.items), response=answer, longest=longest, responses=1.0
    )
    # The scoring batches have the same size as the sampling batches.
    scored = scored_tokens(min(ANSWERS_PER_REJECTION_BATCH / n, data.items) * ranking, ranking)
    stages = (
        Stage("generate", (*generating, *asking.parts), asking.operations, asking.layer_calls),
        Stage(
            "score",
            (*models, Part("activations", passing_bytes(judge, scored, number))),
            judged,
            judge.layers * data.items * ranking / SCORING_TOKENS,
        ),
        *(
            replace(stage, parts=(beside, *stage.parts))
            for stage in _fine_tuning(recipe, policy, kept, given=given)
        ),
    )
    rounds = recipe.rounds
    repeated = tuple(
        replace(stage, operations=rounds * stage.operations, layer_calls=rounds * stage.layer_calls)
        for stage in stages
    )
    return _from_load_to_save(recipe, policy, repeated, data, given)


def dpo(recipe: DPOConfig, policy: Shape, data: Data, *, given: Conditions = USUAL) -> Cost:
    """Return the cost of direct preference optimisation. The responses to a prompt share its tokens. If a
    ranking is too large for a micro-batch, its responses are processed in several forward passes, which are
    recomputed in the backward pass."""
    number = bytes_per_weight(recipe)
    row = min(data.prompt + data.response, recipe.max_length)
    usual = row + (data.responses - 1) * min(data.response, row)
    batch = min(recipe.batch_rankings, max(1, data.items)) / given.processes
    wide = data.in_largest(min(batch, recipe.micro_batch_tokens / usual))
    longest = data.longest if given.cautious else wide.prompt + wide.response
    width = min(longest, recipe.max_length, policy.context)
    prompt = width * wide.prompt / (wide.prompt + wide.response)
    heldout = data.items * recipe.heldout_fraction
    trained = recipe.epochs * (data.items - heldout)
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_rankings) * recipe.epochs
    ranking = prompt + data.responses * (width - prompt)
    places = max(min(recipe.micro_batch_tokens, batch * ranking), width)
    again = ranking > recipe.micro_batch_tokens
    if not again:
        places = largest_part(batch * ranking, item=ranking, limit=recipe.micro_batch_tokens)
    answered = data.responses * min(data.response, row)
    read = ranking if given.cautious else usual
    forward = forward_operations(policy, read, around=row, projected=answered)
    projected = places * data.responses * (width - prompt) / ranking
    micro_batches = max(steps, trained * read / places)
    evaluations = min(recipe.evaluations, steps) * heldout
    passed = data.items + evaluations  # rankings in the reference pass and the evaluations
    held = in_training(recipe, policy, given)
    keys = keys_per_place(prompt=prompt, answer=width - prompt, answers=data.responses, gpu=given.gpu)
    learning = trained_weights(recipe, policy)
    head, embedding = trains_vocabulary(recipe, policy)
    step = Backward(
        policy,
        pass_of(recipe, keys=keys),
        learning,
        places,
        width,
        projected,
        trained_layers(recipe, policy),
        head,
        embedding,
        recipe.gradient_checkpointing,
        shards(recipe, given),
    )
    before = step.gradients if batch * ranking > places or again else 0.0
    observed = passing_bytes(policy, places, number)
    observed += projection_bytes(policy, projected, trains=False, number=number, gpu=given.gpu)
    stages = (
        Stage(
            "log-probs",
            (*held, *gathered_weights(recipe, policy, given), Part("activations and logits", observed)),
            passed * forward,
            policy.layers * passed * read / places,
        ),
        Stage(
            "update",
            (*held, *backward(step, before=before, given=given)),
            (passes(recipe) + again) * trained * forward,
            policy.layers * (passes(recipe) + again) * micro_batches,
        ),
        *_answering(recipe, policy, data, held, given),
    )
    return _from_load_to_save(recipe, policy, stages, data, given)


def _from_load_to_save(
    recipe: TrainsPolicy, policy: Shape, stages: tuple[Stage, ...], data: Data, given: Conditions
) -> Cost:
    return loading_and_saving(
        Cost(stages),
        given,
        saved=saved_bytes(recipe, policy),
        whole=whole_bytes(recipe, policy, given),
        kernels=() if recipe.dtype == "bfloat16" else float32_kernels(data, given),
    )


def _fine_tuning(recipe: SFTConfig, policy: Shape, data: Data, *, given: Conditions) -> tuple[Stage, ...]:
    row = min(data.prompt + data.response, recipe.max_length)
    padded = 1.0 if recipe.packing == "auto" and not given.cautious else PADDED
    rows = min(recipe.batch_size, max(1, data.items)) / given.processes
    wide = data.in_largest(min(rows, recipe.micro_batch_tokens / row))
    most = min(wide.prompt + wide.response, recipe.max_length)
    longest = min(data.longest if given.cautious else padded * most, recipe.max_length, policy.context)
    heldout = data.items * recipe.heldout_share
    trained = recipe.epochs * (data.items - heldout)
    batch = rows * padded * most
    # A row is never split, even if the row alone exceeds the size of a micro-batch.
    places = max(min(recipe.micro_batch_tokens, batch), longest)
    if padded == 1.0:
        places = largest_part(batch, item=most, limit=recipe.micro_batch_tokens)
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_size) * recipe.epochs
    # Without packing, rows of very different lengths do not share a micro-batch. The estimate then assumes
    # two more micro-batches per batch than the number of tokens requires.
    micro_batches = steps * (math.ceil(batch / places) + (0 if padded == 1.0 else 2))
    forward = forward_operations(policy, row, around=row, projected=min(data.response, row))
    evaluations = min(HELDOUT_MEASUREMENTS, steps) * heldout
    learning, held = trained_weights(recipe, policy), in_training(recipe, policy, given)
    head, embedding = trains_vocabulary(recipe, policy)
    step = Backward(
        policy,
        pass_of(recipe),
        learning,
        places,
        longest,
        places * wide.response / (wide.prompt + wide.response),
        trained_layers(recipe, policy),
        head,
        embedding,
        recipe.gradient_checkpointing,
        shards(recipe, given),
    )
    before = step.gradients if batch > places else 0.0
    return (
        Stage(
            "update",
            (*held, *backward(step, before=before, given=given)),
            (passes(recipe) * trained + evaluations) * forward,
            policy.layers * (passes(recipe) * micro_batches + evaluations * padded * row / places),
        ),
        *_answering(recipe, policy, data, held, given),
    )


def _answering(
    recipe: SFTConfig | DPOConfig, policy: Shape, data: Data, held: tuple[Part, ...], given: Conditions
) -> tuple[Stage, ...]:
    """Return the stages in which the policy answers prompts before and after training. Every process answers
    all of the prompts.

    The policy answers the sample prompts before and after training. To measure the divergence from the
    starting policy, it answers `kl_samples` prompts after the training, and both policies process the
    answers. The moments are freed first. If the policy is an adapter, its own trunk is the starting policy,
    so no further model is loaded.
    """
    without_moments = tuple(part for part in held if not part.name.startswith("Adam"))
    shown, measured = (int(min(n, data.items)) for n in (recipe.sample_prompts, recipe.kl_samples))
    stages = []
    for rows, batches, models in ((shown, 2, held), (measured, 1, without_moments)):
        if rows == 0:
            continue
        models = (*models, *complete_weights(recipe, policy, given))
        asking = decoding(
            policy,
            given.processes,
            data,
            rows=rows,
            n=1,
            limit=recipe.sample_tokens,
            batches=batches,
            given=given,
            held=sum(part.bytes for part in models),
            number=bytes_per_weight(recipe),
            adapted=recipe.use_peft,
        )
        stages.append(replace(asking, parts=(*models, *asking.parts)))
    if measured:
        # A sharded policy's complete copy is freed before the starting policy is loaded.
        start = () if recipe.use_peft else (frozen(recipe, "starting policy", policy),)
        second = complete_weights(recipe, policy, given) or start
        answer = answer_length(recipe.sample_tokens, data, given=given)
        row = data.prompt + answer
        places = min(max(recipe.micro_batch_tokens, row), measured * row)
        number = bytes_per_weight(recipe)
        observed = passing_bytes(policy, places, number)
        projected = places * answer / row
        observed += projection_bytes(policy, projected, trains=False, number=number, gpu=given.gpu)
        one = forward_operations(policy, row, around=row, projected=answer)
        stages.append(
            Stage(
                "log-probs",
                (
                    *without_moments,
                    *second,
                    Part("activations and logits", observed),
                ),
                2 * measured * one,
                2 * policy.layers * math.ceil(measured * row / places),
            )
        )
    return tuple(stages)
