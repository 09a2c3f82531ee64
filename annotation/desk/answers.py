"""Answers, and their validation against the form and the responses shown. Requires no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from annotation.forms.answer_form import AnswerForm, Level
from annotation.models.ranking import MAX_COMMENT_CHARACTERS, MAX_REWRITE_CHARACTERS
from config.problems import FieldProblem
from preferences.pairs import unranked_of

MAX_DURATION_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Answer:
    """An annotator's answer to one task. Tiers contain response IDs, which are also the keys of ratings and
    flags.

    If the form asks only for the best few responses, responses without a tier rank below all tiers.
    """

    tiers: Sequence[Sequence[UUID]] = ()
    strength: int | None = None
    ratings: Mapping[UUID, Mapping[str, int]] = field(default_factory=dict)
    flags: Mapping[UUID, Sequence[str]] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    confidence: int | None = None
    not_rankable: bool = False
    all_bad: bool = False
    comment: str = ""
    rewrite: str | None = None
    touched: bool = False
    duration_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer in the format that the API sends and that drafts store."""
        return {
            "tiers": [[str(response) for response in tier] for tier in self.tiers],
            "strength": self.strength,
            "ratings": {str(response): dict(given) for response, given in self.ratings.items()},
            "flags": {str(response): list(given) for response, given in self.flags.items()},
            "choices": dict(self.choices),
            "confidence": self.confidence,
            "not_rankable": self.not_rankable,
            "all_bad": self.all_bad,
            "comment": self.comment,
            "rewrite": self.rewrite,
            "touched": self.touched,
            "duration_ms": self.duration_ms,
        }

    def digest(self) -> str:
        """The answer's SHA-256 digest (hex); equal answers have equal digests."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def says_the_same_as(self, other: Mapping[str, Any]) -> bool:
        """Whether the stored ranking `other` has the same values, apart from `duration_ms` and `touched`."""
        mine = self.to_json()
        return all(mine[name] == other[name] for name in mine if name not in {"touched", "duration_ms"})


def problems_of(answer: Answer, *, form: AnswerForm, shown: Sequence[UUID]) -> list[FieldProblem]:
    """All reasons why `answer` doesn't fit the form and the responses shown; empty if the answer fits.

    A "not rankable" answer requires nothing else.
    """
    return [
        *_verdicts(answer, form),
        *_tiers(answer, form, shown),
        *_strength(answer, form, shown),
        *_ratings(answer, form, shown),
        *_flags(answer, form, shown),
        *_choices(answer, form),
        *_confidence(answer, form),
        *_texts(answer, form),
    ]


def _verdicts(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    if answer.not_rankable and not form.not_rankable:
        yield FieldProblem("not_rankable", "This project requires a ranking for every task.")
    if answer.all_bad and form.all_bad is None:
        yield FieldProblem("all_bad", "This project doesn't ask whether all responses are bad.")
    elif answer.all_bad and answer.not_rankable:
        yield FieldProblem("all_bad", "The answer can't be both “all bad” and “not rankable”. Choose one.")


def _tiers(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    if answer.not_rankable:
        if answer.tiers:
            yield FieldProblem("tiers", "A “not rankable” answer can't have tiers.")
        return
    order = form.all_bad.order if answer.all_bad and form.all_bad else "asked"
    if order == "none":
        if answer.tiers:
            yield FieldProblem("tiers", "In this project, an “all bad” answer can't have tiers.")
        return
    if order == "tied" and [sorted(tier) for tier in answer.tiers] != [sorted(shown)]:
        yield FieldProblem(
            "tiers",
            "In this project, an “all bad” answer must have one tier that contains each response once.",
        )
    if order == "tied":
        return
    seen: set[UUID] = set()
    for row, tier in enumerate(answer.tiers):
        if not tier:
            yield FieldProblem(f"tiers.{row}", "A tier must contain at least one response.")
        if len(tier) > 1 and not form.ties:
            yield FieldProblem(
                f"tiers.{row}", "This project allows no ties. Give each response its own tier."
            )
        for column, response in enumerate(tier):
            if response not in shown:
                yield FieldProblem(
                    f"tiers.{row}.{column}", f"The response {response} was not shown in this task."
                )
            elif response in seen:
                yield FieldProblem(
                    f"tiers.{row}.{column}", f"The response {response} appears more than once."
                )
            seen.add(response)
    missing = [str(response) for response in shown if response not in seen]
    if form.top_k is None:
        if missing:
            yield FieldProblem("tiers", f"Not ranked: {', '.join(missing)}.")
        return
    ranked, wanted = len(shown) - len(missing), form.top_k
    if ranked < wanted.at_least:
        yield FieldProblem(
            "tiers", f"This project requires at least {wanted.at_least} ranked responses, not {ranked}."
        )
    elif ranked > wanted.at_most:
        yield FieldProblem(
            "tiers", f"This project allows at most {wanted.at_most} ranked responses, not {ranked}."
        )


def _strength(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    better_than_others = len(answer.tiers) + bool(unranked_of(shown, answer.tiers)) > 1
    if answer.strength is None:
        if form.strength and form.strength.required and better_than_others:
            yield FieldProblem("strength", "State how much better the best response is.")
        return
    if form.strength is None:
        yield FieldProblem("strength", "This project doesn't ask for a strength.")
    elif reason := _not_among(form.strength.levels, answer.strength):
        yield FieldProblem("strength", reason)
    elif not better_than_others:
        yield FieldProblem("strength", "No response ranks above another, so omit the strength.")


def _ratings(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    scales = {scale.name: scale for scale in form.ratings}
    for response, given in answer.ratings.items():
        if response not in shown:
            yield FieldProblem(f"ratings.{response}", "This response was not shown in this task.")
        for name, value in given.items():
            scale = scales.get(name)
            if scale is None:
                yield FieldProblem(f"ratings.{response}.{name}", _unknown("scale", list(scales)))
            elif not scale.min <= value <= scale.max:
                reason = f"{value} is not in the range {scale.min} to {scale.max}."
                yield FieldProblem(f"ratings.{response}.{name}", reason)
    required = [scale for scale in form.ratings if scale.required and not answer.not_rankable]
    for response in shown:
        for scale in required:
            if scale.name not in answer.ratings.get(response, {}):
                reason = f"Rate this response: {scale.label}."
                yield FieldProblem(f"ratings.{response}.{scale.name}", reason)


def _flags(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    known = [flag.name for flag in form.flags]
    for response, given in answer.flags.items():
        if response not in shown:
            yield FieldProblem(f"flags.{response}", "This response was not shown in this task.")
        for index, name in enumerate(given):
            if name not in known:
                yield FieldProblem(f"flags.{response}.{index}", _unknown("flag", known))
            elif name in given[:index]:
                yield FieldProblem(f"flags.{response}.{index}", f"The flag {name} appears more than once.")


def _choices(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    questions = {question.name: question for question in form.questions}
    for name, choice in answer.choices.items():
        question = questions.get(name)
        if question is None:
            yield FieldProblem(f"choices.{name}", _unknown("question", list(questions)))
        elif choice not in (known := [each.name for each in question.choices]):
            yield FieldProblem(f"choices.{name}", _unknown("choice", known))
    for question in form.questions:
        if question.required and not answer.not_rankable and question.name not in answer.choices:
            yield FieldProblem(f"choices.{question.name}", f"Answer this question: {question.label}")


def _confidence(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    if answer.confidence is None:
        if form.confidence and form.confidence.required and not answer.not_rankable:
            yield FieldProblem("confidence", "State your confidence.")
    elif form.confidence is None:
        yield FieldProblem("confidence", "This project doesn't ask for your confidence.")
    elif reason := _not_among(form.confidence.levels, answer.confidence):
        yield FieldProblem("confidence", reason)


def _texts(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    for name, text, asked, limit in (
        ("comment", answer.comment, form.comment, MAX_COMMENT_CHARACTERS),
        ("rewrite", answer.rewrite or "", form.rewrite, MAX_REWRITE_CHARACTERS),
    ):
        if text and asked is None:
            yield FieldProblem(name, f"This project doesn't ask for a {name}.")
        elif len(text) > limit:
            yield FieldProblem(name, f"{len(text)} characters exceed the limit of {limit}.")
        elif asked and asked.required and not text.strip() and not answer.not_rankable:
            yield FieldProblem(name, f"This is required: {asked.label}")
    if answer.duration_ms is not None and not 0 <= answer.duration_ms <= MAX_DURATION_MS:
        yield FieldProblem(
            "duration_ms", f"{answer.duration_ms} is not in the range 0 to {MAX_DURATION_MS} (a week)."
        )


def _unknown(what: str, known: Sequence[str]) -> str:
    return f"There is no such {what}. The {what}s are: {', '.join(known) or 'none'}."


def _not_among(levels: Sequence[Level], value: int) -> str:
    known = [level.value for level in levels]
    return "" if value in known else f"{value} is not one of {', '.join(map(str, known))}."
