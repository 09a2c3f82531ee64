"""Compare the estimated peak memory of training runs with their measured peak memory on a CPU.

    python -m benchmarks.memory_estimates [--only NUMBER …] [--parts]

Each combination of a run kind, a model shape and settings runs in a process of its own, with one thread, for
two or three steps. Before the run, the process imports all libraries and trains a tiny model. The measured
figure is the growth of the process's resident memory from that point to the peak; a thread samples the memory
every 2 ms. The figure therefore includes the run's models, but not the interpreter and its libraries. Frozen
weights are pages of the model's file, so anonymous memory alone would not include them. The models have
random weights and 34 to 144 million parameters, so that weights and activations take much more memory than
the libraries. The estimate is that of `training.rlhf.planning` for the same recipe, shapes and text lengths,
without the part for torch and Python. It assumes answers of full length, because a policy with random weights
hardly ever ends an answer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.rlhf.models.files.shapes import Shape, count_weights, shape_of
from training.rlhf.planning import answers, loops, on_policy, reward_model
from training.rlhf.planning.cost import Conditions, Cost, Data
from training.rlhf.recipes.answers import SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig

# Width, layers, MLP width, heads, key-value heads, head size, vocabulary.
SHAPES: Mapping[str, tuple[int, int, int, int, int, int, int]] = {
    "llama-34m": (512, 6, 1408, 8, 4, 64, 16_000),
    "llama-88m": (768, 10, 2048, 12, 4, 64, 16_000),
    "qwen3-48m": (512, 8, 1536, 8, 4, 128, 32_000),
    "qwen3-144m": (768, 12, 2304, 12, 6, 128, 49_152),
}
PROMPTS, PROMPT, RESPONSE, RESPONSES = 32, 96, 64, 4  # PROMPT and RESPONSE are in tokens and include EOS
ENDS = 16  # in rejection sampling, one in 16 token IDs ends an answer, so nearly all answers end
TEMPLATE = 6  # tokens of the prompt's template
ON_POLICY = {"steps": 2, "max_new_tokens": RESPONSE, "samples": 0, "learning_rate": 1e-6}
FEW = {"sample_prompts": 2, "sample_tokens": 8}
HALF = {"dtype": "bfloat16"}
LORA = {"use_peft": True}


@dataclass(frozen=True)
class Case:
    kind: str
    shape: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


PPO = {
    **ON_POLICY,
    "rollout_prompts": 8,
    "responses_per_prompt": 2,
    "minibatches": 2,
    "critic_warmup_steps": 0,
}
RLOO = {**ON_POLICY, "rollout_prompts": 8, "responses_per_prompt": 4, "minibatches": 2}
SFT = {**FEW, "heldout_share": 0, "batch_size": 8, "learning_rate": 1e-5, "micro_batch_tokens": 1024}
REJECTION = {**SFT, "samples_per_prompt": 4, "max_new_tokens": RESPONSE}
DPO = {**FEW, "batch_rankings": 8, "learning_rate": 1e-6, "micro_batch_tokens": 1024, "kl_samples": 0}
REWARD = {
    "epochs": 1,
    "batch_rankings": 8,
    "micro_batch_tokens": 2048,
    "evaluations": 1,
    "learning_rate": 1e-5,
}
AGAIN = {"gradient_checkpointing": True}
CASES: tuple[Case, ...] = (
    Case("ppo", "llama-34m", PPO, "separate critic"),
    Case("ppo", "qwen3-48m", PPO | {"value_learning_rate": 1e-6} | AGAIN, "separate critic, checkpointing"),
    Case("ppo", "llama-88m", PPO | LORA, "LoRA, one trunk"),
    Case("ppo", "qwen3-48m", PPO | LORA | HALF | AGAIN, "LoRA, one trunk, bfloat16, checkpointing"),
    Case("ppo", "llama-88m", PPO | HALF | {"critic": "shared"}, "shared critic, bfloat16"),
    Case("rloo", "llama-88m", RLOO, ""),
    Case("rloo", "qwen3-48m", RLOO | {"num_layers_unfrozen": 2}, "last 2 layers"),
    Case("rejection_sampling", "llama-88m", REJECTION, ""),
    Case("rejection_sampling", "qwen3-48m", REJECTION | LORA | HALF, "LoRA, bfloat16"),
    Case("dpo", "qwen3-48m", DPO, ""),
    Case("dpo", "llama-34m", DPO | HALF, "bfloat16"),
    Case("sft", "llama-88m", SFT | {"packing": "auto"}, "packed"),
    Case("sft", "qwen3-144m", SFT | {"batch_size": 4}, "packed"),
    Case("sft", "llama-88m", SFT | {"packing": "off"} | AGAIN, "padded, checkpointing"),
    Case("reward_model", "llama-88m", REWARD, ""),
    Case("reward_model", "llama-34m", REWARD | LORA, "LoRA"),
    Case("reward_model", "qwen3-144m", REWARD | LORA, "LoRA"),
    Case("reward_model", "llama-34m", REWARD | {"precision": "bfloat16"}, "bfloat16"),
    Case("sample", "qwen3-144m", {"responses_per_prompt": 8, "max_new_tokens": RESPONSE}, ""),
)


def shape_named(name: str) -> Shape:
    return shape_of(config_of(name))


def config_of(name: str) -> dict[str, Any]:
    width, layers, inner, heads, kv_heads, head_size, words = SHAPES[name]
    return {
        "model_type": name.split("-")[0],
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_size,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": name.startswith("qwen3"),
    }


def data(items: int) -> Data:
    return Data(items, PROMPT, RESPONSE, PROMPT + RESPONSE, responses=RESPONSES)


def estimate(case: Case) -> Cost:
    """Return the estimate for the run, with the same recipe, shapes and amount of data as in `_run`."""
    shape, given = shape_named(case.shape), Conditions(cautious=case.kind in ("sample",))
    judge = trunk_of(shape)
    settings = dict(case.settings)
    costs: Mapping[str, Callable[[], Cost]] = {
        "sft": lambda: loops.sft(SFTConfig(**settings), shape, data(24), given=given),
        "dpo": lambda: loops.dpo(DPOConfig(**settings), shape, data(24), given=given),
        "reward_model": lambda: reward_model.reward_model(
            RewardModelConfig(**settings), judge, data(24), given=given
        ),
        "rejection_sampling": lambda: loops.rejection_sampling(
            RejectionSamplingConfig(**settings),
            shape,
            judge,
            replace(data(24), response=ENDS),
            shared="use_peft" in settings,
            given=given,
        ),
        "rloo": lambda: on_policy.rloo(
            RLOOConfig(**settings), shape, judge, data(16), shared="use_peft" in settings, given=given
        ),
        "ppo": lambda: on_policy.ppo(
            PPOConfig(**settings), shape, judge, data(16), shared="use_peft" in settings, given=given
        ),
        "sample": lambda: answers.sample(SampleConfig(**settings), shape, data(PROMPTS), given=given),
    }
    return costs[case.kind]()


def trunk_of(shape: Shape) -> Shape:
    """Return the shape of a reward model on this trunk. It has no output layer for the vocabulary."""
    return replace(shape, weights=count_weights(shape, tied=True))


class Peak(threading.Thread):
    """Samples this process's resident memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.over = resident(), threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.002):
            self.most = max(self.most, resident())


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(case: Case, folder: Path) -> int:
    """Return the growth of this process's memory during the run, in bytes."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    _train_tiny_model(folder)  # all lazy imports happen here
    before, peak = resident(), Peak()
    peak.start()
    _run(case, folder)
    peak.over.set()
    return peak.most - before


def _run(case: Case, folder: Path) -> None:
    from training.rlhf.core.messages import Demonstration
    from training.rlhf.data.rankings import Ranking
    from training.rlhf.generation import sampling
    from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
    from training.rlhf.reward import reward_model as rewards

    settings, out = dict(case.settings), folder / "out"
    base, judge = folder / "base", folder / "judge"
    asked = [[{"role": "user", "content": words(PROMPT - TEMPLATE, i)}] for i in range(PROMPTS)]
    four = [tuple(words(RESPONSE - 1, 31 * i + k) for k in range(RESPONSES)) for i in range(PROMPTS)]
    rankings = [
        Ranking(tuple(messages), texts, ((0,), (1,), (2,), (3,)))
        for messages, texts in zip(asked[:24], four, strict=False)
    ]
    models = {"policy": base, "reward_model": judge, "prompts": asked[:16], "out_dir": out}
    if case.kind == "sft":
        rows = [Demonstration(messages, texts[0]) for messages, texts in zip(asked[:24], four, strict=False)]
        sft.train(SFTConfig(**settings), base_model=base, demonstrations=rows, out_dir=out)
    elif case.kind == "dpo":
        dpo.train(DPOConfig(**settings), base_model=base, rankings=rankings, out_dir=out)
    elif case.kind == "reward_model":
        rewards.train(
            RewardModelConfig(**settings),
            base_model=base,
            rankings=rankings,
            out_dir=out,
            checkpoints=folder / "checkpoints",
        )
    elif case.kind == "rejection_sampling":
        rejection_sampling.train(RejectionSamplingConfig(**settings), **models | {"prompts": asked[:24]})
    elif case.kind == "rloo":
        rloo.train(RLOOConfig(**settings), **models)
    elif case.kind == "ppo":
        ppo.train(PPOConfig(**settings), **models)
    else:
        sampling.sample(SampleConfig(**settings), policy=base, prompts=asked)


def words(n: int, start: int) -> str:
    return " ".join(f"w{(start * 101 + 7 * i) % 4000}" for i in range(n))


def prepare(case: Case, folder: Path) -> None:
    """Write the run's input models: a policy and a reward model with random weights. The reward model of a
    run with LoRA is an adapter on the policy's base, so that it shares the policy's trunk."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    from benchmarks.random_models import draw_rankings, vocabulary
    from training.rlhf.models.loading.saving import save_model
    from training.rlhf.reward import reward_model as rewards

    given = config_of(case.shape) | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    tokenizer = vocabulary(config.vocab_size)
    policy = AutoModelForCausalLM.from_config(config)
    if case.kind == "rejection_sampling":  # only finished answers are imitated
        policy.generation_config.eos_token_id = [1, *range(4, 4 + config.vocab_size // ENDS)]
    save_model(policy, tokenizer, folder / "base")
    if case.kind not in ("ppo", "rloo", "rejection_sampling"):
        return
    if case.settings.get("use_peft"):
        few = RewardModelConfig(
            use_peft=True, epochs=1, evaluations=1, batch_rankings=2, heldout_fraction=0.5
        )
        short = draw_rankings(4, 2, prompt=(4, 4), response=(2, 4))
        rewards.train(few, base_model=folder / "base", rankings=short, out_dir=folder / "judge")
    else:
        config.num_labels = 1
        judge = AutoModelForSequenceClassification.from_config(config)
        save_model(judge, tokenizer, folder / "judge")


def _train_tiny_model(folder: Path) -> None:
    """Train a tiny policy for a step, so that all libraries, including their lazily loaded parts, are in
    memory."""
    import peft  # noqa: F401
    from transformers import LlamaConfig, LlamaForCausalLM

    from benchmarks.random_models import vocabulary
    from training.rlhf.core.messages import Demonstration
    from training.rlhf.models.loading.sources import Loaded
    from training.rlhf.policy import ppo, sft  # noqa: F401

    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    config.pad_token_id, config.eos_token_id, config.bos_token_id = 0, 1, 2
    rows = [Demonstration([{"role": "user", "content": "w1 w2"}], "w3")] * 2
    tiny = Loaded(LlamaForCausalLM(config).eval(), vocabulary(64))
    sft.train(SFTConfig(heldout_share=0), base_model=tiny, demonstrations=rows, out_dir=folder / "tiny")


def row_of(case: Case, measured: int) -> str:
    cost = estimate(case)
    shape, expected = shape_named(case.shape), cost.peak.bytes
    note = f" ({case.note})" if case.note else ""
    figures = f"{expected / 1e6:.0f} MB | {measured / 1e6:.0f} MB | {measured / expected:.2f}"
    size = f"{case.shape.split('-')[0]}, {shape.weights / 1e6:.0f}M"
    return f"| `{case.kind}`{note} | {size} | {cost.peak.name} | {figures} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=int, nargs="+", help="numbers of the combinations to run, counted from 0"
    )
    parser.add_argument("--parts", action="store_true", help="also print the parts of each estimate")
    parser.add_argument("--do", choices=("prepare", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.do:
        case = CASES[asked.only[0]]
        if asked.do == "prepare":
            return prepare(case, asked.folder)
        return print(json.dumps(measure(case, asked.folder)))
    print("| run | model | largest stage | estimated | measured | measured / estimated |")
    print("|---|---|---|---|---|---|")
    for number in asked.only or range(len(CASES)):
        case = CASES[number]
        with tempfile.TemporaryDirectory() as folder:
            for do in ("prepare", "measure"):
                done = _call(["--do", do, "--only", str(number), "--folder", folder])
        print(row_of(case, json.loads(done.splitlines()[-1])), flush=True)
        if asked.parts:
            for stage in estimate(case).stages:
                parts = ", ".join(f"{part.name} {part.bytes / 1e6:.0f}" for part in stage.parts)
                print(f"    {stage.name} {stage.bytes / 1e6:.0f}: {parts}", flush=True)


def _call(arguments: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_estimates", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
