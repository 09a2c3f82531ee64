"""Estimated operations and layer calls include all the work of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.training.rlhf.planning.small_runs import PROMPT, RESPONSE, data, shape
from training.rlhf.models.files import shapes
from training.rlhf.planning import answers, cost, loops, on_policy, reward_model
from training.rlhf.planning.cost import Conditions, Data
from training.rlhf.planning.scoring import with_scoring
from training.rlhf.planning.transformer import FLOAT, forward_operations
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.parts.servers import UsesServer
from training.rlhf.recipes.parts.weights import TrainsPolicy
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig


def test_encoder_reads_its_prompt_once_for_each_response() -> None:
    recipe, decoder = RewardModelConfig(), shape()
    packed, rows = (
        reward_model.reward_model(recipe, one, Data(100, 200, 10, 210, responses=4)).stages[0].operations
        for one in (decoder, replace(decoder, encoder=True))
    )
    assert rows == pytest.approx(4 * packed * 210 / 240, rel=0.1)


def test_only_an_ensemble_of_adapters_requires_additional_training() -> None:
    policy, data = shapes.demo_shape(), Data(200, 60, 40, 200, responses=4)

    def work(**recipe: Any) -> float:
        found = reward_model.reward_model(RewardModelConfig.model_validate(recipe), policy, data)
        return sum(stage.operations for stage in found.stages)

    plain, adapter = work(), work(use_peft=True, keep="last")
    assert work(uncertainty="lora", members=5) == pytest.approx(plain + 5 * adapter)
    assert work(uncertainty="laplace") == work(uncertainty="heads") == plain
    lora = reward_model.reward_model(RewardModelConfig(uncertainty="lora"), policy, data)
    assert max(stage.bytes for stage in lora.stages[2:]) > shapes.demo_shape().weights * 2 * FLOAT


def test_estimated_time_increases_with_the_requested_work() -> None:
    policy, speed = shape(), cost.Speed(1e10, 1e-4)

    def took(costs: cost.Cost) -> float:
        return cost.seconds(costs, speed)

    once = took(loops.sft(SFTConfig(sample_prompts=0, kl_samples=0), policy, data(1000)))
    assert took(
        loops.sft(SFTConfig(sample_prompts=0, kl_samples=0, epochs=2), policy, data(1000))
    ) == pytest.approx(2 * once, rel=0.1)
    assert took(loops.sft(SFTConfig(sample_prompts=0, kl_samples=0), policy, data(2000))) == pytest.approx(
        2 * once, rel=0.1
    )
    steps = took(on_policy.ppo(PPOConfig(steps=10), policy, policy, data(100)))
    assert took(on_policy.ppo(PPOConfig(steps=30), policy, policy, data(100))) == pytest.approx(
        3 * steps, rel=0.01
    )
    single, thrice = (
        took(loops.rejection_sampling(RejectionSamplingConfig(rounds=n), policy, policy, data(100)))
        for n in (1, 3)
    )
    assert thrice == pytest.approx(3 * single)
    four = RejectionSamplingConfig(keep="top_k", k=4)
    assert took(loops.rejection_sampling(four, policy, policy, data(100))) > single
    gold = answers.evaluate(EvaluateConfig(), policy, None, data(100))
    assert took(answers.evaluate(EvaluateConfig(), policy, policy, data(100))) > took(gold)
    for kind in (answers.sample(SampleConfig(), policy, data(10)), gold):
        assert took(kind) > 0


def stage_of(found: cost.Cost, name: str) -> cost.Stage:
    [stage] = [stage for stage in found.stages if stage.name == name]
    return stage


def test_supervised_loss_of_ppo_is_part_of_the_update() -> None:
    policy, recipe = shape(), PPOConfig(steps=10, epochs=2, minibatches=4)
    mixed = recipe.model_copy(update={"ptx_coefficient": 1.0, "ptx_batch_size": 8})
    before, after = (
        stage_of(on_policy.ppo(one, policy, policy, data(100)), "update") for one in (recipe, mixed)
    )
    one = forward_operations(policy, PROMPT + RESPONSE, around=PROMPT + RESPONSE, projected=RESPONSE)
    assert after.operations - before.operations == pytest.approx(10 * 2 * 4 * 8 * 3 * one)
    assert after.layer_calls > before.layer_calls


@pytest.mark.parametrize(("limit", "more"), [("kl_ceiling", 1), ("kl_target", 8)])
def test_measuring_the_final_kl_requires_further_rollouts(limit: str, more: int) -> None:
    policy, recipe = shape(), RLOOConfig(steps=10, samples=0)
    plain, limited = (
        on_policy.rloo(one, policy, policy, data(100))
        for one in (recipe, recipe.model_copy(update={limit: 1.0}))
    )
    for name in ("generate", "score", "log-probs"):
        before, after = (stage_of(found, name) for found in (plain, limited))
        assert after.operations == pytest.approx((1 + more / 10) * before.operations)
        assert after.layer_calls == pytest.approx((1 + more / 10) * before.layer_calls)
    assert stage_of(limited, "update").operations == stage_of(plain, "update").operations


def test_ppo_and_rloo_sample_at_the_start_and_at_intervals_and_at_the_end() -> None:
    policy = shape()

    def generated(**settings: int) -> float:
        recipe = RLOOConfig(steps=10, **settings)
        return stage_of(on_policy.rloo(recipe, policy, policy, data(100)), "generate").layer_calls

    none = generated(samples=0)
    twice, four_times, each = (generated(samples=4, sample_every=every) - none for every in (10, 4, 1))
    assert four_times == pytest.approx(2 * twice)
    assert each == pytest.approx(11 / 2 * twice)


@pytest.mark.parametrize("loop", [loops.sft, loops.dpo], ids=["sft", "dpo"])
def test_kl_from_the_starting_policy_is_measured_on_one_answer_per_prompt(
    loop: Callable[..., cost.Cost],
) -> None:
    policy, base = shape(), SFTConfig if loop is loops.sft else DPOConfig

    def measuring(**settings: int) -> list[cost.Stage]:
        recipe = (
            base(sample_prompts=0, heldout_fraction=0, **settings)
            if loop is loops.dpo
            else base(sample_prompts=0, heldout_share=0, **settings)
        )
        return [stage for stage in loop(recipe, policy, data(100)).stages if stage.name != "update"]

    without = {stage.name: stage for stage in measuring(kl_samples=0)}
    assert "generate" not in without
    answered, passed = measuring(kl_samples=16)[-2:]
    twice_answered, twice_passed = measuring(kl_samples=32)[-2:]
    assert (answered.name, passed.name) == ("generate", "log-probs")
    assert twice_answered.operations == pytest.approx(2 * answered.operations)
    assert twice_passed.operations == pytest.approx(2 * passed.operations)
    assert measuring(kl_samples=1000) == measuring(kl_samples=100)
    names = {part.name: part.bytes for part in passed.parts}
    assert names["weights: starting policy"] == 4 * policy.weights
    assert "Adam's moments" not in names


def test_ensemble_of_adapters_has_its_own_trunk_and_scores_once_per_member() -> None:
    policy, recipe = shape(), RLOOConfig(samples=0)
    alone = on_policy.rloo(recipe, policy, policy, data(64))
    found = with_scoring(alone, policy, [], recipe, data(64), given=Conditions(), members=[(policy, 5)])
    plain, of_members = (stage for stage in found.stages if stage.name == "score")
    assert of_members.operations == pytest.approx(5 * plain.operations, rel=0.05)
    assert cost.Part("weights: ensembles", 4 * policy.weights) in of_members.parts


def test_answers_from_a_server_use_neither_memory_nor_time_on_this_machine() -> None:
    policy, place = shape(), {"server": "http://gpu-1:8000", "server_model": "policy"}
    estimates: list[tuple[type[UsesServer], Callable[[Any], cost.Cost]]] = [
        (SampleConfig, lambda recipe: answers.sample(recipe, policy, data(64))),
        (EvaluateConfig, lambda recipe: answers.evaluate(recipe, policy, policy, data(64))),
        (
            RejectionSamplingConfig,
            lambda recipe: loops.rejection_sampling(recipe, policy, policy, data(64)),
        ),
        (RLOOConfig, lambda recipe: on_policy.rloo(recipe, policy, policy, data(64))),
        (PPOConfig, lambda recipe: on_policy.ppo(recipe, policy, policy, data(64))),
    ]
    for make, estimate in estimates:
        settings = {"use_peft": True} if issubclass(make, TrainsPolicy) else {}
        here, away = (estimate(make.model_validate(settings | more)) for more in ({}, place))
        assert here.stages[0].operations > away.stages[0].operations == away.stages[0].layer_calls == 0
        assert "weights: policy" in {part.name for part in away.stages[0].parts}
        assert "keys and values" in {part.name for part in here.stages[0].parts}
        assert all(
            part.name.startswith(("weights", "Adam", "float32 kernels")) for part in away.stages[0].parts
        )
        assert here.stages[1:] == away.stages[1:]
