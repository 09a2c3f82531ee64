"""What a format yields: one record per row, or the reason why a row is no record; and what a row may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from preferences.quirks import Quirk

Row = Mapping[str, Any]
Message = dict[str, str]
Tiers = tuple[tuple[int, ...], ...]


class FormatError(Exception):
    """The file as a whole can't be read on; the text says why and what to do."""


class RowError(Exception):
    """This row is no record of its format; the text says which field and why. The rows around it are fine."""


class TooFewResponses(RowError):
    """The row has fewer responses than can be ranked."""


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """`metadata`: what else the file says of it (its id there, its language, …)."""

    text: str
    model: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingFields:
    """What a file says of a ranking for training alone; an import keeps none of it.

    `split` is "heldout", or anything else for training. `prompt_hash` is the file's own name of the prompt.
    `votes` is the number of people whose rankings were made into this one. `in_shown_order`: the responses
    stand in the order in which the annotator saw them.
    """

    weight: float = 1.0
    split: str = ""
    prompt_hash: str = ""
    round: int | None = None
    source: str = ""
    votes: int = 1
    in_shown_order: bool = False


NO_TRAINING_FIELDS = TrainingFields()


@dataclass(frozen=True, slots=True)
class RankingRecord:
    """A judgement that came with the file. `tiers` are indices into the record's responses, best first;
    responses that stand in none were shown and left below all of them.

    `ratings` and `flags` are keyed by response index. `external_id` is the file's own id of the ranking,
    where it has one: it tells two equal rankings by unnamed people apart from the same ranking imported
    twice. `given_at` is when it was given, where the file says.
    """

    tiers: Tiers
    annotator: str = ""
    strength: int | None = None
    ratings: dict[int, Any] = field(default_factory=dict)
    flags: dict[int, Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    confidence: int | None = None
    not_rankable: bool = False
    all_bad: bool = False
    comment: str = ""
    rewrite: str | None = None
    duration_ms: int | None = None
    external_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    given_at: datetime | None = None
    training: TrainingFields = NO_TRAINING_FIELDS


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt, its responses, and what was said about these. No responses: only a prompt.

    `metadata` says more of the prompt, `task_metadata` of this set of responses: a prompt may stand in
    several rows of a file. None means "the same": the formats that can't tell the two apart keep both.
    `rankable` is false where the responses were never meant to be ranked against each other;
    `task_optional` is true where they are wanted even if the project's form can't ask for them all at once.
    """

    messages: tuple[Message, ...]
    responses: tuple[ResponseRecord, ...] = ()
    rankings: tuple[RankingRecord, ...] = ()
    gold_tiers: Tiers | None = None
    task_kind: str = "ranking"
    metadata: dict[str, Any] = field(default_factory=dict)
    task_metadata: dict[str, Any] | None = None
    rankable: bool = True
    task_optional: bool = False
    quirks: tuple[Quirk, ...] = ()

    @property
    def ranking(self) -> RankingRecord | None:
        """The one ranking of a row that holds at most one."""
        return self.rankings[0] if self.rankings else None


@dataclass(frozen=True, slots=True)
class ResponseKey:
    """A response in the database by who wrote it and what its metadata says."""

    model: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vote:
    """A ranking of responses that another file brought: they are looked up, not written.

    `prompt` is what the prompt's metadata says. `refers_to` names what is missing when it isn't there.
    """

    prompt: tuple[str, Any]
    responses: tuple[ResponseKey, ...]
    ranking: RankingRecord
    refers_to: str
    quirks: tuple[Quirk, ...] = ()


Parsed = Sequence[Record | Vote]


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """`recognises` looks at one row; `parse` turns it into records or raises :class:`RowError`.

    `reads` and `loses` are for the person who has such a file: what of it comes in, and what does not.
    """

    name: str
    title: str
    reads: str
    loses: str
    example: str
    recognises: Callable[[Row], bool]
    parse: Callable[[Row], Parsed]
