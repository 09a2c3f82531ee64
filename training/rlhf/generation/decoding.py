"""Sampling from a causal language model. Each prompt is processed once, and then all samples for the prompt
are decoded together.

Works with any transformers model. Differences from `model.generate`:

- The model processes each prompt once. The prompt's keys and values are then repeated for its `n` samples.
- Keys and values are written into preallocated buffers. On small models, `generate` spends a third of its
  time on concatenating keys and values.
- Each token is sampled from the cumulative distribution with one uniform random number. `generate` uses one
  exponential random number per vocabulary entry.
- Finished rows are removed from the batch.

Only `temperature` and `top_p` change the distribution (there is no top-k, repetition penalty or minimum
length). With `top_p` = 1, the sampling distribution is therefore the one for which training later computes
log-probabilities. The only exceptions are the IDs beyond the tokenizer's largest ID, which are never sampled.
They have no text, and a reward model can have fewer of them. A trained model gives them almost no
probability.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

from training.rlhf.core.alive import alive
from training.rlhf.models import chat

# The number of rows decoded together. Decoding more rows at once takes more memory but saves hardly any time.
ROWS_PER_BATCH = 256
# Finished rows are dropped once they make up this share of the batch. Rows are not dropped one by one,
# because each drop copies the cache.
FINISHED_SHARE = 0.25


class Completion(NamedTuple):
    """One sampled answer. If `finished`, `ids` ends with the stop token that was sampled. Otherwise, the
    answer was truncated at the length limit.

    A model can have several stop tokens. Qwen3 and Llama 3 list two, and one of Qwen3's is its padding token.
    """

    ids: list[int]
    finished: bool

    def ended(self, eos: int) -> list[int]:
        """Return the IDs with exactly one EOS at the end, for scoring and imitation. EOS replaces the sampled
        stop token and is appended to a truncated answer. Reward models and policies are trained on answers
        that end with EOS. After another stop token, a reward model's score is meaningless."""
        return [*(self.ids[:-1] if self.finished else self.ids), eos]


def generate(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    n: int = 1,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    generator: torch.Generator | None = None,
    rows_per_batch: int = ROWS_PER_BATCH,
    check: Callable[[], None] = lambda: None,
) -> list[list[Completion]]:
    """Sample `n` answers to each prompt (token IDs from `chat.encode_prompt`), in the order of the prompts.

    A `temperature` of 0 always selects the most likely token. If `top_p` is below 1, only the most likely
    tokens are sampled: the smallest set whose probabilities add up to at least `top_p`. Random numbers come
    from `generator` (on the CPU) or, without a generator, from `seed`. Each sample has its own random
    numbers, so the result does not depend on `rows_per_batch` or on the lengths of other prompts. Prompts
    that exceed the context are truncated on the left (`chat.cut_prompts` counts them). `check` is called
    before each batch and can raise an exception to stop. Raises ValueError for an empty prompt or a setting
    out of range.
    """
    _refuse_bad_settings(prompts, n, max_new_tokens, temperature, top_p)
    cut, _ = chat.cut_prompts(prompts, chat.context_length(policy) - max_new_tokens)
    source = generator or torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(cut), n, max_new_tokens, generator=source) if temperature > 0 else None
    stops, known = _stop_ids(policy, tokenizer), chat.id_limit(tokenizer)
    # Prompts of similar length need little padding.
    by_length = sorted(range(len(cut)), key=lambda i: len(cut[i]))
    per_batch = max(1, rows_per_batch // n)
    completions: list[list[Completion]] = [[] for _ in cut]
    was_training = policy.training
    policy.train(False)
    try:
        for start in range(0, len(cut), per_batch):
            check()
            chosen = by_length[start : start + per_batch]
            noise = None if uniform is None else uniform[chosen].flatten(0, 1).to(policy.device)
            ids, mask = chat.left_pad([cut[i] for i in chosen], chat.pad_id(tokenizer))
            rows = _decode_batch(
                policy,
                ids.to(policy.device),
                mask.to(policy.device),
                n=n,
                limit=max_new_tokens,
                stops=stops.to(policy.device),
                pick=lambda logits, u: pick_tokens(
                    logits[:, :known], u, temperature=temperature, top_p=top_p
                ),
                noise=noise,
            )
            for position, index in enumerate(chosen):
                completions[index] = rows[position * n : (position + 1) * n]
    finally:
        policy.train(was_training)
    return completions


def pick_tokens(logits: Tensor, uniform: Tensor | None, *, temperature: float, top_p: float) -> Tensor:
    """Sample the next token of each row. Returns token IDs, with shape (B,).

    ``logits`` has shape (B, V). ``uniform`` has shape (B,) and contains random numbers from [0, 1). The
    function picks the first token whose cumulative probability exceeds the row's random number. Without
    ``uniform``, or at temperature 0, the function picks the most likely token.
    """
    if uniform is None or temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    order = None
    if top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        # The most likely token is always kept: the cumulative probability before it is 0.
        probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    threshold = uniform[:, None] * cumulative[:, -1:]
    picked = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=logits.shape[-1] - 1)
    return (picked if order is None else order.gather(1, picked)).squeeze(1)


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
) -> list[Completion]:
    """Generate n completions for each of B left-padded prompts, B·n in all.

    ``ids`` and ``mask`` have shape (B, T). The n completions of a prompt are adjacent. A row's positions
    count only its real tokens, so padding on the left does not change the row's output.
    """
    rows = len(ids) * n
    cache = DynamicCache(config=policy.config)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    if _repeatable(cache):
        logits = _forward(policy, ids, mask, positions, cache).repeat_interleave(n, dim=0)
        _repeat(cache, n, room=limit)
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
        alive()
        picked = pick(logits, None if noise is None else noise[live, step])
        tokens[live, step] = torch.where(finished[live], tokens[live, step], picked)
        ended = torch.isin(picked, stops) & ~finished[live]
        lengths[live[ended]] = step + 1
        finished[live[ended]] = True
        if step + 1 == limit or bool(finished[live].all()):
            break
        done = finished[live]
        if int(done.sum()) >= max(1, FINISHED_SHARE * len(live)) and _selectable(cache):
            keep = (~done).nonzero().squeeze(1)
            _select(cache, keep)
            live, mask, last, picked = live[keep], mask[keep], last[keep], picked[keep]
        last = last + 1
        logits = _forward(policy, picked[:, None], mask[:, : width + step + 1], last, cache)
    listed = zip(tokens.tolist(), lengths.tolist(), finished.tolist(), strict=True)
    return [Completion(row[:length], done) for row, length, done in listed]


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


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, with shape (B, heads, T, d). The buffer has space for tokens that are
    not generated yet."""

    def __init__(self, keys: Tensor, values: Tensor, n: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._length = keys.shape[-2]
        self._keys, self._values = _with_room(keys, n, room), _with_room(values, n, room)
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        end = self._length + key_states.shape[-2]
        self._keys[:, :, self._length : end] = key_states
        self._values[:, :, self._length : end] = value_states
        self._length = end
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        shown = self._keys[:, :, : self._length], self._values[:, :, : self._length]
        self.keys, self.values = shown
        return shown


def _with_room(states: Tensor, n: int, room: int) -> Tensor:
    batch, heads, length, width = states.shape
    buffer = states.new_zeros(batch * n, heads, length + room, width)
    buffer[:, :, :length] = states.repeat_interleave(n, dim=0)
    return buffer


def _repeatable(cache: DynamicCache) -> bool:
    return all(hasattr(layer, "batch_repeat_interleave") for layer in cache.layers)


def _selectable(cache: DynamicCache) -> bool:
    return all(hasattr(layer, "batch_select_indices") for layer in cache.layers)


def _repeat(cache: DynamicCache, n: int, *, room: int) -> None:
    """Repeat each row of the cache n times. Cache layers with full attention get a preallocated buffer. Other
    cache layers, such as those with a sliding window, keep their own class."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[number] = _RoomyLayer(layer.keys, layer.values, n, room)
        elif n > 1:
            cast(Any, layer).batch_repeat_interleave(n)


def _select(cache: DynamicCache, rows: Tensor) -> None:
    for layer in cache.layers:
        cast(Any, layer).batch_select_indices(rows)


def _stop_ids(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Return all token IDs that end an answer. These IDs are the EOS tokens of the tokenizer and of the
    model's generation settings."""
    configured = getattr(getattr(policy, "generation_config", None), "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [] if configured is None else [configured]
    return torch.tensor(sorted({chat.eos_id(tokenizer), *listed}))


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
