"""Measure a step of PPO, RLOO and DPO, compared with TRL's trainers on the same rows.

    .venv/bin/python -m benchmarks.policy [ppo ppo-trunk ppo-lora ppo-prompts rloo dpo] [--repeat 3]

Weights and prompts are random: this benchmark measures speed, not learning. Both sides train the same model
(4.3 million parameters, fp32) for the same number of epochs and optimiser steps, and take turns in one
process on one thread. The clock counts the CPU seconds of whole steps: generation, scoring, the forward
passes of the policy, the reference and the critic before the update, and the update itself. Loading the
models and starting the trainers are not timed.

- `ppo`: 32 prompts of 64 tokens, one answer of 64 tokens each, four epochs of one optimiser step, and a
  separate critic, compared with TRL 1.12, the last release with a PPO trainer (installed by `scripts/test`).
- `ppo-trunk`: like `ppo`, but our critic is a head on the policy's hidden states (`critic=shared`). TRL's PPO
  always trains a separate value model, so TRL does the same work as in `ppo`.
- `ppo-lora`: like `ppo-trunk`, but both sides train a LoRA adapter of rank 16 on all linear layers of the
  policy, and the reference is the policy without its adapter. TRL trains all weights of its value model.
- `ppo-prompts`: like `ppo`, but 8 prompts of 256 tokens with four answers each. Each prompt is passed to TRL
  four times.
- `rloo`: like `ppo-prompts` with prompts of 128 tokens, two epochs and no critic, compared with the installed
  TRL. TRL scores its answers with a function that takes almost no time, and we score ours with the reward
  model.
- `dpo`: 32 pairs with prompts of 128 tokens and responses of 32 to 96 tokens, two optimiser steps, including
  the computation of the reference's log-probabilities, compared with the installed TRL.

TRL processes eight rows at a time, and accumulates gradients. About 1 % of our answers end early, because a
random policy samples EOS. TRL's answers never end early.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import importlib.util
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    TrainerCallback,
)
from transformers.utils import logging as transformers_logging

from benchmarks.random_models import WORDS, vocabulary, write_model
from training.rlhf.data.batching import Group
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import dpo, ppo, rloo
from training.rlhf.policy.preference_rows import RankingRows
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts.rollout import load_models

ORACLE = Path(__file__).resolve().parents[1] / ".oracles"
ANSWERS, NEW_TOKENS, AT_ONCE = 32, 64, 8


@dataclass(frozen=True)
class Models:
    """The folders of the policy and of the reward model."""

    policy: Path
    reward: Path

    def loaded(self) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.policy, dtype=torch.float32)

    def judge(self) -> Any:
        return AutoModelForSequenceClassification.from_pretrained(self.reward, dtype=torch.float32)


class Clock(TrainerCallback):
    """CPU seconds from the start of training (or of the first step, if `from_first_step`) to the end of the
    last step."""

    def __init__(self, *, from_first_step: bool) -> None:
        self.from_first_step, self.began, self.ended = from_first_step, 0.0, 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.process_time()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        if self.from_first_step:
            self.from_first_step, self.began = False, time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ended = time.process_time()

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def write_models(folder: Path) -> Models:
    reward = write_model(folder, "tiny")
    config = LlamaConfig.from_pretrained(reward)
    torch.manual_seed(1)
    policy = save_model(AutoModelForCausalLM.from_config(config), vocabulary(), folder / "policy")
    return Models(policy, reward)


def draw_ids(draw: random.Random, tokens: int) -> list[int]:
    return [draw.randrange(4, WORDS) for _ in range(tokens)]


def prompts_of(n: int, tokens: int) -> EncodedPrompts:
    draw = random.Random(0)
    messages = [({"role": "user", "content": f"w{i}"},) for i in range(n)]
    return EncodedPrompts(list(messages), [draw_ids(draw, tokens) for _ in range(n)], list(range(n)), 0, 0)


def trl_1_12(module: str) -> Any:
    if "trl_1_12" not in sys.modules:
        root = ORACLE / "trl"
        if not root.exists():
            raise SystemExit(f"TRL 1.12.0 is not installed in {ORACLE}; scripts/test installs it")
        spec = importlib.util.spec_from_file_location(
            "trl_1_12", root / "__init__.py", submodule_search_locations=[str(root)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["trl_1_12"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["trl_1_12"])
    return importlib.import_module(f"trl_1_12.{module}")


def our_ppo(models: Models, prompts: EncodedPrompts, **settings: Any) -> float:
    n = ANSWERS // len(prompts.ids)
    config = PPOConfig(
        rollout_prompts=len(prompts.ids), responses_per_prompt=n, max_new_tokens=NEW_TOKENS, epochs=4,
        minibatches=1, critic_warmup_steps=0, stop_kl=None, learning_rate=1e-6, value_learning_rate=1e-6,
        **settings,
    )  # fmt: skip
    state = ppo.new_state(config, load_models(models.policy, models.reward, config))
    began = time.process_time()
    ppo.update(config, state, ppo.roll_out(config, state, prompts))
    return time.process_time() - began


def their_ppo(models: Models, prompts: EncodedPrompts, *, lora: bool = False) -> float:
    from datasets import Dataset
    from peft import LoraConfig

    n = ANSWERS // len(prompts.ids)
    tokenizer = vocabulary()
    tokenizer.padding_side = "left"
    judge = models.judge()
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as folder:
        config = trl_1_12("experimental.ppo.ppo_config").PPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            save_strategy="no", disable_tqdm=True, num_sample_generations=0, total_episodes=ANSWERS,
            per_device_train_batch_size=AT_ONCE, gradient_accumulation_steps=ANSWERS // AT_ONCE,
            num_ppo_epochs=4, num_mini_batches=1, response_length=NEW_TOKENS, temperature=1.0,
            stop_token=None, learning_rate=1e-6, logging_strategy="no",
        )  # fmt: skip
        clock = Clock(from_first_step=False)
        trainer = trl_1_12("experimental.ppo.ppo_trainer").PPOTrainer(
            args=config, processing_class=tokenizer, model=models.loaded(),
            ref_model=None if lora else models.loaded(), peft_config=adapter if lora else None,
            reward_model=judge, value_model=copy.deepcopy(judge),
            train_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts.ids for _ in range(n)]),
            callbacks=[clock],
        )  # fmt: skip
        trainer.train()
    return clock.seconds


def our_rloo(models: Models, prompts: EncodedPrompts) -> float:
    n = ANSWERS // len(prompts.ids)
    config = RLOOConfig(
        rollout_prompts=len(prompts.ids), responses_per_prompt=n, max_new_tokens=NEW_TOKENS, epochs=2,
        minibatches=1, stop_kl=None, learning_rate=1e-6,
    )  # fmt: skip
    tokenizer = vocabulary()
    judges = {"reward": Loaded(models.judge(), tokenizer)}
    state = rloo.new_state(config, load_models(Loaded(models.loaded(), tokenizer), judges, config))
    began = time.process_time()
    rloo.update(config, state, rloo.roll_out(config, state, prompts))
    return time.process_time() - began


def their_rloo(models: Models, prompts: EncodedPrompts) -> float:
    from datasets import Dataset
    from trl import RLOOConfig as TheirConfig
    from trl import RLOOTrainer

    n = ANSWERS // len(prompts.ids)
    rows = [ids for ids in prompts.ids for _ in range(n)]

    class OurPrompts(RLOOTrainer):
        def _tokenize_prompts(self, _: Any) -> Any:
            return copy.deepcopy(rows), None, {}

    with tempfile.TemporaryDirectory() as folder:
        config = TheirConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            save_strategy="no", disable_tqdm=True, logging_strategy="no", num_generations=n,
            per_device_train_batch_size=AT_ONCE, gradient_accumulation_steps=ANSWERS // AT_ONCE,
            num_iterations=2, max_steps=2, max_completion_length=NEW_TOKENS, learning_rate=1e-6,
            disable_dropout=True, optim="adamw_torch_fused", model_init_kwargs={"dtype": "float32"},
            generation_kwargs={"min_new_tokens": NEW_TOKENS},
        )  # fmt: skip
        clock = Clock(from_first_step=True)
        trainer = OurPrompts(
            model=str(models.policy),
            reward_funcs=lambda completions, **_: [float(i) for i in range(len(completions))],
            args=config,
            train_dataset=Dataset.from_list([{"prompt": "w0"}] * len(prompts.ids)),
            callbacks=[clock],
        )
        trainer.train()
    return clock.seconds


def pairs_of(n: int) -> list[Group]:
    draw = random.Random(0)
    return [
        Group(draw_ids(draw, 128), [[*draw_ids(draw, draw.randint(32, 96)), 1] for _ in range(2)], [0, 1])
        for _ in range(n)
    ]


def our_dpo(models: Models, pairs: list[Group]) -> float:
    policy = models.loaded().eval()
    config = DPOConfig(batch_rankings=len(pairs) // 2)
    rows = RankingRows.of(pairs, [], pad_id=0, max_tokens=config.micro_batch_tokens, policy=policy)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=1e-6, fused=True)
    state = dpo.DPOState(policy, optimiser, torch.zeros(rows.n_responses), rows.max_tokens)
    steps = [list(range(0, len(pairs) // 2)), list(range(len(pairs) // 2, len(pairs)))]
    began = time.process_time()
    for part in (part for step in steps for part in rows.micro_batches(step)):
        dpo.add_to_reference(state, rows, part)
    for number, step in enumerate(steps, start=1):
        dpo.update(config, state, rows, step, step=number, rate=1e-6, check=lambda: None)
    return time.process_time() - began


def their_dpo(models: Models, pairs: list[Group]) -> float:
    from datasets import Dataset
    from trl import DPOConfig as TheirConfig
    from trl import DPOTrainer

    def text(ids: list[int]) -> str:
        return " ".join(f"w{i - 4}" for i in ids)

    rows = [
        {"prompt": text(pair.prompt) + " ", "chosen": text(pair.responses[0][:-1]),
         "rejected": text(pair.responses[1][:-1])}
        for pair in pairs
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = TheirConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            save_strategy="no", disable_tqdm=True, logging_strategy="no", num_train_epochs=1,
            per_device_train_batch_size=AT_ONCE // 2, gradient_accumulation_steps=len(pairs) // AT_ONCE,
            optim="adamw_torch_fused", max_length=None, learning_rate=1e-6,
        )  # fmt: skip
        clock = Clock(from_first_step=True)
        trainer = DPOTrainer(
            model=models.loaded(), ref_model=models.loaded(), args=config, processing_class=vocabulary(),
            train_dataset=Dataset.from_list(rows), callbacks=[clock],
        )  # fmt: skip
        first = trainer.train_dataset[0]
        if (first["prompt_ids"], first["chosen_ids"]) != (pairs[0].prompt, pairs[0].responses[0]):
            raise SystemExit("TRL and our code train on different tokens")
        trainer.train()
    return clock.seconds


SIDES: dict[str, tuple[Callable[..., float], Callable[..., float], Callable[[], Any]]] = {
    "ppo": (our_ppo, their_ppo, lambda: prompts_of(32, 64)),
    "ppo-trunk": (partial(our_ppo, critic="shared"), their_ppo, lambda: prompts_of(32, 64)),
    "ppo-lora": (
        partial(our_ppo, critic="shared", use_peft=True),
        partial(their_ppo, lora=True),
        lambda: prompts_of(32, 64),
    ),
    "ppo-prompts": (our_ppo, their_ppo, lambda: prompts_of(8, 256)),
    "rloo": (our_rloo, their_rloo, lambda: prompts_of(8, 128)),
    "dpo": (our_dpo, their_dpo, lambda: pairs_of(32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=[], choices=[*SIDES, []])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print where our step spends its time")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder))
        for what in asked.what or SIDES:
            ours, theirs, make = SIDES[what]
            work = make()
            if asked.profile:
                with torch.profiler.profile() as profile:
                    ours(models, work)
                print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
                continue
            seconds = [(theirs(models, work), ours(models, work)) for _ in range(asked.repeat)]
            ratios = sorted(a / b for a, b in seconds)
            print(
                f"| {what} | TRL {statistics.median(a for a, _ in seconds):.2f} s, ours "
                f"{statistics.median(b for _, b in seconds):.2f} s | {statistics.median(ratios):.2f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
