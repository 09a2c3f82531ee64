"""Compare two reward models on the same rankings: which model is better, and whether the difference is
significant. Pure NumPy.

A pair that is hard for one model is usually hard for the other. A difference measured on the same pairs
therefore has a far smaller error than the difference between two accuracies on different pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.rlhf.report.calibration import TINY, both_orders, ece_of_draws, stated_probability
from training.rlhf.report.resampling import SAMPLES, Estimate, Floats, Ints, PromptBootstrap
from training.rlhf.report.scored import Pairs, ScoredRankings
from training.rlhf.report.slices import members_of_slices, pair_statements

# With fewer prompts, a sign-flip test of a slice hardly ever becomes significant after Holm's correction.
MIN_SLICE_PROMPTS = 10
FLIPS = 10_000
EXACT_PROMPTS = 13  # 2^13 sign combinations are fewer than FLIPS, so all are tried
CHUNK_FLIPS = 500


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """The first model's accuracy minus the second's, on the pairs whose property ``by`` has the value ``of``.

    ``p_value`` is corrected for the number of slices (Holm 1979): if the models are equally good in all
    slices, the probability that any slice's ``p_value`` is at most 0.05 is at most 5 %.
    """

    by: str
    of: str
    pairs: int
    prompts: int
    difference: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class RewardComparison:
    """The comparison of the first model with the second, on preferences in rankings that both models have
    scored.

    ``difference``: the first model's accuracy minus the second's. ``p_value``: the probability of a
    difference at least this large if neither model were better. The test flips the signs of all differences
    of a prompt together at random (Fisher's randomisation test with prompts as units). With one pair per
    prompt, the test is McNemar's exact test. ``only_first`` and ``only_second`` count the pairs that only
    one model orders correctly. A pair with equal rewards counts as half correct.

    ``log_loss`` and ``ece``: the second model's value minus the first model's, so a positive difference
    favours the first model. Both figures are computed only on preferences. Models that predict ties can then
    be compared with models that do not. ``same_verdict``: the share of pairs that both models order the same
    way. ``slices``: the difference in each slice with at least MIN_SLICE_PROMPTS prompts.
    """

    rankings: int
    prompts: int
    pairs: int
    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float
    only_first: float
    only_second: float
    log_loss: Estimate
    ece: Estimate
    same_verdict: Estimate
    slices: tuple[SliceDifference, ...]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return found


def compare(
    first: ScoredRankings, second: ScoredRankings, *, seed: int = 0, samples: int = SAMPLES
) -> RewardComparison:
    """Compare two models on the rankings that both arguments contain, matched by content. Raises ValueError
    if there are no such rankings or if they contain no preference."""
    place = {key: number for number, key in enumerate(second.keys)}
    common = [number for number, key in enumerate(first.keys) if key in place]
    if not common:
        raise ValueError(
            f"the two models scored {len(first)} and {len(second)} rankings, but have none in common"
        )
    one, two = first.at(common), second.at([place[first.keys[number]] for number in common])
    bootstrap = PromptBootstrap(one.prompts, seed=seed, samples=samples)
    every = one.pairs()
    verdict = every.verdict
    a, b = (scored.pairs().where(verdict != 0) for scored in (one, two))
    if not len(a.ranking):
        raise ValueError(f"the {len(one)} rankings scored by both models contain no preference")
    ranking = a.ranking
    gained = a.credit - b.credit
    statements = pair_statements(one, every).where(verdict != 0)
    members = list(members_of_slices(one, a, statements))
    probabilities = []
    for scored, pairs in ((one, a), (two, b)):
        probabilities.append(scored.probabilities(pairs).untied())
    lost = [-np.log(np.maximum(stated_probability(given, a.verdict), TINY)) for given in probabilities]
    eces = [ece_of_draws(*both_orders(given, a.verdict, ranking), bootstrap) for given in probabilities]
    return RewardComparison(
        rankings=len(one),
        prompts=bootstrap.prompts,
        pairs=len(ranking),
        first=bootstrap.share(a.credit, ranking),
        second=bootstrap.share(b.credit, ranking),
        difference=bootstrap.mean(gained, ranking),
        p_value=sign_flip_p(_by_prompt(gained, ranking, bootstrap), seed=seed),
        only_first=float(gained.clip(min=0).sum()),
        only_second=float((-gained).clip(min=0).sum()),
        log_loss=bootstrap.mean(lost[1] - lost[0], ranking),
        ece=bootstrap.estimate(eces[1] - eces[0], ranking),
        same_verdict=bootstrap.share(np.sign(a.difference) == np.sign(b.difference), ranking),
        slices=_slice_differences(members, a, gained, bootstrap, seed),
    )


def _by_prompt(gained: Floats, ranking: Ints, bootstrap: PromptBootstrap) -> Floats:
    """Return the sums of ``gained`` (P,) by prompt."""
    sums: Floats = np.zeros(bootstrap.prompts)
    np.add.at(sums, bootstrap.prompt[ranking], gained)
    return sums


def _slice_differences(
    members: list[tuple[str, str, NDArray[np.bool_]]],
    pairs: Pairs,
    gained: Floats,
    bootstrap: PromptBootstrap,
    seed: int,
) -> tuple[SliceDifference, ...]:
    prompts = [bootstrap.prompts_in(pairs.ranking[inside]) for *_, inside in members]
    large = [
        (*one, number) for one, number in zip(members, prompts, strict=True) if number >= MIN_SLICE_PROMPTS
    ]
    tested = [
        sign_flip_p(_by_prompt(gained[inside], pairs.ranking[inside], bootstrap), seed=seed)
        for _, _, inside, _ in large
    ]
    return tuple(
        SliceDifference(
            by=by,
            of=of,
            pairs=int(inside.sum()),
            prompts=number,
            difference=bootstrap.mean(gained[inside], pairs.ranking[inside]),
            p_value=p_value,
        )
        for (by, of, inside, number), p_value in zip(large, holm(tested), strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's step-down procedure (Holm 1979), in the given order."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def sign_flip_p(differences: Floats, *, seed: int = 0) -> float:
    """Return the two-sided P(|Σ ±d| ≥ |Σ d|) with all sign combinations equally likely. ``differences`` (C,)
    contains one sum d per prompt.

    The probability is exact for up to EXACT_PROMPTS non-zero differences. For more differences, the
    probability is estimated from FLIPS draws. The data itself counts as one draw, so the estimate is never 0
    (Phipson & Smyth 2010).
    """
    d = differences[differences != 0]
    if not len(d):
        return 1.0
    # The tolerance allows for rounding: the order of summation must not matter.
    bound = abs(float(d.sum())) * (1 - 1e-12) - 1e-12
    if len(d) <= EXACT_PROMPTS:
        ways = np.arange(2 ** len(d))
        signs = 1 - 2 * ((ways[:, None] >> np.arange(len(d))) & 1)
        return float((np.abs(signs @ d) >= bound).mean())
    rng = np.random.default_rng(seed)
    beyond = 1
    for _ in range(FLIPS // CHUNK_FLIPS):
        signs = 1 - 2 * rng.integers(0, 2, size=(CHUNK_FLIPS, len(d)), dtype=np.int8)
        beyond += int((np.abs(signs @ d) >= bound).sum())
    return beyond / (FLIPS + 1)
