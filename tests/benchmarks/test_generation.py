"""The generation benchmark compares Rankloop with transformers, which uses torch's own linear layers."""

from __future__ import annotations

import pytest

from benchmarks import generation
from tests.training.rlhf import tiny
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.parts import products

PROMPTS = [[5, 6, 7], [8, 9]]


def test_transformers_runs_a_copy_of_the_model_without_our_linear_layers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = Loaded(tiny.policy(), tiny.tokenizer())
    generation.compare("tiny", policy, PROMPTS, 2, 3, rounds=2, sizes=[2])
    assert any(isinstance(module, products.Linear) for module in policy.model.modules())
    assert "ratio: " in capsys.readouterr().out


def test_measuring_transformers_with_our_linear_layers_is_refused() -> None:
    policy = Loaded(tiny.policy(), tiny.tokenizer())
    products.use_onednn(policy.model)
    with pytest.raises(ValueError, match="must run with the linear layers of torch"):
        generation.theirs(policy, PROMPTS, 1, 2, 2)()
