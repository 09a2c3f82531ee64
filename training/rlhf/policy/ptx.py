"""PPO-ptx: a supervised loss on demonstrations, mixed into the policy's updates.

InstructGPT (arXiv 2203.02155 eq. 2) mixes in pretraining text. Here, the demonstrations are conversations,
and the loss covers only their answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.sharding import in_step
from training.rlhf.data.answers import Row, Together, lay_out_rows, shared_layout, split_rows
from training.rlhf.data.demonstrations import encode
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.ppo import PPOConfig


def encode_demonstrations(
    config: PPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    *,
    context: int,
) -> list[Row]:
    """Return the usable demonstrations (see `demonstrations.encode`), or no rows if ``ptx_coefficient`` is 0.
    Raises UnusableInput if no demonstration can be used."""
    if config.ptx_coefficient == 0:
        return []
    try:
        found = encode(demonstrations, tokenizer, context)
    except UnusableInput as error:
        raise UnusableInput(
            f"ptx_coefficient is {config.ptx_coefficient}, but {error}. Provide demonstrations, or set"
            " ptx_coefficient to 0",
            error.kind,
        ) from error
    return [Row(row.prompt, row.response) for row in found.rows]


def ptx_backward(
    config: PPOConfig,
    actor: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    generator: torch.Generator,
    *,
    max_tokens: int,
) -> float:
    """Add the gradient of the supervised loss on a random batch of demonstrations. Return the loss, in nats
    per token. With several processes, the gradient and the loss are this process's share."""
    drawn = torch.randint(len(rows), (config.ptx_batch_size,), generator=generator).tolist()
    chosen = [rows[i] for i in drawn]
    tokens, losses = sum(len(row.answer) for row in chosen), list[float]()
    best = shared_layout(actor)
    parts = split_rows(
        chosen,
        distributed.share([row.length for row in chosen]),
        layout=best,
        max_tokens=max_tokens,
        hidden_size=int(actor.config.get_text_config().hidden_size),
    )
    shortest = min(range(len(chosen)), key=lambda number: chosen[number].length)

    def process(part: Together, counts: bool) -> None:
        laid_out = lay_out_rows(
            [chosen[i] for i in part.numbers],
            layout=part.layout,
            pad_id=chat.eos_id(tokenizer),
            device=actor.device,
        )
        share = -token_log_probs(actor, laid_out.inputs, temperature=1.0).sum() / tokens
        torch.autograd.backward((config.ptx_coefficient if counts else 0.0) * share)
        losses.append(float(share.detach()) if counts else 0.0)

    in_step(actor, parts, lambda: Together(best, [shortest]), process)
    return sum(losses)
