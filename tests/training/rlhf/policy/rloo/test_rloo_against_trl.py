"""Given the same answers and rewards, RLOO and GRPO have the same loss and gradients as TRL's trainers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedModel

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS, World
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


@pytest.fixture(scope="module")
def world() -> World:
    return known_optimum.world(0)


def moved(model: PreTrainedModel, seed: int) -> None:
    """Add noise to all weights, so that the policy differs from its earlier state."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


def ours(
    config: RLOOConfig, state: OnPolicyState, batch: rloo.Batch
) -> tuple[float, dict[str, torch.Tensor]]:
    """Our loss and gradients on the entire rollout."""
    actor = state.models.actor
    actor.zero_grad()
    [minibatch] = batch.minibatches
    assert len(minibatch) > 1  # several micro-batches
    total = 0.0
    for part in minibatch:
        log_probs, entropy = log_probs_and_entropies(actor, part.rows.inputs, temperature=config.temperature)
        _, loss, _ = rloo.loss_of(
            config, part, log_probs, entropy, batch.advantages[part.numbers], kl_coefficient=BETA,
            answers=len(batch.rollout.rows), tokens=int(batch.rollout.lengths.sum()),
        )  # fmt: skip
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total, {name: p.grad.clone() for name, p in actor.named_parameters() if p.grad is not None}


def their_trainer(
    kind: str, start: Path, rollout: Rollout, rewards: list[float], out: Path, settings: dict[str, Any]
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
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # Trainer.train sets the same value
    return trainer


@pytest.mark.parametrize("kind", METHODS)
def test_loss_and_gradients_equal_those_of_trl(kind: str, world: World, tmp_path: Path) -> None:
    settings, theirs = METHODS[kind]
    config = RLOOConfig.model_validate(SETTINGS | settings)
    state = rloo.new_state(config, load_models(world.policy(), {"good": world.reward_model()}, config))
    actor, tokenizer = state.models.actor, state.models.tokenizer
    start = save_model(actor, tokenizer, tmp_path / "start")
    moved(actor, 1)  # the policy is no longer the reference, so its KL is above 0
    batch = rloo.roll_out(config, state, usable_prompts(config, state.models, PROMPTS))
    assert 0 < batch.rollout.finished.sum() < len(batch.rollout.rows)
    rewards = batch.rollout.rewards(config).tolist()
    trainer = their_trainer(kind, start, batch.rollout, rewards, tmp_path, theirs)
    trainer.model.load_state_dict(actor.state_dict())
    inputs = trainer._generate_and_score_completions([{"prompt": "w0"}] * len(rewards))
    assert torch.allclose(inputs["advantages"], batch.advantages, atol=1e-4)
    assert batch.advantages.abs().max() > 0.5
    for update in range(2):  # in the second update, the policy differs from the sampling policy
        if update:
            moved(actor, 2)
            trainer.model.load_state_dict(actor.state_dict())
        loss, grads = ours(config, state, batch)
        trainer.model.zero_grad()
        expected = trainer._compute_loss(trainer.model, inputs)
        torch.autograd.backward(expected)
        assert loss == pytest.approx(float(expected.detach()), abs=1e-4)
        others = dict(trainer.model.named_parameters())
        for name, grad in grads.items():
            assert torch.allclose(grad, others[name].grad, atol=1e-4), name
        assert max(float(grad.abs().max()) for grad in grads.values()) > 0.01  # 100 times the tolerance
