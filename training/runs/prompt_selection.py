"""Select a run's prompts from its project: by metadata, and in given proportions.

This module does not import torch, so the web process can check a selection at launch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from annotation.models import Project, Prompt
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.runs.recipes.run_recipes import PromptSelection

ALL = PromptSelection()
VALUES_SHOWN = 10


def matching(*, project: Project, split: str | None, selection: PromptSelection) -> QuerySet[Prompt]:
    """Return the project's prompts in the given split that match the filter. If `split` is None, both splits
    are used."""
    prompts = Prompt.objects.filter(project=project)
    if split is not None:
        prompts = prompts.filter(split=split)
    for key in dict.fromkeys(pair.name for pair in selection.filter):
        prompts = prompts.filter(_one_of(key, [pair.value for pair in selection.filter if pair.name == key]))
    return prompts


def select(
    prompts: QuerySet[Prompt],
    *,
    selection: PromptSelection,
    limit: int,
    in_order: Callable[[list[UUID]], Sequence[UUID]] = list,
) -> list[UUID]:
    """Return the IDs of up to `limit` prompts, in the order that `in_order` returns. With weights, the first
    prompts of each value are selected. Raises UnusableInput if a weighted value has no prompts."""
    rows = prompts.order_by("id")
    if not selection.weights:
        return list(in_order(list(rows.values_list("id", flat=True))))[:limit]
    valued = dict(rows.values_list("id", KeyTextTransform(selection.key, "metadata")))
    left = quotas(selection, Counter(value for value in valued.values() if value is not None), limit)
    chosen = []
    for id in in_order(list(valued)):
        if left.get(valued[id], 0) > 0:
            left[valued[id]] -= 1
            chosen.append(id)
    return chosen


def n_selected(prompts: QuerySet[Prompt], *, selection: PromptSelection, limit: int) -> int:
    """Return the number of prompts that `select` selects. Raises UnusableInput in the same cases as
    `select`."""
    if not selection.weights:
        return min(limit, prompts.count())
    value = KeyTextTransform(selection.key, "metadata")
    rows = prompts.order_by().annotate(value=value).values_list("value").annotate(n=Count("id"))
    return sum(quotas(selection, {name: n for name, n in rows if name is not None}, limit).values())


def quotas(selection: PromptSelection, available: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return the number of prompts of each weighted value: as many as possible, at most `limit` in total, in
    the proportions of the weights. Numbers are rounded by the largest remainder method. Raises UnusableInput
    if a value has no prompts."""
    if missing := [value for value in selection.weights if not available.get(value)]:
        others = ", ".join(f"{value} ({n})" for value, n in Counter(available).most_common(VALUES_SHOWN))
        raise UnusableInput(
            f"prompt_mixture contains {missing[0]!r}, but none of the prompts has this value of "
            f"{selection.key!r} in its metadata. "
            + (f"The values are: {others}." if others else "No prompt has this key."),
            FailureKind.DATA_EMPTY,
        )
    whole = math.fsum(selection.weights.values())
    shares = {value: weight / whole for value, weight in selection.weights.items()}
    total = math.floor(min(limit, *(available[value] / share for value, share in shares.items())) + 1e-9)
    exact = {value: total * share for value, share in shares.items()}
    found = {value: math.floor(number + 1e-9) for value, number in exact.items()}
    by_remainder = sorted(found, key=lambda value: found[value] - exact[value])
    for value in by_remainder[: total - sum(found.values())]:
        found[value] += 1
    return found


def counts_of(ids: Sequence[UUID], *, selection: PromptSelection) -> dict[str, int]:
    """Return the number of selected prompts of each weighted value, for the run's result."""
    if not selection.weights:
        return {}
    value = KeyTextTransform(selection.key, "metadata")
    found = Counter(Prompt.objects.filter(id__in=ids).values_list(value, flat=True))
    return {f"prompts/{name}": found[name] for name in selection.weights}


def _one_of(key: str, values: Sequence[object]) -> Q:
    """Return a filter for prompts whose metadata contains one of the values. A number can be stored as text,
    and a value can be in a list."""
    wanted = Q()
    for value in values:
        for stored in (value, str(value)) if isinstance(value, (int, float)) else (value,):
            wanted |= Q(metadata__contains={key: stored}) | Q(metadata__contains={key: [stored]})
    return wanted
