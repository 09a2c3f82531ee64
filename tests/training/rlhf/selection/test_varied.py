"""Prompts are chosen by the spread of their answers' rewards."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import ROLLOUTS
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.policy import rloo
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.selection import varied
from training.rlhf.selection.varied import Measured, Rewards, measure, most_varied, spreads_of

torch.set_num_threads(1)
NAN = math.nan
# At this temperature, the policy always gives the same answer to some of the prompts.
SETTINGS: dict[str, Any] = ROLLOUTS | {"temperature": 0.06, "steps": 1, "responses_per_prompt": 4}
PROMPTS: list[Messages] = [
    [{"role": "user", "content": f"w{i} w{j} w{k}"}] for i, j, k in itertools.product(range(4), repeat=3)
]


def test_spread_is_the_standard_deviation_of_the_usable_rewards() -> None:
    rewards = torch.tensor(
        [
            [1.0, 3.0, 1.0, 3.0],
            [0.0, NAN, 4.0, NAN],
            [2.0, 2.0, 2.0, 2.0 + 1e-6],  # equal up to rounding errors
            [NAN, NAN, 5.0, NAN],
            [NAN, NAN, NAN, NAN],
        ],
        dtype=torch.float64,
    )
    assert spreads_of(rewards).tolist() == [1.0, 2.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("spreads", "share", "chosen"),
    [
        ([0.1, 0.4, 0.2, 0.3], 0.5, [1, 3]),
        ([0.1, 0.4, 0.2, 0.3], 0.51, [1, 2, 3]),
        ([0.1, 0.4, 0.2, 0.3], 0.01, [1]),
        ([0.0, 0.4, 0.0, 0.3], 0.75, [1, 3]),
        ([0.2, 0.2, 0.2, 0.2], 0.5, [0, 1]),
        ([0.0, 0.0], 0.5, []),
        ([1.0] * 100, 0.07, list(range(7))),  # 0.07 * 100 is slightly above 7
    ],
)
def test_chosen_prompts_are_the_requested_share_with_the_largest_spreads(
    spreads: list[float], share: float, chosen: list[int]
) -> None:
    assert most_varied(torch.tensor(spreads), share) == chosen


def measured(prompts: list[Messages] = PROMPTS, report: ListReporter | None = None, **more: Any) -> Measured:
    world = known_optimum.world(0)
    return measure(
        more.pop("config", RLOOConfig(**SETTINGS)),
        samples=4,
        policy=world.policy(),
        reward_models={"reward_model": world.reward_model()},
        prompts=prompts,
        report=report or ListReporter(),
        **more,
    )


def test_interrupted_measurement_continues_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varied, "PROMPTS_PER_BATCH", 16)
    whole = measured()
    assert whole.rewards.shape == (len(PROMPTS), 4)
    kept: Rewards = []
    report = ListReporter()

    def keep(rewards: Rewards) -> None:
        kept.extend(rewards)
        if len(kept) == 32:
            report.cancel_after = 0

    with pytest.raises(Cancelled):
        measured(report=report, keep=keep)
    assert len(kept) == 32
    report = ListReporter()
    again = measured(report=report, known=[*kept, [0.0] * 4])  # the last batch is incomplete
    assert torch.equal(again.rewards, whole.rewards)
    assert report.progress_rows[0] == (varied.PHASE, 32, len(PROMPTS))
    assert report.progress_rows[-1] == (varied.PHASE, len(PROMPTS), len(PROMPTS))


def test_models_have_the_precision_that_the_recipe_specifies(tmp_path: Path) -> None:
    """bfloat16 models give the same rewards whether they are loaded from files or are already in memory."""
    world, sources = known_optimum.world(0), dict[str, ModelSource]()
    models = {"policy": world.policy(), "reward_model": world.reward_model()}
    for name, (model, tokenizer) in models.items():
        sources[name] = save_model(model, tokenizer, tmp_path / name)
    in_memory = {name: Loaded(one.model.bfloat16(), one.tokenizer) for name, one in models.items()}

    def rewards(policy: ModelSource, reward_model: ModelSource, dtype: str) -> Tensor:
        config = RLOOConfig(**SETTINGS | {"dtype": dtype})
        judged = {"reward_model": reward_model}
        report = ListReporter()
        return measure(
            config, samples=4, policy=policy, reward_models=judged, prompts=PROMPTS[:16], report=report
        ).rewards

    found = rewards(**sources, dtype="bfloat16")
    assert torch.equal(found, rewards(**in_memory, dtype="bfloat16"))
    assert not torch.equal(found, rewards(**sources, dtype="float32"))


def test_unfinished_answers_are_penalised_as_in_the_loop() -> None:
    """The policy never ends its answers within one token. RLOO penalises such answers, and rejection sampling
    never keeps them."""
    short = RLOOConfig(**SETTINGS | {"max_new_tokens": 1, "temperature": 1.0})
    shorter = short.model_copy(update={"missing_eos_penalty": 0.0})
    penalty = measured(config=shorter).rewards - measured(config=short).rewards
    assert set(penalty.flatten().tolist()) <= {0.0, SETTINGS["missing_eos_penalty"]}
    unfinished = penalty > 0
    assert unfinished.any()
    selecting = RejectionSamplingConfig(max_new_tokens=1, max_length=64)
    assert torch.equal(measured(config=selecting).rewards.isnan(), unfinished)


def test_chosen_prompts_have_fewer_groups_of_answers_with_equal_rewards(tmp_path: Path) -> None:
    world = known_optimum.world(0)
    spreads = spreads_of(measured().rewards)
    assert (spreads == 0).any()
    chosen = [PROMPTS[index] for index in most_varied(spreads, 0.25)]

    def share_of_equal_rewards(prompts: list[Messages]) -> float:
        """Samples new answers to all of these prompts in one step. Returns the share of prompts whose answers
        have equal rewards."""
        report = ListReporter()
        rloo.train(
            RLOOConfig(**SETTINGS | {"rollout_prompts": len(prompts), "seed": 1}),
            policy=world.policy(),
            reward_model=world.reward_model(),
            prompts=prompts,
            out_dir=tmp_path / f"{len(prompts)}",
            report=report,
        )
        return report.series("frac_reward_zero_std")[0]

    everything, some = share_of_equal_rewards(PROMPTS), share_of_equal_rewards(chosen)
    assert some < everything / 2, (some, everything)
    assert everything > 0.2
