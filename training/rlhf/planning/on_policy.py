"""The cost of the loops that sample rollouts and train on them: PPO and RLOO. The answers to a prompt share
its tokens."""

from __future__ import annotations

import math

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning import sharding
from training.rlhf.planning.answers import answer_length, decoding, scored_tokens
from training.rlhf.planning.backward import Backward, backward, gradient_bytes
from training.rlhf.planning.cost import (
    USUAL,
    Conditions,
    Cost,
    Data,
    Part,
    Stage,
    float32_kernels,
    loading_and_saving,
)
from training.rlhf.planning.sharding import shards
from training.rlhf.planning.trained import (
    TRAINING,
    Critic,
    bytes_per_weight,
    complete_weights,
    critic_in_training,
    frozen,
    gathered_weights,
    in_training,
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
    Pass,
    forward_operations,
    keys_per_place,
    passing_bytes,
    projection_bytes,
)
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.rollouts import RolloutConfig


def ppo(
    recipe: PPOConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    shared: bool = False,
    given: Conditions = USUAL,
) -> Cost:
    """Return the cost of PPO. The reward model is `shared` if it is an adapter on the policy's trunk."""
    critics = {
        "separate": lambda: Critic(judge, judge.weights),
        "adapter": lambda: Critic(policy, trained_weights(recipe, policy)),
        "shared": lambda: Critic(policy, policy.hidden, reads_policy=True),
    }
    critic = critics[recipe.critic_kind]()
    return _on_policy(recipe, policy, judge, data, critic=critic, shared=shared, given=given)


def rloo(
    recipe: RLOOConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    shared: bool = False,
    given: Conditions = USUAL,
) -> Cost:
    """Return the cost of RLOO. The reward model is `shared` if it is an adapter on the policy's trunk."""
    return _on_policy(recipe, policy, judge, data, critic=None, shared=shared, given=given)


def _on_policy(
    recipe: RolloutConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    critic: Critic | None,
    shared: bool,
    given: Conditions,
) -> Cost:
    n = recipe.responses_per_prompt
    rows = recipe.rollout_prompts * n
    answer = answer_length(recipe.max_new_tokens, data, given=given)
    longest = (
        min(data.longest - data.response, policy.context - recipe.max_new_tokens) + recipe.max_new_tokens
    )
    row = data.prompt + answer
    own = data.prompt / n + answer  # token positions per answer
    learning, number = trained_weights(recipe, policy), bytes_per_weight(recipe)
    models, divided = (
        _models(recipe, policy, judge, critic, shared=shared, given=given),
        shards(recipe, given),
    )
    generating = (*models, *complete_weights(recipe, policy, given))
    # With a ceiling or a target, the KL of the final policy is measured on additional rollouts.
    rollouts = recipe.steps + (recipe.kl_ceiling is not None) + recipe.final_rollouts
    asking = decoding(
        policy,
        rollouts,
        data,
        rows=math.ceil(recipe.rollout_prompts / given.processes),
        n=n,
        limit=recipe.max_new_tokens,
        given=given,
        held=sum(part.bytes for part in generating),
        memory=recipe.generation_memory,
        server=recipe.server,
        number=number,
        adapted=recipe.use_peft,
    )
    shows, shown = _samples(recipe, data)
    # Only the first process answers the sample prompts, while the others wait.
    alone = given.processes * shows
    showing = decoding(
        policy,
        alone,
        data,
        rows=shown,
        n=1,
        limit=recipe.max_new_tokens,
        given=given,
        memory=recipe.generation_memory,
        server=recipe.server,
        number=number,
        adapted=recipe.use_peft,
    )
    one = forward_operations(policy, own, around=row, projected=answer)
    whole_row = forward_operations(policy, row, around=row, projected=answer)
    judged = forward_operations(judge, own, around=row, projected=0)
    passing = critic if critic and not critic.reads_policy else None
    valued = forward_operations(passing.shape, own, around=row, projected=0) if passing else 0.0
    minibatch = rows / min(recipe.minibatches, rows) / given.processes
    wide = data.in_largest(min(minibatch, recipe.micro_batch_tokens / own) / n)
    most = wide.prompt / n + answer
    places = max(min(recipe.micro_batch_tokens, minibatch * most), longest if given.cautious else row)
    several = minibatch * most > places
    micro_batches = max(recipe.minibatches, rows * own / places)
    projected = places * answer / most
    shapes = [policy, passing.shape] if passing else [policy]
    layers = sum(shape.layers for shape in shapes)
    head, embedding = trains_vocabulary(recipe, policy)
    how = pass_of(recipe, keys=keys_per_place(prompt=wide.prompt, answer=answer, answers=n, gpu=given.gpu))
    of_policy = gradient_bytes(learning, divided)
    of_critic = gradient_bytes(critic.learning, divided) if critic else 0.0
    updates = [
        backward(
            Backward(
                policy,
                how,
                learning,
                places,
                row,
                projected,
                trained_layers(recipe, policy),
                head,
                embedding,
                recipe.gradient_checkpointing,
                divided,
            ),
            before=of_policy + of_critic if several else 0.0,
            given=given,
        )
    ]
    if passing:
        # The critic's backward pass follows the policy's, whose gradients are still in memory.
        updates.append(
            backward(
                Backward(
                    passing.shape,
                    Pass(number, adapted=recipe.use_peft and not passing.own, keys=how.keys),
                    learning + passing.learning,
                    places,
                    row,
                    layers=passing.shape.layers if passing.own else trained_layers(recipe, policy),
                    head=False,
                    embedding=passing.own or embedding,
                    recompute=recipe.gradient_checkpointing,
                    shards=divided,
                ),
                before=of_policy + (of_critic if several else 0),
                given=given,
            )
        )
    scored = scored_tokens(rows * own / given.processes, data.prompt + n * answer)
    valued_again = (TRAINING if passing and passing.own else passes(recipe)) * valued
    imitated, imitating = _imitation(recipe, policy, data, places=places)
    observed = passing_bytes(policy, places, number)
    observed += projection_bytes(policy, projected, trains=False, number=number, gpu=given.gpu)
    stages = (
        Stage(
            "generate",
            (*generating, *asking.parts),
            asking.operations + showing.operations,
            asking.layer_calls + showing.layer_calls,
        ),
        Stage(
            "score",
            (*models, Part("activations", passing_bytes(judge, scored, number))),
            (rollouts * rows * judged)
            + alone * shown * forward_operations(judge, row, around=row, projected=0),
            (rollouts * micro_batches + alone) * judge.layers,
        ),
        Stage(
            "log-probs",
            (*models, *gathered_weights(recipe, policy, given), Part("activations and logits", observed)),
            rows * (rollouts * 2 * one + recipe.steps * valued) + alone * shown * 2 * whole_row,
            recipe.steps * micro_batches * (layers - policy.layers)
            + 2 * (rollouts * micro_batches + alone) * policy.layers,
        ),
        Stage(
            "update",
            (*models, *max(updates, key=lambda parts: sum(part.bytes for part in parts))),
            recipe.steps * recipe.epochs * (rows * (passes(recipe) * one + valued_again) + imitated),
            passes(recipe)
            * recipe.steps
            * recipe.epochs
            * (micro_batches * layers + imitating * policy.layers),
        ),
    )
    saved = saved_bytes(recipe, policy)
    if critic:
        size = number if critic.own else FLOAT
        saved += (size + 2 * FLOAT + (FLOAT if size < FLOAT else 0)) * critic.learning
    # The reference is copied from the policy before the two models are divided among the processes.
    whole = 2 * whole_bytes(recipe, policy, given)
    kernels = () if recipe.dtype == "bfloat16" else float32_kernels(data, given)
    return loading_and_saving(Cost(stages), given, saved=saved, whole=whole, kernels=kernels)


def _samples(recipe: RolloutConfig, data: Data) -> tuple[int, int]:
    """Return how many times the sample prompts are answered, and the number of sample prompts. They are
    answered at the start, every `sample_every` steps, and at the end."""
    shown = min(recipe.samples, int(data.items))
    times = 1 + recipe.steps // recipe.sample_every + (recipe.steps % recipe.sample_every > 0)
    return (times, shown) if shown else (0, 0)


def _imitation(recipe: RolloutConfig, policy: Shape, data: Data, *, places: float) -> tuple[float, float]:
    """Return the number of operations and the number of micro-batches that the supervised loss needs in one
    epoch over a rollout. The demonstrations are assumed to be as long as the data's prompts with their
    answers."""
    if not isinstance(recipe, PPOConfig) or recipe.ptx_coefficient == 0:
        return 0.0, 0.0
    row = data.prompt + data.response
    rows = min(recipe.minibatches, recipe.rollout_prompts * recipe.responses_per_prompt)
    rows *= recipe.ptx_batch_size
    one = forward_operations(policy, row, around=row, projected=data.response)
    return passes(recipe) * rows * one, max(recipe.minibatches, rows * row / places)


def _models(
    recipe: RolloutConfig,
    policy: Shape,
    judge: Shape,
    critic: Critic | None,
    *,
    shared: bool,
    given: Conditions,
) -> tuple[Part, ...]:
    """Return the memory of all models between two updates, with the moments of the trained models."""
    learning, number = trained_weights(recipe, policy), bytes_per_weight(recipe)
    divided = shards(recipe, given)
    models = [*in_training(recipe, policy, given)]
    if divided > 1:
        models.append(sharding.weights("reference", policy, processes=divided, number=number))
    elif not recipe.use_peft:
        models.append(frozen(recipe, "reference", policy))
    elif recipe.reference != "fixed":
        models.append(Part("weights: reference", FLOAT * learning))
    models.append(
        Part("weights: reward model", FLOAT * learning) if shared else frozen(recipe, "reward model", judge)
    )
    if critic:
        models += critic_in_training(recipe, critic, given)
    if recipe.kl_ceiling:
        kept = FLOAT if recipe.use_peft or divided > 1 else number
        models.append(Part("weights: copy of the policy within kl_ceiling", kept * learning / divided))
    return tuple(models)
