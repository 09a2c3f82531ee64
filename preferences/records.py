"""What a format yields: one record per row, or the reason why the row can't be read."""

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
    """The file as a whole can't be read; the text gives the reason and the remedy."""


class RowError(Exception):
    """This row can't be read in its format; the text names the field and the reason. Other rows are not
    affected."""


class TooFewResponses(RowError):
    """The row has fewer responses than can be ranked."""


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """`metadata`: whatever else the file has about the response (its id there, its language, …)."""

    text: str
    model: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingFields:
    """The fields of a ranking that only training uses; an import does not keep them.

    `split` is "heldout", or any other text for training. `prompt_hash` is the file's own identifier of the
    prompt. `votes` is the number of rankings that were combined into this one. `in_shown_order`: the
    responses are in the order in which the annotator saw them.
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
    """A ranking in the file. `tiers` are indices into the record's responses, best first; responses in no
    tier were shown and left below all of them.

    `ratings` and `flags` are keyed by response index. `external_id` is the file's own id of the ranking, if
    any: it tells two equal anonymous rankings from one ranking imported twice. `given_at` is the time of the
    ranking, if the file has it.
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
    """A prompt, its responses, and their rankings. Without responses it is only a prompt.

    `metadata` describes the prompt, `task_metadata` this set of responses, because a prompt can occur in
    several rows of a file. None means that the format can't tell the two apart: both get `metadata`.
    `rankable` is false if the responses were never meant to be ranked against each other. `task_optional` is
    true if the responses are imported even when the project's form can't ask for them all at once.
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
        """The ranking of a row that has at most one."""
        return self.rankings[0] if self.rankings else None


@dataclass(frozen=True, slots=True)
class ResponseKey:
    """A response in the database, identified by its model and metadata."""

    model: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vote:
    """A ranking of responses that were imported from another file: they are looked up, not written.

    `prompt` is a field of the prompt's metadata. `refers_to` names the prompt in the error if it is missing.
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

    `reads` and `loses` tell the owner of such a file which parts are imported and which are not.
    """

    name: str
    title: str
    reads: str
    loses: str
    example: str
    recognises: Callable[[Row], bool]
    parse: Callable[[Row], Parsed]
