from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from annotation.answer_form import AnswerForm
from annotation.presets import PRESETS
from annotation.services.answers import Answer, problems_of
from config.problems import Problem

A, B, C, FOREIGN = (UUID(int=n) for n in (1, 2, 3, 99))
FORM = AnswerForm.from_json(
    {
        "strength": {"levels": [{"value": 1, "label": "slightly"}, {"value": 2, "label": "much"}]},
        "ratings": [{"name": "helpful", "label": "Helpful", "min": 0, "max": 4}],
        "flags": [{"name": "unsafe", "label": "Unsafe"}],
        "rewrite": {"label": "A better answer"},
    }
)
BARE = AnswerForm(ties=False, not_rankable=False, comment=None)
WHOLE = Answer(
    tiers=[[B], [A, C]],
    strength=2,
    ratings={B: {"helpful": 4}},
    flags={C: ["unsafe"]},
    comment="B is right.",
    rewrite="Better still.",
    duration_ms=48_211,
)


def _wrong(form: AnswerForm = FORM, **fields: Any) -> list[str]:
    return [problem.field for problem in problems_of(Answer(**fields), form=form, shown=[A, B, C])]


def test_a_whole_answer_fits() -> None:
    assert problems_of(WHOLE, form=FORM, shown=[A, B, C]) == []


def test_not_rankable_alone_fits() -> None:
    assert _wrong(not_rankable=True, flags={A: ["unsafe"]}, comment="all alike") == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"tiers": [[A], [B]]}, ["tiers"]),
        ({"tiers": []}, ["tiers"]),
        ({"tiers": [[A], [B], [C], [FOREIGN]]}, ["tiers.3.0"]),
        ({"tiers": [[A], [B, A], [C]]}, ["tiers.1.1"]),
        ({"tiers": [[A], [], [B], [C]]}, ["tiers.1"]),
        ({"tiers": [[A], [A], [FOREIGN]]}, ["tiers.1.0", "tiers.2.0", "tiers"]),
        ({"not_rankable": True, "tiers": [[A], [B], [C]]}, ["tiers"]),
        ({"tiers": [[A], [B], [C]], "strength": 3}, ["strength"]),
        ({"tiers": [[A, B, C]], "strength": 1}, ["strength"]),
        ({"not_rankable": True, "strength": 1}, ["strength"]),
        ({"not_rankable": True, "ratings": {A: {"helpful": 5}}}, [f"ratings.{A}.helpful"]),
        ({"not_rankable": True, "ratings": {A: {"helpful": -1}}}, [f"ratings.{A}.helpful"]),
        ({"not_rankable": True, "ratings": {A: {"cute": 1}}}, [f"ratings.{A}.cute"]),
        ({"not_rankable": True, "ratings": {FOREIGN: {"helpful": 1}}}, [f"ratings.{FOREIGN}"]),
        ({"not_rankable": True, "flags": {A: ["odd"]}}, [f"flags.{A}.0"]),
        ({"not_rankable": True, "flags": {A: ["unsafe", "unsafe"]}}, [f"flags.{A}.1"]),
        ({"not_rankable": True, "flags": {FOREIGN: []}}, [f"flags.{FOREIGN}"]),
        ({"not_rankable": True, "comment": "x" * 10_001}, ["comment"]),
        ({"not_rankable": True, "rewrite": "x" * 100_001}, ["rewrite"]),
        ({"not_rankable": True, "duration_ms": -1}, ["duration_ms"]),
        ({"not_rankable": True, "duration_ms": 10**12}, ["duration_ms"]),
    ],
)
def test_each_wrong_field_is_named(fields: dict[str, Any], where: list[str]) -> None:
    assert _wrong(**fields) == where


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"tiers": [[A, B], [C]]}, ["tiers.0"]),
        ({"not_rankable": True}, ["not_rankable"]),
        ({"tiers": [[A], [B], [C]], "strength": 1}, ["strength"]),
        ({"tiers": [[A], [B], [C]], "ratings": {A: {"helpful": 1}}}, [f"ratings.{A}.helpful"]),
        ({"tiers": [[A], [B], [C]], "flags": {A: ["unsafe"]}}, [f"flags.{A}.0"]),
        ({"tiers": [[A], [B], [C]], "comment": "why"}, ["comment"]),
        ({"tiers": [[A], [B], [C]], "rewrite": "better"}, ["rewrite"]),
    ],
)
def test_what_the_form_does_not_ask_is_not_taken(fields: dict[str, Any], where: list[str]) -> None:
    assert _wrong(BARE, **fields) == where


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_come_through_json_unchanged(preset: str) -> None:
    assert AnswerForm.from_json(PRESETS[preset].to_json()) == PRESETS[preset]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"ties": "yes"}, "form.ties"),
        ({"tiers": True}, "form.tiers"),
        ({"strength": {"levels": []}}, "form.strength.levels"),
        ({"strength": {"levels": [{"value": 1, "label": ""}]}}, "form.strength.levels.0.label"),
        ({"ratings": [{"name": "a b", "label": "x", "min": 0, "max": 1}]}, "form.ratings.0.name"),
        ({"ratings": [{"name": "a", "label": "x", "min": 3, "max": 3}]}, "form.ratings.0"),
        ({"flags": [{"name": "a", "label": "x"}] * 2}, "form"),
        ([], "form"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_by_field(form: object, field: str) -> None:
    with pytest.raises(Problem) as refused:
        AnswerForm.from_json(form)
    assert [problem.field for problem in refused.value.errors] == [field]
