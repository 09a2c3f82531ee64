"""Log-probabilities computed in chunks equal those computed from the full logits, as do their gradients."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from tests.training.rlhf import tiny
from training.rlhf.models.forward import logprobs, projection
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.parts.lora import merged


def rows() -> tuple[Tensor, Tensor, Tensor]:
    ids = torch.randint(4, 64, (3, 12), generator=torch.Generator().manual_seed(0))
    lengths, starts = torch.tensor([12, 7, 9])[:, None], torch.tensor([4, 2, 8])[:, None]
    places = torch.arange(12)[None, :]
    return ids, (places < lengths).long(), (places >= starts) & (places < lengths)


@pytest.mark.parametrize("chunk", [3, 1024])
def test_log_probs_equal_log_softmax_over_the_full_logits(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(projection, "MIN_CHUNK_TOKENS", chunk)
    model, (ids, mask, wanted) = tiny.policy(), rows()
    full = (model(input_ids=ids, attention_mask=mask).logits / 0.7).log_softmax(-1)
    expected = full[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)[wanted[:, 1:]]
    entropies = -(full.exp() * full).sum(-1)[:, :-1][wanted[:, 1:]]
    expected.sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    found, entropy = logprobs.log_probs_and_entropies(model, Inputs.of(ids, mask, wanted), temperature=0.7)
    found.sum().backward()
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(entropy, entropies, atol=1e-5)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradients[name], atol=1e-4), name


def test_log_prob_of_the_first_token_cannot_be_requested() -> None:
    model, (ids, mask, _) = tiny.policy(), rows()
    with pytest.raises(ValueError, match="can't be predicted"):
        logprobs.token_log_probs(model, Inputs.of(ids, mask, mask.bool()), temperature=1.0)


def test_log_probabilities_of_an_adapted_model_equal_those_of_the_merged_model() -> None:
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(tiny.policy(), settings).eval()
    ids = torch.randint(4, 60, (2, 9), generator=torch.Generator().manual_seed(0))
    mask, wanted = torch.ones_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    wanted[:, 4:] = True
    found = logprobs.token_log_probs(adapted, Inputs.of(ids, mask, wanted), temperature=1.0)
    expected = logprobs.token_log_probs(merged(adapted), Inputs.of(ids, mask, wanted), temperature=1.0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
