"""Sampling from a causal language model in this process. Each prompt is processed once, and then all samples
for the prompt are decoded together.

Decoding works with any transformers model (`forward`), and is faster with models of the Llama family
(`llama`). The differences from `model.generate` are:

- Each token is sampled from the cumulative distribution with one uniform random number (`picking`).
  `generate` uses one exponential random number per vocabulary entry.
- The memory for keys and values limits the size of a batch (`batches`). If memory is exhausted, the batch is
  halved, and generation continues.
- Finished rows are removed from the batch.

Only `temperature` and `top_p` change the distribution (there is no top-k, repetition penalty or minimum
length). With `top_p` = 1, the sampling distribution is therefore the one for which training later computes
log-probabilities. The only exceptions are the IDs beyond the tokenizer's largest ID, which are never sampled
unless they are stop tokens. These IDs have no text, and a reward model can lack embeddings for them. A
trained model gives these IDs almost no probability.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.memory import is_out_of_memory, release
from training.rlhf.core.seeds import seed_for
from training.rlhf.generation import batches
from training.rlhf.generation.forward import ForwardBatch, token_bytes
from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.llama.graphs import CudaGraph
from training.rlhf.generation.llama.recognition import trunk_of_family
from training.rlhf.generation.llama.rows import LlamaBatch
from training.rlhf.generation.picking import LogitsNotFinite, allowed_ids, pick_tokens, uniform_numbers
from training.rlhf.generation.pulse import Pulse
from training.rlhf.models.parts.trunks import vocabulary_rows
from training.rlhf.models.tokens import chat

log = logging.getLogger(__name__)

# The share of finished rows in a batch at which the finished rows are dropped. Rows are not dropped one by
# one, because each drop copies the cache.
FINISHED_SHARE = 0.25
# The number of tokens between two checks for finished rows. On a GPU, a check waits until all queued
# operations are done.
CPU_STRIDE, GPU_STRIDE = 1, 16

Pick = Callable[[Tensor, Tensor | None], Tensor]


class Rows(Protocol):
    """The keys and values of a batch's rows. `read` returns the logits for the first token of each row's
    answer, and `step` appends one token to each row and returns the logits of the token that follows. `keep`
    drops all rows except the given ones."""

    @property
    def can_keep(self) -> bool: ...

    @property
    def cache_bytes(self) -> int: ...

    def read(self, beat: Callable[[], None]) -> Tensor: ...

    def step(self, tokens: Tensor) -> Tensor: ...

    def keep(self, rows: Sequence[int]) -> None: ...


def generate(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    n: int = 1,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int | Sequence[int] = 0,
    cache_bytes: int | None = None,
    rows_per_batch: int | None = None,
    cuda_graphs: bool = False,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[Completion]]:
    """Sample `n` answers to each prompt (token IDs from `chat.encode_prompt`), in the order of the prompts.
    The other settings are those of `Sampling`, and the guarantees are those of `Engine`.

    Each prompt has a seed of its own, so the result does not depend on the batches or on the other prompts.
    `seed` is a list of these seeds, or one number from which they are derived.

    A batch has at most `cache_bytes` of keys and values and at most `rows_per_batch` rows. By default,
    `batches.default_limits` chooses both. With `cuda_graphs`, a model of the Llama family on a GPU decodes
    with CUDA graphs (`llama.graphs`). Raises LogitsNotFinite if the policy's logits are NaN or infinite.
    """
    sampling = Sampling(max_new_tokens, n, temperature, top_p)
    empty = [number for number, prompt in enumerate(prompts) if not prompt]
    if empty:
        raise ValueError(f"prompt {empty[0]} has no tokens, so there is nothing to continue")
    cut, _ = chat.cut_prompts(prompts, chat.context_length(policy) - max_new_tokens)
    seeds = _seeds(len(cut), seed)
    stops = chat.stop_ids(policy, tokenizer)
    pulse = Pulse(check, progress, total=len(cut) * n)
    was_training = policy.training
    policy.train(False)
    try:
        trunk = trunk_of_family(policy)
        capture = CudaGraph if cuda_graphs and policy.device.type == "cuda" else None
        start: Callable[..., Rows] = (
            partial(LlamaBatch, trunk, capture=capture)
            if trunk
            else partial(ForwardBatch, policy, pad=chat.pad_id(tokenizer))
        )
        limits = batches.default_limits(
            policy.device,
            vocabulary=vocabulary_rows(policy),
            token_bytes=token_bytes(policy) if trunk is None else trunk.token_bytes,
            shared=trunk is not None,
            cache_bytes=cache_bytes,
        )
        if rows_per_batch is not None:
            limits = replace(limits, rows=rows_per_batch)
        pick = _pick(policy, tokenizer, stops, sampling)
        completions: list[list[Completion]] = [[] for _ in cut]
        work = batches.Batches([len(prompt) for prompt in cut], n=n, room=max_new_tokens)
        while work.left:
            check()
            batch = work.take(limits)
            noise = _noise([seeds[i] for i in batch.prompts], batch.samples, sampling, policy.device)
            found = _unless_out_of_memory(
                partial(
                    _decode_batch,
                    partial(
                        start,
                        [cut[i] for i in batch.prompts],
                        n=len(batch.samples),
                        limit=max_new_tokens,
                    ),
                    rows=batch.rows,
                    limit=max_new_tokens,
                    stops=torch.tensor(stops, device=policy.device),
                    pick=pick,
                    noise=noise,
                    pulse=pulse,
                ),
                splittable=batch.rows > 1,
            )
            if found is None:
                limits = limits.halved(batch)
                log.warning(
                    "Out of memory while %d answers were generated together. Continuing with at most %d. "
                    "Lower generation_memory to avoid the time lost to such retries.",
                    batch.rows,
                    limits.rows,
                )
                work.put_back(batch)
                continue
            pulse.done += len(found)
            each = len(batch.samples)
            for position, index in enumerate(batch.prompts):
                completions[index] += found[position * each : (position + 1) * each]
    except LogitsNotFinite as error:
        name = f" {policy.name_or_path!r}" if policy.name_or_path else ""
        raise LogitsNotFinite(
            f"The policy{name} can't answer. {error} The policy's weights are broken, or training "
            "has diverged: use an earlier policy, or lower learning_rate or max_grad_norm."
        ) from error
    finally:
        policy.train(was_training)
    return completions


def _seeds(count: int, seed: int | Sequence[int]) -> list[int]:
    """Return one seed per prompt."""
    if isinstance(seed, int):
        return [seed_for(seed, "generate", number) for number in range(count)]
    if len(seed) != count:
        raise ValueError(f"there are {count} prompts, but {len(seed)} seeds")
    return list(seed)


def _noise(seeds: Sequence[int], samples: range, sampling: Sampling, device: torch.device) -> Tensor | None:
    """Return the random numbers of a batch, with one row per sample, or None at temperature 0."""
    if sampling.temperature == 0:
        return None
    drawn = [uniform_numbers(seed, samples.stop, sampling.max_new_tokens) for seed in seeds]
    return torch.cat([numbers[samples.start :] for numbers in drawn]).to(device)


def _pick(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stops: Sequence[int], sampling: Sampling
) -> Pick:
    """Return a function that picks one token per row from logits."""
    known = chat.id_limit(tokenizer)
    allowed = allowed_ids(known, stops, vocabulary_rows(policy))
    if allowed is not None:
        allowed, known = allowed.to(policy.device), len(allowed)

    def pick(logits: Tensor, uniform: Tensor | None) -> Tensor:
        logits = logits[:, :known]
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        return pick_tokens(logits, uniform, temperature=sampling.temperature, top_p=sampling.top_p)

    return pick


def _unless_out_of_memory(
    decode: Callable[[], list[Completion]], *, splittable: bool
) -> list[Completion] | None:
    """Return the answers, or None if memory ran out and a smaller batch is possible."""
    try:
        return decode()
    except Exception as error:
        if not splittable or not is_out_of_memory(error):
            raise
    # At this point, the error and its traceback no longer reference the batch's tensors.
    release()
    return None


@torch.no_grad()
def _decode_batch(
    start: Callable[[], Rows],
    *,
    rows: int,
    limit: int,
    stops: Tensor,
    pick: Pick,
    noise: Tensor | None,
    pulse: Pulse,
) -> list[Completion]:
    """Generate a completion of at most `limit` tokens for each row of the batch.

    Until the next check for finished rows, tokens are also generated for finished rows. These tokens are
    ignored."""
    batch, device = start(), stops.device
    stride = CPU_STRIDE if device.type == "cpu" else GPU_STRIDE
    logits = batch.read(pulse.beat)
    tokens = torch.zeros(rows, limit, dtype=torch.long, device=device)
    live = torch.arange(rows, device=device)  # for each row in the batch, its row in the result
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    broken = torch.zeros_like(ended)
    for step in range(limit):
        pulse.beat(partial(_answers_so_far, rows, ended, step / limit))
        picked = pick(logits, None if noise is None else noise[:, step])
        tokens[live, step] = picked
        ended = ended | torch.isin(picked, stops)
        broken = broken | (picked < 0)
        if (step + 1) % stride == 0 or step + 1 == limit:
            _refuse_broken(broken)
            going = [row for row, done in enumerate(ended.tolist()) if not done]
            if not going or step + 1 == limit:
                break
            if len(live) - len(going) >= max(1, FINISHED_SHARE * len(live)) and batch.can_keep:
                batch.keep(going)
                chosen = torch.tensor(going, device=device)
                live, picked, ended, broken = live[chosen], picked[chosen], ended[chosen], broken[chosen]
                noise = None if noise is None else noise[chosen]
        logits = batch.step(picked.clamp(min=0))
    ends = torch.isin(tokens, stops)
    lengths = torch.where(ends.any(dim=1), ends.int().argmax(dim=1) + 1, limit)
    listed = zip(tokens.tolist(), lengths.tolist(), ends.any(dim=1).tolist(), strict=True)
    return [Completion(row[:length], done) for row, length, done in listed]


def _refuse_broken(broken: Tensor) -> None:
    if bool(broken.any()):
        raise LogitsNotFinite(
            f"The logits of {int(broken.sum())} of {len(broken)} answers are NaN or infinite."
        )


def _answers_so_far(rows: int, ended: Tensor, share: float) -> float:
    """Return the number of answers, counting each unfinished answer as the fraction `share`."""
    going = len(ended) - int(ended.sum())
    return rows - going + share * going
