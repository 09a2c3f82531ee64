"""Log-probabilities of given tokens under a language model.

Only the states that predict the wanted tokens are projected onto the vocabulary, in chunks (`projection`).
Positions whose state predicts no wanted token skip the last MLP (`segments.read_at`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core.alive import alive
from training.rlhf.core.sharding import run
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.projection import Transform, project
from training.rlhf.models.parts import products
from training.rlhf.models.parts.trunks import plain

# The settings with which some architectures transform the logits after the projection. Gemma limits the
# logits, Cohere and Falcon-H1 multiply them, and Granite divides them.
SCALES, DIVISORS = ("logit_scale", "lm_head_multiplier"), ("logits_scaling",)
CAPS = ("final_logit_softcapping", "logits_soft_cap")
PROBED_TOKENS = 8
WORTH_SELECTING = 0.8  # if a smaller share of positions is read, the last MLP skips the others
# The largest difference between the model's logits and ours, relative to the largest logit. Half-precision
# logits are rounded by up to 2^-8.
LARGEST_DIFFERENCE = {torch.float64: 1e-4, torch.float32: 1e-4}
LARGEST_DIFFERENCE_OF_HALVES = 2e-2

# For each model, the transformation of its logits, or None if the logits are computed in another way.
_transforms: WeakKeyDictionary[nn.Module, Transform | None] = WeakKeyDictionary()


class Outputs(NamedTuple):
    """A model's outputs for N wanted tokens. `log_probs` and `entropies` have shape (N,): each token's
    log-probability, and the entropy of the distribution from which the token comes. `states`, with shape (N,
    d), are the trunk's final states. They are None if the model computes its logits in an unknown way."""

    log_probs: Tensor
    entropies: Tensor
    states: Tensor | None


def token_log_probs(model: PreTrainedModel, inputs: Inputs, *, temperature: float) -> Tensor:
    """Return the log-probability of each wanted token given all tokens before it, in nats.

    The result is an fp32 tensor of shape (N,), in the order of ``inputs.targets``. ``temperature`` divides
    the logits exactly as in sampling.
    """
    return log_probs_and_entropies(model, inputs, temperature=temperature, entropy=False)[0]


def log_probs_and_entropies(
    model: PreTrainedModel, inputs: Inputs, *, temperature: float, entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each wanted token, as `token_log_probs` does, and the entropy of the
    distribution from which the token comes. Both carry gradients. Without ``entropy``, the entropies are
    0."""
    return outputs_of(model, inputs, temperature=temperature, entropy=entropy)[:2]


def outputs_of(
    model: PreTrainedModel, inputs: Inputs, *, temperature: float, entropy: bool = True
) -> Outputs:
    """Return the outputs of `log_probs_and_entropies` with the states from which they were computed."""
    alive()
    return run(model, lambda: _pass(model, inputs, temperature, entropy=entropy))


def _pass(model: PreTrainedModel, inputs: Inputs, temperature: float, *, entropy: bool) -> Outputs:
    # The model inside an adapter's wrapper: the wrapper's own `base_model` returns logits, not states.
    inner: Any = plain(model)
    transform = transform_of(model, inputs.input_ids)
    if transform is None:
        if inputs.in_segments:
            segments.attend_by_segment(model)
        products.use_onednn(model)
        logits = model(**inputs.given).logits.flatten(0, 1)[inputs.sources].float() / temperature
        log_probs = logits.log_softmax(dim=-1)
        entropies = -(log_probs.exp() * log_probs).sum(dim=-1) if entropy else logits.new_zeros(len(logits))
        return Outputs(log_probs.gather(1, inputs.targets[:, None]).squeeze(1), entropies, None)
    hidden = states_at(inner.base_model, inputs)
    head = inner.get_output_embeddings()
    log_probs, entropies = project(
        hidden,
        head.weight,
        head.bias,
        inputs.targets,
        temperature=temperature,
        transform=transform,
        entropy=entropy,
    )
    return Outputs(log_probs, entropies, hidden)


def states_at(trunk: Any, inputs: Inputs) -> Tensor:
    """Return the trunk's final states at ``inputs.sources``, with shape (N, d)."""
    if inputs.in_segments:
        segments.attend_by_segment(trunk)
    products.use_onednn(trunk)
    width = inputs.input_ids.shape[1]
    # If almost all positions are read, the MLP is faster without the selection.
    reads = segments.read_at(trunk, inputs.sources // width, inputs.sources % width)
    with reads if len(inputs.sources) < WORTH_SELECTING * inputs.places else nullcontext():
        states: Tensor = trunk(**inputs.given).last_hidden_state
    return states.flatten(0, 1)[inputs.sources]


@torch.no_grad()
def transform_of(model: PreTrainedModel, input_ids: Tensor) -> Transform | None:
    """Return the transformation that the model applies to its logits after the output embedding. Return None
    if the model computes its logits from the trunk's states in another way.

    The result is checked against the model's own logits for the first few tokens. Some architectures have
    further layers before the output embedding, and without the check, their log-probabilities would be wrong.
    """
    inner: Any = plain(model)
    if inner not in _transforms:
        _transforms[inner] = _tested_transform(model, input_ids[:1, :PROBED_TOKENS])
    return _transforms[inner]


def _tested_transform(model: PreTrainedModel, input_ids: Tensor) -> Transform | None:
    inner: Any = plain(model)
    head = inner.get_output_embeddings()
    if not products.is_linear(head) or inner.base_model is inner:
        return None
    config = inner.config.get_text_config()
    scale = 1.0
    for name in SCALES:
        scale *= getattr(config, name, None) or 1.0
    for name in DIVISORS:
        scale /= getattr(config, name, None) or 1.0
    caps = [cap for name in CAPS if (cap := getattr(config, name, None))]
    transform = Transform(scale, caps[0] if caps else None)
    outputs: list[Any] = []
    hook = inner.base_model.register_forward_hook(lambda *given: outputs.append(given[-1]))
    try:
        expected = model(input_ids=input_ids, use_cache=False).logits.float()
    finally:
        hook.remove()
    if len(outputs) != 1 or getattr(outputs[0], "last_hidden_state", None) is None:
        return None
    found = transform(head(outputs[0].last_hidden_state).float())
    allowed = LARGEST_DIFFERENCE.get(head.weight.dtype, LARGEST_DIFFERENCE_OF_HALVES)
    largest = float(expected.abs().max())
    return transform if float((found - expected).abs().max()) <= allowed * largest else None
