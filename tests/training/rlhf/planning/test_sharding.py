"""The predicted memory of a sharded model is compared with the parameters of a real model."""

from __future__ import annotations

import pytest

from tests.training.rlhf import tiny
from training.rlhf.models.files import shapes
from training.rlhf.planning import sharding


def test_sizes_are_those_of_the_layers_of_a_model() -> None:
    model = tiny.policy()
    shape = shapes.shape_of(model.config.to_dict())
    matrices = sum(one.numel() for one in model.model.layers[0].parameters() if one.ndim == 2)
    assert sharding.layer_weights(shape) == matrices
    outside = model.model.embed_tokens.weight.numel() + model.lm_head.weight.numel()
    # The tolerance covers the norms, which count as weights outside the layers.
    assert sharding.outside_weights(shape) == pytest.approx(outside, rel=0.05)


def test_process_stores_its_part_and_holds_two_layers_and_outside_weights() -> None:
    shape = shapes.shape_of(tiny.policy().config.to_dict())
    for processes in (2, 8):
        stored = {part.name: part.bytes for part in sharding.stored(shape, processes=processes)}
        assert sum(stored.values()) == 12 * shape.weights / processes
        held = {part.name: part.bytes for part in sharding.updating(shape, processes=processes, number=2)}
        assert held.items() >= stored.items()
        assert held["gradients: part"] == 4 * shape.weights / processes
        layer, outside = sharding.layer_weights(shape), sharding.outside_weights(shape)
        assert held["gathered weights"] == 2 * (outside + 2 * layer)
        assert held["gradients before the exchange"] == 2 * (outside + layer) + 4 * layer


def test_generating_process_holds_a_complete_copy() -> None:
    shape = shapes.shape_of(tiny.policy().config.to_dict())
    parts = sharding.generating(shape, processes=4, number=2)
    assert sum(part.bytes for part in parts) == 12 * shape.weights / 4 + 2 * shape.weights
