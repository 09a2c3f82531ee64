"""A project's rankings as arrays, from which the reports are computed.

Each report reads all rankings again instead of updating earlier arrays. Stored rankings never change, but
rankings can be superseded, annotators can be excluded, and model names can change. benchmarks/quality.py
measures how long the reports take.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db.models import (
    BigIntegerField,
    BinaryField,
    Case,
    Func,
    IntegerField,
    Q,
    SmallIntegerField,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce
from numpy.typing import NDArray

from annotation.database.columns import (
    BIGINT,
    EPOCH_2000_MICROSECONDS,
    INTEGER,
    SMALLINT,
    TIMESTAMP,
    UUID,
    Packed,
    Sent,
    all_rows,
    keys_of,
    packed,
)
from annotation.models import Project, Ranking, RankingTask, Response, TaskResponse, User
from annotation.models.task import is_check
from preferences.statistics.pairs import UNRANKED

_TABLE = Ranking._meta.db_table
UNTOUCHED, CHECK, KNOWN, IMPORTED, NAMED = 1, 2, 4, 8, 16
UNKNOWN = -1

# Postgres's binary array: dimensions, flags, element type, length, lower bound, then each item with its
# length.
_ARRAY_HEADER_BYTES, _LENGTH_BYTES = 20, 4
_SHOWN = [
    ("task", *UUID),
    ("position", *SMALLINT),
    ("id", *UUID),
    ("characters", *BIGINT),
    ("model", *BIGINT),
]
_FIXED = [
    ("task", *UUID),
    ("person", *BIGINT),
    ("given_at", *TIMESTAMP),
    ("duration_ms", *BIGINT),
    ("marks", *SMALLINT),
    ("k", *INTEGER),
]


@dataclass(frozen=True)
class Block:
    """Rankings of tasks with K responses. In arrays with shape (R, K), each row is a ranking. The columns are
    the task's responses, ordered by position. Task numbers are unique over all blocks."""

    task: NDArray[np.int64]
    """Task number, with shape (R,)."""
    person: NDArray[np.int64]
    """The annotator's index in `people`, with shape (R,). UNKNOWN for imported rankings without a name."""
    given_at: NDArray[np.int64]
    """The ranking's time in microseconds since 1970, with shape (R,)."""
    duration_ms: NDArray[np.int64]
    """The time spent on the ranking, in milliseconds, with shape (R,). UNKNOWN if it was not measured."""
    marks: NDArray[np.int64]
    """Bit flags, with shape (R,). UNTOUCHED: the answer was submitted unchanged. CHECK: the task is a check.
    KNOWN: the task's answer is known, and the task is not a qualification task. IMPORTED: the ranking was
    imported. NAMED: the annotator is known."""
    places: NDArray[np.int8]
    """Places, with shape (R, K); see `preferences.statistics.pairs`."""
    shown: NDArray[np.int8]
    """The position at which each response was shown, with shape (R, K)."""
    responses: NDArray[np.int64]
    """Index of each response in `RankingArrays.characters` and `RankingArrays.model`, with shape (R, K)."""

    def __len__(self) -> int:
        return len(self.task)

    @property
    def k(self) -> int:
        return int(self.places.shape[1])

    def where(self, kept: NDArray[np.bool_]) -> Block:
        return Block(
            task=self.task[kept],
            person=self.person[kept],
            given_at=self.given_at[kept],
            duration_ms=self.duration_ms[kept],
            marks=self.marks[kept],
            places=self.places[kept],
            shown=self.shown[kept],
            responses=self.responses[kept],
        )

    def has(self, mark: int) -> NDArray[np.bool_]:
        return (self.marks & mark) > 0


@dataclass(frozen=True)
class RankingArrays:
    blocks: list[Block]
    people: list[str]
    """Usernames, or names in an imported file."""
    n_tasks: int
    task_keys: NDArray[np.uint64]
    """The keys of the tasks' IDs, in ascending order, with shape (T,)."""
    characters: NDArray[np.int64]
    """Length of each response in characters, with shape (N,)."""
    model: NDArray[np.int64]
    """The model's index in `models`, with shape (N,). UNKNOWN for responses without a model name."""
    models: list[str]
    response_keys: NDArray[np.uint64] = field(repr=False, default_factory=lambda: np.zeros(0, np.uint64))
    """The keys of the responses' IDs, in ascending order, with shape (N,)."""

    def where(self, mark: int, *, present: bool) -> RankingArrays:
        """The rankings with this mark, or those without the mark if `present` is False."""
        blocks = [block.where(block.has(mark) == present) for block in self.blocks]
        return RankingArrays(
            [block for block in blocks if len(block)],
            self.people,
            self.n_tasks,
            self.task_keys,
            self.characters,
            self.model,
            self.models,
            self.response_keys,
        )


def read_rankings(*, project: Project) -> RankingArrays:
    """Reads all of the project's annotations that count and have an order. Reviews are not included. Runs
    five queries.

    Rankings are read first. Tasks and responses are never deleted. The later queries therefore find all tasks
    and responses to which the rankings refer.
    """
    rankings = Ranking.objects.counted().with_order().annotations().filter(project=project)
    raw = list(_runs(rankings))
    names, name_keys = _people(project, raw)
    shown = all_rows(
        TaskResponse.objects.filter(task__project=project),
        [
            ("task", *UUID),
            ("position", *SMALLINT),
            ("id", *UUID),
            ("characters", *BIGINT),
            ("model", *BIGINT),
        ],
        Sent("task_id", function="uuid_send"),
        Sent(Cast("position", SmallIntegerField()), function="int2send"),
        Sent("response_id", function="uuid_send"),
        Sent(Cast("response__characters", BigIntegerField()), function="int8send"),
        Sent(_text_key("response__model_name"), function="int8send"),
    )
    # Sorted by task, and by position within each task.
    tasks = keys_of(shown["task"])
    order = np.lexsort((shown["position"], tasks))
    tasks = tasks[order]
    response_keys, first, of_shown = np.unique(
        keys_of(shown["id"][order]), return_index=True, return_inverse=True
    )
    responses = shown[order[first]]
    models, model_keys = _models(responses)
    task_keys = np.unique(np.concatenate([run.task for run in raw])) if raw else np.zeros(0, np.uint64)
    begins = np.searchsorted(tasks, task_keys).astype(np.int64)
    return RankingArrays(
        blocks=[_block(run, task_keys, begins, of_shown.astype(np.int64), name_keys) for run in raw],
        people=names,
        n_tasks=len(task_keys),
        task_keys=task_keys,
        characters=responses["characters"].astype(np.int64),
        model=_look_up(responses["model"].astype(np.int64), model_keys),
        models=models,
        response_keys=response_keys,
    )


def gold_places(*, project: Project, read: RankingArrays) -> list[NDArray[np.int8]]:
    """For each block of `read`, the places in the known answers, with shape (R, K). All tasks in `read` must
    have a known answer."""
    found = [np.full(block.places.shape, UNRANKED, dtype=np.int8) for block in read.blocks]
    places = Func("id", "gold_tiers", function="rankloop_places", output_field=BinaryField())
    wire, arrays = packed(
        RankingTask.objects.filter(project=project, gold_tiers__isnull=False),
        Packed(
            Sent("id", function="uuid_send"),
            Sent(Func(places, function="cardinality", output_field=IntegerField()), function="int4send"),
        ),
        Packed(Sent(places, function="array_send")),
    )
    rows = wire.view([("id", *UUID), ("k", *INTEGER)])
    for k, here, gold in _by_length(rows["k"], arrays, SMALLINT):
        keys = keys_of(rows["id"][here])
        order = np.argsort(keys)
        for block, of_block in zip(read.blocks, found, strict=True):
            if block.k == k:
                wanted = read.task_keys[block.task]
                place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
                known = np.flatnonzero(keys[order][place] == wanted)
                of_block[known] = gold[order[place[known]]]
    return found


def days_of(given_at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days since 1970, UTC."""
    return given_at // 86_400_000_000


def date_of(day: int) -> date:
    return datetime.fromtimestamp(day * 86_400, UTC).date()


@dataclass(frozen=True)
class _Run:
    """Rankings of tasks with the same number of responses, as read from the database. `places` is in the
    order of the responses' positions, and `shown` contains the response keys in display order."""

    task: NDArray[np.uint64]
    person: NDArray[np.int64]
    given_at: NDArray[np.int64]
    duration_ms: NDArray[np.int64]
    marks: NDArray[np.int64]
    shown: NDArray[np.uint64]
    places: NDArray[np.int8]


def _runs(rankings: Any) -> Iterator[_Run]:
    """Reads the rankings and yields one `_Run` for each number of responses."""
    marks = (
        _mark(UNTOUCHED, Q(touched=False))
        + _mark(CHECK, is_check("task"))
        + _mark(KNOWN, Q(task__gold_tiers__isnull=False) & ~Q(task__kind=RankingTask.Kind.QUALIFICATION))
        + _mark(IMPORTED, Q(source=Ranking.Source.IMPORT))
        + _mark(NAMED, Q(annotator__isnull=False) | ~Q(annotator_label=""))
    )
    wire, orders, places = packed(
        rankings,
        Packed(
            Sent("task_id", function="uuid_send"),
            Sent(_person_key(), function="int8send"),
            Sent(Coalesce("given_at", "created_at"), function="timestamptz_send"),
            Sent(Coalesce(Cast("duration_ms", BigIntegerField()), Value(UNKNOWN)), function="int8send"),
            Sent(Cast(marks, SmallIntegerField()), function="int2send"),
            Sent(Func("places", function="cardinality", output_field=IntegerField()), function="int4send"),
        ),
        Packed(Sent("shown_order", function="array_send")),
        Packed(Sent("places", function="array_send")),
    )
    rows = wire.view(_FIXED)
    by_length = zip(_by_length(rows["k"], orders, UUID), _by_length(rows["k"], places, SMALLINT), strict=True)
    for (_, here, shown), (_, _, placed) in by_length:
        found = rows[here]
        yield _Run(
            task=keys_of(found["task"]),
            person=found["person"].astype(np.int64),
            given_at=found["given_at"].astype(np.int64),
            duration_ms=found["duration_ms"].astype(np.int64),
            marks=found["marks"].astype(np.int64),
            shown=keys_of(shown),
            places=placed.astype(np.int8),
        )


def _by_length(
    lengths: NDArray[Any], wire: NDArray[np.uint8], item: tuple[Any, ...]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[Any]]]:
    """Splits concatenated binary arrays. `lengths`, with shape (R,), contains the arrays' lengths. For each
    length k, yields k, the indices of the arrays with this length, and their items, with shape (rows, k)."""
    width = _ARRAY_HEADER_BYTES + (_LENGTH_BYTES + np.dtype([("value", *item)]).itemsize) * lengths.astype(
        np.int64
    )
    start = np.cumsum(width) - width
    for k in np.unique(lengths).tolist():
        here = np.flatnonzero(lengths == k)
        array = np.dtype(
            [("head", "u1", (_ARRAY_HEADER_BYTES,)), ("items", [("length", ">i4"), ("value", *item)], (k,))]
        )
        if len(here) == len(lengths):
            arrays = wire.view(array)
        else:
            arrays = wire[start[here][:, None] + np.arange(array.itemsize)].view(array)[:, 0]
        yield k, here, arrays["items"]["value"]


def _block(
    run: _Run,
    task_keys: NDArray[np.uint64],
    begins: NDArray[np.int64],
    of_shown: NDArray[np.int64],
    name_keys: NDArray[np.int64],
) -> Block:
    """Converts `run` to a block. The block's rankings are sorted by task, so that later sums over tasks need
    no sort.

    `of_shown` is sorted by task and position. `begins`, with shape (T,), contains the index in `of_shown` at
    which each task's responses begin.
    """
    task = np.searchsorted(task_keys, run.task).astype(np.int64)
    rows = np.argsort(task, kind="stable")
    task = task[rows]
    k = run.places.shape[1]
    responses = of_shown[begins[task][:, None] + np.arange(k)]
    # Response numbers ascend with the response keys. Sorting a ranking's responses by number therefore gives
    # the same order as sorting by key.
    shown = np.empty(responses.shape, dtype=np.int8)
    as_shown = np.argsort(run.shown[rows], axis=1).astype(np.int8)
    np.put_along_axis(shown, np.argsort(responses, axis=1), as_shown, axis=1)
    person = _look_up(run.person[rows], name_keys)
    person[(run.marks[rows] & NAMED) == 0] = UNKNOWN
    return Block(
        task=task,
        person=person,
        given_at=run.given_at[rows] + EPOCH_2000_MICROSECONDS,
        duration_ms=run.duration_ms[rows],
        marks=run.marks[rows],
        places=run.places[rows],
        shown=shown,
        responses=responses,
    )


def _people(project: Project, raw: list[_Run]) -> tuple[list[str], NDArray[np.int64]]:
    """The names and the keys of the annotators in `raw`, both sorted by key."""
    read = np.unique(np.concatenate([np.zeros(0, np.int64), *(run.person for run in raw)]))
    named = Ranking.objects.filter(project=project).exclude(annotator=None, annotator_label="").order_by()
    ids = named.values("annotator_id", "annotator_label").annotate(key=_person_key()).distinct()
    rows = list(ids.values_list("annotator_id", "annotator_label", "key"))
    users = dict(User.objects.filter(pk__in={id for id, _, _ in rows if id}).values_list("pk", "username"))
    people = {key: users.get(id) or label for id, label, key in rows}
    kept = [int(key) for key in read if int(key) in people]
    return [people[key] for key in kept], np.array(kept, dtype=np.int64)


def _models(responses: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The models' names and keys, both sorted by key. Each name is read from one of the model's responses,
    because DISTINCT would read every response."""
    keys, first = np.unique(responses["model"].astype(np.int64), return_index=True)
    ids = [uuid.UUID(int=(int(high) << 64) | int(low)) for high, low in responses["id"][first]]
    name_of = dict(Response.objects.filter(pk__in=ids).values_list("pk", "model_name"))
    named = [(int(key), name_of[id]) for key, id in zip(keys, ids, strict=True) if name_of.get(id)]
    return [name for _, name in named], np.array([key for key, _ in named], dtype=np.int64)


def _look_up(values: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of each value in the ascending keys; UNKNOWN for a value that is missing."""
    if len(keys) == 0:
        return np.full(len(values), UNKNOWN, dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, values), len(keys) - 1).astype(np.int64)
    place[keys[place] != values] = UNKNOWN
    return place


def _mark(mark: int, condition: Q) -> Case:
    return Case(When(condition, then=Value(mark)), default=Value(0), output_field=SmallIntegerField())


def _person_key() -> RawSQL:
    """A number that identifies the annotator, derived from the account or the name in an imported file."""
    return RawSQL(
        f"hashtextextended(coalesce({_TABLE}.annotator_id::text, 'name ' || {_TABLE}.annotator_label), 0)",
        [],
        output_field=BigIntegerField(),
    )


def _text_key(column: str) -> Func:
    return Func(column, Value(0), function="hashtextextended", output_field=BigIntegerField())
