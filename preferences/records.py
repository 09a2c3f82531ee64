"""The records that import formats read from rows, and the errors for rows and files that can't be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from preferences.quirks import Quirk
from preferences.text import printable

Row = Mapping[str, Any]
Message = dict[str, str]
Tiers = tuple[tuple[int, ...], ...]


# The model name of answers that people wrote.
DEMONSTRATION = "human demonstration"


class FormatError(Exception):
    """Raised if a file as a whole can't be read. The message gives the reason and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class RowError(Exception):
    """Raised if a row can't be read in its format. The message names the field and states the reason. A
    RowError does not affect other rows."""


class TooFewResponses(RowError):
    """Raised if a row has too few responses for a ranking."""


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """A response in a file. `metadata` contains the file's other data about the response (ID, language,
    …)."""

    text: str
    model: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingFields:
    """Fields of a ranking that only training uses and that an import does not store.

    `split` is "heldout" for the held-out set; with any other value, the ranking is used for training.
    `prompt_hash` is the file's identifier for the prompt. `votes` is the number of rankings that were
    combined into this ranking. `in_shown_order` is true if the responses are listed in the order in which the
    annotator saw them.
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
    """A ranking in the file. `tiers` are indices into the record's responses, best first. Responses in no
    tier were shown but left unranked; they rank below all tiers.

    A ranking without tiers is marked as `not_rankable` or `all_bad`, or it has no order: the annotator rated,
    flagged, commented on or rewrote the responses without ordering them.

    `ratings` and `flags` are keyed by response index. `external_id` is the ranking's ID in the file, if any.
    The ID distinguishes two equal anonymous rankings from one ranking that is imported twice. `given_at` is
    the time of the ranking, if the file contains it.
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

    @property
    def has_order(self) -> bool:
        """Whether the ranking has tiers or states why it has none."""
        return bool(self.tiers) or self.not_rankable or self.all_bad

    @property
    def says_something(self) -> bool:
        """Whether the ranking contains anything besides an order, an annotator and a time."""
        return bool(
            self.ratings
            or self.flags
            or self.choices
            or self.confidence is not None
            or self.comment
            or self.rewrite
            or self.metadata
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt, its responses, and their rankings. A record without responses is only a prompt.

    `metadata` describes the prompt, and `task_metadata` describes this set of responses. The two fields are
    separate, because several rows of a file can have the same prompt and different responses. If the format
    does not distinguish task metadata from prompt metadata, `task_metadata` is None, and both the prompt and
    the task get `metadata`. `rankable` is false if the responses were never meant to be ranked against each
    other. If `task_optional` is true, the responses are imported even if the project's form can't show all of
    them in one task.
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
        """The record's first ranking, or None; use this only for formats with at most one ranking per row."""
        return self.rankings[0] if self.rankings else None


@dataclass(frozen=True, slots=True)
class ResponseKey:
    """The model and the metadata by which an import finds a response in the database."""

    model: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vote:
    """A ranking of responses that were imported from another file. The import looks up the ranked responses
    and does not create any.

    `prompt` identifies the prompt by a metadata field. `refers_to` names the prompt in the error message for
    a missing prompt.
    """

    prompt: tuple[str, Any]
    responses: tuple[ResponseKey, ...]
    ranking: RankingRecord
    refers_to: str
    quirks: tuple[Quirk, ...] = ()


Parsed = Sequence[Record | Vote]


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """An import format. `recognises` checks whether a row is in this format. `parse` converts a row to
    records or raises :class:`RowError`.

    `reads` describes the parts of a file that are imported, and `loses` describes the parts that are lost. If
    `parser_of` is set, it chooses the parser for a file from the file's first rows, or raises
    :class:`FormatError`.
    """

    name: str
    title: str
    reads: str
    loses: str
    example: str
    recognises: Callable[[Row], bool]
    parse: Callable[[Row], Parsed]
    parser_of: Callable[[Sequence[Row]], Callable[[Row], Parsed]] | None = None
