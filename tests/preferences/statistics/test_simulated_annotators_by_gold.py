"""Tests of the statistics on simulated annotators of known quality. The annotators rank replies from the demo
world by the gold reward plus noise."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from preferences.statistics import bradley_terry
from preferences.statistics.agreement import between_annotators, by_ranking, meetings_of
from preferences.statistics.biases import wins_of_the_first_shown
from preferences.statistics.intervals import clustered_shares
from preferences.statistics.krippendorff import alpha_of_pairs, pair_counts
from preferences.statistics.outliers import outliers
from preferences.statistics.pairs import pair_columns, rankings_that_meet, verdicts_of
from preferences.statistics.reliability import pair_reliability
from training import demo_world

# The scale of each annotator's Gumbel noise, in points of the gold reward (0 to 4). The fifth annotator
# guesses, and the sixth prefers the response shown first.
NOISE = np.array([0.15, 0.3, 0.6, 1.0, 30.0, 0.3])
LEAN = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
TASKS, K, OVERLAP = 500, 4, 3
STYLES = list(demo_world.STYLES)[:K]


@pytest.fixture(scope="module")
def gold() -> NDArray[np.float64]:
    """The gold rewards of the replies to each prompt, with shape (TASKS, K). Each prompt has one reply in
    each of four styles."""
    rng = random.Random(0)
    points = []
    while len(points) < TASKS:
        prompt = demo_world.prompts(1, seed=rng.randrange(10**9))[0]
        scenario = demo_world.parse(prompt)
        points.append(
            [demo_world.gold_reward(prompt, demo_world.respond(scenario, style, rng)) for style in STYLES]
        )
    return np.array(points)


class Project:
    def __init__(self, gold: NDArray[np.float64], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        people = np.argsort(rng.random((TASKS, len(NOISE))), axis=1)[:, :OVERLAP]
        self.who, self.task = people.ravel(), np.repeat(np.arange(TASKS), OVERLAP)
        self.shown = np.argsort(rng.random((len(self.who), K)), axis=1).astype(np.int8)
        seen = gold[self.task] + NOISE[self.who][:, None] * rng.gumbel(size=(len(self.who), K))
        seen -= LEAN[self.who][:, None] * self.shown
        self.places = np.argsort(np.argsort(-seen, axis=1), axis=1).astype(np.int8)
        self.verdicts = verdicts_of(self.places)
        self.met = meetings_of(self.verdicts, *rankings_that_meet(self.task))


def test_estimated_reliability_matches_known_quality(gold: NDArray[np.float64]) -> None:
    project = Project(gold)
    pairs = project.verdicts.shape[1]
    pair = (project.task[:, None] * pairs + np.arange(pairs)).ravel()
    found = pair_reliability(
        pair,
        np.repeat(project.who, pairs),
        project.verdicts.ravel(),
        n_pairs=TASKS * pairs,
        n_annotators=len(NOISE),
        clusters=np.repeat(project.task, pairs),
    )
    assert np.argsort(-found.accuracy)[[0, 1, 2]].tolist() == [0, 1, 2]
    assert found.accuracy.argmin() == 4
    assert found.low[4] < 0.55
    # How often each annotator agrees with the gold reward, over pairs of replies with different gold rewards.
    # The estimate of an annotator's accuracy does not use the gold reward.
    first, second = pair_columns(K)
    better = np.sign(gold[:, first] - gold[:, second])[project.task]
    clear = np.abs(gold[:, first] - gold[:, second])[project.task] > 0.05
    right = [
        ((project.verdicts == better) & clear)[project.who == person].sum()
        / clear[project.who == person].sum()
        for person in range(len(NOISE))
    ]
    np.testing.assert_allclose(found.accuracy, right, atol=0.06)
    assert (found.first_right > 0.5)[better[::OVERLAP].ravel() == 1].mean() > 0.85


def test_guesser_and_biased_annotator_are_detected(gold: NDArray[np.float64]) -> None:
    project = Project(gold)
    same, shared = by_ranking(project.met, len(project.who))
    found = outliers(same / shared, project.task, project.who, len(NOISE))
    assert found.adjusted[4] < 1e-6
    assert (found.adjusted[:3] > 0.05).all()
    wins = wins_of_the_first_shown(project.places, project.shown)
    lean = clustered_shares(wins.won, wins.n, project.who, len(NOISE))
    assert lean.low[5] > 0.55
    assert ((lean.low[:5] < 0.5) & (lean.high[:5] > 0.45)).all()


def test_agreement_falls_with_noise_and_alpha_rises_without_the_guesser(gold: NDArray[np.float64]) -> None:
    project = Project(gold)
    same, shared = between_annotators(project.met, project.who, len(NOISE))
    rate = same / np.maximum(shared, 1)
    assert rate[0, 1] > rate[0, 2] > rate[0, 3] > rate[0, 4]

    def alpha(kept: NDArray[np.bool_]) -> float:
        counts = pair_counts(project.verdicts[kept], project.task[kept], TASKS)
        return alpha_of_pairs(counts, np.repeat(np.arange(TASKS), 6), metric="nominal").alpha

    assert alpha(project.who != 4) > alpha(np.ones(len(project.who), dtype=bool)) + 0.05


def test_leaderboard_orders_styles_by_their_gold_scores(gold: NDArray[np.float64]) -> None:
    project = Project(gold)
    first, second = pair_columns(K)
    won = project.verdicts == 1
    preferred, other = np.where(won, first, second).ravel(), np.where(won, second, first).ravel()
    none = np.zeros(len(preferred), dtype=bool)
    strengths = bradley_terry.fit(
        bradley_terry.half_ties(*bradley_terry.table_of(preferred, other, none, K)), prior=0.5
    ).strength
    assert np.argsort(strengths).tolist() == np.argsort(gold.mean(0)).tolist()
