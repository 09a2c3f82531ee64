"""DPO on rankings of two responses is equivalent to TRL's DPOTrainer. This also holds in every layout, with
an adapter and, up to rounding errors, in bfloat16.

With the same weights, both trainers compute the same loss, gradients and metrics, and reach the same weights
after training. For the tested losses, TRL supports neither label smoothing nor ties. With label smoothing or
a tie, the loss is an expectation over both directions of a preference, so TRL gets each pair several times,
with the directions in the corresponding proportions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import DPOConfig as TheirConfig
from trl import DPOTrainer

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.test_trl import PAIRS, OfRounding
from training.rlhf.core.masters import master_of, optimiser_over
from training.rlhf.core.messages import plain_text
from training.rlhf.core.seeds import batches_in_random_order
from training.rlhf.data.batching import LAYOUTS
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.tokens import chat
from training.rlhf.policy import dpo
from training.rlhf.policy.dpo_loss import summed_loss
from training.rlhf.policy.preference_rows import RankingRows, encode_preferences
from training.rlhf.recipes.dpo import DPOConfig

torch.set_num_threads(1)
BATCH = 4
SETTINGS: dict[str, Any] = {
    "epochs": 1, "batch_rankings": BATCH, "learning_rate": 1e-3, "warmup_fraction": 0.0,
    "heldout_fraction": 0.0, "sample_prompts": 0, "micro_batch_tokens": 60,
}  # fmt: skip
IPO: dict[str, Any] = {"loss": "ipo", "length_normalised": True}  # TRL always normalises IPO
# Our settings, TRL's settings, and the number of copies of each pair that TRL gets in the stated order and in
# the reversed order.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, int]]] = {
    "dpo": ({}, {"loss_type": ["sigmoid"]}, (1, 0)),
    "dpo-smoothed": ({"label_smoothing": 0.25}, {"loss_type": ["sigmoid"]}, (3, 1)),
    "dpo-normalised": (
        {"length_normalised": True, "beta": 5.0}, {"loss_type": ["sigmoid_norm"], "beta": 5.0}, (1, 0),
    ),
    "ipo": (IPO, {"loss_type": ["ipo"]}, (1, 0)),
    "ipo-smoothed": (IPO | {"label_smoothing": 0.25}, {"loss_type": ["ipo"]}, (3, 1)),
}  # fmt: skip


def config_of(settings: dict[str, Any]) -> DPOConfig:
    return DPOConfig.model_validate(SETTINGS | settings)


def pairs_for_trl(pairs: Sequence[Ranking], times: tuple[int, int]) -> list[dict[str, str]]:
    """Convert rankings of two responses to TRL's texts. TRL adds EOS, but no BOS."""
    rows = []
    for pair in pairs:
        chosen, rejected = (" " + pair.responses[tier[0]] for tier in pair.tiers)
        stated = {"prompt": "<bos>" + plain_text(pair.messages), "chosen": chosen, "rejected": rejected}
        rows += [stated] * times[0] + [stated | {"chosen": rejected, "rejected": chosen}] * times[1]
    return rows


def their_trainer(
    model: Any, rows: list[dict[str, str]], out: Path, adapter: LoraConfig | None = None, **settings: Any
) -> DPOTrainer:
    config = TheirConfig(
        output_dir=str(out), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
        save_strategy="no", logging_steps=1, disable_tqdm=True, train_sampling_strategy="sequential",
        optim="adamw_torch_fused", num_train_epochs=1, weight_decay=0.0, warmup_steps=0, learning_rate=1e-3,
        lr_scheduler_type="linear", **settings,
    )  # fmt: skip
    return DPOTrainer(
        model=model,
        ref_model=None if adapter else tiny.policy(),
        peft_config=adapter,
        args=config,
        processing_class=tiny.tokenizer(),
        train_dataset=Dataset.from_list(rows),
    )


@torch.no_grad()
def move(model: Any) -> None:
    """Change the trained weights, so that the policy differs from the reference, as after some training."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


ADAPTER: dict[str, Any] = {"use_peft": True, "lora_r": 4, "lora_alpha": 8}
HALF: dict[str, Any] = {"dtype": "bfloat16"}


class Limits(NamedTuple):
    """The largest allowed relative error of the loss, and the largest allowed error of the gradients: the
    error of each number or, if ``relative``, the norm of the error divided by the norm of the gradients."""

    loss: float
    gradients: float
    relative: bool = False


EXACT = Limits(1e-5, 1e-5)
# Our forward pass in bfloat16 (8 bits of precision) is compared with TRL's in float32, with the same rounded
# weights. The limits are three times the measured errors, which are 0.07 % and 2.9 %.
ROUNDED = Limits(2e-3, 0.09, relative=True)
# Each entry contains a case, the settings of the weights, and the limits.
FIRST_UPDATES = [
    *((case, {}, EXACT) for case in CASES),
    ("dpo", ADAPTER, EXACT),
    ("dpo", ADAPTER | HALF, ROUNDED),
]


@pytest.mark.parametrize(("case", "weights", "limits"), FIRST_UPDATES)
def test_loss_and_gradients_and_metrics_equal_those_of_trl(
    case: str, weights: dict[str, Any], limits: Limits, tmp_path: Path
) -> None:
    ours, theirs, times = CASES[case]
    config, tokenizer = config_of(ours | weights), tiny.tokenizer()
    groups, _, _ = encode_preferences(PAIRS, tokenizer, ties="ignore", max_length=100)
    base = save_model(tiny.policy(), tokenizer, tmp_path / "base")
    mine: Any = open_trainable(base, config, out_dir=tmp_path / "out").model
    optimiser = optimiser_over(mine, lambda trained: torch.optim.SGD(trained))
    found = RankingRows.of(groups, [], pad_id=chat.pad_id(tokenizer), max_tokens=200, policy=mine)
    layouts = {layout: dataclasses.replace(found, layouts=[layout] * len(groups)) for layout in LAYOUTS}
    states = {
        layout: dpo.DPOState(mine, optimiser, torch.zeros(rows.n_responses), rows.max_tokens)
        for layout, rows in layouts.items()
    }
    for layout, rows in layouts.items():
        for part in rows.micro_batches(range(len(groups))):
            dpo.add_to_reference(states[layout], rows, part)
            with torch.no_grad():
                _, unchanged = summed_loss(config, mine, states[layout].reference, rows, part)
            assert unchanged["rewards/margins"] == 0.0
    move(mine)

    adapter = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = their_trainer(
        tiny.policy(), pairs_for_trl(PAIRS, times), tmp_path, adapter if config.use_peft else None, **theirs
    )
    yours: Any = trainer.model
    yours.load_state_dict(mine.state_dict())
    theirs_first = trainer.train_dataset[0]
    assert theirs_first["prompt_ids"] == groups[0].prompt
    chosen = groups[0].tiers.index(0)
    assert [theirs_first["chosen_ids"], theirs_first["rejected_ids"]] == [
        groups[0].responses[chosen],
        groups[0].responses[1 - chosen],
    ]
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    loss = trainer.compute_loss(yours.train(), dict(inputs))
    loss.backward()
    others = {name: one.grad for name, one in yours.named_parameters() if one.grad is not None}
    for layout, rows in layouts.items():
        optimiser.zero_grad()
        sums = {"loss": 0.0}
        for part in rows.micro_batches(range(len(groups))):
            part_loss, of_part = summed_loss(config, mine, states[layout].reference, rows, part)
            torch.autograd.backward(part_loss / len(groups))
            sums = {name: sums.get(name, 0.0) + value for name, value in of_part.items()}
        assert sums["loss"] / len(groups) == pytest.approx(loss.item(), rel=limits.loss, abs=1e-6), layout
        trained = {name: master_of(one).grad for name, one in mine.named_parameters() if one.requires_grad}
        assert trained.keys() == others.keys()
        compare_gradients(trained, others, limits)
        if times == (1, 0) and not config.length_normalised and not limits.relative:
            compare_metrics(sums, trainer)


def compare_gradients(found: dict[str, Any], expected: dict[str, Any], limits: Limits) -> None:
    assert max(float(one.abs().max()) for one in found.values()) > 0.01
    if not limits.relative:
        for name, gradient in found.items():
            assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=limits.gradients), name
        return
    one, other = (torch.cat([some[name].flatten() for name in expected]) for some in (found, expected))
    assert float((one - other).norm() / other.norm()) < limits.gradients


def compare_metrics(sums: dict[str, float], trainer: DPOTrainer) -> None:
    for name in ("chosen", "rejected", "margins", "accuracies"):
        [value] = trainer._metrics["train"][f"rewards/{name}"]
        assert sums[f"rewards/{name}"] / sums["pairs"] == pytest.approx(value, abs=1e-4), name
    for name in ("chosen", "rejected"):
        [value] = trainer._metrics["train"][f"logps/{name}"]
        assert sums[f"logps/{name}"] / sums["pairs"] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("case", ["dpo", "dpo-smoothed", "ipo"])
def test_training_with_equal_settings_leads_to_the_same_weights_as_in_trl(case: str, tmp_path: Path) -> None:
    ours, theirs, times = CASES[case]
    config, report = config_of(ours), ListReporter()
    result = dpo.train(
        config, base_model=Loaded(tiny.policy(), tiny.tokenizer()), rankings=PAIRS,
        out_dir=tmp_path / "ours", report=report,
    )  # fmt: skip
    trained = dict(load_policy(result.path).model.named_parameters())

    yours = tiny.policy()
    in_order = [
        PAIRS[i]
        for step in batches_in_random_order(
            config.seed, "order", len(PAIRS), size=config.batch_rankings, epochs=config.epochs
        )
        for i in step
    ]
    trainer = their_trainer(
        yours, pairs_for_trl(in_order, times), tmp_path / "theirs",
        per_device_train_batch_size=BATCH * sum(times), max_grad_norm=config.max_grad_norm, **theirs,
    )  # fmt: skip
    before = {name: parameter.detach().clone() for name, parameter in yours.named_parameters()}
    of_rounding = OfRounding(trainer.create_optimizer())
    trainer.train()
    history = trainer.state.log_history
    assert report.series("loss") == pytest.approx([row["loss"] for row in history if "loss" in row], abs=1e-4)
    norms = [row["grad_norm"] for row in history if "grad_norm" in row]
    assert report.series("grad_norm") == pytest.approx(norms, rel=1e-3)
    if times == (1, 0) and not config.length_normalised:
        for name in ("rewards/margins", "rewards/chosen", "logps/rejected"):
            assert report.series(name) == pytest.approx(
                [row[name] for row in history if name in row], abs=1e-3
            )
    moved, left_out = 0.0, 0
    for name, parameter in yours.named_parameters():
        moved = max(moved, float((parameter - before[name]).detach().abs().max()))
        rounding = of_rounding[parameter]
        left_out += int(rounding.sum())
        assert torch.allclose(trained[name][~rounding], parameter[~rounding], atol=2e-5), name
    assert moved > 2e-3  # 100 times the tolerance
    assert left_out < sum(parameter.numel() for parameter in yours.parameters()) / 1000
