"""The cost of one run of each training loop.

In every function of this module, `cautious=True` assumes the worst case instead of typical values. The worst
case is the widest micro-batch and the longest answers that the recipe allows.
"""

from __future__ import annotations

import math

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.answers import answer_length, answering, decoding
from training.rlhf.planning.cost import PADDED, SCORING_TOKENS, Cost, Data, Part, Stage, weights
from training.rlhf.planning.trained import (
    TRAINING,
    TRAINING_AN_ADAPTER,
    Critic,
    activations,
    bytes_per_weight,
    critic_in_training,
    frozen,
    gradients,
    in_training,
    loaded,
    passes,
    trained_weights,
)
from training.rlhf.planning.transformer import (
    FLOAT,
    adapter_weights,
    forward_operations,
    kept_bytes,
    kept_bytes_recomputed,
    passing_bytes,
    projection_bytes,
)
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.recipes.sft import SFTConfig

ANSWERS_PER_REJECTION_BATCH = 256  # number of answers per batch in rejection sampling
HELDOUT_MEASUREMENTS = 10
# The memory of an uncertainty estimate, in float32 arrays of `hidden` × `hidden` elements. An estimate stores
# the Hessian, its eigenvectors, the square root of its inverse, and the solver's workspace. The first three
# are float64.
CURVATURES = 8


def sft(recipe: SFTConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    """Return the cost of a fine-tuning run."""
    shown = min(recipe.sample_prompts, data.items)
    asking = decoding(
        policy,
        1,
        data,
        rows=shown,
        n=1,
        limit=recipe.sample_tokens,
        batches=2,
        cautious=cautious,
        number=bytes_per_weight(recipe),
    )
    telling = Stage(
        "samples", (*loaded(recipe, policy), *asking.parts), asking.operations, asking.layer_calls
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
    times = TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING
    calls = recipe.epochs * data.items * ranking * PADDED / min(places, batch * ranking * PADDED)
    half = 0.5 if recipe.precision == "bfloat16" else 1.0
    again = recipe.gradient_checkpointing
    kept = kept_bytes_recomputed(policy, places, row=row) if again else kept_bytes(policy, places, row=row)
    parts = [
        weights("reward model", policy),
        Part("gradients", FLOAT * learning),
        Part("Adam's moments", 2 * FLOAT * learning),
        Part("activations", half * kept),
    ]
    if adapter:
        parts.append(Part("weights: adapter", FLOAT * adapter))
    scored = [weights("reward model", policy), Part("activations", passing_bytes(policy, SCORING_TOKENS))]
    if recipe.uncertainty in ("laplace", "heads"):
        # The features are in memory twice: as separate parts, and as one array concatenated from the parts.
        numbers = 2 * (data.items - heldout) * data.responses * policy.hidden
        scored.append(Part("features", FLOAT * (numbers + CURVATURES * policy.hidden**2)))
    members: tuple[Stage, ...] = ()
    if recipe.uncertainty == "lora":
        each = recipe.model_copy(update={"uncertainty": "none", "use_peft": True, "keep": "last"})
        beside = weights("reward model", policy)
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
    )


def dpo(recipe: DPOConfig, policy: Shape, data: Data, *, cautious: bool = False) -> Cost:
    """Return the cost of direct preference optimisation. The responses to a prompt share it. If a ranking
    exceeds a micro-batch, it takes several forward passes, which are recomputed in the backward pass."""
    row = min(data.prompt + data.response, recipe.max_length)
    width = min(data.longest if cautious else row, recipe.max_length, policy.context)
    prompt = width * data.prompt / (data.prompt + data.response)
    heldout = data.items * recipe.heldout_fraction
    trained = recipe.epochs * (data.items - heldout)
    steps = math.ceil(max(1.0, data.items - heldout) / recipe.batch_rankings) * recipe.epochs
    ranking = prompt + data.responses * (width - prompt)
    batch = min(recipe.batch_rankings, max(1, data.items)) * ranking
    places = max(min(recipe.micro_batch_tokens, batch), width)
    again = ranking > recipe.micro_batch_tokens
    answered = data.responses * min(data.response, row)
    forward = forward_operations(policy, ranking, around=row, projected=answered)
    projected = places * data.responses * (width - prompt) / ranking
    micro_batches = max(steps, trained * ranking / places)
    evaluations = min(recipe.evaluations, steps) * heldout
    passed = data.items + evaluations  # rankings with only a forward pass: reference and evaluations
    held = in_training(recipe, policy)
    logits = Part("logits", projection_bytes(policy, projected, trains=True))
    limit = recipe.sample_tokens
    shown, asked = min(recipe.sample_prompts, data.items), min(recipe.kl_samples, data.items)
    asking = decoding(policy, 1, data, rows=shown, n=1, limit=limit, batches=2, cautious=cautious)
    measuring = decoding(policy, 1, data, rows=asked, n=1, limit=limit, cautious=cautious)
    return Cost(
        (
            Stage(
                "reference",
                (
                    *held,
                    Part("activations", passing_bytes(policy, places)),
                    Part("logits", projection_bytes(policy, projected, trains=False)),
                ),
                passed * forward,
                policy.layers * passed * ranking / places,
            ),
            Stage(
                "train",
                (
                    *held,
                    gradients(recipe, policy),
                    Part("activations", activations(recipe, policy, places, row=width)),
                    logits,
                ),
                (passes(recipe) + again) * trained * forward,
                policy.layers * (passes(recipe) + again) * micro_batches,
            ),
            Stage("samples", (*held, *asking.parts), asking.operations, asking.layer_calls),
            # At this stage, the starting policy is in memory instead of the moments, to measure the
            # divergence from it. An adapter's starting policy is its own trunk.
            Stage("measure KL", (*held, *measuring.parts), measuring.operations, measuring.layer_calls),
        )
    )


def ppo(
    recipe: PPOConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    shared: bool = False,
    cautious: bool = False,
) -> Cost:
    """Return the cost of PPO. The reward model is `shared` if it is an adapter on the policy's trunk."""
    critics = {
        "separate": lambda: Critic(judge, judge.weights),
        "adapter": lambda: Critic(policy, trained_weights(recipe, policy)),
        "shared": lambda: Critic(policy, policy.hidden, reads_policy=True),
    }
    critic = critics[recipe.critic_kind]()
    return _on_policy(recipe, policy, judge, data, critic=critic, shared=shared, cautious=cautious)


def rloo(
    recipe: RLOOConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    shared: bool = False,
    cautious: bool = False,
) -> Cost:
    """Return the cost of RLOO. The reward model is `shared` if it is an adapter on the policy's trunk."""
    return _on_policy(recipe, policy, judge, data, critic=None, shared=shared, cautious=cautious)


def _on_policy(
    recipe: RolloutConfig,
    policy: Shape,
    judge: Shape,
    data: Data,
    *,
    critic: Critic | None,
    shared: bool,
    cautious: bool,
) -> Cost:
    """Return the cost of a loop that samples rollouts and trains on them, with or without a critic. The
    answers to a prompt share it."""
    rows = recipe.rollout_prompts * recipe.responses_per_prompt
    answer = answer_length(recipe.max_new_tokens, data, cautious=cautious)
    longest = (
        min(data.longest - data.response, policy.context - recipe.max_new_tokens) + recipe.max_new_tokens
    )
    row = data.prompt + answer
    own = data.prompt / recipe.responses_per_prompt + answer  # token positions per answer
    tokens = rows * own
    learning = trained_weights(recipe, policy)
    number = bytes_per_weight(recipe)
    models = [*in_training(recipe, policy)]
    if not recipe.use_peft:
        models.append(frozen(recipe, "reference", policy))
    elif recipe.reference != "fixed":
        models.append(Part("weights: reference", FLOAT * learning))
    models.append(
        Part("weights: reward model", FLOAT * learning) if shared else frozen(recipe, "reward model", judge)
    )
    if critic:
        models += critic_in_training(recipe, critic)
    if recipe.kl_ceiling:
        kept = FLOAT if recipe.use_peft else number
        models.append(Part("weights: policy within kl_ceiling", kept * learning))
    asking = decoding(
        policy,
        recipe.steps,
        data,
        rows=recipe.rollout_prompts,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        cautious=cautious,
        memory=recipe.generation_memory,
        server=recipe.server,
        number=number,
    )
    one = forward_operations(policy, own, around=row, projected=answer)
    judged = forward_operations(judge, own, around=row, projected=0)
    passing = critic if critic and not critic.reads_policy else None
    valued = forward_operations(passing.shape, own, around=row, projected=0) if passing else 0.0
    places = min(recipe.micro_batch_tokens, tokens / min(recipe.minibatches, rows))
    places = max(places, longest if cautious else row)
    micro_batches = max(recipe.minibatches, tokens / places)
    # forward passes of the policy, the reference, the reward model and the critic
    observed = rows * (2 * one + judged + valued) * recipe.steps
    projected = places * answer / own
    shapes = [policy, passing.shape] if passing else [policy]
    layers = sum(shape.layers for shape in shapes)
    valued_again = (TRAINING if critic and critic.own else passes(recipe)) * valued
    return Cost(
        (
            Stage("roll out", (*models, *asking.parts), asking.operations, asking.layer_calls),
            Stage(
                "observe",
                tuple(models),
                observed,
                recipe.steps * micro_batches * (layers + policy.layers + judge.layers),
            ),
            Stage(
                "update",
                (
                    *models,
                    Part("gradients", FLOAT * (learning + (critic.learning if critic else 0))),
                    Part("activations", sum(activations(recipe, one, places, row=row) for one in shapes)),
                    Part("logits", projection_bytes(policy, projected, trains=True)),
                ),
                recipe.steps * recipe.epochs * rows * (passes(recipe) * one + valued_again),
                passes(recipe) * recipe.steps * recipe.epochs * micro_batches * layers,
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
    asking = answering(
        policy,
        data,
        n=n,
        limit=recipe.max_new_tokens,
        per_batch=max(1, ANSWERS_PER_REJECTION_BATCH // n),
        cautious=cautious,
        memory=recipe.generation_memory,
        server=recipe.server,
        number=bytes_per_weight(recipe),
    )
    chosen = {"top_1": 1, "top_k": recipe.k, "threshold": n if cautious else n / 2}[recipe.keep]
    answer = answer_length(recipe.max_new_tokens, data, cautious=cautious)
    ranking = data.prompt + n * answer
    models = (*loaded(recipe, policy), frozen(recipe, "reward model", judge))
    judged = data.items * forward_operations(judge, ranking, around=ranking, projected=0)
    longest = data.longest - data.response + recipe.max_new_tokens
    kept = Data(math.ceil(chosen * data.items), data.prompt, answer, longest)
    training = sft(recipe, policy, kept, cautious=cautious)
    beside = frozen(recipe, "reward model", judge)
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
    projected = places * data.response / (data.prompt + data.response)
    return Stage(
        "train",
        (
            *in_training(recipe, policy),
            gradients(recipe, policy),
            Part("activations", activations(recipe, policy, places, row=longest)),
            Part("logits", projection_bytes(policy, projected, trains=True)),
        ),
        (passes(recipe) * trained + evaluations) * forward,
        policy.layers * (passes(recipe) * micro_batches + evaluations * padded * row / places),
    )
