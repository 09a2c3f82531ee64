"""Every setting of a loop's recipe has an effect. `settings.CHANGES` contains a change of most settings. For
each of the other settings, this file names a test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import LOOPS, LORA, Scene, build_scene
from tests.training.rlhf.policy.settings import CHANGES, RECIPES, without_effect
from training.rlhf.core.rates import ADAPTER_RATE_FACTOR
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.parts import lora
from training.rlhf.recipes.parts.base import CADENCE
from training.rlhf.recipes.sft import SFTConfig

torch.set_num_threads(1)
TESTS = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


# For each setting that needs other models or a server, or that changes no result: the test of this setting.
POLICY, RLHF = "training/rlhf/policy", "training/rlhf"
THIS = f"{POLICY}/{Path(__file__).name}"
ADAPTERS, SERVER = f"{POLICY}/memory/test_adapters.py", f"{POLICY}/test_training_with_a_server.py"
SEVERAL = f"{RLHF}/judging/test_several_reward_models.py"
ELSEWHERE: dict[str, str] = {
    "use_peft": f"{ADAPTERS}::run_stores_only_the_adapter_and_resumes_bitwise",
    "lora_r": f"{THIS}::adapter_has_the_rank_and_scale_and_modules_of_the_recipe",
    "lora_alpha": f"{THIS}::adapter_has_the_rank_and_scale_and_modules_of_the_recipe",
    "lora_target_modules": f"{THIS}::adapter_has_the_rank_and_scale_and_modules_of_the_recipe",
    "num_layers_unfrozen": f"{POLICY}/memory/test_trained_weights.py::only_the_last_layers_change",
    "dtype": f"{POLICY}/memory/test_bfloat16.py::adapters_and_heads_and_optimisers_are_in_float32",
    "gradient_checkpointing": f"{ADAPTERS}::gradients_of_policy_and_critic_are_separate",
    "template_arguments": f"{RLHF}/models/tokens/test_template_arguments.py::"
    "every_loop_reads_prompts_with_the_arguments_of_its_recipe",
    "reward_weights": f"{SEVERAL}::reward_is_the_weighted_mean_of_standardised_scores",
    "reward_floors": f"{POLICY}/test_rewards_in_ppo_and_rloo.py::"
    "floor_holds_in_ppo_while_the_helpful_reward_rises",
    "floor_rate": f"{RLHF}/judging/test_floors.py::multiplier_follows_the_formula_of_the_controller",
    "reward_spread": f"{POLICY}/test_rewards_in_ppo_and_rloo.py::"
    "return_of_each_token_is_the_reward_minus_its_potential",
    "importance_cap": f"{SERVER}::importance_weights_apply_to_the_policy_gradient_of_ppo",
    "micro_batch_tokens": f"{POLICY}/ppo/test_ppo_update.py::gradients_do_not_depend_on_the_micro_batches",
    "packing": f"{POLICY}/sft/test_sft.py::micro_batches_change_neither_loss_nor_gradients",
    "samples": f"{POLICY}/ppo/test_ppo.py::samples_compare_the_initial_and_the_current_policy",
    "sample_every": f"{POLICY}/ppo/test_ppo.py::samples_compare_the_initial_and_the_current_policy",
    "sample_prompts": f"{POLICY}/sft/test_sft.py::policy_learns_its_demonstrations",
    "sample_tokens": f"{POLICY}/test_dpo.py::training_learns_the_order_of_held_out_responses",
    "evaluations": f"{POLICY}/test_dpo.py::training_learns_the_order_of_held_out_responses",
    "heldout_share": f"{RLHF}/data/test_demonstrations.py::"
    "all_demonstrations_of_a_prompt_are_in_the_same_split",
    "kl_samples": f"{POLICY}/test_dpo.py::measured_kl_equals_the_divergence_of_the_two_distributions",
}
CAUTION = {
    "rejection_sampling": f"{POLICY}/rejection_sampling/test_rejection_sampling.py::"
    "caution_subtracts_standard_deviations_before_selection",
    "ppo": f"{POLICY}/ppo/test_ppo.py::caution_subtracts_standard_deviations_from_the_scores",
}


# Settings whose effect on a whole run no other test covers.
UNSEEN: dict[str, list[str]] = {
    "sft": ["weight_decay", "max_grad_norm"],
    "rejection_sampling": ["top_p", "temperature", "max_length"],
    "dpo": ["max_length"],
    "rloo": ["dual_clip", "entropy_coefficient"],
    "ppo": ["dual_clip", "max_grad_norm", "value_clip", "ptx_batch_size"],
}


@pytest.mark.parametrize("kind", RECIPES)
def test_settings_that_no_other_test_covers_change_the_policy(kind: str, tmp_path: Path) -> None:
    assert without_effect(kind, UNSEEN[kind], tmp_path) == []


@pytest.mark.parametrize("kind", RECIPES)
def test_every_setting_has_an_entry_in_changes_or_elsewhere(kind: str) -> None:
    """A new setting needs an entry in `CHANGES` or `ELSEWHERE`."""
    others = RECIPES[kind].model_fields.keys() - CHANGES[kind].keys() - CADENCE - {"caution"}
    assert others <= ELSEWHERE.keys()


def test_tests_of_the_other_settings_exist() -> None:
    for place in {*ELSEWHERE.values(), *CAUTION.values()}:
        file, name = place.split("::")
        assert re.search(rf"^def test_{name}\(", (TESTS / file).read_text(), re.MULTILINE), place


def test_adapter_has_the_rank_and_scale_and_modules_of_the_recipe(scene: Scene) -> None:
    config = SFTConfig(use_peft=True, lora_r=3, lora_alpha=12, lora_target_modules="q_proj, down_proj")
    model: Any = open_trainable(scene.base, config, out_dir="out").model
    changed = [
        (name.rpartition(".")[2], tuple(layer.lora_A[lora.POLICY].weight.shape), layer.scaling[lora.POLICY])
        for name, layer in model.named_modules()
        if hasattr(layer, "lora_A")
    ]
    assert sorted(changed) == [("down_proj", (3, 64), 4.0)] * 2 + [("q_proj", (3, 32), 4.0)] * 2


# The default peak learning rates of models with at most 2M parameters.
RATES = {"sft": 3e-3, "rejection_sampling": 3e-4, "dpo": 3e-4, "rloo": 4e-4, "ppo": 4e-4}


@pytest.mark.parametrize("kind", LOOPS)
def test_default_learning_rate_of_an_adapter_is_ten_times_the_usual_rate(
    kind: str, scene: Scene, tmp_path: Path
) -> None:
    report = ListReporter()
    settings = LORA | {"learning_rate": None, "schedule": "constant"}
    if kind in ("ppo", "rloo"):
        settings |= {"steps": 1, "samples": 0}
    else:
        warmup = "warmup_fraction" if kind == "dpo" else "warmup_share"
        settings |= {warmup: 0.0, "sample_prompts": 0, "kl_samples": 0}
    LOOPS[kind](scene, scene.base, tmp_path, report, **settings)
    rates = report.series("learning_rate") or report.series("lr")
    assert rates[-1] == pytest.approx(ADAPTER_RATE_FACTOR * RATES[kind])
