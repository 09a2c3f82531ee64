from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from preferences.statistics import dawid_skene
from preferences.statistics.reliability import pair_reliability

Votes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _labels(seed: int, items: int, confusion: NDArray[np.float64], prior: NDArray[np.float64]) -> Votes:
    """Simulate labels. Each item is labelled by three annotators, who are chosen at random."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(prior), items, p=prior)
    who = np.argsort(rng.random((items, len(confusion))), axis=1)[:, :3]
    chance = confusion[who, truth[:, None]]
    label = (rng.random((items, 3, 1)) > np.cumsum(chance, -1)).sum(-1)
    return np.repeat(np.arange(items), 3), who.ravel(), label.ravel()


CONFUSION = np.array(
    [[[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]] * 3
    + [[[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]] * 2
)
PRIOR = np.array([0.5, 0.3, 0.2])


@pytest.mark.filterwarnings("ignore::Warning")  # crowd-kit causes pandas warnings
def test_dawid_skene_matches_crowd_kit() -> None:
    from crowdkit.aggregation import DawidSkene as CrowdKit

    items, people, labels = _labels(0, 300, CONFUSION, PRIOR)
    # Neither implementation uses smoothing. By default, crowd-kit stops after the first step that barely
    # raises its lower bound. A tolerance of 0 disables this stopping rule.
    known = CrowdKit(n_iter=80, tol=0).fit(pd.DataFrame({"task": items, "worker": people, "label": labels}))
    found = dawid_skene.fit(items, people, labels, n_items=300, n_annotators=5, n_labels=3, tolerance=1e-9)
    np.testing.assert_allclose(found.truth, known.probas_.loc[range(300), range(3)], atol=1e-3)
    np.testing.assert_allclose(found.prior, known.priors_.loc[range(3)], atol=1e-3)
    for person in range(5):
        errors = known.errors_.loc[person].loc[range(3), range(3)].to_numpy()  # [assigned label, true label]
        np.testing.assert_allclose(found.confusion[person].T, errors, atol=1e-3)


def test_confusion_matrices_are_recovered_and_labels_beat_majority_voting() -> None:
    items, people, labels = _labels(1, 20_000, CONFUSION, PRIOR)
    found = dawid_skene.fit(items, people, labels, n_items=20_000, n_annotators=5, n_labels=3)
    # Each annotator labels about 2,400 items of the rarest true class, so the standard errors are about 0.01.
    # Because the true labels are unknown, the standard errors may be slightly larger.
    np.testing.assert_allclose(found.confusion, CONFUSION, atol=0.05)
    np.testing.assert_allclose(found.prior, PRIOR, atol=0.02)
    truth = np.random.default_rng(1).choice(3, 20_000, p=PRIOR)
    counts = np.zeros((20_000, 3))
    np.add.at(counts, (items, labels), 1)
    assert (found.truth.argmax(1) == truth).mean() > (counts.argmax(1) == truth).mean() + 0.02


def test_em_increases_the_likelihood_and_ends_at_a_maximum() -> None:
    items, people, labels = _labels(2, 200, CONFUSION, PRIOR)
    found = dawid_skene.fit(items, people, labels, n_items=200, n_annotators=5, n_labels=3, tolerance=1e-10)

    def likelihood(confusion: NDArray[np.float64]) -> float:
        joint = np.tile(np.log(found.prior), (200, 1))
        np.add.at(joint, items, np.log(np.maximum(confusion[people, :, labels], 1e-300)))
        return float(np.log(np.exp(joint).sum(1)).sum())

    assert likelihood(found.confusion) == pytest.approx(found.log_likelihood, abs=1e-6)
    for person in range(5):
        moved = found.confusion.copy()
        moved[person] = 0.95 * moved[person] + 0.05 / 3
        assert likelihood(moved) < found.log_likelihood


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _pairs(seed: int, accuracy: NDArray[np.float64], tasks: int, overlap: int, k: int = 4) -> Pairs:
    """Simulate whole rankings. An inattentive annotator is inattentive on all pairs of a task. With
    probability 2p − 1, an annotator states the true order. Otherwise, the annotator states a random order.
    Each verdict is therefore correct with probability p."""
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(k, 1)
    true = np.argsort(rng.random((tasks, k)), axis=1)
    who = np.argsort(rng.random((tasks, len(accuracy))), axis=1)[:, :overlap]
    attentive = rng.random((tasks, overlap, 1)) < 2 * accuracy[who][:, :, None] - 1
    order = np.where(attentive, true[:, None, :], np.argsort(rng.random((tasks, overlap, k)), axis=2))
    verdict = np.sign(order[:, :, j] - order[:, :, i])
    task = np.broadcast_to(np.arange(tasks)[:, None, None], verdict.shape)
    pair = task * len(i) + np.arange(len(i))
    return (
        pair.ravel(),
        np.broadcast_to(who[:, :, None], verdict.shape).ravel(),
        verdict.ravel(),
        task.ravel(),
    )


@pytest.mark.parametrize(("tasks", "overlap"), [(300, 5), (800, 3), (1500, 2)])
def test_known_reliability_is_recovered_at_any_overlap(tasks: int, overlap: int) -> None:
    accuracy = np.linspace(0.6, 0.95, 6)
    inside, off = [], []
    for seed in range(25):
        pair, who, verdict, task = _pairs(seed, accuracy, tasks, overlap)
        found = pair_reliability(
            pair, who, verdict, n_pairs=tasks * 6, n_annotators=6, clusters=task, level=0.9545
        )
        inside.append((found.low <= accuracy) & (accuracy <= found.high))
        off.append(found.accuracy - accuracy)
    # The estimate ignores the dependence between pairs from the same ranking, but the intervals account for
    # this dependence.
    assert np.mean(inside) > 0.85
    assert np.abs(np.mean(off, axis=0)).max() < 0.02


def test_probability_of_each_pair_is_calibrated() -> None:
    rng = np.random.default_rng(7)
    truth = rng.choice([-1, 1], 20_000)
    accuracy = np.array([0.6, 0.7, 0.8, 0.9, 0.95])
    right = rng.random((20_000, 5)) < accuracy
    pair, who = np.divmod(np.arange(100_000), 5)
    found = pair_reliability(
        pair, who, np.where(right, 1, -1).ravel() * truth[pair], n_pairs=20_000, n_annotators=5, clusters=pair
    )
    np.testing.assert_allclose(found.accuracy, accuracy, atol=0.01)
    sure = found.first_right > 0.9
    assert (truth[sure] == 1).mean() == pytest.approx(found.first_right[sure].mean(), abs=0.01)


def test_accuracy_is_nan_if_too_few_annotators_share_a_pair() -> None:
    for pairs, people in (([0, 0], [0, 1]), ([0, 1, 2], [0, 1, 2]), ([], [])):
        found = pair_reliability(
            pairs, people, [1] * len(pairs), n_pairs=3, n_annotators=3, clusters=[0] * len(pairs)
        )
        assert np.isnan(found.accuracy).all()
        np.testing.assert_array_equal(found.first_right, 0.5)


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(ValueError, match="ties"):
        pair_reliability([0, 0], [0, 1], [1, 0], n_pairs=1, n_annotators=2, clusters=[0, 0])
    with pytest.raises(ValueError, match="each"):
        pair_reliability([0], [0, 1], [1, 1], n_pairs=1, n_annotators=2, clusters=[0, 0])
    with pytest.raises(ValueError, match="range"):
        dawid_skene.fit([0], [0], [7], n_items=1, n_annotators=1, n_labels=3)
    with pytest.raises(ValueError, match="n_labels"):
        dawid_skene.fit([], [], [], n_items=0, n_annotators=0, n_labels=0)
