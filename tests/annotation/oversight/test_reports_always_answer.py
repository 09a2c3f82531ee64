"""Reports, weighted snapshots and exports succeed for every kind of annotator."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.datasets.snapshots import snapshot_path
from annotation.models import DatasetSnapshot, Project, User
from preferences.statistics import reliability
from preferences.statistics.iterative import newton
from tests.annotation.content.imports.jobs import imported

ClientOf = Callable[[User | None], APIClient]
Order = list[list[int]]
K = 3
PROJECT = "/api/v1/projects/support/"
REPORTS = (
    "quality/",
    "leaderboard/",
    "leaderboard/?method=davidson",
    "leaderboard/?by=round&method=davidson",
    "progress/",
)


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


def rows(answers: Callable[[int, int], dict[str, Any]], tasks: int, people: int) -> bytes:
    """A file with an answer from each annotator to each task. `answers(task, annotator)` returns the fields
    of one answer; tasks and annotators are numbered from 0."""
    return b"".join(
        json.dumps(
            {
                "prompt": f"Question {task}",
                "responses": [{"text": f"answer {n}", "model": f"model-{n}"} for n in range(K)],
                "annotator": f"annotator-{person}",
                **answers(task, person),
            }
        ).encode()
        + b"\n"
        for task in range(tasks)
        for person in range(people)
    )


def near_chance() -> bytes:
    """Four rankings per task by eight annotators whose accuracy is near chance. Plain EM needs more than
    1,000 steps to converge."""
    rng = np.random.default_rng(27)
    tasks, people, overlap = 40, 8, 4
    rng.random((tasks, K))
    who = np.argsort(rng.random((tasks, people)), axis=1)[:, :overlap]
    rng.random((tasks, overlap, 1))
    places = np.argsort(rng.random((tasks, overlap, K)), axis=2)
    lines = [
        {
            "prompt": f"Question {task}",
            "responses": [{"text": f"answer {n}", "model": f"model-{n}"} for n in range(K)],
            "annotator": f"annotator-{who[task, seat]}",
            "tiers": [[int(n)] for n in np.argsort(places[task, seat])],
        }
        for task in range(tasks)
        for seat in range(overlap)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def order(*tiers: int) -> dict[str, Any]:
    return {"tiers": [[n] for n in tiers]}


ORDERS = list(itertools.permutations(range(K)))
CYCLE = [order(0, 1, 2), order(1, 2, 0), order(2, 0, 1)]
KINDS: dict[str, Callable[[], bytes]] = {
    "near chance": near_chance,
    "constant": lambda: rows(lambda task, person: order(0, 1, 2), 4, 3),
    "contradictory": lambda: rows(lambda task, person: CYCLE[person], 4, 3),
    "inverse": lambda: rows(lambda task, person: order(*((0, 1, 2), (2, 1, 0))[person % 2]), 4, 4),
    "only ties": lambda: rows(lambda task, person: {"tiers": [[0, 1, 2]]}, 4, 3),
    "all bad": lambda: rows(lambda task, person: {"all_bad": True, "tiers": []}, 4, 3),
    "not rankable": lambda: rows(lambda task, person: {"not_rankable": True, "tiers": []}, 4, 3),
    "one ranking": lambda: rows(lambda task, person: order(0, 1, 2), 1, 1),
    "one annotator": lambda: rows(lambda task, person: order(*ORDERS[task % 6]), 6, 1),
    "one task": lambda: rows(lambda task, person: order(*ORDERS[person % 6]), 1, 12),
    "without shared tasks": lambda: rows(
        lambda task, person: order(*ORDERS[task % 6]) | {"prompt": f"Question {task} of {person}"}, 3, 4
    ),
}


def strict_json(content: bytes) -> Any:
    def refused(name: str) -> None:
        raise AssertionError(f"The JSON contains {name}.")

    return json.loads(content, parse_constant=refused)


def numbers_of(value: Any) -> Iterator[float]:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers_of(part)
    if isinstance(value, (int, float)):
        yield value


def freeze(client: APIClient) -> Any:
    body = {"name": "w", "selection": {"aggregation": "weighted"}}
    return client.post(f"{PROJECT}snapshots/", body, format="json")


@pytest.mark.parametrize("kind", [*KINDS, "empty"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_reports_and_snapshots_and_exports_succeed_for_every_kind_of_annotator(
    kind: str, project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    if kind in KINDS:
        imported(client, KINDS[kind]())
    for report in REPORTS:
        response = client.get(PROJECT + report)
        assert response.status_code == 200, (report, response.content)
        assert np.isfinite(list(numbers_of(strict_json(response.content)))).all()
    created = freeze(client)
    if kind == "empty":
        assert created.status_code == 422
        return
    assert created.status_code == 201, created.content
    card = strict_json(created.content)["card"]
    folder = snapshot_path(DatasetSnapshot.objects.get()).parent
    assert strict_json((folder / "card.json").read_bytes())["weights"] == card["weights"]
    for format in ("ranking", "trl_preference"):
        response = client.get(f"/api/v1/snapshots/{created.json()['id']}/export?format={format}")
        assert response.status_code in (200, 422), response.content
        if response.status_code == 200:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume")
                for line in b"".join(response).splitlines():  # type: ignore[arg-type]
                    strict_json(line)


def test_annotators_near_chance_get_converged_estimates(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    imported(client, near_chance())
    quality = client.get(f"{PROJECT}quality/").json()
    assert quality["reliability_convergence"]["converged"]
    for person in quality["annotators"]:
        found = person["reliability"]
        assert 0 <= found["low"] < found["value"] < found["high"] <= 1
    card = freeze(client).json()["card"]
    assert card["weights"]["convergence"]["converged"]
    assert card["weights"]["annotators"] == 8
    folder = snapshot_path(DatasetSnapshot.objects.get()).parent
    assert "not final" not in (folder / "README.md").read_text()


def test_estimates_that_do_not_converge_are_returned_with_a_note(
    project: Project, mona: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reliability, "MAX_STEPS", 5)
    monkeypatch.setattr(newton, "MAX_STEPS", 1)
    client = client_of(mona)
    imported(client, near_chance())
    quality = client.get(f"{PROJECT}quality/").json()
    assert quality["reliability_convergence"]["converged"] is False
    assert 0 < quality["reliability_convergence"]["steps"] <= 5
    assert quality["reliability_convergence"]["change"] > 0
    assert all(person["reliability"]["value"] for person in quality["annotators"])
    for method in ("bradley_terry", "davidson"):
        board = client.get(f"{PROJECT}leaderboard/?method={method}&by=round").json()
        assert board["convergence"]["converged"] is False
        assert [part["convergence"]["converged"] for part in board["slices"]] == [False]
        assert all(row["low"] <= row["strength"] <= row["high"] for row in board["standings"])
    card = freeze(client).json()["card"]
    assert card["weights"]["convergence"]["converged"] is False
    folder = snapshot_path(DatasetSnapshot.objects.get()).parent
    assert "**The weights are not final.**" in (folder / "README.md").read_text()
