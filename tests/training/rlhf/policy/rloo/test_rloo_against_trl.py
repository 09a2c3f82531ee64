"""Given the same answers and rewards, RLOO and GRPO have the same loss and gradients as TRL's trainers.
This also holds in every layout, with an adapter and, up to rounding errors, in bfloat16."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS, World
from training.rlhf.core.masters import master_of
from training.rlhf.data.batching import LAYOUTS
from training.rlhf.models.forward.logprobs import log_probs_and_entropies
from training.rlhf.models.loading.saving import save_model
from training.rlhf.policy import rloo
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.rollout import Rollout, load_models, usable_prompts
from training.rlhf.rollouts.state import OnPolicyState

torch.set_num_threads(1)
ANSWERS = 4  # per prompt
BETA, CLIP = 0.3, 0.1
SETTINGS: dict[str, Any] = ROLLOUTS | {
    "rollout_prompts": len(PROMPTS), "responses_per_prompt": ANSWERS, "minibatches": 1,
    "kl_coefficient": BETA, "clip": CLIP, "temperature": 0.8, "micro_batch_tokens": 40,
}  # fmt: skip
GRPO = {"advantage": "grpo", "ratio": "token", "kl_estimator": "k3", "aggregation": "answer_mean"}
DR_GRPO = {"advantage": "dr_grpo", "ratio": "token", "kl_estimator": "k3", "aggregation": "fixed_length"}
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rloo": ({}, {}),
    "rloo-normalised": ({"normalise_advantages": True}, {"normalize_advantages": True}),
    "grpo": (GRPO, {"loss_type": "grpo"}),
    "grpo-token-mean": (GRPO | {"aggregation": "token_mean"}, {"loss_type": "bnpo"}),
    "dr-grpo": (DR_GRPO, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
}


ADAPTER: dict[str, Any] = {"use_peft": True, "lora_r": 4, "lora_alpha": 8}
HALF: dict[str, Any] = {"dtype": "bfloat16"}


class Limits(NamedTuple):
    """The largest allowed errors of the loss, of each advantage, and of the gradients. The limit for the
    gradients applies to each number or, if ``relative``, to the norm (see `largest_error`)."""

    loss: float
    advantages: float
    gradients: float
    relative: bool = False


EXACT = Limits(1e-4, 1e-4, 1e-4)
# Our forward pass in bfloat16 (8 bits of precision) is compared with TRL's in float32, with the same rounded
# weights. The limits are three times the measured errors, which are 0.0017, 0.011 and 1.7 %.
ROUNDED = Limits(5e-3, 0.03, 0.05, relative=True)
# The method, the settings of the weights, and the limits.
CASES = [
    *((kind, {}, EXACT) for kind in METHODS),
    ("rloo", ADAPTER, EXACT),
    ("rloo", HALF, ROUNDED),
    ("grpo", ADAPTER | HALF, ROUNDED),
]


@pytest.fixture(scope="module")
def world() -> World:
    return known_optimum.world(0)


def moved(model: PreTrainedModel, seed: int) -> None:
    """Add noise to the trained weights, so that the model differs from its earlier state."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


def ours(
    config: RLOOConfig, state: OnPolicyState, batch: rloo.Batch
) -> tuple[float, dict[str, torch.Tensor], float]:
    """Our loss and gradients on the entire rollout, and the largest |log ratio|."""
    actor = state.models.actor
    state.policy_optimiser.zero_grad()
    [minibatch] = batch.minibatches
    assert len(minibatch) > 1  # several micro-batches
    total = log_ratio = 0.0
    for part in minibatch:
        log_probs, entropy = log_probs_and_entropies(actor, part.rows.inputs, temperature=config.temperature)
        _, loss, _ = rloo.loss_of(
            config, part, log_probs, entropy, batch.advantages[part.numbers], kl_coefficient=BETA,
            answers=len(batch.rollout.rows), tokens=int(batch.rollout.lengths.sum()),
        )  # fmt: skip
        torch.autograd.backward(loss)
        total += float(loss.detach())
        log_ratio = max(log_ratio, float((log_probs.detach() - part.log_probs[part.mask]).abs().max()))
    trained = {name: one for name, one in actor.named_parameters() if one.requires_grad}
    gradients = {name: master_of(one).grad for name, one in trained.items()}
    return total, {name: one.clone() for name, one in gradients.items() if one is not None}, log_ratio


def every_layout(config: RLOOConfig, state: OnPolicyState) -> dict[str, rloo.Batch]:
    """The same rollout in every layout of its answers."""
    prompts, found = usable_prompts(config, state.models, PROMPTS), dict[str, rloo.Batch]()
    for layout in LAYOUTS:
        state.models = dataclasses.replace(state.models, layout=layout)
        found[layout] = rloo.roll_out(config, state, prompts)
        assert {part.layout for part in found[layout].minibatches[0]} == {layout}
    return found


def their_trainer(
    kind: str,
    start: Path,
    rollout: Rollout,
    rewards: list[float],
    out: Path,
    settings: dict[str, Any],
    adapter: LoraConfig | None,
) -> Any:
    """TRL's trainer on the prompts, answers and rewards of a rollout."""
    import trl

    prompts, answers = [row.prompt for row in rollout.rows], [row.answer for row in rollout.rows]
    base: dict[str, Any] = settings | {
        "output_dir": str(out), "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "report_to": [], "beta": BETA, "epsilon": CLIP, "num_generations": ANSWERS,
        "temperature": SETTINGS["temperature"],
        "max_completion_length": SETTINGS["max_new_tokens"], "per_device_train_batch_size": len(answers),
        "num_iterations": 2, "disable_dropout": True, "model_init_kwargs": {"dtype": "float32"},
    }  # fmt: skip

    class TheirRLOO(trl.RLOOTrainer):
        def _generate_single_turn(self, *_: Any) -> Any:
            return copy.deepcopy(answers)

        def _tokenize_prompts(self, _: Any) -> Any:
            return copy.deepcopy(prompts), None, {}

    class TheirGRPO(trl.GRPOTrainer):
        def _generate_single_turn(self, *_: Any) -> Any:
            return copy.deepcopy(answers), None

        def _tokenize_prompts(self, _: Any) -> Any:
            return copy.deepcopy(prompts), None, {}

    maker: Any
    config: Any
    maker, config = (TheirRLOO, trl.RLOOConfig) if kind.startswith("rloo") else (TheirGRPO, trl.GRPOConfig)
    trainer = maker(
        model=str(start),
        reward_funcs=lambda **_: rewards,
        args=config(**base),
        train_dataset=Dataset.from_list([{"prompt": "w0"}] * len(answers)),
        peft_config=adapter,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # Trainer.train sets the same value
    return trainer


@pytest.mark.parametrize(("kind", "weights", "limits"), CASES)
def test_loss_and_gradients_equal_those_of_trl(
    kind: str, weights: dict[str, Any], limits: Limits, world: World, tmp_path: Path
) -> None:
    settings, theirs = METHODS[kind]
    config = RLOOConfig.model_validate(SETTINGS | settings | weights)
    start = save_model(*world.start, tmp_path / "start")
    state = rloo.new_state(config, load_models(start, {"good": world.reward_model()}, config))
    actor = state.models.actor
    moved(actor, 1)  # the policy is no longer the reference, so its KL is above 0
    batches = every_layout(config, state)
    rollout = batches["flat"].rollout
    assert 0 < rollout.finished.sum() < len(rollout.rows)
    rewards = rollout.rewards(config).tolist()
    adapter = lora_of(config) if config.use_peft else None
    trainer = their_trainer(kind, start, rollout, rewards, tmp_path, theirs, adapter)
    trainer.model.load_state_dict(actor.state_dict())
    inputs = trainer._generate_and_score_completions([{"prompt": "w0"}] * len(rewards))
    for batch in batches.values():
        assert batch.rollout.rows == rollout.rows
        assert torch.allclose(inputs["advantages"], batch.advantages, atol=limits.advantages)
        assert batch.advantages.abs().max() > 0.5
    for update in range(2):  # in the second update, the policy differs from the sampling policy
        if update:
            moved(actor, 2)
            trainer.model.load_state_dict(actor.state_dict())
        trainer.model.zero_grad()
        expected = trainer._compute_loss(trainer.model, inputs)
        torch.autograd.backward(expected)
        others = {name: one.grad for name, one in trainer.model.named_parameters() if one.grad is not None}
        for layout, batch in batches.items():
            loss, grads, log_ratio = ours(config, state, batch)
            assert log_ratio > 0.01 if update else log_ratio == 0.0, layout
            assert loss == pytest.approx(float(expected.detach()), abs=limits.loss), layout
            assert grads.keys() == others.keys()
            assert largest_error(grads, others, relative=limits.relative) < limits.gradients, layout
            assert max(float(grad.abs().max()) for grad in grads.values()) > 0.01  # 100 times 1e-4


def lora_of(config: RLOOConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_r, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def largest_error(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], *, relative: bool
) -> float:
    """The largest difference between two numbers or, if ``relative``, the norm of all differences as a share
    of the norm of all expected numbers."""
    one, other = (torch.cat([some[name].flatten() for name in expected]) for some in (found, expected))
    return float((one - other).norm() / other.norm() if relative else (one - other).abs().max())
