"""For any annotators, every estimator returns values in their valid ranges and raises no warning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from preferences.statistics import bradley_terry, crowd_bt, davidson, dawid_skene, reliability
from preferences.statistics.intervals import clustered_shares, percentiles
from preferences.statistics.iterative import newton
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.krippendorff import Metric, alpha, alpha_of_pairs
from preferences.statistics.outliers import MIN_TASKS, outliers
from preferences.statistics.reliability import pair_reliability
from tests.preferences.statistics.crowds import Crowd, chance_crowd, crowds

METRICS: tuple[Metric, ...] = ("nominal", "ordinal", "interval")
pytestmark = pytest.mark.filterwarnings("error")
anything = settings(max_examples=60, deadline=None, derandomize=True)
Floats = NDArray[np.float64]


def states_its_end(convergence: Convergence, most_steps: int) -> None:
    assert 0 <= convergence.steps <= most_steps
    assert np.isfinite(convergence.change)
    assert convergence.change >= 0
    assert isinstance(convergence.converged, bool)


def in_order(low: ArrayLike, value: ArrayLike, high: ArrayLike, known: NDArray[np.bool_]) -> None:
    """Asserts that 0 ≤ low ≤ value ≤ high ≤ 1 where `known` is true, and that all three are NaN elsewhere."""
    low, value, high = (np.asarray(part, dtype=np.float64) for part in (low, value, high))
    assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 1))[known].all()
    assert np.isnan(low[~known]).all() & np.isnan(value[~known]).all() & np.isnan(high[~known]).all()


def reliability_of(crowd: Crowd, **changes: NDArray[np.int64]) -> reliability.Reliability:
    given = {"pairs": crowd.pair, "annotators": crowd.who, "verdicts": crowd.verdict, "clusters": crowd.pair}
    return pair_reliability(**(given | changes), n_pairs=crowd.n_pairs, n_annotators=crowd.people)


@anything
@given(crowds())
def test_reliability_is_a_probability_with_an_interval(crowd: Crowd) -> None:
    found = reliability_of(crowd)
    estimated = (found.n > 0) & ((found.n > 0).sum() >= reliability.MIN_ANNOTATORS)
    in_order(found.low, found.accuracy, found.high, estimated)
    assert ((found.first_right >= 0) & (found.first_right <= 1)).all()
    assert (found.convergence is not None) == estimated.any()
    if found.convergence is not None:
        states_its_end(found.convergence, reliability.MAX_STEPS)


@anything
@given(crowds())
def test_reliability_does_not_depend_on_names_or_on_the_order_of_responses(crowd: Crowd) -> None:
    rng = np.random.default_rng(crowd.n_pairs)
    person, pair = rng.permutation(crowd.people), rng.permutation(crowd.n_pairs)
    turned = rng.choice([-1, 1], crowd.n_pairs)
    rows = rng.permutation(len(crowd.pair))
    one = reliability_of(crowd)
    two = reliability_of(
        crowd,
        pairs=pair[crowd.pair][rows],
        clusters=pair[crowd.pair][rows],
        annotators=person[crowd.who][rows],
        verdicts=(crowd.verdict * turned[crowd.pair])[rows],
    )
    np.testing.assert_allclose(two.accuracy[person], one.accuracy, atol=1e-3)
    first_right = np.where(turned > 0, two.first_right[pair], 1 - two.first_right[pair])
    np.testing.assert_allclose(first_right, one.first_right, atol=1e-2)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("people", "tasks", "overlap"), [(3, 30, 3), (6, 200, 3), (20, 100, 3), (40, 4, 40)])
def test_annotators_near_chance_get_the_estimate_with_the_highest_posterior(
    seed: int, people: int, tasks: int, overlap: int
) -> None:
    """No small change of an accuracy increases the log posterior."""
    pair, who, y, task = chance_crowd(seed, people, tasks, overlap, right=0.5 + 0.02 * (seed % 3))
    found = pair_reliability(pair, who, y, n_pairs=tasks * 6, n_annotators=people, clusters=task)
    assert found.convergence is not None
    assert found.convergence.converged
    in_order(found.low, found.accuracy, found.high, np.ones(people, dtype=bool))
    theta = np.log(found.accuracy / (1 - found.accuracy))
    at = np.arange(people) * 1.0

    def posterior(theta: Floats) -> float:
        support = np.bincount(pair, weights=y * theta[who], minlength=tasks * 6) / 2
        size = found.n + 2 * reliability.ACCURACY_PRIOR
        return float(
            np.logaddexp(support, -support).sum() - (size * np.logaddexp(theta / 2, -theta / 2)).sum()
        )

    best = posterior(theta)
    for person in range(people):
        for step in (-0.1, 0.1):
            assert posterior(theta + step * (at == person)) < best + 1e-5
    rng = np.random.default_rng(seed)
    for _ in range(20):
        assert posterior(theta + 0.1 * rng.normal(size=people)) < best + 1e-5


def test_fit_of_many_annotators_near_chance_takes_a_limited_number_of_steps() -> None:
    pair, who, y, task = chance_crowd(2, 100, 3333, 3, right=0.52)
    found = pair_reliability(pair, who, y, n_pairs=3333 * 6, n_annotators=100, clusters=task)
    assert found.convergence is not None
    states_its_end(found.convergence, reliability.MAX_STEPS)
    assert found.convergence.converged
    assert not np.isnan(found.accuracy).any()


def test_intervals_are_left_out_for_very_many_annotators(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, who, y, task = chance_crowd(0, 40, 40, 5)
    monkeypatch.setattr(reliability, "MAX_ANNOTATORS_WITH_INTERVALS", 39)
    found = pair_reliability(pair, who, y, n_pairs=240, n_annotators=40, clusters=task)
    assert np.isfinite(found.accuracy).all()
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


@anything
@given(crowds(), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]))
def test_dawid_skene_estimates_are_probability_distributions(
    crowd: Crowd, n_labels: int, smoothing: float
) -> None:
    label = (crowd.pair * crowd.verdict) % n_labels
    sizes = {"n_items": crowd.n_pairs, "n_annotators": crowd.people, "n_labels": n_labels}
    found = dawid_skene.fit(crowd.pair, crowd.who, label, **sizes, smoothing=smoothing)
    states_its_end(found.convergence, dawid_skene.MAX_STEPS)
    np.testing.assert_allclose(found.truth.sum(1), 1)
    assert found.prior.sum() == pytest.approx(1)
    rows = found.confusion.sum(-1)
    known = ~np.isnan(rows)
    np.testing.assert_allclose(rows[known], 1)
    assert known.all() or smoothing == 0
    assert -np.inf < found.log_likelihood <= 1e-9
    # The fit also ends if each vote is repeated and the smoothing is doubled, which keeps the posterior mode.
    twice = [np.tile(part, 2) for part in (crowd.pair, crowd.who, label)]
    double = dawid_skene.fit(*twice, **sizes, smoothing=2 * smoothing)
    states_its_end(double.convergence, dawid_skene.MAX_STEPS)


def test_dawid_skene_without_convergence_still_improves_on_the_vote_shares() -> None:
    rng = np.random.default_rng(0)
    item, who, label = np.repeat(np.arange(300), 3), rng.integers(0, 9, 900), rng.integers(0, 3, 900)
    sizes = {"n_items": 300, "n_annotators": 9, "n_labels": 3}
    likelihood = []
    for most in (2, 20, 1000):
        found = dawid_skene.fit(item, who, label, **sizes, max_steps=most)
        likelihood.append(found.log_likelihood)
        assert found.convergence.converged == (most == 1000)
        assert found.convergence.steps <= most
        np.testing.assert_allclose(found.truth.sum(1), 1)
    assert likelihood == sorted(likelihood)


@anything
@given(crowds())
def test_crowd_bt_returns_finite_strengths_and_probabilities(crowd: Crowd) -> None:
    found = crowd_bt.fit(
        crowd.preferred, crowd.other, crowd.who, n_items=crowd.n_items, n_annotators=crowd.people
    )
    states_its_end(found.convergence, crowd_bt.MAX_STEPS)
    assert np.isfinite(found.strength).all()
    assert ((found.eta > 0) & (found.eta < 1))[found.n > 0].all()
    assert np.isnan(found.eta[found.n == 0]).all()
    with_interval = ~np.isnan(found.low)
    in_order(found.low[with_interval], found.eta[with_interval], found.high[with_interval], np.array(True))


def test_crowd_bt_without_convergence_returns_its_best_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    win = rng.integers(0, 30, 3000)
    lose, who = (win + rng.integers(1, 30, 3000)) % 30, rng.integers(0, 100, 3000)
    final = crowd_bt.fit(win, lose, who, n_items=30, n_annotators=100)
    assert final.convergence.converged
    monkeypatch.setattr(crowd_bt, "MAX_STEPS", 4)
    early = crowd_bt.fit(win, lose, who, n_items=30, n_annotators=100)
    assert not early.convergence.converged
    assert early.convergence.change > final.convergence.change
    assert np.isfinite(early.strength).all() & np.isfinite(early.eta).all()


magnitudes = st.sampled_from([0.0, 1.0, -3.5, 1e-300, 1e300, -1e300, 1.7e308, -1.7e308, 1e15, 1e15 + 1])


@anything
@given(st.lists(st.tuples(st.integers(0, 4), magnitudes | st.integers(0, 3).map(float)), max_size=40))
def test_alpha_is_at_most_one_for_values_of_any_magnitude(ratings: list[tuple[int, float]]) -> None:
    units, values = [unit for unit, _ in ratings], [value for _, value in ratings]
    for metric in METRICS:
        found = alpha(units, values, metric=metric, samples=50)
        assert np.isnan(found.alpha) or -np.inf < found.alpha <= 1
        assert np.isnan(found.low) or -np.inf < found.low <= found.high <= 1
    known = alpha(units, [np.sign(value) for value in values], metric="interval")
    scaled = alpha(units, [1e-9 * np.sign(value) + 7 for value in values], metric="interval")
    assert scaled.alpha == pytest.approx(known.alpha, abs=1e-4, nan_ok=True)


@anything
@given(crowds())
def test_alpha_of_verdicts_is_at_most_one(crowd: Crowd) -> None:
    counts = np.zeros((crowd.n_pairs, 3))
    np.add.at(counts, (crowd.pair, crowd.verdict + 1), 1)
    for metric in METRICS:
        found = alpha_of_pairs(counts, np.arange(crowd.n_pairs) // 3, metric=metric, samples=50)
        assert np.isnan(found.alpha) or -np.inf < found.alpha <= 1
        assert np.isnan(found.low) or found.low <= found.high <= 1


@anything
@given(crowds())
def test_outlier_p_values_and_shares_are_probabilities(crowd: Crowd) -> None:
    score = (crowd.verdict + 1) / 2
    found = outliers(score, crowd.pair, crowd.who, crowd.people)
    for p in (found.p_value, found.adjusted):
        known = ~np.isnan(p)
        assert ((p >= 0) & (p <= 1))[known].all()
        assert (found.n_tasks >= MIN_TASKS)[known].all()
    shares = clustered_shares(score, np.ones(len(score)), crowd.who, crowd.people)
    in_order(shares.low, shares.share, shares.high, shares.n > 0)


def test_percentiles_ignore_undefined_samples_in_each_column() -> None:
    samples = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, np.nan], [1.0, np.nan, 5.0]])
    low, high = percentiles(samples)
    np.testing.assert_allclose(low, [1, np.nan, 3.05])
    np.testing.assert_allclose(high, [1, np.nan, 4.95])
    assert [part.shape for part in percentiles(np.zeros((0, 2)))] == [(2,), (2,)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Floats, float]:
    """Numbers of wins and ties (each from 0 to a billion) for up to eight models, and a prior."""
    models = draw(st.integers(0, 8))
    counts = st.sampled_from([0, 0, 0, 1, 2, 50, 100_000, 1_000_000_000])
    cells = st.lists(counts, min_size=models * models, max_size=models * models)
    wins, ties = (np.array(draw(cells), dtype=np.float64).reshape(models, models) for _ in range(2))
    return wins, np.triu(ties, 1) + np.triu(ties, 1).T, draw(st.sampled_from([1e-6, 0.5, 10.0]))


@settings(anything, max_examples=200)
@given(tables())
def test_strengths_converge_for_any_wins_and_ties(table: tuple[Floats, Floats, float]) -> None:
    wins, ties, prior = table
    order = np.random.default_rng(len(wins)).permutation(len(wins))
    found = bradley_terry.fit(bradley_terry.half_ties(wins, ties), prior=prior)
    shuffled = bradley_terry.fit(
        bradley_terry.half_ties(wins[order][:, order], ties[order][:, order]), prior=prior
    )
    with_ties = davidson.fit(wins, ties, prior=prior)
    double = davidson.fit(2 * wins, 2 * ties, prior=2 * prior)
    for convergence in (found.convergence, shuffled.convergence, with_ties.convergence, double.convergence):
        states_its_end(convergence, newton.MAX_STEPS)
        assert convergence.converged
    # An estimate that has converged is less than 0.002 standard errors away from the maximum. If only the
    # prior determines a strength, its standard error is about 1/√prior.
    error = 2e-3 / np.sqrt(min(prior, 1.0))
    np.testing.assert_allclose(shuffled.strength, found.strength[order], atol=error)
    np.testing.assert_allclose(double.strength, with_ties.strength, atol=error)
    assert np.isfinite(with_ties.tie)
    assert with_ties.tie > 0
