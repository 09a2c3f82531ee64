"""A comparison of a server's log-probabilities with the policy's own, on a few answers.

Names and tokenizers do not show whether the server has the policy's weights. The log-probabilities do: with
the same weights, the server's log-probabilities and the policy's differ by a few hundredths of a nat per
token in bf16 or with quantisation. With unrelated weights, they differ by several nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat

COMPARED_ANSWERS, COMPARED_TOKENS = 8, 128
FEWEST_TOKENS = 8
LARGEST_GAP = 0.5  # mean |difference| in nats per token
# The server's values must be far enough from the midpoint between the values at the two temperatures. The
# minimum distance is CLEAR times the distance between the values at the two temperatures, but at least SURE
# standard errors.
CLEAR, SURE = 0.25, 4.0


def compare(
    policy: Loaded,
    answers: Sequence[tuple[Sequence[int], Completion]],
    sampling: Sampling,
) -> bool | None:
    """Return whether the server's log-probabilities are at the sampling temperature, or None if the answers
    don't show this. `answers` contains each answer with its prompt. Raises ServerUnusable if the
    log-probabilities are not those of the policy's weights.

    By default, vLLM returns log-probabilities at temperature 1 for every sampling temperature. If the
    sampling temperature is close to 1, the two kinds of log-probabilities differ by less than the server's
    rounding, so the answers don't show which kind the server returns.
    """
    known = [(prompt, one) for prompt, one in answers if one.log_probs]
    rows = known[:: max(1, math.ceil(len(known) / COMPARED_ANSWERS))]
    values = [value for _, one in rows for value in (one.log_probs or [])[:COMPARED_TOKENS]]
    if len(values) < FEWEST_TOKENS:
        return None
    theirs = torch.tensor(values, dtype=torch.float64)
    given = [(list(prompt), one.ids[:COMPARED_TOKENS]) for prompt, one in rows]
    plain = tempered = _log_probs(policy, given, temperature=1.0)
    at_another_temperature = sampling.temperature not in (0, 1)
    if at_another_temperature:
        tempered = _log_probs(policy, given, temperature=sampling.temperature)
    gap = min(float((theirs - own).abs().mean()) for own in (plain, tempered))
    # With top-p, the log-probabilities of the remaining tokens are higher, by at most -log(top_p).
    if not gap <= LARGEST_GAP - math.log(sampling.top_p):
        raise ServerUnusable(
            "the server has different weights from the policy: the log-probabilities of its answers differ by"
            f" {gap:.2f} nats per token on average. Start the server with this policy, or set server_model to"
            " the policy's name on the server"
        )
    return _is_tempered(theirs, plain, tempered) if at_another_temperature else None


def _is_tempered(theirs: Tensor, plain: Tensor, tempered: Tensor) -> bool | None:
    """Return whether the server's values are at the sampling temperature (`tempered`) rather than at
    temperature 1 (`plain`), or None if noise hides the difference. All arguments have shape (tokens,).

    The position of the server's values on the line from the plain (0) to the tempered (1) values is a
    least-squares estimate. Its standard error is the noise per token divided by the length of the line.
    """
    line, rest = tempered - plain, theirs - plain
    length = float(line.norm())
    if length == 0:
        return None
    position = float(rest @ line) / length**2
    noise = float(torch.minimum(rest.norm(), (theirs - tempered).norm())) / len(theirs) ** 0.5
    if abs(position - 0.5) <= max(CLEAR, SURE * noise / length):
        return None
    return position > 0.5


@torch.no_grad()
def _log_probs(policy: Loaded, rows: Sequence[tuple[list[int], list[int]]], *, temperature: float) -> Tensor:
    """Return the policy's log-probabilities of the answers' tokens, one row after another."""
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
    return own.double().cpu()
