"""The candidates of a rejection sampling run: all sampled answers with their scores.

The candidates are stored as tensors, because they are part of the loop's checkpoints. A finished run writes
them to a file (`candidate_file`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.alive import counting, told_by
from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import generator_for, seeds_from
from training.rlhf.core.sharding import shards, stopping_together
from training.rlhf.generation.interface import Engine, Sampling
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Asked, Judge, Judged, Judges
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig

ANSWERS_PER_CHECK = 32  # answers scored between two checks for cancellation

Gold = Callable[[Messages, str], float]
# Called every few seconds with the number of answers or prompts so far, and with a note on the current work.
Progress = Callable[[int, str], None]

_PART, _DEVIATION = "part.", "spread."


@dataclass(frozen=True, slots=True)
class Candidates:
    """N answers to each of P prompts, in the order of the prompts. Each tensor is one column of a table of
    all A = P·N answers.

    `ids`, with shape (T,), contains the token IDs of all answers one after another, and `lengths`, with shape
    (A,), contains their lengths. Each answer ends with exactly one EOS, even if it was truncated. All other
    columns have shape (A,). `scores` and `spreads` are in standard deviations of the reward model's training
    rewards. A score is NaN if the answer is too long for a reward model. `gold` is NaN where the gold reward
    is unknown. `parts` maps the name of each reward model to the model's raw rewards, and `deviations` maps
    the name to the spreads of the model's scores.
    """

    n: int
    ids: Tensor
    lengths: Tensor
    finished: Tensor
    scores: Tensor
    spreads: Tensor
    gold: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    deviations: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_prompts(self) -> int:
        return len(self.lengths) // self.n

    @property
    def usable(self) -> Tensor:
        """Whether each answer can be kept, with shape (A,): the answer must have ended and have a score."""
        return self.finished & ~self.scores.isnan()

    def answers(self) -> list[list[int]]:
        """Return the token IDs of each answer."""
        return [part.tolist() for part in torch.split(self.ids, self.lengths.tolist())]

    def texts(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        return [chat.decode(tokenizer, ids) for ids in self.answers()]

    def tensors(self) -> dict[str, Tensor]:
        columns = {name: getattr(self, name) for name in _COLUMNS}
        columns |= {_PART + name: values for name, values in self.parts.items()}
        return columns | {_DEVIATION + name: values for name, values in self.deviations.items()}


_COLUMNS = ("ids", "lengths", "finished", "scores", "spreads", "gold")


def no_candidates(n: int) -> Candidates:
    types = dict(zip(_COLUMNS, (torch.int32, torch.int32, torch.bool, *[torch.float64] * 3), strict=True))
    # Every column has its own memory, because safetensors refuses to save tensors that share memory.
    return from_tensors({name: torch.empty(0, dtype=each) for name, each in types.items()}, n)


def from_tensors(tensors: Mapping[str, Tensor], n: int) -> Candidates:
    parts, deviations = (
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        for prefix in (_PART, _DEVIATION)
    )
    return Candidates(n, **{name: tensors[name] for name in _COLUMNS}, parts=parts, deviations=deviations)


def join(first: Candidates, second: Candidates) -> Candidates:
    """Return the answers of both arguments, which must have the same number of answers per prompt."""
    if not len(first.lengths):
        return second
    columns = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in _COLUMNS}
    parts = {name: torch.cat([first.parts[name], second.parts[name]]) for name in first.parts}
    deviations = {
        name: torch.cat([first.deviations[name], second.deviations[name]]) for name in first.deviations
    }
    return Candidates(first.n, **columns, parts=parts, deviations=deviations)


def sample_batch(
    config: RejectionSamplingConfig,
    policy: Loaded,
    engine: Engine,
    judges: Judges,
    asked: EncodedPrompts,
    gold: Gold | None,
    chosen: range,
    round: int,
    check: Callable[[], None],
    progress: Progress = lambda done, note: None,
) -> tuple[Candidates, Judged]:
    """Return N answers to each of the chosen prompts, with their scores before the multipliers of the floors
    are applied.

    Each process answers and scores a share of the prompts, and the result contains the answers of all
    processes. `progress` is called with the number of answered prompts and a note. While the answers are
    being scored, the note contains the number of scored answers."""
    seeds = seeds_from(generator_for(config.seed, "candidates", round, chosen.start), len(chosen))
    mine = distributed.share([len(asked.ids[i]) + config.max_new_tokens for i in chosen])
    own = None

    def answered(done: int, note: str) -> None:
        progress(done * len(chosen) // (len(mine) * config.samples_per_prompt), note)

    with stopping_together(sharded=shards(config)):
        if mine:
            prompts, of_prompts = [chosen[i] for i in mine], [seeds[i] for i in mine]
            own = _sample(config, policy, engine, judges, asked, gold, prompts, of_prompts, check, answered)
    shares = [(numbers, *one) for numbers, one in distributed.gather_objects((mine, own)) if one is not None]
    if len(shares) == 1:
        return shares[0][1:]
    n = config.samples_per_prompt
    places = [i * n + k for numbers, _, _ in shares for i in numbers for k in range(n)]
    judged = Judged.merged([one for _, _, one in shares], places)
    return in_order(reduce(join, [one for _, one, _ in shares]), places), judged


def in_order(candidates: Candidates, places: Sequence[int]) -> Candidates:
    """Return the candidates with answer i moved to position `places[i]`."""
    order = torch.tensor(places).argsort()
    answers = candidates.answers()
    columns = {name: values[order] for name, values in candidates.tensors().items() if name != "ids"}
    ids = torch.tensor([number for i in order.tolist() for number in answers[i]], dtype=torch.int32)
    return from_tensors({"ids": ids, **columns}, candidates.n)


def _sample(
    config: RejectionSamplingConfig,
    policy: Loaded,
    engine: Engine,
    judges: Judges,
    asked: EncodedPrompts,
    gold: Gold | None,
    chosen: Sequence[int],
    seeds: Sequence[int],
    check: Callable[[], None],
    answered: Progress,
) -> tuple[Candidates, Judged]:
    """Sample and score N answers to each of the chosen prompts in this process."""
    completions = engine.generate(
        policy,
        [asked.ids[i] for i in chosen],
        Sampling(config.max_new_tokens, config.samples_per_prompt, config.temperature, config.top_p),
        seeds=seeds,
        check=check,
        progress=lambda done, total: answered(done, ""),
    )
    eos = chat.eos_id(policy.tokenizer)
    answers = [[completion.ended(eos) for completion in row] for row in completions]
    questions = [Asked(asked.messages[i], asked.ids[i], row) for i, row in zip(chosen, answers, strict=True)]
    flat = [ids for row in answers for ids in row]

    with told_by(partial(answered, len(flat))):
        judged = score(judges, questions, check, judges.initial_state())
    golds = torch.full((len(flat),), math.nan, dtype=torch.float64)
    if gold is not None:
        texts = [
            (one.messages, chat.decode(policy.tokenizer, ids)) for one in questions for ids in one.answers
        ]
        golds = torch.tensor([gold(messages, text) for messages, text in texts], dtype=torch.float64)
    found = Candidates(
        config.samples_per_prompt,
        ids=torch.tensor([number for ids in flat for number in ids], dtype=torch.int32),
        lengths=torch.tensor([len(ids) for ids in flat], dtype=torch.int32),
        finished=torch.tensor([completion.finished for row in completions for completion in row]),
        scores=judged.scores,
        spreads=judged.spreads,
        gold=golds,
        parts=judged.parts,
        deviations=judged.deviations,
    )
    return found, judged


def score(
    judges: Judges,
    questions: Sequence[Asked],
    check: Callable[[], None],
    state: FloorState,
) -> Judged:
    """Score answers in float64. If an answer is too long for a reward model, all of its figures are NaN.
    `truncated` counts these answers by reward model."""
    fitting = {
        judge.name: torch.tensor([fits(judges, judge, ids) for one in questions for ids in one.answers])
        for judge in judges.judges
    }
    readable = torch.stack(list(fitting.values())).all(dim=0)
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
    readings = int(readable.sum()) * len(judges.judges)
    with counting(readings, "answers scored"):
        for start in range(0, len(asked), per_check):
            check()
            found.append(judges.score(asked[start : start + per_check], state))

    def spread_out(columns: Sequence[Tensor]) -> Tensor:
        values = torch.full((len(readable),), math.nan, dtype=torch.float64)
        values[readable] = torch.cat([torch.empty(0), *columns]).double()
        return values

    return Judged(
        spread_out([one.scores for one in found]),
        spread_out([one.spreads for one in found]),
        parts={name: spread_out([one.parts[name] for one in found]) for name in fitting},
        standard={name: spread_out([one.standard[name] for one in found]) for name in fitting},
        deviations={name: spread_out([one.deviations[name] for one in found]) for name in fitting},
        truncated={name: int((~mask).sum()) for name, mask in fitting.items()},
        refused={name: sum(one.refused[name] for one in found) for name in fitting},
    )


def fits(judges: Judges, judge: Judge, answer: list[int]) -> bool:
    """Return whether the reward model can read the answer to its end, with at least one prompt token."""
    ids = answer
    if not judge.same_tokens:
        ids = chat.encode_response(judge.tokenizer, chat.decode(judges.policy, answer))
    return len(ids) < judge.limit


def judged_answers(judges: Judges, candidates: Candidates) -> Judged:
    """Return the scores of the U usable answers. All columns have shape (U,)."""
    usable = candidates.usable
    parts = {judge.name: candidates.parts[judge.name][usable] for judge in judges.judges}
    return Judged(
        candidates.scores[usable],
        candidates.spreads[usable],
        parts=parts,
        standard={one.name: (parts[one.name] - one.scale.mean) / one.scale.std for one in judges.judges},
        deviations={name: spreads[usable] for name, spreads in candidates.deviations.items()},
    )


def batch_metrics(batch: Candidates, judged: Judged, judges: Judges, policy: Loaded) -> dict[str, float]:
    usable, texts = batch.usable, batch.texts(policy.tokenizer)
    distinct = sum(len(set(texts[i : i + batch.n])) for i in range(0, len(texts), batch.n))
    values = {
        "finished_share": float(batch.finished.double().mean()),
        "distinct_share": distinct / len(texts),
    }
    counts = (("truncated", judged.truncated), ("refused", judged.refused))
    values |= {f"rewards/{name}/{what}": float(n) for what, by in counts for name, n in by.items() if n}
    values |= judges.limits()
    if not bool(usable.any()):
        return values
    lowest = batch.scores.masked_fill(~usable, -math.inf).view(-1, batch.n).max(dim=1).values
    values["reward_mean"] = float(batch.scores[usable].mean())
    values["reward_best"] = float(lowest[lowest.isfinite()].mean())
    values |= {f"reward_raw/{name}": float(raw[usable].mean()) for name, raw in batch.parts.items()}
    if len(judged.standard) > 1:
        values |= {f"rewards/{name}/mean": float(z[usable].mean()) for name, z in judged.standard.items()}
    if not bool(batch.gold.isnan().any()):
        values["gold_mean"] = float(batch.gold[usable].mean())
    if judges.estimates_uncertainty:
        values["reward_spread"] = float(batch.spreads[usable].mean())
    return values
