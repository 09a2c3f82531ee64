"""The implementations that are compared: TRL's RewardTrainer (`trl`), and our code with each response on a
separate row (`once`) or with the default layout (`ours`)."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.random_models import draw_rankings
from training.rlhf.core.reporter import NullReporter
from training.rlhf.data.batching import Group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import reward_model
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.scoring import load_for_training, score_groups

BATCH_RANKINGS = 4
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Work:
    """The folder of a new model, and the rankings on which all implementations train."""

    folder: Path
    rankings: list[Ranking]
    k: int
    device: str
    precision: str

    @property
    def pairs(self) -> int:
        return self.k * (self.k - 1) // 2


class Clock(NullReporter):
    """CPU (or elapsed) seconds from the start of the first step to the end of the last one."""

    def __init__(self, device: str) -> None:
        self.device, self.begun, self.ended = device, math.nan, math.nan

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def check(self) -> None:
        if math.isnan(self.begun):
            self.begun = self.now()

    def progress(self, phase: str, step: int, total: int) -> None:
        self.ended = self.now()

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def train_ours(work: Work, layout: str) -> float:
    """The seconds that our training loop takes. The loop needs a held-out ranking, whose evaluation after the
    last step takes less than 1 % of the time."""
    clock = Clock(work.device)
    config = RewardModelConfig.model_validate(
        {
            "epochs": 1,
            "batch_rankings": BATCH_RANKINGS,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_fraction": 0,
            "weight_decay": 0,
            "centring": 0,
            "layout": layout,
            "micro_batch_tokens": 1024 if layout == "separate" else 8192,
            "evaluations": 1,
            "keep": "last",
            "precision": work.precision,
        }
    )
    shortest = draw_rankings(1, 2, prompt=(8, 8), response=(8, 8), seed=1)
    with tempfile.TemporaryDirectory() as out:
        reward_model.train(
            config,
            base_model=work.folder,
            rankings=work.rankings,
            heldout=shortest,
            out_dir=Path(out) / "model",
            report=clock,
        )
    return clock.seconds


def pairs_of(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every pair with a preference, in the format of TRL's RewardTrainer."""
    rows = []
    for group in groups:
        better = [(i, j) for i, a in enumerate(group.tiers) for j, b in enumerate(group.tiers) if a < b]
        rows += [
            {
                "chosen_ids": group.prompt + group.responses[i],
                "rejected_ids": group.prompt + group.responses[j],
                "length": len(group.prompt) + max(len(group.responses[i]), len(group.responses[j])),
            }
            for i, j in better
        ]
    return rows


def trl_trainer(work: Work, folder: str, pairs_at_once: int) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    loaded = load_for_training(work.folder)
    groups = encoded(work, loaded)
    config = RewardConfig(
        output_dir=folder,
        per_device_train_batch_size=pairs_at_once,
        per_device_eval_batch_size=pairs_at_once,
        gradient_accumulation_steps=BATCH_RANKINGS * work.pairs // pairs_at_once,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        bf16=work.precision == "bfloat16",
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,  # otherwise, the trainer would remove the lengths that the sampler needs
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        use_cpu=work.device == "cpu",
    )
    rows = Dataset.from_list(pairs_of(groups))
    trainer = RewardTrainer(
        model=loaded.model,
        args=config,
        processing_class=loaded.tokenizer,
        train_dataset=rows,
        eval_dataset=rows,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def encoded(work: Work, loaded: Loaded) -> list[Group]:
    groups, _, _ = encode_rankings(work.rankings, loaded.tokenizer, max_length=4096, ties="ignore")
    return groups


def train_trl(work: Work, pairs_at_once: int) -> float:
    from transformers import TrainerCallback

    clock = Clock(work.device)

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.check()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.progress("train", 0, 0)

    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(work, folder, pairs_at_once)
        trainer.add_callback(Steps())
        trainer.train()
    return clock.seconds


def score_ours(work: Work, layout: Any) -> float:
    loaded = load_for_training(work.folder)
    groups, clock = encoded(work, loaded), Clock(work.device)
    clock.check()
    score_groups(loaded.model, groups, pad_id=0, layout=layout)
    clock.progress("", 0, 0)
    return clock.seconds


def score_trl(work: Work, pairs_at_once: int) -> float:
    clock = Clock(work.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(work, folder, pairs_at_once)
        clock.check()
        trainer.evaluate()
        clock.progress("", 0, 0)
    return clock.seconds
