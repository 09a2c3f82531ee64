"""Select the answers that rejection sampling imitates, and estimate the value of the best of n answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from training.rlhf.data.demonstrations import Row
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Judges
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.selection.candidates import Candidates, judged_answers

# If, for *every* prompt, the rewards of the answers differ by less than SAME_REWARD, all rewards count as
# equal. The unit is the standard deviation of the training rewards. The scores of two equal answers can
# differ by about 1e-6, due to rounding.
SAME_REWARD = 1e-4


def select(
    config: RejectionSamplingConfig, scores: Sequence[float], usable: Sequence[bool], texts: Sequence[str]
) -> list[int]:
    """Return the indices of the answers to imitate among the N answers to one prompt, best first.

    `usable` marks the answers that ended and could be scored. Only these answers can be selected. Of several
    answers with the same text, only the one with the highest score counts. Of several answers with the same
    score, the one sampled first is preferred. The list is empty if the best score exceeds the mean score
    of the usable answers by less than `min_gain`.
    """
    possible = [i for i, can_be_kept in enumerate(usable) if can_be_kept]
    if not possible:
        return []
    ranked = sorted(possible, key=lambda i: -scores[i])
    if scores[ranked[0]] - math.fsum(scores[i] for i in possible) / len(possible) < config.min_gain:
        return []
    first_of_text: dict[str, int] = {}
    for i in ranked:
        first_of_text.setdefault(texts[i], i)
    distinct = list(first_of_text.values())
    if config.keep == "threshold":
        return [i for i in distinct if scores[i] >= config.threshold]
    return distinct[: config.k if config.keep == "top_k" else 1]


def selected(
    config: RejectionSamplingConfig, candidates: Candidates, texts: Sequence[str]
) -> list[list[int]]:
    """Return the positions of the kept answers for each prompt, best first. If every answer is usable and all
    answers to each prompt have the same reward, there is nothing to select, and every list is empty. `texts`
    contains the texts of all A answers."""
    n = candidates.n
    scores, usable = candidates.scores.tolist(), candidates.usable.tolist()
    groups = [slice(start, start + n) for start in range(0, len(texts), n)]
    if all(all(usable[g]) and max(scores[g]) - min(scores[g]) < SAME_REWARD for g in groups):
        return [[] for _ in groups]
    return [select(config, scores[group], usable[group], texts[group]) for group in groups]


def settled(
    config: RejectionSamplingConfig,
    judges: Judges,
    state: FloorState,
    candidates: Candidates,
    texts: Sequence[str],
    check: Callable[[], None],
) -> tuple[Candidates, FloorState]:
    """Return a round's candidates with rewards for which the kept answers respect the floors, and the state
    of the floors. `state` is the state after the previous round.

    If no answer is kept without multipliers, the state remains the same, so floors never turn an empty
    selection into a non-empty one. The result depends only on the candidates and on the values of the floors.
    The result can therefore be computed again after a resume.
    """
    usable = candidates.usable
    if not judges.floors or not bool(usable.any()):
        return candidates, state
    judged = judged_answers(judges, candidates)
    number_of = (usable.cumsum(0) - 1).view(-1, candidates.n).tolist()  # among the usable answers

    def rewarded(rewards: Tensor) -> Tensor:
        column = torch.full(usable.shape, math.nan, dtype=torch.float64)
        column[usable] = rewards
        return column

    def keep(rewards: Tensor) -> list[int]:
        check()
        kept = selected(config, replace(candidates, scores=rewarded(rewards)), texts)
        return [number_of[i][position] for i, positions in enumerate(kept) for position in positions]

    judged = judges.rescored(judged, judges.initial_state())
    if keep(judged.scores):
        state = judges.settled(state, judged, keep)
        judged = judges.rescored(judged, state)
    return replace(candidates, scores=rewarded(judged.scores), spreads=rewarded(judged.spreads)), state


def floor_metrics(
    judges: Judges, state: FloorState, candidates: Candidates, kept: Sequence[Sequence[int]]
) -> dict[str, float]:
    """If there are several reward models, return the metrics of each of them: `judges.metrics` of the usable
    answers, and `rewards/<name>/kept_mean`, the mean score of the kept answers."""
    if len(judges.judges) == 1:
        return {}
    chosen = [i * candidates.n + position for i, positions in enumerate(kept) for position in positions]
    values = judges.metrics(judged_answers(judges, candidates), state)
    for judge in judges.judges:
        mean = float(candidates.parts[judge.name][chosen].mean())
        values[f"rewards/{judge.name}/kept_mean"] = (mean - judge.scale.mean) / judge.scale.std
    return values


def rows_of(candidates: Candidates, asked: EncodedPrompts, kept: Sequence[Sequence[int]]) -> list[Row]:
    answers = torch.split(candidates.ids, candidates.lengths.tolist())
    return [
        Row(asked.ids[i], answers[i * candidates.n + position].tolist())
        for i, positions in enumerate(kept)
        for position in positions
    ]


def best_of_curve(scores: Tensor, usable: Tensor, values: Tensor | None = None) -> Tensor | None:
    """Estimate the expected value of the best of n answers, for n = 1 … N. The best answer is the usable
    answer with the highest score. Its value is this score or, if `values` is given, the answer's entry in
    `values`.

    All arguments have shape (N,). The result has shape (N,), or is None if no answer is usable. The estimate
    for n is the mean over all subsets of size n that contain a usable answer. From the other subsets, nothing
    would be kept. If all answers are usable, the estimate is unbiased.
    """
    n_usable = int(usable.sum())
    if n_usable == 0:
        return None
    # The list is reversed before the stable sort, so that of several answers with equal scores, the answer
    # that was sampled first comes last.
    reverse = usable.nonzero().squeeze(1).flip(0)
    order = reverse[scores[reverse].argsort(stable=True)]
    counted = scores if values is None else values
    return best_of_weights(len(scores), len(scores) - n_usable) @ counted[order].double()


@lru_cache
def best_of_weights(size: int, unusable: int) -> Tensor:
    """Return the probability that the i-th lowest of the usable answers is the best of n answers.

    The result has shape (N, N - unusable), where N is `size`, with one row for each n. The n answers are
    drawn without replacement from N answers, of which `unusable` rank below all others. The answer at
    position p in the ascending order (from 0) is the best in C(p, n-1) of the C(N, n) - C(unusable, n)
    subsets that contain a usable answer.
    """
    rows = [
        [math.comb(p, n - 1) / (math.comb(size, n) - math.comb(unusable, n)) for p in range(unusable, size)]
        for n in range(1, size + 1)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def kl_of_best_of(n: int) -> float:
    """Return ln n - (n - 1)/n, in nats: an upper bound on the KL divergence of the best of n answers from the
    policy that wrote them.

    Stiennon et al. 2020 (arXiv 2009.01325, appendix G.3) use the formula as if it were exact. Beirami et al.
    2024 (arXiv 2401.01879) prove that it is an upper bound. The bound is loose if the policy often gives the
    same answer.
    """
    return math.log(n) - (n - 1) / n


def curves(candidates: Candidates) -> tuple[dict[int, float], dict[int, float], int]:
    """Return the mean best-of-n curve over the prompts with a usable answer, the same curve for gold rewards
    (empty if they are unknown), and the number of prompts without a usable answer."""
    n, usable = candidates.n, candidates.usable
    columns = (torch.split(column, n) for column in (candidates.scores, usable, candidates.gold))
    split = zip(*columns, strict=True)
    found = [(best_of_curve(scores, mask), best_of_curve(scores, mask, gold)) for scores, mask, gold in split]
    known = [(own, gold) for own, gold in found if own is not None and gold is not None]
    if not known:
        return {}, {}, len(found)
    own, gold = (torch.stack(column).mean(dim=0).tolist() for column in zip(*known, strict=True))
    by_gold = {} if math.isnan(gold[0]) else dict(enumerate(gold, start=1))
    return dict(enumerate(own, start=1)), by_gold, len(found) - len(known)


def selection_metrics(candidates: Candidates, kept: Sequence[Sequence[int]]) -> dict[str, float]:
    best, gold, unfinished = curves(candidates)
    return {
        **{f"best_of/{n}": value for n, value in best.items()},
        **{f"gold_best_of/{n}": value for n, value in gold.items()},
        **{f"kl_best_of/{n}": kl_of_best_of(n) for n in best},
        "kept": float(sum(map(len, kept))),
        "kept_prompts": float(sum(map(bool, kept))),
        "unfinished_prompts": float(unfinished),
    }


def nothing_kept(config: RejectionSamplingConfig, prompts: int, floors: FloorState | None) -> str:
    """Return the error message for a run in which no answer was kept."""
    raised = [name for name, value in floors["multipliers"].items() if value] if floors else []
    if floors and raised:  # without these multipliers, answers would have been kept
        named = ", ".join(f"{name} (floor {floors['floors'][name]:.2f})" for name in raised)
        return (
            f"none of the {prompts} prompts has an answer worth keeping: no selection of the answers can "
            f"reach the floor of {named}. At the weight that the floor requires, no answer reaches threshold "
            f"({config.threshold}) and min_gain ({config.min_gain}). Lower reward_floors, threshold or "
            "min_gain."
        )
    return (
        f"none of the {prompts} prompts has an answer worth keeping: every answer was truncated at "
        f"{config.max_new_tokens} tokens, has the same reward as all other answers to its prompt, or misses "
        f"min_gain ({config.min_gain}) or threshold. Raise max_new_tokens or temperature, or lower min_gain "
        "or threshold."
    )
