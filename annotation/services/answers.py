"""An answer, and whether it fits what was asked and shown. No database here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from annotation.answer_form import AnswerForm
from config.problems import FieldProblem

MAX_COMMENT_CHARACTERS = 10_000
MAX_REWRITE_CHARACTERS = 100_000
MAX_DURATION_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Answer:
    """What an annotator says about one task; tiers, and the keys of ratings and flags, are response ids."""

    tiers: Sequence[Sequence[UUID]] = ()
    strength: int | None = None
    ratings: Mapping[UUID, Mapping[str, int]] = field(default_factory=dict)
    flags: Mapping[UUID, Sequence[str]] = field(default_factory=dict)
    not_rankable: bool = False
    comment: str = ""
    rewrite: str | None = None
    touched: bool = False
    duration_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer as it travels over the API and lies in a draft."""
        return {
            "tiers": [[str(response) for response in tier] for tier in self.tiers],
            "strength": self.strength,
            "ratings": {str(response): dict(given) for response, given in self.ratings.items()},
            "flags": {str(response): list(given) for response, given in self.flags.items()},
            "not_rankable": self.not_rankable,
            "comment": self.comment,
            "rewrite": self.rewrite,
            "touched": self.touched,
            "duration_ms": self.duration_ms,
        }

    def digest(self) -> str:
        """SHA-256 (hex): the same answer sent again has the same one."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def says_the_same_as(self, other: Mapping[str, Any]) -> bool:
        """Whether a stored ranking's values say this, however long it took."""
        mine = self.to_json()
        return all(mine[name] == other[name] for name in mine if name not in {"touched", "duration_ms"})


def problems_of(answer: Answer, *, form: AnswerForm, shown: Sequence[UUID]) -> list[FieldProblem]:
    """Every way in which `answer` doesn't fit the form and the responses that were shown; empty: it fits."""
    return [
        *_tiers(answer, form, shown),
        *_strength(answer, form),
        *_ratings(answer, form, shown),
        *_flags(answer, form, shown),
        *_texts(answer, form),
    ]


def _tiers(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    if answer.not_rankable:
        if not form.not_rankable:
            yield FieldProblem("not_rankable", "This project asks for a ranking of every task.")
        if answer.tiers:
            yield FieldProblem("tiers", "These can't be ranked, the answer says; then it has no tiers.")
        return
    seen: set[UUID] = set()
    for row, tier in enumerate(answer.tiers):
        if not tier:
            yield FieldProblem(f"tiers.{row}", "A tier holds at least one response.")
        if len(tier) > 1 and not form.ties:
            yield FieldProblem(
                f"tiers.{row}", "This project takes no ties; put each response in a tier of its own."
            )
        for column, response in enumerate(tier):
            if response not in shown:
                yield FieldProblem(
                    f"tiers.{row}.{column}", f"The response {response} was not shown in this task."
                )
            elif response in seen:
                yield FieldProblem(
                    f"tiers.{row}.{column}", f"The response {response} is there more than once."
                )
            seen.add(response)
    if missing := [str(response) for response in shown if response not in seen]:
        yield FieldProblem("tiers", f"Not ranked: {', '.join(missing)}.")


def _strength(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    if answer.strength is None:
        return
    if form.strength is None:
        yield FieldProblem("strength", "This project doesn't ask how much better.")
        return
    levels = [level.value for level in form.strength.levels]
    if answer.strength not in levels:
        yield FieldProblem("strength", f"{answer.strength} is not one of {', '.join(map(str, levels))}.")
    elif len(answer.tiers) < 2:
        yield FieldProblem("strength", "Nothing is ranked above anything else; leave the strength out.")


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
                reason = f"{value} is outside {scale.min} to {scale.max}."
                yield FieldProblem(f"ratings.{response}.{name}", reason)


def _flags(answer: Answer, form: AnswerForm, shown: Sequence[UUID]) -> Iterator[FieldProblem]:
    known = [flag.name for flag in form.flags]
    for response, given in answer.flags.items():
        if response not in shown:
            yield FieldProblem(f"flags.{response}", "This response was not shown in this task.")
        for index, name in enumerate(given):
            if name not in known:
                yield FieldProblem(f"flags.{response}.{index}", _unknown("flag", known))
            elif name in given[:index]:
                yield FieldProblem(f"flags.{response}.{index}", f"The flag {name} is there more than once.")


def _unknown(what: str, known: Sequence[str]) -> str:
    return f"There is no such {what}; known: {', '.join(known) or 'none'}."


def _texts(answer: Answer, form: AnswerForm) -> Iterator[FieldProblem]:
    for name, text, asked, limit in (
        ("comment", answer.comment, form.comment, MAX_COMMENT_CHARACTERS),
        ("rewrite", answer.rewrite or "", form.rewrite, MAX_REWRITE_CHARACTERS),
    ):
        if text and not asked:
            yield FieldProblem(name, f"This project doesn't ask for a {name}.")
        elif len(text) > limit:
            yield FieldProblem(name, f"{len(text)} characters are more than {limit}.")
    if answer.duration_ms is not None and not 0 <= answer.duration_ms <= MAX_DURATION_MS:
        yield FieldProblem("duration_ms", f"{answer.duration_ms} is outside 0 to {MAX_DURATION_MS} (a week).")
