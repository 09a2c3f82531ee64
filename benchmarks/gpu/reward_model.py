"""Steps of training a reward model on rankings of four responses, as in `training.rlhf.reward`."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from benchmarks.gpu import operations
from benchmarks.gpu.machine import MATMUL, Device, forget_peak, peak_figures, timed
from benchmarks.gpu.operations import Lengths
from benchmarks.gpu.sections import Figures
from benchmarks.gpu.work import Work, draw_prompts, draw_tokens, random_reward_model, reward_shape, work_on
from training.rlhf.data.batching import Group
from training.rlhf.models.parts.lora import add_lora
from training.rlhf.models.tokens import chat
from training.rlhf.planning import reward_model
from training.rlhf.planning.cost import Conditions, Data
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses
from training.rlhf.reward.scoring import batches, rewards_of

ROUNDS = 5
USED_SECONDS = 0.6  # share of the time limit after which no step starts


def measure(shape: str, device: Device, limits: Figures, *, seconds: float) -> Figures:
    started = time.monotonic()
    sizes = reward_shape(shape)
    work = work_on(shape, device, lambda one: estimated_bytes(one, shape, device))
    config = recipe_of(work)
    model, tokenizer = random_reward_model(shape, device, torch.float32)  # a run's weights are in float32
    if work.lora:
        model = add_lora(model, config, base="random weights").eval()
    groups = draw_groups(work)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, fused=True)

    def step() -> None:
        for _, batch in batches(
            model,
            groups,
            layout="auto",
            max_tokens=config.micro_batch_tokens,
            pad_id=chat.pad_id(tokenizer),
        ):
            rewards = rewards_of(model, batch, precision=config.precision)
            torch.autograd.backward(losses.bradley_terry(rewards, batch.tiers).sum() / len(groups))
        nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    forget_peak(device)
    taken = [timed(step, device)[1]]  # the first step loads kernels
    while len(taken) <= ROUNDS and time.monotonic() - started < USED_SECONDS * seconds:
        taken.append(timed(step, device)[1])
    each = statistics.median(taken[1:] or taken)
    lengths = [Lengths(len(one.prompt), [len(part) for part in one.responses]) for one in groups]
    passes = operations.LORA if work.lora else operations.FULL
    needed = passes * operations.trunk_operations(sizes, lengths)
    return {
        "work": str(work),
        "trained": "LoRA" if work.lora else "all weights",
        "speed (rankings/s)": len(groups) / each,
        "speed (tokens/s)": sum(one.tokens for one in lengths) / each,
        "MFU": needed / each / (float(limits[MATMUL]) * 1e12),
        **peak_figures(device, estimated_bytes(work, shape, device)),
    }


def recipe_of(work: Work) -> RewardModelConfig:
    return RewardModelConfig(
        epochs=1,
        batch_rankings=work.prompts,
        micro_batch_tokens=work.micro_batch_tokens,
        precision="bfloat16",
        use_peft=work.lora,
        heldout_fraction=0.0,
    )


def estimated_bytes(work: Work, shape: str, device: Device) -> float:
    given = Conditions(gpu=device == "cuda")
    data = Data(work.prompts, work.prompt, work.answer, work.prompt + work.answer, work.samples)
    stages = reward_model.reward_model(recipe_of(work), reward_shape(shape), data, given=given).stages
    return next(stage.bytes for stage in stages if stage.name == "update")


def draw_groups(work: Work) -> list[Group]:
    return [
        Group(
            prompt,
            [
                [*draw_tokens(work.answer - 1, seed=number * work.samples + place), 1]
                for place in range(work.samples)
            ],
            list(range(work.samples)),
        )
        for number, prompt in enumerate(draw_prompts(work))
    ]
