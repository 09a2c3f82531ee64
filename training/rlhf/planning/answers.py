"""The cost of decoding answers, and of the runs that only answer prompts."""

from __future__ import annotations

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import SCORING_TOKENS, Cost, Data, Part, Stage, weights
from training.rlhf.planning.transformer import FLOAT, forward_operations, passing_bytes
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig

PICKING_ARRAYS = 4
ROWS_PER_BATCH = 256
COPIED_BYTES = 2**30
READ_TOKENS = 4096  # prompt tokens that a model like Llama reads together
PROMPTS_SAMPLED = 64  # number of prompts per batch in sampling and evaluation


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
    group = data.prompt + recipe.responses_per_prompt * answer_length(
        recipe.max_new_tokens, data, cautious=cautious
    )
    loaded = weights("reward model", judge)
    judging = Stage(
        "judge",
        (
            weights("policy", policy),
            loaded,
            Part("activations", passing_bytes(judge, max(SCORING_TOKENS, group))),
        ),
        data.items * forward_operations(judge, group, around=group, projected=0),
        judge.layers * data.items * group / SCORING_TOKENS,
    )
    return Cost((Stage(asking.name, (loaded, *asking.parts), asking.operations, asking.layer_calls), judging))


def _answers_of(recipe: SampleConfig | EvaluateConfig, policy: Shape, data: Data, *, cautious: bool) -> Stage:
    asking = answering(
        policy,
        data,
        n=recipe.responses_per_prompt,
        limit=recipe.max_new_tokens,
        per_batch=PROMPTS_SAMPLED,
        cautious=cautious,
        memory=recipe.generation_memory,
        server=recipe.server,
    )
    return Stage("sample", (weights("policy", policy), *asking.parts), asking.operations, asking.layer_calls)


def answering(
    policy: Shape,
    data: Data,
    *,
    n: int,
    limit: int,
    per_batch: int,
    cautious: bool,
    memory: float | None,
    server: str = "",
    number: int = FLOAT,
) -> Stage:
    """Return the cost of answering all prompts in the data, `per_batch` prompts at a time."""
    rows = min(per_batch, data.items)
    batches = data.items / max(1, rows)
    return decoding(
        policy,
        batches,
        data,
        rows=rows,
        n=n,
        limit=limit,
        cautious=cautious,
        memory=memory,
        server=server,
        number=number,
    )


def decoding(
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
    server: str = "",
    number: int = FLOAT,
) -> Stage:
    """Return the cost of sampling `n` answers to each of `rows` prompts. The sampling is repeated `times` ×
    `batches` times.

    `number` is the size of a number in the policy's keys and values, in bytes.

    A batch continues until its longest answer ends. The estimate assumes that this answer is twice as long
    as the mean answer, up to the limit. `memory` is the recipe's `generation_memory`.
    If a `server` generates the answers, they cost this machine nothing. The server's time is unknown.
    """
    if server:
        return Stage("sample", ())
    limit = min(limit, policy.context - 1)
    prompt = min((data.longest - data.response) if cautious else data.prompt, policy.context - limit)
    answer = answer_length(limit, data, cautious=cautious)
    llama = policy.gated and not policy.encoder
    row = number * policy.cache_numbers * ((prompt / n if llama else prompt) + limit)
    together = min(rows, max(1, ROWS_PER_BATCH // n)) * n
    if memory is not None:
        together = max(1, min(together, int(memory * 1e9 / row)))
    turns = times * batches * (rows * n / together if together else 0)
    answers = times * batches * rows * n
    read_together = min(rows, max(1, together // n)) * prompt
    reading = passing_bytes(policy, min(read_together, max(READ_TOKENS, prompt)) if llama else read_together)
    choosing = PICKING_ARRAYS * FLOAT * together * policy.vocabulary
    copied = FLOAT * policy.weights if llama and FLOAT * policy.weights <= COPIED_BYTES else 0.0
    read = times * batches * rows * forward_operations(policy, prompt, around=prompt, projected=1)
    written = answers * forward_operations(policy, answer, around=prompt + answer, projected=answer)
    return Stage(
        "sample",
        (
            Part("keys and values", together * row * (1 if llama else 1 + 1 / policy.layers)),
            Part("copied weights", copied),
            # The activations of the prompts are freed before the first token is chosen.
            Part("reading prompts, then choosing tokens", max(reading, choosing)),
        ),
        read + written,
        policy.layers * turns * (1 + min(limit, 2 * answer)),
    )


def answer_length(limit: int, data: Data, *, cautious: bool) -> float:
    return float(limit) if cautious else min(float(limit), data.response)
