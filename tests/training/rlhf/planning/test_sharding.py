"""The predicted memory of a sharded model is compared with the parameters of a real model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.training.rlhf import tiny
from training.rlhf.models.files import shapes
from training.rlhf.planning import loops, on_policy, reward_model, sharding
from training.rlhf.planning.backward import Backward, backward
from training.rlhf.planning.cost import Conditions, Cost, Data, Part
from training.rlhf.planning.transformer import Pass
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig

DATA = Data(64, 60, 40, 120, responses=4)
TRAINED = {"ppo": ("policy", "critic"), "reward_model": ("reward model",)}


def small() -> shapes.Shape:
    return shapes.shape_of(tiny.policy().config.to_dict() | {"num_hidden_layers": 24})


def cost_of(kind: str, *, processes: int, gpu: bool = True, **settings: Any) -> Cost:
    shape, given = small(), Conditions(gpu=gpu, processes=processes)
    costs: dict[str, Callable[[], Cost]] = {
        "sft": lambda: loops.sft(SFTConfig(**settings), shape, DATA, given=given),
        "dpo": lambda: loops.dpo(DPOConfig(**settings), shape, DATA, given=given),
        "reward_model": lambda: reward_model.reward_model(
            RewardModelConfig(**settings), shape, DATA, given=given
        ),
        "rejection_sampling": lambda: loops.rejection_sampling(
            RejectionSamplingConfig(**settings), shape, shape, DATA, given=given
        ),
        "rloo": lambda: on_policy.rloo(RLOOConfig(**settings), shape, shape, DATA, given=given),
        "ppo": lambda: on_policy.ppo(PPOConfig(**settings), shape, shape, DATA, given=given),
    }
    return costs[kind]()


def parts_of(cost: Cost, stage: str) -> dict[str, float]:
    found = max((one for one in cost.stages if one.name == stage), key=lambda one: one.bytes)
    return named(found.parts)


def named(parts: Sequence[Part]) -> dict[str, float]:
    return {part.name: part.bytes for part in parts}


def test_estimated_layer_sizes_match_the_layers_of_a_model() -> None:
    model = tiny.policy()
    shape = shapes.shape_of(model.config.to_dict())
    matrices = sum(one.numel() for one in model.model.layers[0].parameters() if one.ndim == 2)
    assert sharding.layer_weights(shape) == matrices
    outside = model.model.embed_tokens.weight.numel() + model.lm_head.weight.numel()
    # The tolerance covers the layers' norms, which count as weights outside the layers.
    assert sharding.outside_weights(shape) == pytest.approx(outside, rel=0.05)


@pytest.mark.parametrize("kind", ["sft", "dpo", "rejection_sampling", "rloo", "ppo", "reward_model"])
@pytest.mark.parametrize("processes", [2, 8])
def test_process_stores_a_part_and_gathers_two_layers_and_the_outer_weights(
    kind: str, processes: int
) -> None:
    shape, half = small(), kind != "reward_model"
    number, settings = (2, {"dtype": "bfloat16"}) if half else (4, {})
    held = parts_of(cost_of(kind, processes=processes, sharding="full", **settings), "update")
    for name in TRAINED.get(kind, ("policy",)):
        assert held[f"weights: part of the {name}"] == 4 * shape.weights / processes
    assert held["Adam's moments"] == 8 * shape.weights / processes
    if kind in ("rloo", "ppo"):  # a frozen model stays in bfloat16
        assert held["weights: part of the reference"] == 2 * shape.weights / processes
    layer, outside = sharding.layer_weights(shape), sharding.outside_weights(shape)
    assert held["gathered weights"] == number * (outside + 2 * layer)
    assert not {"weights: policy", "weights: critic", "weights: float32 masters"} & held.keys()
    assert "exchanged gradients" not in held
    whole = parts_of(cost_of(kind, processes=processes, **settings), "update")
    assert sum(held.values()) < sum(whole.values())


def test_only_one_layer_or_the_outer_weights_have_unsharded_gradients() -> None:
    shape, processes = small(), 8
    layer, outside = sharding.layer_weights(shape), sharding.outside_weights(shape)
    few, many = (
        Backward(shape, Pass(2), shape.weights, places, 64, projected=0, head=False, shards=processes)
        for places in (1, 100_000)
    )
    at_the_end = named(backward(few, before=0))
    # A gradient takes 2 bytes in bfloat16, and 4 bytes in the float32 copy that is exchanged.
    parts = 4 * (shape.weights - shape.vocabulary * shape.hidden) / processes
    assert at_the_end["gradients"] == parts + 6 * outside
    at_the_start = named(backward(many, before=few.gradients))
    assert at_the_start["gradients"] == 4 * shape.weights / processes + 6 * layer


@pytest.mark.parametrize("kind", ["sft", "dpo", "rejection_sampling", "rloo", "ppo"])
def test_process_that_generates_stores_a_complete_copy_of_the_weights(kind: str) -> None:
    weights = small().weights
    cost = cost_of(kind, processes=4, sharding="full", dtype="bfloat16")
    assert "complete weights" not in parts_of(cost, "update")
    assert parts_of(cost, "generate")["complete weights"] == 2 * weights


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_run_without_sample_answers_needs_no_complete_copy_of_the_weights(kind: str) -> None:
    cost = cost_of(kind, processes=4, sharding="full", sample_prompts=0, kl_samples=0)
    assert all("complete weights" not in parts_of(cost, stage.name) for stage in cost.stages)


def test_final_scores_of_a_reward_model_need_a_complete_copy_without_moments() -> None:
    weights = small().weights
    held = parts_of(cost_of("reward_model", processes=8, sharding="full"), "score")
    assert held["complete weights"] == 4 * weights
    assert "Adam's moments" not in held


@pytest.mark.parametrize("gpu", [False, True])
def test_models_are_read_and_checkpoints_are_gathered_in_main_memory(gpu: bool) -> None:
    weights, processes = small().weights, 8
    stages = {one.name: one for one in cost_of("rloo", processes=processes, gpu=gpu, sharding="full").stages}
    # Each process reads the policy and copies it as the reference. The first process gathers the checkpoint.
    read, saved = 2 * 4 * weights, 12 * weights
    if gpu:
        assert stages["load"].host_bytes == processes * read
        assert stages["save"].host_bytes == saved
    else:
        assert stages["load"].bytes == read
        stored = 12 * weights / processes + 4 * weights / processes + 4 * weights  # policy, reference, judge
        assert stages["save"].bytes == pytest.approx(stored + saved / processes)


def test_sharding_with_a_single_process_does_not_change_the_estimate() -> None:
    assert cost_of("ppo", processes=1, sharding="full") == cost_of("ppo", processes=1)
