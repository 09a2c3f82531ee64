"""The cost of generating answers, and of the runs that don't train: sampling and evaluation."""

from __future__ import annotations

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import (
    SCORING_TOKENS,
    USUAL,
    Conditions,
    Cost,
    Data,
    Part,
    Stage,
    float32_kernels,
    loading_and_saving,
    weights,
)
from training.rlhf.planning.transformer import FLOAT, forward_operations, is_tied, passing_bytes
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig

PICKING_ARRAYS = 4
# The same values as in `generation.batches`, which can't be imported without torch.
CPU_ROWS, GPU_ROWS, LOGIT_BYTES, CPU_SHARE, GPU_SHARE = 256, 1024, 512 * 2**20, 0.25, 0.5
COPIED_BYTES = 2**30  # the same value as in `generation.llama.trunk`
READ_TOKENS = 4096  # maximum number of prompt tokens that a Llama-like model processes together
PROMPTS_SAMPLED = 64  # number of prompts per batch in sampling and evaluation


def sample(recipe: SampleConfig, policy: Shape, data: Data, *, given: Conditions = USUAL) -> Cost:
    cost = Cost((_answers_of(recipe, policy, data, given=given),))
    kernels = () if recipe.server else float32_kernels(data, given)
    return loading_and_saving(cost, given, saved=0, kernels=kernels)


def evaluate(
    recipe: EvaluateConfig, policy: Shape, judge: Shape | None, data: Data, *, given: Conditions = USUAL
) -> Cost:
    """Return the cost of an evaluation. `judge` is None if the judge is a function rather than a model. A
    judge model reads a prompt once for all of its answers."""
    asking = _answers_of(recipe, policy, data, given=given)
    kernels = () if recipe.server and judge is None else float32_kernels(data, given)
    if judge is None:
        return loading_and_saving(Cost((asking,)), given, saved=0, kernels=kernels)
    group = data.prompt + recipe.responses_per_prompt * answer_length(
        recipe.max_new_tokens, data, given=given
    )
    loaded = weights("reward model", judge)
    scoring = scored_tokens(data.items * group, group)
    judging = Stage(
        "score",
        (
            weights("policy", policy),
            loaded,
            Part("activations", passing_bytes(judge, scoring)),
        ),
        data.items * forward_operations(judge, group, around=group, projected=0),
        judge.layers * data.items * group / SCORING_TOKENS,
    )
    generating = Stage(asking.name, (loaded, *asking.parts), asking.operations, asking.layer_calls)
    return loading_and_saving(Cost((generating, judging)), given, saved=0, kernels=kernels)


def scored_tokens(tokens: float, group: float) -> float:
    """Return the number of token positions that a reward model processes together. A prompt and its answers
    are never divided between passes."""
    return max(min(SCORING_TOKENS, tokens), group)


def _answers_of(
    recipe: SampleConfig | EvaluateConfig, policy: Shape, data: Data, *, given: Conditions
) -> Stage:
    asking = answering(
        policy,
        data,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        per_batch=PROMPTS_SAMPLED,
        given=given,
        held=FLOAT * policy.weights,
        memory=recipe.generation_memory,
        server=recipe.server,
    )
    return Stage(
        asking.name, (weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls
    )


def answering(
    policy: Shape,
    data: Data,
    *,
    n: int,
    limit: int,
    per_batch: int,
    given: Conditions,
    held: float,
    memory: float | None,
    server: str = "",
    number: int = FLOAT,
    adapted: bool = False,
) -> Stage:
    """Return the cost of answering all prompts in the data, `per_batch` prompts at a time."""
    rows = min(per_batch, data.items)
    return decoding(
        policy,
        data.items / max(1, rows),
        data,
        rows=rows,
        n=n,
        limit=limit,
        given=given,
        held=held,
        memory=memory,
        server=server,
        number=number,
        adapted=adapted,
    )


def decoding(
    policy: Shape,
    times: float,
    data: Data,
    *,
    rows: float,
    n: int,
    limit: int,
    given: Conditions = USUAL,
    held: float = 0.0,
    batches: float = 1,
    memory: float | None = None,
    server: str = "",
    number: int = FLOAT,
    adapted: bool = False,
) -> Stage:
    """Return the cost of sampling `n` answers to each of `rows` prompts. The sampling is repeated `times` ×
    `batches` times.

    `number` is the size of one element of the policy's keys and values, in bytes. `held` is the memory of the
    models, in bytes. By default, a share of the remaining memory is reserved for keys and values. `memory` is
    the recipe's `generation_memory`, in GB, and replaces this share. If the policy is `adapted`, its layers
    are not copied for decoding.

    A batch continues until its longest answer ends. The estimate assumes that this answer is twice as long as
    the mean answer, up to the limit. If a `server` generates the answers, this stage uses no resources of
    this machine. The server's time is unknown and not included.
    """
    if server:
        return Stage("generate", ())
    limit = min(limit, policy.context - 1)
    prompt = min((data.longest - data.response) if given.cautious else data.prompt, policy.context - limit)
    answer = answer_length(limit, data, given=given)
    llama = policy.gated and not policy.encoder
    row = number * policy.cache_numbers * ((prompt / n if llama else prompt) + limit)
    most = int(min(GPU_ROWS if given.gpu else CPU_ROWS, max(1, LOGIT_BYTES / (FLOAT * policy.vocabulary))))
    together = min(rows * n, max(1, most // n) * min(n, most))
    room = _room(given, held, memory)
    if room is not None:
        together = max(1, min(together, room / row))
    turns = times * batches * (rows * n / together if together else 0)
    answers = times * batches * rows * n
    read_together = min(rows, max(1, together / n)) * prompt
    read_together = min(read_together, max(READ_TOKENS, prompt)) if llama else read_together
    choosing = PICKING_ARRAYS * FLOAT * together * policy.vocabulary
    matrix, copied = policy.vocabulary * policy.hidden, 0.0
    if llama and number == FLOAT and not given.gpu and FLOAT * policy.weights <= COPIED_BYTES:
        copied = FLOAT * (matrix if adapted else _copied_weights(policy))
    read = times * batches * rows * forward_operations(policy, prompt, around=prompt, projected=1)
    written = answers * forward_operations(policy, answer, around=prompt + answer, projected=answer)
    return Stage(
        "generate",
        (
            Part("keys and values", together * row * (1 if llama else 1 + 1 / policy.layers)),
            Part("copied weights", copied),
            # The activations of the prompts are freed before the first token is chosen.
            Part(
                "reading prompts, then choosing tokens",
                max(passing_bytes(policy, read_together, number), choosing),
            ),
        ),
        read + written,
        policy.layers * turns * (1 + min(limit, 2 * answer)),
    )


def _copied_weights(policy: Shape) -> float:
    """Return the number of weights that are copied for decoding: those of the layers and of the output layer.
    The embedding is copied only if it is also the output layer."""
    embedding = policy.vocabulary * policy.hidden
    return policy.weights - (0 if is_tied(policy) else embedding)


def _room(given: Conditions, held: float, memory: float | None) -> float | None:
    """Return the memory for keys and values, in bytes, or None if the device's memory is unknown."""
    if memory is not None:
        return memory * 1e9
    if given.memory is None:
        return None
    return max(0.0, given.memory - held) * (GPU_SHARE if given.gpu else CPU_SHARE)


def answer_length(limit: int, data: Data, *, given: Conditions) -> float:
    return float(limit) if given.cautious else min(float(limit), data.response)
