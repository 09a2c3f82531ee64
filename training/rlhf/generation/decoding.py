"""Sampling from a causal language model. Each prompt is processed once, and then all samples for the prompt
are decoded together.

Works with any transformers model. Differences from `model.generate`:

- The model processes each prompt once. The prompt's keys and values are then repeated for its `n` samples.
- Keys and values are written into preallocated buffers. On small models, `generate` spends a third of its
  time on concatenating keys and values.
- Each token is sampled from the cumulative distribution with one uniform random number (`picking`).
  `generate` uses one exponential random number per vocabulary entry.
- Finished rows are removed from the batch.

Only `temperature` and `top_p` change the distribution (there is no top-k, repetition penalty or minimum
length). With `top_p` = 1, the sampling distribution is therefore the one for which training later computes
log-probabilities. The only exceptions are the IDs beyond the tokenizer's largest ID, which are never sampled
unless they are stop tokens. These IDs have no text, and a reward model can have fewer of them. A trained
model gives these IDs almost no probability.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.seeds import seed_for
from training.rlhf.generation.caches import repeat, repeatable, select, selectable
from training.rlhf.generation.picking import LogitsNotFinite, allowed_ids, pick_tokens, uniform_numbers
from training.rlhf.generation.pulse import Pulse
from training.rlhf.models import chat
from training.rlhf.models.trunks import vocabulary_rows

# The number of rows decoded together. Decoding more rows at once takes more memory but saves hardly any time.
ROWS_PER_BATCH = 256
# Finished rows are dropped once they make up this share of the batch. Rows are not dropped one by one,
# because each drop copies the cache.
FINISHED_SHARE = 0.25


class Completion(NamedTuple):
    """One sampled answer. If `finished`, `ids` ends with the stop token that was sampled (see
    `chat.stop_ids`). Otherwise, the answer was truncated at the length limit."""

    ids: list[int]
    finished: bool

    @property
    def content(self) -> list[int]:
        """The IDs without the stop token, for decoding. A stop token that the tokenizer doesn't mark as
        special would appear in the text."""
        return self.ids[:-1] if self.finished else self.ids

    def ended(self, eos: int) -> list[int]:
        """Return the IDs with exactly one EOS at the end, for scoring and imitation. EOS replaces the sampled
        stop token and is appended to a truncated answer. Reward models and policies are trained on answers
        that end with EOS. After another stop token, a reward model's score is meaningless."""
        return [*self.content, eos]


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
    generator: torch.Generator | None = None,
    rows_per_batch: int = ROWS_PER_BATCH,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[Completion]]:
    """Sample `n` answers to each prompt (token IDs from `chat.encode_prompt`), in the order of the prompts.

    A `temperature` of 0 always selects the most likely token. If `top_p` is below 1, only the most likely
    tokens are sampled: the smallest set whose probabilities add up to at least `top_p`.

    Each prompt has a seed of its own, so the result does not depend on `rows_per_batch` or on the other
    prompts. `seed` is a list of these seeds, or one number from which the seeds are derived. If a `generator`
    (on the CPU) is given, the seeds are drawn from the generator instead.

    Prompts that exceed the context are truncated on the left (`chat.cut_prompts` counts them). `check` is
    called before each batch and every few seconds, and can raise an exception to stop. `progress` is called
    every few seconds with the number of answers so far and the total. Raises ValueError for an empty prompt
    or a setting out of range, and LogitsNotFinite if the policy's logits are NaN or infinite.
    """
    _refuse_bad_settings(prompts, n, max_new_tokens, temperature, top_p)
    cut, _ = chat.cut_prompts(prompts, chat.context_length(policy) - max_new_tokens)
    seeds = prompt_seeds(len(cut), seed, generator)
    stops, known = chat.stop_ids(policy, tokenizer), chat.id_limit(tokenizer)
    allowed = allowed_ids(known, stops, vocabulary_rows(policy))
    if allowed is not None:
        allowed, known = allowed.to(policy.device), len(allowed)

    def pick(logits: Tensor, uniform: Tensor | None) -> Tensor:
        logits = logits[:, :known]
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        try:
            return pick_tokens(logits, uniform, temperature=temperature, top_p=top_p)
        except LogitsNotFinite as error:
            name = f" {policy.name_or_path!r}" if policy.name_or_path else ""
            raise LogitsNotFinite(
                f"The policy{name} can't answer. {error} Its weights are broken, or training "
                "has diverged: use an earlier policy, or lower learning_rate or max_grad_norm."
            ) from error

    # Prompts of similar length need little padding.
    by_length = sorted(range(len(cut)), key=lambda i: len(cut[i]))
    per_batch = max(1, rows_per_batch // n)
    completions: list[list[Completion]] = [[] for _ in cut]
    pulse = Pulse(check, progress, total=len(cut) * n)
    was_training = policy.training
    policy.train(False)
    try:
        for start in range(0, len(cut), per_batch):
            check()
            chosen = by_length[start : start + per_batch]
            noise = None
            if temperature > 0:
                noise = torch.cat([uniform_numbers(seeds[i], n, max_new_tokens) for i in chosen])
                noise = noise.to(policy.device)
            ids, mask = chat.left_pad([cut[i] for i in chosen], chat.pad_id(tokenizer))
            rows = _decode_batch(
                policy,
                ids.to(policy.device),
                mask.to(policy.device),
                n=n,
                limit=max_new_tokens,
                stops=torch.tensor(stops, device=policy.device),
                pick=pick,
                noise=noise,
                pulse=pulse,
            )
            pulse.done += len(rows)
            for position, index in enumerate(chosen):
                completions[index] = rows[position * n : (position + 1) * n]
    finally:
        policy.train(was_training)
    return completions


def prompt_seeds(
    count: int, seed: int | Sequence[int] = 0, generator: torch.Generator | None = None
) -> list[int]:
    """Return one seed per prompt (see `generate`)."""
    if generator is not None:
        drawn: list[int] = torch.randint(2**63 - 1, (count,), generator=generator).tolist()
        return drawn
    if isinstance(seed, int):
        return [seed_for(seed, "generate", number) for number in range(count)]
    if len(seed) != count:
        raise ValueError(f"there are {count} prompts, but {len(seed)} seeds")
    return list(seed)


@torch.no_grad()
def _decode_batch(
    policy: PreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    *,
    n: int,
    limit: int,
    stops: Tensor,
    pick: Callable[[Tensor, Tensor | None], Tensor],
    noise: Tensor | None,
    pulse: Pulse,
) -> list[Completion]:
    """Generate n completions for each of B left-padded prompts, B·n in all.

    ``ids`` and ``mask`` have shape (B, T). The n completions of a prompt are adjacent. A row's positions
    count only its real tokens, so padding on the left does not change the row's output.
    """
    rows = len(ids) * n
    cache = DynamicCache(config=policy.config)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with pulse.between_layers(policy):
        if repeatable(cache):
            logits = _forward(policy, ids, mask, positions, cache).repeat_interleave(n, dim=0)
            repeat(cache, n, room=limit)
        else:  # this type of cache (for example, of recurrent states) can't be repeated for each sample
            wide, wide_mask, wide_positions = (t.repeat_interleave(n, dim=0) for t in (ids, mask, positions))
            logits = _forward(policy, wide, wide_mask, wide_positions, cache)
    mask = mask.repeat_interleave(n, dim=0)
    last = positions[:, -1:].repeat_interleave(n, dim=0)
    room = torch.ones(rows, limit, dtype=mask.dtype, device=mask.device)
    mask = torch.cat([mask, room], dim=1)
    width = ids.shape[1]

    tokens = torch.zeros(rows, limit, dtype=torch.long, device=ids.device)
    lengths = torch.full((rows,), limit, device=ids.device)
    finished = torch.zeros(rows, dtype=torch.bool, device=ids.device)
    live = torch.arange(rows, device=ids.device)  # for each row in the batch, its row in the result
    for step in range(limit):
        pulse.beat(partial(_answers_so_far, finished, step / limit))
        picked = pick(logits, None if noise is None else noise[live, step])
        tokens[live, step] = torch.where(finished[live], tokens[live, step], picked)
        ended = torch.isin(picked, stops) & ~finished[live]
        lengths[live[ended]] = step + 1
        finished[live[ended]] = True
        if step + 1 == limit or bool(finished[live].all()):
            break
        done = finished[live]
        if int(done.sum()) >= max(1, FINISHED_SHARE * len(live)) and selectable(cache):
            keep = (~done).nonzero().squeeze(1)
            select(cache, keep)
            live, mask, last, picked = live[keep], mask[keep], last[keep], picked[keep]
        last = last + 1
        logits = _forward(policy, picked[:, None], mask[:, : width + step + 1], last, cache)
    listed = zip(tokens.tolist(), lengths.tolist(), finished.tolist(), strict=True)
    return [Completion(row[:length], done) for row, length, done in listed]


def _answers_so_far(finished: Tensor, share: float) -> float:
    """Return the number of answers. An unfinished answer counts as `share`."""
    n_finished = int(finished.sum())
    return n_finished + share * (len(finished) - n_finished)


def _forward(
    policy: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache
) -> Tensor:
    """Return the (B, V) logits for the token that follows the last input token."""
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}
    accepted = _forward_parameters(policy)
    if "position_ids" in accepted:
        inputs["position_ids"] = positions
    if "logits_to_keep" in accepted:
        inputs["logits_to_keep"] = 1
    logits: Tensor = policy(**inputs, use_cache=True).logits
    return logits[:, -1]


def _forward_parameters(policy: Any) -> set[str]:
    """Return the parameter names of the language model's own `forward` method. An adapter wrapper is
    unwrapped first, because the wrapper's own `forward` accepts any argument."""
    inner = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
    return set(inspect.signature(inner.forward).parameters)


def _refuse_bad_settings(
    prompts: Sequence[Sequence[int]], n: int, max_new_tokens: int, temperature: float, top_p: float
) -> None:
    empty = [number for number, prompt in enumerate(prompts) if not prompt]
    if empty:
        raise ValueError(f"prompt {empty[0]} has no tokens, so there is nothing to continue")
    if n < 1 or max_new_tokens < 1:
        raise ValueError(f"n and max_new_tokens must be at least 1, got {n} and {max_new_tokens}")
    if temperature < 0 or not 0 < top_p <= 1:
        raise ValueError(f"temperature must be >= 0 and top_p in (0, 1], got {temperature} and {top_p}")
