"""The candidates of a rejection sampling run: all sampled answers with their scores.

The candidates are stored as tensors, because they are part of the loop's checkpoints. The finished run leaves
them as a file (`candidate_file`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import generator_for
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.judges import Asked, Judged, Judges
from training.rlhf.models import chat
from training.rlhf.models.loading import Loaded
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig

ANSWERS_PER_CHECK = 32  # answers scored between two checks for cancellation

Gold = Callable[[Messages, str], float]

_PART = "part."


@dataclass(frozen=True, slots=True)
class Candidates:
    """N answers to each of P prompts, in the order of the prompts. The A = P·N answers are stored by column.

    `ids`, with shape (T,), contains the token IDs of all answers one after another, and `lengths`, with shape
    (A,), their lengths. Each answer ends with exactly one EOS, also if it was truncated. All other columns
    have shape (A,). `scores` and `spreads` are in standard deviations of the reward model's training rewards.
    A score is NaN if a reward model can't read the answer to its end, because of its length. `gold` is NaN
    where the gold reward is unknown. `parts` maps each reward model's name to its raw rewards.
    """

    n: int
    ids: Tensor
    lengths: Tensor
    finished: Tensor
    scores: Tensor
    spreads: Tensor
    gold: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_prompts(self) -> int:
        return len(self.lengths) // self.n

    @property
    def usable(self) -> Tensor:
        """Marks the answers that can be kept: those that ended and have a score. Shape (A,)."""
        return self.finished & ~self.scores.isnan()

    def answers(self) -> list[list[int]]:
        """Return the token IDs of each answer."""
        return [part.tolist() for part in torch.split(self.ids, self.lengths.tolist())]

    def texts(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        return [chat.decode(tokenizer, ids) for ids in self.answers()]

    def tensors(self) -> dict[str, Tensor]:
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return columns | {_PART + name: values for name, values in self.parts.items()}


_COLUMNS = ("ids", "lengths", "finished", "scores", "spreads", "gold")


def no_candidates(n: int) -> Candidates:
    types = dict(zip(_COLUMNS, (torch.int32, torch.int32, torch.bool, *[torch.float64] * 3), strict=True))
    # Every column has its own memory, because safetensors refuses to save tensors that share memory.
    return from_tensors({name: torch.empty(0, dtype=each) for name, each in types.items()}, n)


def from_tensors(tensors: Mapping[str, Tensor], n: int) -> Candidates:
    parts = {name.removeprefix(_PART): t for name, t in tensors.items() if name.startswith(_PART)}
    return Candidates(n, **{name: tensors[name] for name in _COLUMNS}, parts=parts)


def join(first: Candidates, second: Candidates) -> Candidates:
    """Return the answers of both, which must have the same number of answers per prompt."""
    if not len(first.lengths):
        return second
    columns = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in _COLUMNS}
    parts = {name: torch.cat([first.parts[name], second.parts[name]]) for name in first.parts}
    return Candidates(first.n, **columns, parts=parts)


def sample_batch(
    config: RejectionSamplingConfig,
    policy: Loaded,
    judges: Judges,
    asked: EncodedPrompts,
    gold: Gold | None,
    chosen: range,
    round: int,
    check: Callable[[], None],
) -> Candidates:
    """Return N answers to each of the chosen prompts, with their scores."""
    prompts = [asked.ids[i] for i in chosen]
    completions = generate(
        *policy,
        prompts,
        n=config.samples_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        generator=generator_for(config.seed, "candidates", round, chosen.start),
        check=check,
    )
    eos = chat.eos_id(policy.tokenizer)
    answers = [[completion.ended(eos) for completion in row] for row in completions]
    questions = [Asked(asked.messages[i], asked.ids[i], row) for i, row in zip(chosen, answers, strict=True)]
    scores, spreads, parts = score(judges, questions, check)
    flat = [ids for row in answers for ids in row]
    golds = torch.full((len(flat),), math.nan, dtype=torch.float64)
    if gold is not None:
        texts = [
            (one.messages, chat.decode(policy.tokenizer, ids)) for one in questions for ids in one.answers
        ]
        golds = torch.tensor([gold(messages, text) for messages, text in texts], dtype=torch.float64)
    return Candidates(
        config.samples_per_prompt,
        ids=torch.tensor([number for ids in flat for number in ids], dtype=torch.int32),
        lengths=torch.tensor([len(ids) for ids in flat], dtype=torch.int32),
        finished=torch.tensor([completion.finished for row in completions for completion in row]),
        scores=scores,
        spreads=spreads,
        gold=golds,
        parts=parts,
    )


def score(
    judges: Judges, questions: Sequence[Asked], check: Callable[[], None]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return scores, spreads and raw rewards by reward model, each in float64 with shape (A,). They are NaN
    for an answer that a reward model can't read to its end."""
    readable = torch.tensor([fits(judges, ids) for one in questions for ids in one.answers])
    masks = torch.split(readable, [len(one.answers) for one in questions])
    asked = [
        replace(
            one, answers=[ids for ids, fitting in zip(one.answers, mask.tolist(), strict=True) if fitting]
        )
        for one, mask in zip(questions, masks, strict=True)
        if bool(mask.any())
    ]
    found: list[Judged] = []
    per_check = max(1, ANSWERS_PER_CHECK // max(len(one.answers) for one in questions))
    for start in range(0, len(asked), per_check):
        check()
        found.append(judges.score(asked[start : start + per_check]))

    def spread_out(columns: Sequence[Tensor]) -> Tensor:
        values = torch.full((len(readable),), math.nan, dtype=torch.float64)
        values[readable] = torch.cat([torch.empty(0), *columns]).double()
        return values

    return (
        spread_out([one.scores for one in found]),
        spread_out([one.spreads for one in found]),
        {one.name: spread_out([part.parts[one.name] for part in found]) for one in judges.judges},
    )


def fits(judges: Judges, answer: list[int]) -> bool:
    """Return whether every reward model can read the answer to its end, with at least one prompt token."""
    for judge in judges.judges:
        ids = answer
        if not judge.same_tokens:
            ids = chat.encode_response(judge.tokenizer, chat.decode(judges.policy, answer))
        if len(ids) >= judge.limit:
            return False
    return True


def batch_metrics(batch: Candidates, policy: Loaded, *, with_spread: bool) -> dict[str, float]:
    usable, texts = batch.usable, batch.texts(policy.tokenizer)
    distinct = sum(len(set(texts[i : i + batch.n])) for i in range(0, len(texts), batch.n))
    values = {
        "finished_share": float(batch.finished.double().mean()),
        "distinct_share": distinct / len(texts),
    }
    if not bool(usable.any()):
        return values
    lowest = batch.scores.masked_fill(~usable, -math.inf).view(-1, batch.n).max(dim=1).values
    values["reward_mean"] = float(batch.scores[usable].mean())
    values["reward_best"] = float(lowest[lowest.isfinite()].mean())
    values |= {f"reward_raw/{name}": float(raw[usable].mean()) for name, raw in batch.parts.items()}
    if not bool(batch.gold.isnan().any()):
        values["gold_mean"] = float(batch.gold[usable].mean())
    if with_spread:
        values["reward_spread"] = float(batch.spreads[usable].mean())
    return values
