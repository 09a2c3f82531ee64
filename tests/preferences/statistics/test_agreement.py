from __future__ import annotations

import numpy as np
import pytest

from preferences.statistics.agreement import raw_agreement


def test_agreement_counted_by_hand() -> None:
    # Item 0: 1, 1, −1 → one of three pairs agrees. Item 1: 0, 0 → one of one. Item 2: one vote, no pair.
    found = raw_agreement([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 2], [1, 1, -1, 0, 0, 1])
    assert found.agreement == pytest.approx(2 / 4)
    assert found.n_pairs == 4
    np.testing.assert_allclose(found.by_annotator, [2 / 3, 2 / 3, 0])
    np.testing.assert_array_equal(found.n_by_annotator, [3, 3, 2])


def test_it_equals_a_count_over_all_pairs_of_votes() -> None:
    rng = np.random.default_rng(0)
    votes = [
        (item, who, int(rng.integers(-1, 2))) for item in range(80) for who in range(6) if rng.random() < 0.6
    ]
    item, who, verdict = np.array(votes).T
    pairs = [(a[2] == b[2]) for n, a in enumerate(votes) for b in votes[:n] if a[0] == b[0]]
    found = raw_agreement(item, who, verdict)
    assert found.n_pairs == len(pairs)
    assert found.agreement == pytest.approx(np.mean(pairs))


def test_without_shared_items_there_is_no_agreement_to_speak_of() -> None:
    for votes in ([], [(0, 0, 1), (1, 1, 1)]):
        item, who, verdict = np.array(votes, dtype=np.int64).reshape(-1, 3).T
        found = raw_agreement(item, who, verdict)
        assert found.n_pairs == 0
        assert np.isnan(found.agreement)


def test_a_second_vote_and_unlike_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        raw_agreement([0, 0], [1, 1], [1, 0])
    with pytest.raises(ValueError, match="N"):
        raw_agreement([0, 0], [1], [1, 0])
