"""Linear layers computed with oneDNN give the same results as torch's own linear layers."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.rlhf.models.parts import products

ROWS, BEFORE, BEHIND = 200, 96, 160


def linear(*, bias: bool = True, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(BEFORE, BEHIND, bias=bias)


def learn(module: nn.Module, given: Tensor) -> dict[str, Tensor]:
    """Return the output, and the gradients of the sum of its sines."""
    at = given.clone().requires_grad_()
    out = module(at)
    torch.autograd.backward(out.sin().sum())
    gradients = {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
    assert at.grad is not None
    return {"out": out.detach(), "input": at.grad, **gradients}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS, BEFORE), (1, ROWS, BEFORE), (4, ROWS // 4, BEFORE)])
def test_output_and_gradients_equal_those_in_float64(shape: tuple[int, ...], bias: bool) -> None:
    module, given = linear(bias=bias), torch.randn(shape)
    exact = learn(copy.deepcopy(module).double(), given.double())
    products.use_onednn(module)
    assert products.takes_onednn(given, module.weight)
    found = learn(module, given)
    assert found.keys() == exact.keys()
    for name, one in exact.items():
        scale = float(one.abs().max())
        torch.testing.assert_close(found[name].double() / scale, one / scale, rtol=0, atol=1e-6)
        assert found[name].is_contiguous(), name


def test_output_is_bitwise_identical_with_and_without_gradients() -> None:
    module, given = linear(), torch.randn(ROWS, BEFORE)
    products.use_onednn(module)
    expected = learn(module, given)["out"]
    with torch.no_grad():
        assert torch.equal(module(given), expected)
    assert torch.equal(copy.deepcopy(module)(given), expected)


def test_frozen_layer_passes_the_gradient_on_and_gets_none() -> None:
    module, given = linear(), torch.randn(ROWS, BEFORE)
    products.use_onednn(module)
    expected = learn(copy.deepcopy(module), given)["input"]
    found = learn(module.requires_grad_(False), given)
    assert found.keys() == {"out", "input"}
    assert torch.equal(found["input"], expected)


def test_torch_computes_small_products_and_products_in_other_precisions() -> None:
    """MKL and oneDNN round differently, so equal bits show that the same library computed both products."""
    module = linear()
    changed = copy.deepcopy(module)
    products.use_onednn(changed)
    for given in (torch.randn(3, BEFORE), torch.randn(0, BEFORE)):
        assert torch.equal(changed(given), module(given))
    given = torch.randn(ROWS, BEFORE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(changed(given), module(given))
    for dtype in (torch.float64, torch.bfloat16):
        assert torch.equal(changed.to(dtype)(given.to(dtype)), module.to(dtype)(given.to(dtype)))


def test_subclasses_of_linear_layers_keep_their_own_forward_pass() -> None:
    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    module = nn.Sequential(Doubled(BEFORE, BEHIND), nn.Linear(BEHIND, 1))
    products.use_onednn(module)
    assert [type(one) for one in module] == [Doubled, products.Linear]


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_products_of_many_lengths_do_not_exhaust_the_memory() -> None:
    """By default, oneDNN caches compiled code for 1,024 shapes."""
    weight, held = torch.randn(176, 64), [0.0]
    lengths = torch.randperm(1600, generator=torch.Generator().manual_seed(0)) + 400
    for part in lengths[:800].view(4, -1).tolist():
        for length in part:
            products.multiply(torch.randn(length, 64), weight)
        held.append(resident_mb())
    assert held[-1] - held[1] < 100


def test_cache_of_compiled_code_is_limited_after_the_environment_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run's process replaces its environment variables after the module has been imported."""
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    products.use_onednn(nn.Linear(4, 4))
    assert [os.environ[name] for name in names] == ["64", "64"]
    monkeypatch.setenv(names[0], "256")
    products.use_onednn(nn.Linear(4, 4))
    assert os.environ[names[0]] == "256"
