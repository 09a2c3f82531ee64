"""Compare two reward models on the same rankings: which model is better, and whether the difference is
significant. Pure NumPy.

A pair that is hard for one model is usually hard for the other. A difference measured on the same pairs
therefore has a far smaller error than the difference between two accuracies on different pairs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.rlhf.report.calibration import TINY, both_orders, ece_of_draws, stated_probability
from training.rlhf.report.resampling import SAMPLES, Estimate, Floats, PromptBootstrap
from training.rlhf.report.scored import ScoredRankings

FLIPS = 10_000
EXACT_PROMPTS = 13  # 2^13 sign combinations are fewer than FLIPS, so all are tried
CHUNK_FLIPS = 500


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
    way.
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
    verdict = one.pairs().verdict
    a, b = (scored.pairs().where(verdict != 0) for scored in (one, two))
    if not len(a.ranking):
        raise ValueError(f"the {len(one)} rankings scored by both models contain no preference")
    ranking = a.ranking
    gained = a.credit - b.credit
    of_prompt: Floats = np.zeros(bootstrap.prompts)
    np.add.at(of_prompt, bootstrap.prompt[ranking], gained)
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
        p_value=sign_flip_p(of_prompt, seed=seed),
        only_first=float(gained.clip(min=0).sum()),
        only_second=float((-gained).clip(min=0).sum()),
        log_loss=bootstrap.mean(lost[1] - lost[0], ranking),
        ece=bootstrap.estimate(eces[1] - eces[0], ranking),
        same_verdict=bootstrap.share(np.sign(a.difference) == np.sign(b.difference), ranking),
    )


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
