"""Log-probabilities of given tokens, without materialising a (batch, tokens, vocabulary) tensor.

For 64 rows of 512 tokens and a vocabulary of 151,936, the fp32 logits take 20 GB. log_softmax doubles this
amount. Only the response positions are needed. Each response position needs only the given token's
log-probability and the entropy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from training.rlhf.core.alive import alive
from training.rlhf.models.trunks import plain

CHUNK_TOKENS = 1024  # number of positions projected onto the vocabulary in one chunk

# Transformations between the output embedding and the logits in some architectures (Gemma 2, Cohere,
# Granite). Applying only the output embedding would omit these transformations, so such models use their own
# forward pass.
LOGIT_TRANSFORMS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


def token_log_probs(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    wanted: Tensor,
    *,
    temperature: float,
    position_ids: Tensor | None = None,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each wanted token given all tokens before it, and the entropy of the
    token's distribution.

    ``input_ids``, ``attention_mask`` and ``wanted`` have shape (B, T) and are right-padded. ``wanted`` is a
    bool tensor. In column 0, ``wanted`` is false, because no earlier token predicts the first token of a row.
    Returns the log-probabilities and the entropies in nats. Both are fp32 tensors of shape (N,) in row order,
    where N = wanted.sum(). The entropy carries a gradient only with ``entropy_gradient``, which takes more
    memory. ``temperature`` divides the logits exactly as in sampling. Raises ValueError if ``wanted`` is true
    in column 0.

    With ``position_ids``, of the same shape, a row can hold several texts (`packing`). The attention mask
    then separates the texts, and the first token of a text is not wanted.
    """
    alive()
    if bool(wanted[:, 0].any()):
        raise ValueError("the first token of a row cannot be predicted: no token comes before it")
    predicting = wanted[:, 1:]
    targets = input_ids[:, 1:][predicting]
    given: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask, "use_cache": False}
    if position_ids is not None:
        given["position_ids"] = position_ids
    if any(getattr(model.config.get_text_config(), name, None) for name in LOGIT_TRANSFORMS):
        return _gather(model(**given).logits[:, :-1][predicting], targets, temperature, entropy_gradient)
    # The model inside an adapter's wrapper: the wrapper's own `base_model` returns logits, not states.
    inner: Any = plain(model)
    hidden = inner.base_model(**given).last_hidden_state[:, :-1][predicting]
    project = inner.get_output_embeddings()
    return selected_log_probs(
        hidden, targets, project, temperature=temperature, entropy_gradient=entropy_gradient
    )


def selected_log_probs(
    hidden: Tensor, targets: Tensor, project: Any, *, temperature: float, entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities and the entropies of N tokens, both with shape (N,), computed in chunks.

    ``hidden``, with shape (N, d), contains the states. ``targets``, with shape (N,), contains the token IDs.
    ``project`` is the output embedding. Each chunk is recomputed in the backward pass. At most one chunk of
    logits is therefore in memory at a time.
    """

    def one_chunk(states: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return _gather(project(states), tokens, temperature, entropy_gradient)

    parts = []
    for states, tokens in zip(
        torch.split(hidden, CHUNK_TOKENS), torch.split(targets, CHUNK_TOKENS), strict=True
    ):
        if torch.is_grad_enabled() and len(hidden) > CHUNK_TOKENS:
            parts.append(checkpoint(one_chunk, states, tokens, use_reentrant=False))
        else:  # a single chunk, or no gradient: recomputing would save no memory
            parts.append(one_chunk(states, tokens))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _gather(
    logits: Tensor, targets: Tensor, temperature: float, entropy_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of ``targets`` and the entropies.

    Both results have shape (N,), and ``logits`` has shape (N, V). The computation is in fp32, because bf16
    shifts a log-probability by up to 3e-3.
    """
    log_probs = torch.log_softmax(logits.float() / temperature, dim=-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
    return log_probs.gather(1, targets[:, None]).squeeze(1), entropy
