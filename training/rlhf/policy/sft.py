"""Supervised fine-tuning: a policy imitates demonstrations. The loss covers only the tokens of the responses.

    result = train(SFTConfig(), base_model="path or hub name", demonstrations=[…], out_dir="…", report=…)

The metrics at every step are `loss`, `learning_rate`, `grad_norm` and `tokens_per_second`. The loss is in
nats per response token. The gradient norm is measured before clipping. `tokens_per_second` counts prompts and
responses, without padding. If there are held-out demonstrations, some steps also report `heldout_loss`.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import seed_everything
from training.rlhf.data.batching import cut_by_width
from training.rlhf.generation.decoding import generate
from training.rlhf.models import chat
from training.rlhf.models.loading import ModelSource, open_policy, save_model
from training.rlhf.models.logprobs import token_log_probs
from training.rlhf.recipes.sft import SFTConfig

RATE_AT_2M, RATE_AT_1B = 3e-3, 2e-5  # peak learning rates for models with 2M and 1B parameters

HELDOUT_MEASUREMENTS = 10  # number of evaluations per run; each evaluation reads all held-out rows

# For AdamW. A β₂ of 0.999 would average squared gradients over more steps than a short run has.
BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class SFTResult:
    """The final `loss` and `heldout_loss` are in nats per response token. `skipped` counts skipped rows,
    and `cut` counts rows with a truncated prompt."""

    path: Path
    steps: int
    loss: float
    heldout_loss: float | None
    skipped: int
    cut: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """One demonstration as tokens: the prompt, then the response with EOS."""

    prompt: list[int]
    response: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Batch:
    """The tensors `ids`, `mask` and `wanted` have shape (B, T) and are right-padded. `wanted` marks the
    response tokens, including EOS."""

    ids: torch.Tensor
    mask: torch.Tensor
    wanted: torch.Tensor


def train(
    config: SFTConfig,
    *,
    base_model: ModelSource,
    demonstrations: Sequence[Demonstration],
    out_dir: str | Path,
    report: Reporter | None = None,
) -> SFTResult:
    """Train, save to `out_dir`, and return the result. A `Loaded` base model is trained in place.

    Raises `ModelNotFound`, `ValueError` (if there is nothing to learn from), `TrainingDiverged` and
    `Cancelled`. If an exception is raised, nothing is written.
    """
    started, report = time.monotonic(), report or NullReporter()
    seed_everything(config.seed)
    policy, tokenizer = open_policy(base_model, config.arguments_of_template)
    rows, skipped, cut = encode(
        demonstrations, tokenizer, min(config.max_length, chat.context_length(policy))
    )
    shown = [demonstration.messages for demonstration in demonstrations[: config.sample_prompts]]
    before = answers(policy, tokenizer, shown, config.sample_tokens)
    steps, loss, heldout_loss = fit(config, policy, tokenizer, rows, report)
    after = answers(policy, tokenizer, shown, config.sample_tokens)
    for messages, old, new in zip(shown, before, after, strict=True):
        report.sample(steps, messages=messages, before=old, after=new, scores={})
    report.check()
    path = save_model(policy, tokenizer, out_dir)
    return SFTResult(path, steps, loss, heldout_loss, skipped, cut, time.monotonic() - started)


def fit(
    config: SFTConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    report: Reporter,
) -> tuple[int, float, float | None]:
    """Train `policy` in place on `rows`. Return the number of steps, the last loss and the held-out loss."""
    order = random.Random(f"sft {config.seed}")
    rows = order.sample(rows, len(rows))
    n_heldout = min(int(len(rows) * config.heldout_share), len(rows) - 1)
    heldout, rows = rows[:n_heldout], rows[n_heldout:]
    total = config.epochs * math.ceil(len(rows) / config.batch_size)
    peak = config.learning_rate or rate_for(policy, at_2m=RATE_AT_2M, at_1b=RATE_AT_1B)
    warmup = math.ceil(total * config.warmup_share)
    optimizer = new_optimizer(policy, peak, config.weight_decay)
    policy.train()
    step, loss, heldout_loss = 0, math.nan, None
    for _ in range(config.epochs):
        for batch in batches(rows, config.batch_size, order):
            report.check()
            rate = peak * rate_factor(config.schedule, step, total, warmup=warmup)
            step += 1
            loss, values = sft_step(policy, tokenizer, optimizer, batch, step, rate, config)
            if heldout and (step == total or step % max(1, total // HELDOUT_MEASUREMENTS) == 0):
                heldout_loss = mean_loss(policy, tokenizer, heldout, config.micro_batch_size)
                values["heldout_loss"] = heldout_loss
            report.metrics(step, values)
            report.progress("train", step, total)
    policy.train(False)
    return step, loss, heldout_loss


def sft_step(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[Row],
    step: int,
    learning_rate: float,
    config: SFTConfig,
) -> tuple[float, dict[str, float]]:
    """Make one optimiser update on `rows`. Return the loss before the update and the metrics.

    Each micro-batch contributes its *summed* loss, divided by the token count of the entire batch. The
    gradient therefore does not depend on how the batch is split. A mean of micro-batch means would give more
    weight to the tokens of short rows.
    """
    started, n_tokens, loss = time.monotonic(), sum(len(row.response) for row in rows), 0.0
    for like in rows_of_like_length(rows, config.micro_batch_size):
        part = summed_loss(policy, collate(like, tokenizer, policy.device)) / n_tokens
        part.backward()  # type: ignore[no-untyped-call]
        loss += part.item()
    grad_norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm))
    require_finite(step, {"loss": loss, "grad_norm": grad_norm})
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    speed = sum(row.length for row in rows) / (time.monotonic() - started)
    values = {
        "loss": loss,
        "learning_rate": learning_rate,
        "grad_norm": grad_norm,
        "tokens_per_second": speed,
    }
    return loss, values


def summed_loss(policy: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Return the summed negative log-likelihood of the response tokens, as a scalar in nats."""
    log_probs, _ = token_log_probs(policy, batch.ids, batch.mask, batch.wanted, temperature=1.0)
    return -log_probs.sum()


@torch.no_grad()
def mean_loss(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], micro_batch_size: int
) -> float:
    """Return the mean loss over all rows, in nats per response token, with dropout off."""
    was_training = policy.training
    policy.train(False)
    total = sum(
        summed_loss(policy, collate(like, tokenizer, policy.device)).item()
        for like in rows_of_like_length(rows, micro_batch_size)
    )
    policy.train(was_training)
    return total / sum(len(row.response) for row in rows)


def encode(
    demonstrations: Sequence[Demonstration], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[Row], int, int]:
    """Return token rows, the number of skipped rows and the number of truncated prompts.

    A row is skipped if its response alone fills `max_length`. Raises ValueError if no row remains.
    """
    rows, skipped, cut = [], 0, 0
    for messages, text in demonstrations:
        prompt, response = chat.encode_prompt(tokenizer, messages), chat.encode_response(tokenizer, text)
        room = max_length - len(response)
        if room < 1:
            skipped += 1
            continue
        cut += len(prompt) > room
        rows.append(Row(prompt[-room:], response))
    if not rows:
        kind = FailureKind.TEXTS_TOO_LONG if skipped else FailureKind.DATA_EMPTY
        raise UnusableInput(
            f"there are no demonstrations to train on: {len(demonstrations)} given, {skipped} of them with a "
            f"response that fills all {max_length} tokens",
            kind,
        )
    return rows, skipped, cut


def rows_of_like_length(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Yield every row once, in batches of at most `size` rows with little padding."""
    for part in cut_by_width([(1, row.length) for row in rows], max_rows=size):
        yield [rows[index] for index in part]


def collate(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, device: torch.device) -> Batch:
    width = max(row.length for row in rows)
    ids = torch.full((len(rows), width), chat.pad_id(tokenizer), dtype=torch.long)
    mask, wanted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : row.length] = torch.tensor(row.prompt + row.response)
        mask[i, : row.length] = 1
        wanted[i, len(row.prompt) : row.length] = True
    return Batch(ids.to(device), mask.to(device), wanted.to(device))


def batches(rows: Sequence[Row], size: int, order: random.Random) -> Iterator[list[Row]]:
    """Make one pass over all rows in a new random order. The last batch can be smaller."""
    shuffled = order.sample(rows, len(rows))
    for start in range(0, len(shuffled), size):
        yield shuffled[start : start + size]


def new_optimizer(policy: PreTrainedModel, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    trainable = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trainable, lr=learning_rate, betas=BETAS, weight_decay=weight_decay, fused=True)


def answers(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], max_tokens: int
) -> list[str]:
    """Return the most likely answer to each prompt, as text."""
    encoded = [chat.encode_prompt(tokenizer, messages) for messages in prompts]
    room = min(max_tokens, chat.context_length(policy) - 1)
    completions = generate(policy, tokenizer, encoded, max_new_tokens=room, temperature=0)
    return [chat.decode(tokenizer, row[0].ids) for row in completions]
