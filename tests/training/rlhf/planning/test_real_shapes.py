"""The formulas of the memory estimates are applied to the shapes of Qwen3 models on a GPU.
`benchmarks.memory_estimates` compares the estimates with measured peaks on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.rlhf.models.files.shapes import Shape, shape_of
from training.rlhf.planning import loops, on_policy
from training.rlhf.planning.cost import Conditions, Cost, Data
from training.rlhf.planning.transformer import without_output_layer
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "memory.md"
GB, DRIVER = 1e9, 0.6e9
# Prompts of 300 tokens and answers of 200 tokens on average. The longest prompt has 1,000 tokens.
DATA = Data(512, 300, 200, 1200, responses=4)
HALF = {"dtype": "bfloat16", "gradient_checkpointing": True}
LORA = HALF | {"use_peft": True}


def qwen3(hidden: int, layers: int, heads: int, intermediate: int, *, tied: bool) -> Shape:
    """The shape in the `config.json` of a Qwen3 model."""
    return shape_of(
        {
            "model_type": "qwen3",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": intermediate,
            "vocab_size": 151_936,
            "max_position_embeddings": 40_960,
            "tie_word_embeddings": tied,
        }
    )


SMALL = qwen3(1024, 28, 16, 3072, tied=True)  # Qwen3-0.6B
LARGE = qwen3(4096, 36, 32, 12_288, tied=False)  # Qwen3-8B


def ppo(shape: Shape, *, memory: float, cautious: bool, shared: bool, **settings: Any) -> Cost:
    given = Conditions(cautious, gpu=True, memory=memory)
    recipe, judge = PPOConfig.model_validate(settings), without_output_layer(shape)
    return on_policy.ppo(recipe, shape, judge, DATA, shared=shared, given=given)


def test_shapes_have_the_published_numbers_of_parameters() -> None:
    assert SMALL.weights == 596_049_920  # the tensors of Qwen/Qwen3-0.6B without the tied copy
    assert LARGE.weights == 8_190_735_360
    assert without_output_layer(SMALL) == SMALL
    assert LARGE.weights - without_output_layer(LARGE).weights == 151_936 * 4096


@pytest.mark.parametrize("cautious", [False, True])
def test_ppo_and_rejection_sampling_of_qwen3_600m_need_at_most_16_gb(cautious: bool) -> None:
    whole = ppo(SMALL, memory=24 * GB, cautious=cautious, shared=False, critic="shared", **HALF)
    adapter = ppo(SMALL, memory=24 * GB, cautious=cautious, shared=True, **LORA)
    selecting = loops.rejection_sampling(
        RejectionSamplingConfig.model_validate(HALF),
        SMALL,
        SMALL,
        DATA,
        given=Conditions(cautious, gpu=True, memory=24 * GB),
    )
    for cost in (whole, selecting):
        # Weights, masters and moments alone take 14 bytes per weight.
        assert 14 * SMALL.weights < cost.peak.bytes + DRIVER <= 16 * GB
    assert adapter.peak.bytes < whole.peak.bytes / 2


@pytest.mark.parametrize("cautious", [False, True])
def test_ppo_with_adapters_of_qwen3_8b_needs_at_most_60_gb(cautious: bool) -> None:
    for shared in (True, False):  # a reward model on the policy's trunk, or with a trunk of its own
        cost = ppo(LARGE, memory=80 * GB, cautious=cautious, shared=shared, **LORA)
        trunks = 1 if shared else 2
        assert trunks * 15 * GB < cost.peak.bytes + DRIVER <= 60 * GB


def test_qwen3_600m_with_a_separate_critic_does_not_fit_into_16_gb() -> None:
    cost = ppo(SMALL, memory=24 * GB, cautious=False, shared=False, **HALF)
    assert cost.peak.name == "update"
    assert cost.peak.bytes > 24 * GB


def test_processes_divide_batches_and_sharding_divides_trained_weights() -> None:
    def parts(processes: int, sharding: str = "none") -> dict[str, float]:
        settings = {"micro_batch_tokens": 65_536, "sharding": sharding, **HALF}
        given = Conditions(gpu=True, processes=processes)
        cost = on_policy.ppo(PPOConfig.model_validate(settings), SMALL, SMALL, DATA, given=given)
        [update] = [stage for stage in cost.stages if stage.name == "update"]
        return {part.name: part.bytes for part in update.parts}

    one, two, sharded = parts(1), parts(2), parts(2, "full")
    assert two["activations"] == pytest.approx(one["activations"] / 2, rel=0.1)
    assert two["Adam's moments"] == one["Adam's moments"] == 2 * sharded["Adam's moments"]
    # The parts of a sharded policy are in float32, so the policy needs no masters.
    assert sharded["weights: part of the policy"] == one["weights: float32 masters"] / 2
    assert sharded["weights: reward model"] == one["weights: reward model"]


def test_checkpoint_of_a_gpu_run_passes_through_main_memory() -> None:
    cost = ppo(SMALL, memory=24 * GB, cautious=False, shared=False, critic="shared", **HALF)
    assert [stage.name for stage in cost.stages] == [
        *("load", "generate", "score", "log-probs", "update", "save")
    ]
    assert cost.host_peak.name == "save"
    assert cost.host_peak.host_bytes == pytest.approx(14 * SMALL.weights, rel=0.01)


def figures() -> str:
    """The table in docs/memory.md: the parts of the largest stage, in GB, in the worst case."""
    runs = {
        "Qwen3-0.6B, PPO of all weights, shared critic": ppo(
            SMALL, memory=24 * GB, cautious=True, shared=False, critic="shared", **HALF
        ),
        "Qwen3-0.6B, rejection sampling, all weights": loops.rejection_sampling(
            RejectionSamplingConfig.model_validate(HALF),
            SMALL,
            SMALL,
            DATA,
            given=Conditions(True, gpu=True, memory=24 * GB),
        ),
        "Qwen3-8B, PPO with LoRA, one trunk": ppo(LARGE, memory=80 * GB, cautious=True, shared=True, **LORA),
        "Qwen3-8B, PPO with LoRA, reward model on its own trunk": ppo(
            LARGE, memory=80 * GB, cautious=True, shared=False, **LORA
        ),
    }
    groups = {
        "weights": ("weights",),
        "Adam's moments": ("Adam",),
        "gradients": ("gradients",),
        "activations and logits": ("activations", "logits"),
        "keys and values": ("keys and values",),
        "choosing tokens": ("reading prompts",),
    }
    rows = [("", *runs), ("---",) * (len(runs) + 1)]
    rows.append(("largest stage", *(cost.peak.name for cost in runs.values())))
    for name, starts in groups.items():
        sums = [
            sum(part.bytes for part in cost.peak.parts if part.name.startswith(starts))
            for cost in runs.values()
        ]
        rows.append((name, *(f"{one / GB:.1f}" if one else "–" for one in sums)))
    rows.append(("GPU driver", *[f"{DRIVER / GB:.1f}"] * len(runs)))
    rows.append(("total", *(f"{(cost.peak.bytes + DRIVER) / GB:.1f}" for cost in runs.values())))
    rows.append(("main memory", *(f"{cost.host_peak.host_bytes / GB:.1f}" for cost in runs.values())))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("|  |", "| |", 1)


def test_memory_guide_contains_the_estimated_figures() -> None:
    guide = GUIDE.read_text()
    assert figures() in guide, figures()
