"""The projection in chunks gives the same values and gradients as the full logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaForCausalLM,
)

from tests.training.rlhf import tiny
from training.rlhf.models.forward import logprobs, projection
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.projection import Transform, project

SMALL: dict[str, Any] = {
    "vocab_size": 69, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
    "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
}  # fmt: skip


class Scaled(LlamaForCausalLM):
    """A model that transforms its logits in a way that its configuration does not state."""

    def forward(self, *given: Any, **named: Any) -> Any:
        out = super().forward(*given, **named)
        out.logits = out.logits.sin() * 3
        return out


def scaled() -> Any:
    torch.manual_seed(0)
    return Scaled(tiny.policy().config).eval()


MODELS: dict[str, Any] = {
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16, final_logit_softcapping=1.5)),
    "cohere": lambda: CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.3)),
    "granite": lambda: GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=4.0)),
    "a layer before the output embedding": tiny.ettin_policy,
    "unknown transformation": scaled,
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("chunk", [3, 256])
def test_log_probs_equal_those_from_the_logits_of_the_model(
    kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(projection, "MIN_CHUNK_TOKENS", chunk)
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    ids = torch.randint(4, 64, (3, 12), generator=torch.Generator().manual_seed(0))
    mask, wanted = torch.ones_like(ids), torch.arange(12).expand(3, 12) >= 4
    full = (model(input_ids=ids, attention_mask=mask).logits[:, 3:-1] / 0.7).log_softmax(-1)
    expected = full.gather(2, ids[:, 4:, None]).flatten()
    entropies = -(full.exp() * full).sum(-1).flatten()
    (expected.sin().sum() + entropies.cos().sum()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    inputs = Inputs.of(ids, mask, wanted)
    found, entropy = logprobs.log_probs_and_entropies(model, inputs, temperature=0.7)
    (found.sin().sum() + entropy.cos().sum()).backward()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, entropies, atol=1e-5, rtol=1e-5)
    assert gradients
    for name, parameter in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("chunk", [3, 100])
def test_gradients_equal_finite_differences(
    chunk: int, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(projection, "MIN_CHUNK_TOKENS", chunk)
    torch.manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((7, 4), (11, 4), (11,))
    )
    targets = torch.randint(11, (7,))

    def both(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return project(
            hidden, weight, bias, targets, temperature=0.6, transform=Transform(1.7, cap), entropy=True
        )

    assert torch.autograd.gradcheck(both, (hidden, weight, bias))


def test_second_backward_pass_computes_the_same_gradient() -> None:
    """The first backward pass overwrites the stored logits."""
    weight, hidden = nn.Parameter(torch.randn(11, 4)), torch.randn(7, 4)
    found, _ = project(hidden, weight, None, torch.randint(11, (7,)), temperature=1.0, transform=Transform())
    first, second = (torch.autograd.grad(found.sum(), weight, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second)


def test_products_in_half_precision_are_summed_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """With bf16 logits, the error of a log-probability is up to 3e-3. The reference is computed in fp64 from
    the same bf16 states and weights."""
    monkeypatch.setattr(projection, "CONVERTED_WEIGHTS", 1000)  # several blocks
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 64, generator=generator).bfloat16() for n in (20, 500))
    targets, slope = torch.randint(500, (20,), generator=generator), torch.randn(20, generator=generator)
    results = []
    for dtype in (torch.bfloat16, torch.float64):
        given = [tensor.clone().to(dtype).requires_grad_() for tensor in (hidden, weight)]
        found, _ = project(given[0], given[1], None, targets, temperature=0.8, transform=Transform())
        (found * slope).sum().backward()
        results.append((found.detach().double(), *(one.grad for one in given)))
    (found, *gradients), (expected, *exact) = results
    assert found.sub(expected).abs().max() < 2e-5
    for gradient, right in zip(gradients, exact, strict=True):
        assert gradient is not None
        assert right is not None
        assert gradient.dtype == torch.bfloat16
        rounded = right.to(torch.bfloat16)  # exact sums, rounded only once
        assert (gradient - rounded).abs().max() <= 0.01 * rounded.abs().max()
        assert (gradient != rounded).float().mean() < 0.02
