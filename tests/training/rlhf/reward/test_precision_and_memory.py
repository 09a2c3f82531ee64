"""A training step gives the same result with micro-batches or gradient checkpointing, and nearly the same
with bfloat16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.reward_model import train
from training.rlhf.reward.scoring import batches, load_for_training, rewards_of


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def policy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tiny.policy(), tiny.tokenizer(), tmp_path_factory.mktemp("policy") / "policy")


def gradient(policy_dir: Path, out: Path, **settings: object) -> Tensor:
    """The gradient of the first training step, as one vector. The gradient is ten times Adam's first moment
    after that step."""
    config = RewardModelConfig.model_validate(
        {"epochs": 1, "batch_rankings": 64, "max_grad_norm": 1e6, "checkpoint_steps": 1} | settings
    )
    train(
        config,
        base_model=policy_dir,
        rankings=RANKINGS,
        heldout=HELDOUT,
        out_dir=out / "rm",
        checkpoints=out / "checkpoints",
    )
    folder = out / "checkpoints" / "step-00000001"
    tensors = load_file(folder / "moments.safetensors") | load_file(folder / "weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    means = {int(name.split(".")[1]): t for name, t in tensors.items() if name.endswith(".exp_avg")}
    return 10 * torch.cat([means[number].flatten() for number in sorted(means)])


@pytest.fixture(scope="module")
def whole(policy_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return gradient(policy_dir, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "settings",
    [
        {"micro_batch_tokens": 40, "layout": "separate"},
        {"micro_batch_tokens": 200, "layout": "packed"},
        {"gradient_checkpointing": True},
    ],
    ids=["micro-batches", "packed micro-batches", "gradient checkpointing"],
)
def test_gradients_equal_those_of_the_undivided_batch(
    policy_dir: Path, whole: Tensor, tmp_path: Path, settings: dict[str, object]
) -> None:
    found = gradient(policy_dir, tmp_path, **settings)
    assert whole.norm() > 0.1
    assert (found - whole).abs().max() < 1e-5


def test_weights_and_rewards_stay_float32_in_bfloat16_runs(
    policy_dir: Path, whole: Tensor, tmp_path: Path
) -> None:
    found = gradient(policy_dir, tmp_path, precision="bfloat16")
    assert 1e-4 < (found - whole).norm() / whole.norm() < 0.05  # only matrix products are rounded to bfloat16
    saved = load_file(tmp_path / "rm" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}

    model, tokenizer = load_for_training(policy_dir)
    seen: list[torch.dtype] = []
    layer = model.base_model.layers[0].mlp.gate_proj
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    groups, _, _ = encode_rankings(RANKINGS[:2], tokenizer, max_length=100, ties="ignore")
    pad = chat.pad_id(tokenizer)
    for _, batch in batches(model, groups, layout="auto", max_tokens=1000, pad_id=pad):
        rewards = rewards_of(model, batch, precision="bfloat16")
        assert rewards.dtype == torch.float32
        # bfloat16 has 8 significant bits. If the rewards had been rounded to bfloat16, a second rounding
        # would not change them.
        assert not torch.equal(rewards, rewards.bfloat16().float())
    assert set(seen) == {torch.bfloat16}


def test_recomputed_activations_are_not_stored(policy_dir: Path) -> None:
    model, tokenizer = load_for_training(policy_dir)
    groups, _, _ = encode_rankings(RANKINGS[:8], tokenizer, max_length=100, ties="ignore")
    [(_, batch)] = batches(model, groups, layout="separate", max_tokens=10_000, pad_id=chat.pad_id(tokenizer))
    weights = {weight.data_ptr() for weight in model.parameters()}

    def kept() -> int:
        numbers: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                numbers[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            rewards_of(model, batch)
        return sum(numbers.values())

    before = kept()
    recompute_layers(model)
    assert kept() < before / 3
    with pytest.raises(ValueError, match="Set gradient_checkpointing to false"):
        recompute_layers(nn.Linear(2, 2))
