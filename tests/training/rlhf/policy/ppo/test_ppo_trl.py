"""Given the same answers, PPO has the same targets, losses and gradients as TRL 1.12, the last TRL release
with a PPO trainer. This holds in every layout, and also if the policy and the critic are adapters of one
trunk.

`scripts/test` installs this release into a separate folder, because other tests need a newer release. The
tests import the old release under another name. TRL's trainer trains on one batch for two epochs. Each time
the trainer calls `backward`, the test records the trainer's tensors, weights and gradients.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForSequenceClassification, LlamaForSequenceClassification

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.ppo.test_ppo import (
    EOS,
    PROMPTS,
    config_of,
    loaded,
    reward_model,
    rollout_of,
)
from training.rlhf.data.answers import Row, Together
from training.rlhf.data.batching import LAYOUTS
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.parts import lora
from training.rlhf.objectives import advantages, kl
from training.rlhf.objectives.token_rewards import token_rewards
from training.rlhf.policy import ppo, ppo_gradients
from training.rlhf.rollouts.rollout import load_models, observe, usable_prompts

# A test worker can't send warning classes of the old release to the process that collects the results.
pytestmark = pytest.mark.filterwarnings("ignore")
ORACLE = Path(__file__).resolve().parents[5] / ".oracles"
PAD, TOKENS, TEMPERATURE = 0, 6, 0.8
UNBIASED = (47 / 48) ** 0.5  # TRL whitens with the unbiased variance (of 48 tokens)
QUERIES = [[5 + n] * (n % 4 + 2) for n in range(8)]


@dataclass
class Call:
    """TRL's state when it calls `backward`: its tensors by variable name, the weights of the policy and the
    value model, and the gradients."""

    tensors: dict[str, Tensor]
    weights: dict[str, Tensor]
    gradients: dict[str, Tensor]

    def part(self, name: str, of: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k.removeprefix(f"{name}."): v for k, v in of.items() if k.startswith(f"{name}.")}


def trl(module: str) -> Any:
    """Import a module of TRL 1.12."""
    if not (ORACLE / "trl-1.12.0.dist-info").exists():
        pytest.skip(f"TRL 1.12.0 is not installed in {ORACLE}; scripts/test installs it")
    if "trl_1_12" not in sys.modules:
        root = ORACLE / "trl"
        spec = importlib.util.spec_from_file_location(
            "trl_1_12", root / "__init__.py", submodule_search_locations=[str(root)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["trl_1_12"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["trl_1_12"])
    return importlib.import_module(f"trl_1_12.{module}")


@dataclass
class TheirModels:
    """The models that TRL trains. By default, the value model starts as a copy of the reward model."""

    policy: Any = field(default_factory=lambda: tiny.policy(initializer_range=0.1))
    reference: Any = field(default_factory=lambda: tiny.policy(initializer_range=0.1, seed=1))
    value: Any = None


def calls_of_trl(
    out: Path, reward: Path, *, stops: bool, models: TheirModels | None = None, **settings: Any
) -> tuple[list[Call], dict[str, float]]:
    """Train on one batch with TRL. With `stops`, EOS ends an answer. Return the recorded calls to `backward`
    and the logged metrics."""
    models = models or TheirModels()
    torch.manual_seed(0)
    config = trl("experimental.ppo.ppo_config").PPOConfig(
        output_dir=str(out), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
        save_strategy="no", disable_tqdm=True, num_sample_generations=0, per_device_train_batch_size=8,
        gradient_accumulation_steps=1, total_episodes=8, num_ppo_epochs=2, num_mini_batches=1,
        response_length=TOKENS, temperature=TEMPERATURE, stop_token="eos" if stops else None,
        learning_rate=5e-3, lr_scheduler_type="constant", kl_coef=0.3, vf_coef=0.7, seed=4, **settings,
    )  # fmt: skip
    left_padding = tiny.tokenizer()
    left_padding.padding_side = "left"
    judge = AutoModelForSequenceClassification.from_pretrained(reward)
    trainer = trl("experimental.ppo.ppo_trainer").PPOTrainer(
        args=config,
        processing_class=left_padding,
        model=models.policy,
        ref_model=models.reference,
        reward_model=judge,
        value_model=models.value or copy.deepcopy(judge),
        train_dataset=Dataset.from_list([{"input_ids": query} for query in QUERIES]),
    )
    found: list[Call] = []
    plain_backward = trainer.accelerator.backward

    def backward(loss: Tensor) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        theirs = frame.f_back.f_locals
        rows = theirs["micro_batch_inds"]
        kept = {
            name: theirs[name][rows].detach().clone()
            for name in (
                *("query_responses", "sequence_lengths", "logprobs", "ref_logprobs", "values", "rewards"),
                *("advantages", "returns", "scores", "padding_mask"),
            )
        }
        kept |= {
            name: theirs[name].detach().clone()
            for name in ("pg_loss", "vf_loss", "vf_clipfrac", "new_logprobs")
        }
        model = theirs["model"]
        weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        plain_backward(loss)
        gradients = {
            name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
        }
        found.append(Call(kept, weights, gradients))

    trainer.accelerator.backward = backward
    trainer.train()
    assert len(found) == 2
    [logged] = [row for row in trainer.state.log_history if "objective/kl" in row]
    return found, logged


def rows_of(call: Call) -> list[Row]:
    rows = []
    width = call.tensors["query_responses"].shape[1] - TOKENS
    for ids, last in zip(call.tensors["query_responses"], call.tensors["sequence_lengths"], strict=True):
        prompt = [token for token in ids[:width].tolist() if token != PAD]
        rows.append(Row(prompt, ids[width : width + int(last) + 1].tolist()))
    return rows


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("judge"))


def state_of(call: Call, config: ppo.PPOConfig, reward: Path, out: Path) -> ppo.PPOState:
    """PPO's state with TRL's weights."""
    start = save_model(tiny.policy(initializer_range=0.1), tiny.tokenizer(), out / "policy")
    state = ppo.new_state(config, loaded(start, reward))
    state.models.actor.load_state_dict(call.part("policy", call.weights))
    state.models.reference.model.load_state_dict(tiny.policy(initializer_range=0.1, seed=1).state_dict())
    value = call.part("value_model", call.weights)
    state.critic.trunk.load_state_dict(
        {k.removeprefix("model."): v for k, v in value.items() if k.startswith("model.")}
    )
    state.critic.head.weight.data.copy_(value["score.weight"])
    return state


@pytest.mark.parametrize("whiten", [False, True], ids=["plain", "whitened rewards"])
def test_targets_and_losses_and_gradients_equal_those_of_trl(
    whiten: bool, reward: Path, tmp_path: Path
) -> None:
    """All answers have the maximum length here. TRL gives a shorter answer one more value, at its first
    padding token, and places the score there."""
    settings = {"kl_coefficient": 0.3, "value_coefficient": 0.7}
    config = config_of(temperature=TEMPERATURE, micro_batch_tokens=30, **settings)
    calls, _ = calls_of_trl(tmp_path / "trl", reward, stops=False, whiten_rewards=whiten)
    for call in calls:
        rows, theirs = rows_of(call), call.tensors
        assert all(len(row.answer) == TOKENS and PAD not in row.answer for row in rows)
        state = state_of(calls[0], config, reward, tmp_path)
        seen = observe(
            state.models, rollout_of(rows, TEMPERATURE), Together(state.models.layout, list(range(8)))
        )
        assert torch.allclose(seen.log_probs, theirs["logprobs"], atol=1e-4)
        assert torch.allclose(seen.reference, theirs["ref_logprobs"], atol=1e-4)
        values = ppo.values_of(state.critic, seen)
        assert torch.allclose(values, theirs["values"], atol=1e-4)
        rewards = token_rewards(
            theirs["scores"], kl.kl_k1(seen.log_probs, seen.reference), seen.mask, kl_coefficient=0.3
        )
        if whiten:
            [ours] = advantages.whiten([rewards], [seen.mask], shift_mean=False)
            rewards = (ours - rewards.mean()) * UNBIASED + rewards.mean()
        assert torch.allclose(rewards, theirs["rewards"], atol=1e-4)
        unscaled, returns = advantages.generalised_advantages(rewards, values, seen.mask, gamma=1.0, lam=0.95)
        assert torch.allclose(returns, theirs["returns"], atol=1e-4)
        [ours] = advantages.whiten([unscaled], [seen.mask])
        assert torch.allclose(ours * UNBIASED, theirs["advantages"], atol=1e-4)

        part = ppo_gradients.Part(
            dataclasses.replace(seen, log_probs=theirs["logprobs"]),
            theirs["values"], theirs["advantages"], theirs["returns"],
        )  # fmt: skip
        compare_updates(call, config, state_of(call, config, reward, tmp_path), part)
    moved = (calls[1].tensors["new_logprobs"] - calls[1].tensors["logprobs"]).abs().max().item()
    assert moved > 0.3  # the second loss has clipped ratios
    assert 0 < calls[1].tensors["vf_clipfrac"] < 1


def test_policy_gradient_of_finished_answers_equals_that_of_trl(reward: Path, tmp_path: Path) -> None:
    config = config_of(temperature=TEMPERATURE, kl_coefficient=0.3)
    calls, logged = calls_of_trl(tmp_path / "trl", reward, stops=True, missing_eos_penalty=1.0)
    for call in calls:
        rows, theirs = rows_of(call), call.tensors
        lengths = [len(row.answer) for row in rows]
        assert min(lengths) < TOKENS
        assert all(row.answer[-1] == EOS for row in rows if len(row.answer) < TOKENS)
        state = state_of(call, config, reward, tmp_path)
        seen = observe(
            state.models, rollout_of(rows, TEMPERATURE), Together(state.models.layout, list(range(8)))
        )
        width = max(lengths)
        old, advantage = (
            theirs[name][:, :width].masked_fill(~seen.mask, 0.0) for name in ("logprobs", "advantages")
        )
        zeros = torch.zeros_like(old)
        part = ppo_gradients.Part(dataclasses.replace(seen, log_probs=old), zeros, advantage, zeros)
        compare_updates(call, config, state, part, critic=False)
    ours = ppo.update(
        config, state, ppo.roll_out(config, state, usable_prompts(config, state.models, PROMPTS))
    )
    assert logged.keys() - ours.keys() == {"eps", "step", "epoch"}  # eps is the number of episodes per second


def compare_updates(
    call: Call, config: ppo.PPOConfig, state: ppo.PPOState, part: ppo_gradients.Part, *, critic: bool = True
) -> None:
    tokens = int(part.seen.mask.sum())
    policy, _ = ppo_gradients.policy_backward(config, state, part, tokens, TEMPERATURE)
    assert policy["loss/policy_avg"] == pytest.approx(call.tensors["pg_loss"].item(), abs=1e-4)
    theirs = call.part("policy", call.gradients)
    assert max(gradient.abs().max().item() for gradient in theirs.values()) > 0.01
    for name, weight in state.models.actor.named_parameters():
        assert torch.allclose(weight.grad, theirs[name], atol=1e-4), name
    if not critic:
        return
    found = ppo_gradients.critic_backward(config, state.critic, part, tokens)
    assert found["loss/value_avg"] == pytest.approx(call.tensors["vf_loss"].item(), abs=1e-4)
    assert found["val/clipfrac_avg"] == pytest.approx(call.tensors["vf_clipfrac"].item(), abs=1e-6)
    theirs = call.part("value_model", call.gradients)
    for name, weight in state.critic.trunk.named_parameters():
        assert torch.allclose(weight.grad, theirs[f"model.{name}"], atol=1e-4), name
    assert torch.allclose(state.critic.head.weight.grad, theirs["score.weight"], atol=1e-4)
    assert theirs["score.weight"].abs().max().item() > 0.01


def test_policy_and_critic_as_adapters_of_one_trunk_have_the_gradients_of_trl(
    reward: Path, tmp_path: Path
) -> None:
    """TRL trains all weights of two models, into which our adapters are merged. If G is the gradient of a
    weight W + s B A, the gradients of A and B are s Bᵀ G and s G Aᵀ. In bfloat16, both sides use the same
    rounded trunk weights. The limits are three times the measured errors: 0.034 for log-probabilities and
    values, 0.0014 for losses, and 1.1 % for gradients."""
    base = save_model(
        tiny.policy(initializer_range=0.1).to(torch.bfloat16), tiny.tokenizer(), tmp_path / "base"
    )
    weights = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "critic": "adapter"}
    settings = weights | {"kl_coefficient": 0.3, "value_coefficient": 0.7, "temperature": TEMPERATURE}
    states: dict[str, ppo.PPOState] = {}
    for dtype in ("float32", "bfloat16"):
        config = config_of(**settings, dtype=dtype)
        models = load_models(base, {"reward": reward}, config)
        states[dtype] = state = ppo.new_state(config, models)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for name in (lora.POLICY, lora.CRITIC):
                for matrix in lora.adapter_weights(models.actor, name).values():
                    matrix.normal_(std=0.1, generator=generator)
            state.critic.head.weight.normal_(std=0.3, generator=generator)
    merged = merged_models(states["float32"], load_policy(base).model)
    [call, *_], _ = calls_of_trl(tmp_path / "trl", reward, stops=False, models=merged)
    rows, theirs = rows_of(call), call.tensors
    together = list(range(8))
    for dtype, layout in (*(("float32", each) for each in LAYOUTS), ("bfloat16", "flat")):
        config, state, low = config_of(**settings, dtype=dtype), states[dtype], dtype == "bfloat16"
        seen = observe(state.models, rollout_of(rows, TEMPERATURE), Together(layout, together))
        values = ppo.values_of(state.critic, seen)
        of_tokens = {"logprobs": seen.log_probs, "ref_logprobs": seen.reference, "values": values}
        for name, one in of_tokens.items():
            assert torch.allclose(one, theirs[name], atol=0.1 if low else 1e-5), (layout, name)
        for optimiser in state.optimisers.values():
            optimiser.zero_grad()
        old = seen if low else dataclasses.replace(seen, log_probs=theirs["logprobs"])
        part = ppo_gradients.Part(old, theirs["values"], theirs["advantages"], theirs["returns"])
        tokens = int(seen.mask.sum())
        policy, _ = ppo_gradients.policy_backward(config, state, part, tokens, TEMPERATURE)
        critic = ppo_gradients.critic_backward(config, state.critic, part, tokens)
        limit, of_gradients = (0.004, 0.033) if low else (1e-4, 1e-4)
        assert policy["loss/policy_avg"] == pytest.approx(theirs["pg_loss"].item(), abs=limit)
        assert critic["loss/value_avg"] == pytest.approx(theirs["vf_loss"].item(), abs=limit)
        for adapter, model in ((lora.POLICY, "policy"), (lora.CRITIC, "value_model")):
            found, expected = of_matrices(state, adapter, call.part(model, call.gradients))
            assert float(expected.abs().max()) > 0.01
            error = found - expected
            largest = error.norm() / expected.norm() if low else error.abs().max()
            assert float(largest) < of_gradients, (layout, model)


def merged_models(state: ppo.PPOState, base: Any) -> TheirModels:
    """Complete models with the weights of the adapters and of the critic's head."""
    policy = lora.merged(state.models.actor)
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    value = LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]
    value.model.load_state_dict(lora.merged_copy(state.critic.trunk, lora.CRITIC).state_dict())
    value.score.weight.data.copy_(state.critic.head.weight)
    return TheirModels(policy, base, value.eval())


def of_matrices(state: ppo.PPOState, adapter: str, complete: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The gradients of an adapter's matrices, and the same gradients computed from those of the complete
    weights."""
    found, expected = [], []
    for name, layer in state.critic.trunk.named_modules():
        if hasattr(layer, "lora_A"):
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            gradient, scale = complete[f"model.{name}.weight"], layer.scaling[adapter]
            found += [a.grad.flatten(), b.grad.flatten()]
            expected += [(scale * b.T @ gradient).flatten(), (scale * gradient @ a.T).flatten()]
    return torch.cat(found).detach(), torch.cat(expected).detach()
