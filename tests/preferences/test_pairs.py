"""Tests of the pairs that are derived from a ranking. The database and every export use these pairs."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from rest_framework.test import APIClient

from annotation.forms.answer_form import AllBad, AnswerForm, Level, Strength, TopK
from annotation.models import Comparison, Project, RankingTask, User
from preferences.pairs import comparisons_of, unranked_of
from tests.annotation.answering import next_of, send


def test_pairs_are_derived_from_tiers() -> None:
    assert comparisons_of([["a"], ["b", "c"], ["d"]], strength=3) == [
        ("a", "b", False, 3),
        ("a", "c", False, 3),
        ("a", "d", False, None),
        ("b", "c", True, None),
        ("b", "d", False, None),
        ("c", "d", False, None),
    ]
    assert comparisons_of([]) == []


def test_unranked_items_lose_to_ranked_items_but_are_not_paired_with_each_other() -> None:
    assert comparisons_of([["a"], ["b"]], unranked=["x", "y"]) == [
        ("a", "b", False, None),
        ("a", "x", False, None),
        ("a", "y", False, None),
        ("b", "x", False, None),
        ("b", "y", False, None),
    ]


def test_strength_of_a_single_best_item_applies_to_all_its_pairs() -> None:
    assert comparisons_of([["a"]], 2, ["x", "y"]) == [("a", "x", False, 2), ("a", "y", False, 2)]
    assert comparisons_of([["a"], ["b"]], 2, ["x"]) == [
        ("a", "b", False, 2),
        ("a", "x", False, None),
        ("b", "x", False, None),
    ]


def test_unranked_items_are_those_without_a_tier() -> None:
    assert unranked_of("abcd", [["c"], ["a"]]) == ["b", "d"]
    assert unranked_of("abc", [["c"], ["a", "b"]]) == []
    # No item was ranked, so the list of unranked items is empty.
    assert unranked_of("abc", []) == []


@pytest.mark.parametrize("k", range(2, 11))
def test_every_pair_matches_the_places_of_its_items(k: int) -> None:
    """By definition, any two items form a pair unless both are unranked."""
    random = Random(k)
    for _ in range(50):
        place = {item: random.choice([0, 1, 2, 3, None]) for item in range(k)}
        used = sorted({at for at in place.values() if at is not None})
        tiers = [[item for item in range(k) if place[item] == at] for at in used]
        unranked = unranked_of(range(k), tiers)
        depth = {item: len(used) if at is None else used.index(at) for item, at in place.items()}
        expected = {
            (frozenset((one, two)), depth[one] == depth[two])
            for one, two in combinations(range(k), 2)
            if tiers and not (place[one] is None and place[two] is None)
        }
        found = comparisons_of(tiers, unranked=unranked)
        assert {(frozenset((pair.preferred, pair.other)), pair.is_tie) for pair in found} == expected
        assert len(found) == len(expected)
        assert all(depth[pair.preferred] <= depth[pair.other] for pair in found)


@pytest.fixture
def desk(client_of: object, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)  # type: ignore[operator,no-any-return]


def _ask(project: Project, form: AnswerForm) -> None:
    project.form = form.to_json()
    project.save()


def _pairs() -> list[tuple[str, str, bool, int | None]]:
    rows = Comparison.objects.order_by("id").values_list("preferred", "other", "is_tie", "strength")
    return [(str(one), str(two), tie, strength) for one, two, tie, strength in rows]


def test_ranking_of_only_the_best_response_is_stored_with_its_pairs(
    desk: APIClient, project: Project
) -> None:
    levels = [Level(value=1, label="a bit"), Level(value=2, label="much")]
    _ask(project, AnswerForm(top_k=TopK(at_least=1, at_most=2), strength=Strength(levels=levels)))
    shown = next_of(desk)
    a, b, c = (response["id"] for response in shown["responses"])
    assert send(desk, shown, tiers=[[b]], strength=2).status_code == 201
    assert _pairs() == [(b, a, False, 2), (b, c, False, 2)]


@pytest.mark.parametrize(
    ("order", "ranked", "pairs"), [("asked", True, "strict"), ("none", False, ""), ("tied", True, "ties")]
)
def test_answer_marked_all_bad_is_stored_with_the_pairs_of_its_tiers(
    desk: APIClient, project: Project, order: str, ranked: bool, pairs: str
) -> None:
    _ask(project, AnswerForm(all_bad=AllBad.model_validate({"order": order})))
    shown = next_of(desk)
    ids = [response["id"] for response in shown["responses"]]
    tiers = {"strict": [[id] for id in ids], "ties": [ids], "": []}[pairs]
    assert send(desk, shown, tiers=tiers, all_bad=True).status_code == 201
    assert [tie for _, _, tie, _ in _pairs()] == {"strict": [False] * 3, "ties": [True] * 3, "": []}[pairs]
