"""A comparison of a server's log-probabilities with the policy's own, on a few answers.

Names and tokenizers do not show whether the server has the policy's weights. The log-probabilities do: with
the same weights, they differ by a few hundredths of a nat per token in bf16 or with quantisation. With
unrelated weights, they differ by several nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models import chat
from training.rlhf.models.inputs import Inputs
from training.rlhf.models.loading import Loaded
from training.rlhf.models.logprobs import token_log_probs

COMPARED_ANSWERS, COMPARED_TOKENS = 8, 128
FEWEST_TOKENS = 8
LARGEST_GAP = 0.5  # mean |difference| in nats per token


def compare(
    policy: Loaded,
    answers: Sequence[tuple[Sequence[int], Completion]],
    sampling: Sampling,
) -> bool | None:
    """Return whether the server's log-probabilities are at the sampling temperature, or None if the answers
    don't show it. `answers` contains each answer with its prompt. Raises ServerUnusable if the
    log-probabilities are not those of the policy's weights.

    By default, vLLM returns log-probabilities at temperature 1, whatever the sampling temperature is.
    """
    known = [(prompt, one) for prompt, one in answers if one.log_probs]
    rows = known[:: max(1, math.ceil(len(known) / COMPARED_ANSWERS))]
    theirs = [value for _, one in rows for value in (one.log_probs or [])[:COMPARED_TOKENS]]
    if len(theirs) < FEWEST_TOKENS:
        return None
    given = [(list(prompt), one.ids[:COMPARED_TOKENS]) for prompt, one in rows]
    plain = _mean_gap(policy, given, theirs, temperature=1.0)
    tempered = plain
    at_another_temperature = sampling.temperature not in (0, 1)
    if at_another_temperature:
        tempered = _mean_gap(policy, given, theirs, temperature=sampling.temperature)
    # With top-p, the log-probabilities of the remaining tokens are higher, by at most -log(top_p).
    if not min(plain, tempered) <= LARGEST_GAP - math.log(sampling.top_p):
        raise ServerUnusable(
            "the server has other weights than the policy: the log-probabilities of its answers differ by"
            f" {min(plain, tempered):.2f} nats per token on average. Start the server with this policy, or"
            " set server_model to the policy's name on the server"
        )
    return tempered <= plain if at_another_temperature else None


@torch.no_grad()
def _mean_gap(
    policy: Loaded,
    rows: Sequence[tuple[list[int], list[int]]],
    theirs: Sequence[float],
    *,
    temperature: float,
) -> float:
    """Return the mean |difference| of the log-probabilities, in nats per token."""
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), width), chat.pad_id(policy.tokenizer))
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    wanted = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        mask[row, :end] = 1
        wanted[row, len(prompt) : end] = True
    inputs = Inputs.of(ids, mask, wanted).to(policy.model.device)
    own: Tensor = token_log_probs(policy.model, inputs, temperature=temperature)
    return float((own.double().cpu() - torch.tensor(theirs, dtype=torch.float64)).abs().mean())
