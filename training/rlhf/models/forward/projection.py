"""The projection of states onto the vocabulary, without the logits of all tokens at once.

For 64 rows of 512 tokens and a vocabulary of 151,936, the fp32 logits take 20 GB. log_softmax and its
gradient triple this amount. Here, one chunk of tokens is projected at a time. Two numbers are computed for
each token: the log-probability of its target and, if wanted, the entropy. The backward pass projects each
chunk again.

Logits, sums and gradients are accumulated in fp32, even if the weights are bf16. bf16 logits shift a
log-probability by up to 3e-3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.rlhf.models.parts import products

# Number of logits in a chunk. More logits per chunk take more memory. A chunk has at least MIN_CHUNK_TOKENS
# tokens, because the projection of fewer tokens spends most of its time reading the weights.
CHUNK_LOGITS, CHUNK_LOGITS_ON_GPU = 2**24, 2**26
MIN_CHUNK_TOKENS = 256
# Number of logits for which the softmax is computed at a time. On a CPU, these logits stay in the cache.
BLOCK_LOGITS, BLOCK_LOGITS_ON_GPU = 2**17, 2**25
# Number of weights that are converted to fp32 at a time, if the weights have half precision.
CONVERTED_WEIGHTS = 2**23


@dataclass(frozen=True, slots=True)
class Transform:
    """A model's transformation of its logits after the projection. The logits are multiplied by ``scale`` and
    then limited to plus or minus ``cap``: cap · tanh(logits / cap)."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def chunk_tokens(vocabulary: int, *, on_gpu: bool) -> int:
    """Return the number of tokens that are projected at a time."""
    return max(MIN_CHUNK_TOKENS, (CHUNK_LOGITS_ON_GPU if on_gpu else CHUNK_LOGITS) // vocabulary)


def project(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    temperature: float,
    transform: Transform,
    entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each target and the entropy of its distribution, in nats.

    ``hidden`` has shape (N, d), ``weight`` (V, d), ``bias`` (V,) and ``targets`` (N,). The logits are
    transform(hidden · weightᵀ + bias) / temperature. Both results have shape (N,), carry gradients and are
    fp32, or fp64 for fp64 states. Without ``entropy``, the entropies are 0.
    """
    trains = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (hidden, weight, bias)
    )
    log_probs, entropies = _Projection.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, temperature, transform, entropy, trains
    )
    return log_probs, entropies


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        transform: Transform,
        entropy: bool,
        trains: bool,
    ) -> tuple[Tensor, Tensor]:
        exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        n, vocabulary = len(hidden), len(weight)
        size = min(n, chunk_tokens(vocabulary, on_gpu=hidden.is_cuda))
        logits = hidden.new_empty((size, vocabulary), dtype=exact)
        figures = hidden.new_zeros((4, n), dtype=exact)
        for part in _parts(n, size):
            chunk = logits[: len(hidden[part])]
            _fill(chunk, hidden[part], weight, bias, temperature, transform)
            _summarise(chunk, targets[part], figures[:, part], entropy=entropy)
        ctx.save_for_backward(hidden, weight, bias, targets, figures)
        ctx.settings = temperature, transform, size
        # If there is only one chunk, its logits are kept until the backward pass, because projecting the
        # chunk again would not lower the peak memory.
        ctx.logits = logits if trains and size == n else None
        ctx.set_materialize_grads(False)
        return figures[0].clone(), figures[1].clone()

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, figures = ctx.saved_tensors
        temperature, transform, size = ctx.settings
        kept, ctx.logits = ctx.logits, None
        logits = figures.new_empty((size, len(weight))) if kept is None else kept
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        to_hidden = torch.empty_like(hidden) if of_hidden else None
        to_weight = figures.new_zeros(weight.shape) if of_weight else None
        to_bias = figures.new_zeros(len(weight)) if of_bias else None
        factor = transform.scale / temperature
        for part in _parts(len(hidden), size):
            states = hidden[part]
            chunk = logits[: len(states)]
            if kept is None:
                _fill(chunk, states, weight, bias, temperature, transform)
                chunk.sub_(figures[2, part, None])
            gradients = [None if one is None else one[part] for one in given]
            limit = None if transform.cap is None else transform.cap / temperature
            _differentiate(chunk, targets[part], figures[:, part], *gradients, limit=limit)
            if to_bias is not None:
                to_bias.add_(chunk.sum(0), alpha=factor)
            if _multiplies_halves(states, weight):
                half = chunk.to(weight.dtype)
                if to_hidden is not None:
                    to_hidden[part] = torch.mm(half, weight, out_dtype=torch.float32).mul_(factor)
                if to_weight is not None:
                    to_weight.add_(torch.mm(half.t(), states, out_dtype=torch.float32), alpha=factor)
                continue
            if to_hidden is not None and products.takes_onednn(chunk, weight):
                to_hidden[part] = products.multiply(chunk, weight.t()).mul_(factor)
            elif to_hidden is not None:
                product = figures.new_zeros(states.shape)
                for rows in _blocks_of(weight, chunk):
                    product.addmm_(chunk[:, rows], weight[rows].to(chunk.dtype), alpha=factor)
                to_hidden[part] = product
            if to_weight is not None:
                to_weight.addmm_(chunk.t(), states.to(chunk.dtype), alpha=factor)
        return (
            to_hidden,
            None if to_weight is None else to_weight.to(weight.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            *[None] * 5,
        )


def _fill(
    logits: Tensor,
    states: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    temperature: float,
    transform: Transform,
) -> None:
    """Write the logits of some states, divided by the temperature, into ``logits``."""
    factor = transform.scale / (temperature if transform.cap is None else transform.cap)
    if _multiplies_halves(states, weight):
        logits.copy_(torch.mm(states, weight.t(), out_dtype=torch.float32)).mul_(factor)
    else:
        scaled = states.to(logits.dtype) * factor  # scaling the states is cheaper than scaling the logits
        for rows in _blocks_of(weight, logits):
            torch.mm(scaled, weight[rows].to(logits.dtype).t(), out=logits[:, rows])
    if bias is not None:
        logits.add_(bias * factor)
    if transform.cap is not None:
        logits.tanh_().mul_(transform.cap / temperature)


def _summarise(logits: Tensor, targets: Tensor, figures: Tensor, *, entropy: bool) -> None:
    """Subtract the maximum from each token's logits, and compute the token's figures: the log-probability of
    the target, the entropy, the maximum, and the logarithm of the sum of exp(logits - maximum)."""
    for rows in _parts(len(logits), _block_tokens(logits)):
        block, (log_probs, entropies, highest, log_sums) = logits[rows], figures[:, rows]
        torch.amax(block, dim=1, out=highest)
        block.sub_(highest[:, None])
        powers = block.exp()
        sums = powers.sum(dim=1)
        torch.log(sums, out=log_sums)
        torch.sub(block.gather(1, targets[rows, None]).squeeze(1), log_sums, out=log_probs)
        if entropy:
            torch.sub(log_sums, powers.mul_(block).sum(dim=1).div_(sums), out=entropies)


def _differentiate(
    logits: Tensor,
    targets: Tensor,
    figures: Tensor,
    of_log_probs: Tensor | None,
    of_entropies: Tensor | None,
    *,
    limit: float | None,
) -> None:
    """Replace the logits, from which their maximum was subtracted, with the gradient of the loss with respect
    to the logits.

    The gradient of a log-probability is onehot(target) - p, and that of an entropy is -p · (log p + entropy).
    If the logits are limit · tanh(x), the result is the gradient with respect to limit · x."""
    weights = figures.new_zeros(len(logits)) if of_log_probs is None else of_log_probs
    for rows in _parts(len(logits), _block_tokens(logits)):
        block, (_, entropies, highest, log_sums) = logits[rows], figures[:, rows]
        slope = None
        if limit is not None:
            slope = 1 - ((block + highest[:, None]) / limit).square()
        block.sub_(log_sums[:, None])
        per_token = weights[rows, None]
        if of_entropies is not None:
            per_token = per_token + of_entropies[rows, None] * (block + entropies[:, None])
        block.exp_().mul_(-per_token)
        block.scatter_add_(1, targets[rows, None], weights[rows, None])
        if slope is not None:
            block.mul_(slope)


def _parts(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, max(size, 1)):
        yield slice(start, min(start + size, n))


def _block_tokens(logits: Tensor) -> int:
    return max(1, (BLOCK_LOGITS_ON_GPU if logits.is_cuda else BLOCK_LOGITS) // logits.shape[1])


def _blocks_of(weight: Tensor, logits: Tensor) -> Iterator[slice]:
    """Return slices of the weights' rows. The rows of a slice are converted together to the precision of the
    logits."""
    same = weight.dtype == logits.dtype
    return _parts(len(weight), len(weight) if same else max(1, CONVERTED_WEIGHTS // weight.shape[1]))


def _multiplies_halves(states: Tensor, weight: Tensor) -> bool:
    """Return whether the device multiplies these bf16 matrices with fp32 accumulation."""
    return states.is_cuda and states.dtype == weight.dtype == torch.bfloat16
