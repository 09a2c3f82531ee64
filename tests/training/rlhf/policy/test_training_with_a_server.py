"""PPO and RLOO with answers from a server: the result is the same as without a server, and importance weights
correct the gradients."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from tests.training.rlhf.generation.openai_server import NAME, OpenAIServer, serving
from tests.training.rlhf.generation.test_server_faults import killed_after
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS, ROLLOUTS, World
from training.rlhf.generation.prompts import encode_prompts
from training.rlhf.generation.server import engine as server_engine
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo, ppo_gradients, rejection_sampling, rloo
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.rollout import load_models

torch.set_num_threads(1)
SETTINGS: dict[str, Any] = ROLLOUTS | {
    "steps": 3,
    "rollout_prompts": 4,
    "responses_per_prompt": 4,
    "minibatches": 2,
    "learning_rate": 3e-2,
    "stop_kl": None,
}


@pytest.fixture(scope="module")
def world() -> World:
    return known_optimum.world(0)


@pytest.fixture(autouse=True)
def folder_and_short_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANKLOOP_GENERATION_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setattr(server_engine, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(server_engine, "TICK_SECONDS", 0.01)


def adapted(world: World) -> Loaded:
    torch.manual_seed(0)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "gate_proj"])
    model: Any = get_peft_model(world.policy().model, settings)
    model.peft_config["default"].base_model_name_or_path = "base"
    return Loaded(model, world.start.tokenizer)


def trained(
    world: World, folder: Path, server: OpenAIServer | None, **changes: Any
) -> tuple[ListReporter, dict[str, Tensor]]:
    """Train an adapter with RLOO. Return the reports and the adapter's weights."""
    policy, report = adapted(world), ListReporter()
    place = {} if server is None else {"server": server.address, "server_model": NAME}
    rloo.train(
        RLOOConfig.model_validate(SETTINGS | {"use_peft": True} | place | changes),
        policy=policy,
        reward_model=world.reward_model(),
        prompts=PROMPTS,
        out_dir=folder,
        report=report,
    )
    return report, {name: one.detach() for name, one in policy.model.named_parameters() if one.requires_grad}


def test_rloo_with_a_server_has_the_same_result_as_a_local_run(world: World, tmp_path: Path) -> None:
    local, expected = trained(world, tmp_path / "local", None)
    with serving(world.policy(), local_seeds=True) as server:
        remote, found = trained(world, tmp_path / "remote", server)
        # Each step loads the adapter once. The first step loads it with its initial weights.
        assert server.counts["/v1/load_lora_adapter"] == SETTINGS["steps"]
        assert server.adapters == {}
    assert local.series("objective/scores") == remote.series("objective/scores")
    assert remote.series("objective/scores")[-1] != remote.series("objective/scores")[0]
    assert not local.series("sampler/gap_mean")
    assert max(remote.series("sampler/gap_max")) < 1e-5
    assert remote.series("sampler/weight_mean") == pytest.approx([1.0] * 3, abs=1e-5)
    for name, weights in found.items():
        torch.testing.assert_close(weights, expected[name], atol=1e-5, rtol=0)


def test_run_without_importance_weights_is_bitwise_identical_to_a_local_run(
    world: World, tmp_path: Path
) -> None:
    _, expected = trained(world, tmp_path / "local", None)
    with serving(world.policy(), local_seeds=True) as server:
        _, found = trained(world, tmp_path / "remote", server, importance_cap=None)
    assert all(torch.equal(weights, expected[name]) for name, weights in found.items())


def test_rloo_continues_after_its_server_was_restarted(world: World, tmp_path: Path) -> None:
    _, expected = trained(world, tmp_path / "local", None)
    with serving(world.policy(), local_seeds=True) as server:
        killed_after(server, 6)  # in the second step
        restarts = threading.Thread(target=lambda: restart_when_killed(server))
        restarts.start()
        _, found = trained(world, tmp_path / "remote", server, importance_cap=None)
        restarts.join()
    assert all(torch.equal(weights, expected[name]) for name, weights in found.items())


def restart_when_killed(server: OpenAIServer) -> None:
    server.killed.wait(20)
    server.start()


def test_gap_to_the_log_probabilities_of_the_server_is_reported(world: World, tmp_path: Path) -> None:
    with serving(world.policy(), noise=0.05) as server:
        report, _ = trained(world, tmp_path / "model", server, steps=1)
    [row] = [values for _, values in report.metric_rows]
    # The mean of |noise| is 0.05 √(2/π), and the mean of k3 is about half of the noise's variance.
    assert row["sampler/gap_mean"] == pytest.approx(0.05 * math.sqrt(2 / math.pi), rel=0.5)
    assert row["sampler/kl"] == pytest.approx(0.05**2 / 2, rel=0.8)
    assert row["sampler/gap_max"] < 0.25
    assert row["sampler/capped_share"] == 0


@pytest.mark.parametrize(("offset", "weight"), [(0.3, math.exp(0.3)), (-0.3, math.exp(-0.3)), (1.0, 2.0)])
@pytest.mark.parametrize("ratio", ["sequence", "token"])
def test_importance_weights_apply_to_the_loss_of_rloo(
    world: World, ratio: str, offset: float, weight: float
) -> None:
    """If the sampler's log-probability of every answer or token is lower than the policy's by the same
    offset, all weights are exp(offset), but at most 2."""
    config = RLOOConfig.model_validate(SETTINGS | {"ratio": ratio, "kl_estimator": "k3", "steps": 1})
    models = load_models(world.policy(), {"reward": world.reward_model()}, config)
    state = rloo.new_state(config, models)
    batch = rloo.roll_out(config, state, encode_prompts(models.tokenizer, PROMPTS, limit=50))
    part = batch.minibatches[0][0]
    old, lengths = part.log_probs[part.mask], part.mask.sum(dim=1)
    shares = (1 / lengths if ratio == "sequence" else torch.ones_like(lengths)).repeat_interleave(lengths)
    losses = [
        rloo.loss_of(
            config,
            dataclasses.replace(part, sampler=sampler),
            old - 0.1,
            torch.zeros_like(old),
            batch.advantages[part.numbers],
            kl_coefficient=0.2,
            answers=len(part.numbers),
            tokens=len(old),
        )[1]
        for sampler in (None, old, old - offset * shares)
    ]
    assert float(losses[1]) == float(losses[0]) != 0
    # The loss is a sum of float32 terms of about 1 that nearly cancel each other.
    assert float(losses[2]) == pytest.approx(weight * float(losses[0]), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("offset", "weight"), [(0.3, math.exp(0.3)), (-0.3, math.exp(-0.3)), (1.0, 2.0)])
def test_importance_weights_apply_to_the_policy_gradient_of_ppo(
    world: World, offset: float, weight: float
) -> None:
    config = PPOConfig.model_validate(SETTINGS | {"steps": 1, "minibatches": 1})
    models = load_models(world.policy(), {"reward": world.reward_model()}, config)
    state = ppo.new_state(config, models)
    batch = ppo.roll_out(config, state, encode_prompts(models.tokenizer, PROMPTS, limit=50))
    part = batch.minibatches[0][0]
    old = part.seen.log_probs[part.seen.mask]
    gradients = []
    for sampler in (None, old - offset):
        weighted = dataclasses.replace(part, seen=dataclasses.replace(part.seen, sampler=sampler))
        ppo_gradients.policy_backward(config, state, weighted, len(old), 1.0)
        gradients.append(models.actor.lm_head.weight.grad.clone())
        models.actor.zero_grad()
    torch.testing.assert_close(gradients[1], weight * gradients[0], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("recipe", "changes"), [(RLOOConfig, {}), (PPOConfig, {}), (RejectionSamplingConfig, {"rounds": 2})]
)
def test_recipe_for_full_training_with_a_server_is_refused(
    recipe: type[Recipe], changes: dict[str, int]
) -> None:
    place = {"server": "http://gpu-1:8000", "server_model": NAME} | changes
    with pytest.raises(ValueError, match="Set `use_peft` to true"):
        recipe.model_validate(place)
    recipe.model_validate(place | {"use_peft": True})


def test_log_probabilities_at_another_temperature_are_not_used_as_weights(
    world: World, tmp_path: Path
) -> None:
    with serving(world.policy(), raw=True) as server:
        with pytest.raises(ServerUnusable, match="--logprobs-mode processed_logprobs"):
            trained(world, tmp_path / "model", server, temperature=0.6, steps=1)
        report, _ = trained(world, tmp_path / "model", server, temperature=0.6, steps=1, importance_cap=None)
    assert not report.series("sampler/gap_mean")


def test_rejection_sampling_of_one_round_needs_no_adapter(world: World, tmp_path: Path) -> None:
    settings = {"max_new_tokens": 3, "samples_per_prompt": 16, "sample_prompts": 0, "heldout_share": 0.0}
    weights = []
    with serving(world.policy(), local_seeds=True) as server:
        for place in ({}, {"server": server.address, "server_model": NAME}):
            policy = world.policy()
            rejection_sampling.train(
                RejectionSamplingConfig.model_validate(settings | place),
                policy=policy,
                reward_model=world.reward_model(),
                prompts=PROMPTS,
                out_dir=tmp_path / "model",
            )
            weights.append(copy.deepcopy(policy.model.state_dict()))
        assert len(server.requests) == 1 + len(PROMPTS)
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())


def test_rounds_of_rejection_sampling_use_the_same_engine(world: World, tmp_path: Path) -> None:
    """A second engine would check the server's tokenizer again."""
    settings = {"max_new_tokens": 3, "samples_per_prompt": 16, "sample_prompts": 0, "heldout_share": 0.0}
    with serving(world.policy(), local_seeds=True) as server:
        place = {"server": server.address, "server_model": NAME, "use_peft": True, "rounds": 2}
        result = rejection_sampling.train(
            RejectionSamplingConfig.model_validate(settings | place),
            policy=adapted(world),
            reward_model=world.reward_model(),
            prompts=PROMPTS,
            out_dir=tmp_path / "model",
        )
        assert result.rounds == 2
        assert len(server.requests) == 1 + 2 * len(PROMPTS)
        assert server.counts["/v1/load_lora_adapter"] == 2
