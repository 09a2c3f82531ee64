from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from preferences.statistics.kappa import cohen_kappa, fleiss_kappa
from preferences.statistics.krippendorff import alpha_of_matrix


def test_cohen_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, expected 0.5 · 0.6 + 0.5 · 0.4 = 0.5.
    first = [1] * 25 + [0] * 25
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_it_equals_scikit_learn(weights: str | None) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 300)
    second = np.where(rng.random(300) < 0.5, first, rng.integers(0, 5, 300))
    known = cohen_kappa_score(first, second, weights=weights)
    assert cohen_kappa(first, second, weights=weights) == pytest.approx(known)  # type: ignore[arg-type]


def test_a_value_that_nobody_used_does_not_shrink_the_scale() -> None:
    # 0, 1 and 4 of a scale to 4: the distance from 1 to 4 is three steps, not one.
    first, second = np.array([0, 1, 4, 4, 0, 1]), np.array([0, 4, 4, 1, 1, 1])
    known = cohen_kappa_score(first, second, weights="quadratic", labels=[0, 1, 2, 3, 4])
    assert cohen_kappa(first, second, weights="quadratic") == pytest.approx(known)


# Fleiss (1971), as tabulated in most textbooks since: 10 subjects, 14 raters, 5 categories; κ = 0.210.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_textbook_example() -> None:
    assert round(fleiss_kappa(FLEISS), 3) == 0.210


def test_fleiss_and_alpha_differ_by_the_finite_pool_alone() -> None:
    """α = 1 − (1 − κ)(n − 1)/n for n values in all, nothing missing (Krippendorff 2004)."""
    said = np.random.default_rng(1).integers(0, 3, (4, 50))
    counts = np.stack([(said == value).sum(0) for value in range(3)], axis=1)
    n = said.size
    expected = 1 - (1 - fleiss_kappa(counts)) * (n - 1) / n
    assert alpha_of_matrix(said.astype(float), metric="nominal").alpha == pytest.approx(expected)


def test_nothing_to_correct_is_nan_and_wrong_input_is_refused() -> None:
    assert np.isnan(cohen_kappa([], []))
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(fleiss_kappa(np.zeros((0, 3))))
    assert np.isnan(fleiss_kappa([[3, 0], [3, 0]]))
    for wrong in (([1, 2], [1]), ([1, np.nan], [1, 1])):
        with pytest.raises(ValueError, match="first and second"):
            cohen_kappa(*wrong)
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa([[2, 1], [1, 1]])
    with pytest.raises(ValueError, match="shape"):
        fleiss_kappa([1, 2])
