"""The leaderboard of models: strengths with intervals, head-to-head results, and slices of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from django.db.models import BigIntegerField, Case, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from numpy.typing import NDArray

from annotation.database.columns import BIGINT, UUID, Sent, all_rows, keys_of
from annotation.models import Project, RankingTask
from annotation.models.content import Split
from annotation.oversight.ranking_arrays import CHECK, UNKNOWN, RankingArrays, read_rankings
from preferences.statistics import bradley_terry, davidson
from preferences.statistics.bradley_terry import Ground, Table
from preferences.statistics.intervals import percentiles
from preferences.statistics.iterative.convergence import Convergence, worst
from preferences.statistics.pairs import NO_VERDICT, pair_columns, verdicts_of

Method = Literal["bradley_terry", "davidson"]
SliceBy = Literal["round", "split", "metadata"]

# Half a virtual win and half a virtual loss keep an undefeated model's strength finite. The virtual results
# hardly change the other strengths.
PRIOR = 0.5
SAMPLES = 200
# An imported file can name a different model for each response; only the models with the most comparisons
# are shown.
MAX_MODELS = 100
# A metadata key can have a different value in every prompt; only the largest slices are shown.
MAX_SLICES = 20


@dataclass(frozen=True)
class Standing:
    model: str
    wins: int
    losses: int
    ties: int
    strength: float
    low: float
    high: float
    group: int
    level: int


@dataclass(frozen=True)
class Cell:
    model: str
    against: str
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class Slice:
    name: str
    comparisons: int
    standings: list[Standing]
    convergence: Convergence


@dataclass(frozen=True)
class Leaderboard:
    method: Method
    tie_parameter: float | None
    comparisons: int
    standings: list[Standing]
    convergence: Convergence
    matrix: list[Cell]
    groups: int
    models_left_out: int
    slices: list[Slice]
    slices_left_out: int


@dataclass(frozen=True)
class _Comparisons:
    preferred: NDArray[np.int64]
    other: NDArray[np.int64]
    is_tie: NDArray[np.bool_]
    task: NDArray[np.int64]

    def where(self, kept: NDArray[np.bool_]) -> _Comparisons:
        return _Comparisons(self.preferred[kept], self.other[kept], self.is_tie[kept], self.task[kept])


def leaderboard(
    *,
    project: Project,
    method: Method = "bradley_terry",
    by: SliceBy | None = None,
    key: str = "",
) -> Leaderboard:
    """Ranks named models by all annotations that count, excluding annotations of checks. The 95% intervals
    come from a bootstrap over tasks. With `by`, also ranks the models within each slice of the tasks. A slice
    is a round, a prompt split, or a value of the prompt's metadata `key`.

    Strengths are log odds, centred on 0 in each slice. Models in different groups were never compared, not
    even through other models, so their strengths can't be compared.
    """
    read = read_rankings(project=project).where(CHECK, present=False)
    found = _comparisons(read)
    met = np.bincount(np.concatenate([found.preferred, found.other]), minlength=len(read.models))
    shown = np.sort(np.argsort(-met, kind="stable")[: min(MAX_MODELS, int((met > 0).sum()))])
    place = np.full(len(read.models), UNKNOWN, dtype=np.int64)
    place[shown] = np.arange(len(shown))
    kept = found.where((place[found.preferred] >= 0) & (place[found.other] >= 0))
    kept = _Comparisons(place[kept.preferred], place[kept.other], kept.is_tie, kept.task)
    names = [read.models[n] for n in shown]
    fitted = _fitted(kept, names, method)
    slices, slices_left_out = _slices(project, read, kept, names, method, by, key) if by else ([], 0)
    return Leaderboard(
        method=method,
        tie_parameter=fitted.tie,
        comparisons=len(kept.task),
        standings=fitted.standings,
        convergence=fitted.convergence,
        matrix=_matrix(fitted.table, names),
        groups=int(fitted.ground.group.max(initial=-1)) + 1,
        models_left_out=int((met > 0).sum()) - len(shown),
        slices=slices,
        slices_left_out=slices_left_out,
    )


def _comparisons(read: RankingArrays) -> _Comparisons:
    """Pairs of responses by two different named models. In a tie, `preferred` is arbitrary."""
    parts: list[list[NDArray[np.int64]]] = [[np.zeros(0, dtype=np.int64)] for _ in range(4)]
    for block in read.blocks:
        first, second = pair_columns(block.k)
        said = verdicts_of(block.places)
        model = read.model[block.responses]
        one, two = model[:, first], model[:, second]
        row, column = np.nonzero((said != NO_VERDICT) & (one != UNKNOWN) & (two != UNKNOWN) & (one != two))
        said, one, two = said[row, column], one[row, column], two[row, column]
        turned = said < 0
        values = (np.where(turned, two, one), np.where(turned, one, two), said == 0, block.task[row])
        for part, value in zip(parts, values, strict=True):
            part.append(value.astype(np.int64))
    preferred, other, is_tie, task = (np.concatenate(part) for part in parts)
    return _Comparisons(preferred, other, is_tie.astype(bool), task)


class _Fitted(NamedTuple):
    table: Table
    ground: Ground
    standings: list[Standing]
    tie: float | None
    convergence: Convergence


def _fitted(found: _Comparisons, names: list[str], method: Method) -> _Fitted:
    models = len(names)
    table = bradley_terry.table_of(found.preferred, found.other, found.is_tie, models)
    points = bradley_terry.half_ties(*table)
    ground = bradley_terry.ground_of(points)
    if models == 0:
        return _Fitted(table, ground, [], None, worst([]))
    drawn = bradley_terry.resampled(
        found.preferred, found.other, found.is_tie, found.task, models, samples=SAMPLES, seed=0
    )
    tie = None
    if method == "davidson":
        with_ties, samples = davidson.fit(*table, prior=PRIOR), davidson.fit(*drawn, prior=PRIOR)
        strength, tie, convergence = with_ties.strength, float(with_ties.tie), with_ties.convergence
        drawn_strength, of_samples = samples.strength, samples.convergence
    else:
        strength, convergence = bradley_terry.fit(points, prior=PRIOR)
        drawn_strength, of_samples = bradley_terry.fit(bradley_terry.half_ties(*drawn), prior=PRIOR)
    low, high = percentiles(drawn_strength)
    standings = [
        Standing(
            model=names[n],
            wins=int(table.wins[n].sum()),
            losses=int(table.wins[:, n].sum()),
            ties=int(table.ties[n].sum()),
            strength=float(strength[n]),
            low=float(low[n]),
            high=float(high[n]),
            group=int(ground.group[n]),
            level=int(ground.level[n]),
        )
        for n in sorted(range(models), key=lambda n: (-strength[n], names[n]))
    ]
    return _Fitted(table, ground, standings, tie, worst([convergence, of_samples]))


def _matrix(table: Table, names: list[str]) -> list[Cell]:
    """One cell for each pair of compared models, sorted by the models' names."""
    order = sorted(range(len(names)), key=names.__getitem__)
    met = table.wins + table.wins.T + table.ties
    return [
        Cell(names[i], names[j], int(table.wins[i, j]), int(table.wins[j, i]), int(table.ties[i, j]))
        for place, i in enumerate(order)
        for j in order[place + 1 :]
        if met[i, j]
    ]


def _slices(
    project: Project,
    read: RankingArrays,
    found: _Comparisons,
    names: list[str],
    method: Method,
    by: SliceBy,
    key: str,
) -> tuple[list[Slice], int]:
    """The slices with comparisons (largest first, each with its models) and the number of omitted slices."""
    labels, of_task = _labels(project, read, by, key)
    number = of_task[found.task]
    sizes = np.bincount(number[number != UNKNOWN], minlength=len(labels))
    slices: list[Slice] = []
    largest = sorted(np.flatnonzero(sizes).tolist(), key=lambda place: (-sizes[place], labels[place]))
    for place in largest[:MAX_SLICES]:
        part = found.where(number == place)
        present = np.unique(np.concatenate([part.preferred, part.other]))
        narrow = _Comparisons(
            np.searchsorted(present, part.preferred),
            np.searchsorted(present, part.other),
            part.is_tie,
            part.task,
        )
        fitted = _fitted(narrow, [names[n] for n in present], method)
        slices.append(Slice(labels[place], len(part.task), fitted.standings, fitted.convergence))
    return slices, max(0, len(largest) - MAX_SLICES)


def _labels(
    project: Project, read: RankingArrays, by: SliceBy, key: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Returns the slices' names and the index of each task's slice. The index is UNKNOWN if the task is in no
    slice."""
    tasks = RankingTask.objects.filter(project=project)
    code: Cast | RawSQL
    if by == "round":
        code = Cast("round", BigIntegerField())
    elif by == "split":
        whens = [When(prompt__split=split, then=Value(n)) for n, split in enumerate(Split.values)]
        code = Cast(Case(*whens, default=Value(UNKNOWN)), BigIntegerField())
    else:
        of_prompt = (
            "(SELECT metadata ->> %s FROM annotation_prompt p WHERE p.id = annotation_rankingtask.prompt_id)"
        )
        code = RawSQL(f"coalesce(hashtextextended({of_prompt}, 0), 0)", [key], output_field=BigIntegerField())
    rows = all_rows(
        tasks,
        [("id", *UUID), ("code", *BIGINT)],
        Sent("id", function="uuid_send"),
        Sent(code, function="int8send"),
    )
    keys = keys_of(rows["id"])
    order = np.argsort(keys)
    codes = rows["code"][order].astype(np.int64)[np.searchsorted(keys[order], read.task_keys)]
    values, of_task = np.unique(codes, return_inverse=True)
    if by == "metadata":
        text = RawSQL("metadata ->> %s", [key])
        hashed = RawSQL("hashtextextended(metadata ->> %s, 0)", [key], output_field=BigIntegerField())
        prompts = project.prompts.annotate(text=text, hashed=hashed).exclude(text=None)
        named = dict(prompts.order_by().values_list("hashed", "text").distinct())
    else:
        named = {int(n): Split.values[n] if by == "split" else str(n) for n in values if n >= 0}
    of_task = of_task.astype(np.int64)
    of_task[np.array([int(value) not in named for value in values], dtype=bool)[of_task]] = UNKNOWN
    return [named.get(int(value), "") for value in values], of_task
