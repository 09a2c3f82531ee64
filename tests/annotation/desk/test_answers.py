from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from annotation.desk.answers import Answer, problems_of
from annotation.forms.answer_form import AnswerForm
from annotation.forms.presets import PRESETS
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
SCALE = {"name": "a", "label": "x", "min": 0, "max": 1}
POINT = {"value": 1, "label": "good"}
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


def test_complete_answer_is_accepted() -> None:
    assert problems_of(WHOLE, form=FORM, shown=[A, B, C]) == []


def test_answer_marked_not_rankable_needs_no_ranking() -> None:
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
def test_error_names_each_invalid_field(fields: dict[str, Any], where: list[str]) -> None:
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
def test_parts_that_the_form_does_not_contain_are_refused(fields: dict[str, Any], where: list[str]) -> None:
    assert _wrong(BARE, **fields) == where


LEVELS = [{"value": 1, "label": "a bit"}, {"value": 2, "label": "much"}]
STRICT = {"tiers": [[A], [B], [C]]}
EVERYTHING = {
    "strength": {"levels": LEVELS, "required": True},
    "ratings": [{"name": "helpful", "label": "Helpful", "min": 0, "max": 4, "required": True}],
    "questions": [
        {
            "name": "safety",
            "label": "Which are safe?",
            "required": True,
            "choices": [{"name": "all", "label": "All"}, {"name": "none", "label": "None"}],
        }
    ],
    "confidence": {"levels": LEVELS, "required": True},
    "all_bad": {"label": "All are bad"},
    "comment": {"label": "Why?", "required": True},
    "rewrite": {"label": "Better", "required": True},
}
RATED = {"ratings": {response: {"helpful": 1} for response in (A, B, C)}}
FULL = {
    **STRICT,
    **RATED,
    "strength": 1,
    "choices": {"safety": "all"},
    "confidence": 2,
    "comment": "so",
    "rewrite": "x",
}


def test_required_parts_must_be_present() -> None:
    form = AnswerForm.from_json(EVERYTHING)
    assert _wrong(form, **FULL) == []
    assert _wrong(form, **STRICT) == [
        "strength",
        *(f"ratings.{response}.helpful" for response in (A, B, C)),
        "choices.safety",
        "confidence",
        "comment",
        "rewrite",
    ]
    # If a task can't be ranked, no strength, rating or explanation is required.
    assert _wrong(form, not_rankable=True) == []
    # A tie of all responses has no strength.
    assert _wrong(form, **{**FULL, "tiers": [[A, B, C]], "strength": None}) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"ratings": {A: {"helpful": 1}, B: {}}}, [f"ratings.{B}.helpful", f"ratings.{C}.helpful"]),
        ({"choices": {"safety": "some"}}, ["choices.safety"]),
        ({"choices": {"safety": "all", "mood": "good"}}, ["choices.mood"]),
        ({"confidence": 3}, ["confidence"]),
        ({"comment": " \n"}, ["comment"]),
        ({"all_bad": True}, []),
        ({"all_bad": True, "tiers": []}, ["tiers", "strength"]),
        ({"all_bad": True, "not_rankable": True, "tiers": [], "strength": None}, ["all_bad"]),
    ],
)
def test_each_optional_part_is_checked(changes: dict[str, Any], where: list[str]) -> None:
    assert _wrong(AnswerForm.from_json(EVERYTHING), **{**FULL, **changes}) == where


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({**STRICT, "choices": {"safety": "all"}}, ["choices.safety"]),
        ({**STRICT, "confidence": 1}, ["confidence"]),
        ({**STRICT, "all_bad": True}, ["all_bad"]),
        ({"tiers": [[A]]}, ["tiers"]),
    ],
)
def test_minimal_form_does_not_allow_optional_parts(fields: dict[str, Any], where: list[str]) -> None:
    assert _wrong(BARE, **fields) == where


@pytest.mark.parametrize(
    ("tiers", "where"),
    [
        ([[A]], []),
        ([[A, B]], []),
        ([[A], [B]], []),
        ([], ["tiers"]),
        ([[A], [B], [C]], ["tiers"]),
        ([[A], [FOREIGN]], ["tiers.1.0"]),
        ([[FOREIGN]], ["tiers.0.0", "tiers"]),
        ([[A], [A]], ["tiers.1.0"]),
    ],
)
def test_top_k_limits_the_number_of_ranked_responses(tiers: list[list[UUID]], where: list[str]) -> None:
    assert _wrong(AnswerForm.from_json({"top_k": {"at_least": 1, "at_most": 2}}), tiers=tiers) == where


@pytest.mark.parametrize(
    ("order", "tiers", "where"),
    [
        ("none", [], []),
        ("none", [[A], [B], [C]], ["tiers"]),
        ("tied", [[A, B, C]], []),
        ("tied", [[C, A, B]], []),
        ("tied", [], ["tiers"]),
        ("tied", [[A, B]], ["tiers"]),
        ("tied", [[A], [B], [C]], ["tiers"]),
        ("tied", [[A, B, FOREIGN]], ["tiers"]),
        ("tied", [[A, B, C, C]], ["tiers"]),
    ],
)
def test_order_setting_decides_which_tiers_an_answer_marked_all_bad_can_have(
    order: str, tiers: list[list[UUID]], where: list[str]
) -> None:
    assert _wrong(AnswerForm.from_json({"all_bad": {"order": order}}), all_bad=True, tiers=tiers) == where


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_unchanged_by_a_json_round_trip(preset: str) -> None:
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
        ({"flags": [{"name": "a", "label": "\x00"}]}, "form.flags.0.label"),
        ({"flags": [{"name": "a", "label": "\ud800"}]}, "form.flags.0.label"),
        ({"responses": {"min": 4, "max": 2}}, "form.responses"),
        ({"responses": {"min": 1, "max": 2}}, "form.responses.min"),
        ({"responses": {"min": 2, "max": 11}}, "form.responses.max"),
        ({"top_k": {"at_least": 3, "at_most": 2}}, "form.top_k"),
        ({"top_k": {"at_least": 3, "at_most": 4}}, "form"),
        (
            {"ratings": [{"name": "a", "label": "x", "min": 0, "max": 1, "points": [POINT] * 2}]},
            "form.ratings.0",
        ),
        ({"ratings": [{"name": "a", "label": "x", "min": 2, "max": 3, "points": [POINT]}]}, "form.ratings.0"),
        ({"questions": [{"name": "a", "label": "x", "choices": []}]}, "form.questions.0.choices"),
        ({"confidence": {"levels": [{"value": 1, "label": "x"}] * 2}}, "form"),
        ({"all_bad": {"order": "some"}}, "form.all_bad.order"),
        ({"all_bad": {"order": "tied"}, "ties": False}, "form"),
        ({"comment": True}, "form.comment"),
        ([], "form"),
    ],
)
def test_invalid_form_is_refused_and_the_error_names_the_field(form: object, field: str) -> None:
    with pytest.raises(Problem) as refused:
        AnswerForm.from_json(form)
    assert [problem.field for problem in refused.value.errors] == [field]
