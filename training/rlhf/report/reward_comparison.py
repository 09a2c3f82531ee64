"""Two reward models on the same rankings: which is better, and whether that may be chance. Pure NumPy.

The difference on the same pairs has a far smaller error than the difference of two accuracies, as hard pairs
are hard for both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.rlhf.report.calibration import TINY, both_orders, ece_of_draws, said_chance
from training.rlhf.report.resampling import SAMPLES, Estimate, Floats, PromptBootstrap
from training.rlhf.report.scored import ScoredRankings

FLIPS = 10_000
EXACT_PROMPTS = 13  # 2^13 ways to turn the signs are fewer than FLIPS: all are tried
CHUNK_FLIPS = 500


@dataclass(frozen=True, slots=True)
class RewardComparison:
    """Of the first model against the second, over the preferences of rankings that both scored.

    ``difference`` of the accuracies, and ``p_value`` of that much or more if neither were better: all
    differences of a prompt change sign together, at random (Fisher's randomisation test with prompts for
    units; one pair per prompt makes it McNemar's exact test). ``only_first`` and ``only_second`` are the
    pairs that decide: right by one model alone, an equal pair being half right. ``log_loss`` and ``ece``:
    how much lower the first model's are, above 0 is better; of preferences, so that a model of ties and one
    without are judged by the same. ``same_verdict``: the share of pairs that both order alike.
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
    """On the rankings that both hold, found by their content; the others are left. Raises ValueError where
    there is none, or no preference among them."""
    place = {key: number for number, key in enumerate(second.keys)}
    common = [number for number, key in enumerate(first.keys) if key in place]
    if not common:
        raise ValueError(
            f"the two models scored {len(first)} and {len(second)} rankings, and none of them is the same"
        )
    one, two = first.at(common), second.at([place[first.keys[number]] for number in common])
    bootstrap = PromptBootstrap(one.prompts, seed=seed, samples=samples)
    verdict = one.pairs().verdict
    a, b = (scored.pairs().where(verdict != 0) for scored in (one, two))
    if not len(a.ranking):
        raise ValueError(f"in the {len(one)} rankings that both scored, nothing is preferred to anything")
    ranking = a.ranking
    gained = a.credit - b.credit
    of_prompt: Floats = np.zeros(bootstrap.prompts)
    np.add.at(of_prompt, bootstrap.prompt[ranking], gained)
    chances = []
    for scored, pairs in ((one, a), (two, b)):
        given = scored.chances(pairs)
        preferred = given.first + given.second
        chances.append(
            given._replace(first=given.first / preferred, second=given.second / preferred, tie=given.tie * 0)
        )
    lost = [-np.log(np.maximum(said_chance(given, a.verdict), TINY)) for given in chances]
    eces = [ece_of_draws(*both_orders(given, a.verdict, ranking), bootstrap) for given in chances]
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
    """Two-sided P(|Σ ±d| ≥ |Σ d|), all signs alike likely. (C,) one sum per prompt.

    Exact for up to EXACT_PROMPTS that differ; else by FLIPS draws, the data counting as one of them, so that
    it is never 0 (Phipson & Smyth 2010).
    """
    d = differences[differences != 0]
    if not len(d):
        return 1.0
    bound = abs(float(d.sum())) * (1 - 1e-12) - 1e-12  # sums of the same numbers in another order are equal
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
