"""Measure the response times of the quality page's requests in a large project, one row per request.

    .venv/bin/python -m benchmarks.quality [--rankings 100000] [--responses 4] [--overlap 3] [--repeat 5]

Creates a project in a temporary embedded Postgres. The project has annotators with known noise, four models,
ties and a few gold tasks. The benchmark requests each report as the browser does, through the full Django
stack but without the network. A row shows the time of the first call, and the median and maximum of the later
calls.

The row `all at once` is for the whole page. The page's requests run in parallel, each on its own connection,
and are timed until the last response. The target for `all at once` is 2 s. The column `cpu` is the mean
processor time of this process in the later calls, without Postgres. The last line shows the increase in the
process's peak memory during the requests, and the machine's load average.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from embedded.servers import Servers
from embedded.state import StateFolder

if TYPE_CHECKING:
    from annotation.models import Project, User

ANNOTATORS = 20
GOLD_SHARE = 0.02
PAGE = ("progress/", "quality/", "leaderboard/", "")
MORE = ("leaderboard/?method=davidson", "leaderboard/?by=metadata&key=topic")


def fill(rankings: int, k: int, overlap: int) -> tuple[Project, User]:
    from annotation.models import Project, User
    from annotation.projects.projects import create_project

    rng = np.random.default_rng(0)
    project = create_project(slug="large", name="Large", preset="helpsteer2" if k == 2 else "ranking")
    people = [User.objects.create(username=f"annotator-{n:02}") for n in range(ANNOTATORS)]
    manager = User.objects.create(username="manager", is_superuser=True)
    tasks = -(-rankings // overlap)
    prompt_ids, task_ids = (_uuids(rng, tasks) for _ in range(2))
    response_ids = _uuids(rng, tasks * k).reshape(tasks, k)
    _copy(
        "annotation_prompt (id, project_id, messages, content_hash, metadata, split, created_at)",
        (
            (
                id,
                project.pk,
                '[{"role": "user", "content": "A question?"}]',
                f"p{n}",
                f'{{"topic": "{n % 5}"}}',
                "train",
                "now",
            )
            for n, id in enumerate(prompt_ids)
        ),
    )
    _copy(
        "annotation_response (id, prompt_id, text, model_name, sampling, content_hash, created_at)",
        (
            (id, prompt_ids[n], "An answer. " * int(length), f"model-{column}", "{}", f"r{column}", "now")
            for n, (row, lengths) in enumerate(
                zip(response_ids, rng.integers(20, 120, response_ids.shape), strict=True)
            )
            for column, (id, length) in enumerate(zip(row, lengths, strict=True))
        ),
    )
    gold = rng.random(tasks) < GOLD_SHARE
    _copy(
        "annotation_rankingtask (id, project_id, prompt_id, overlap, open_slots, answered, priority, round,"
        " kind, gold_tiers, content_key, state, created_at)",
        (
            (
                id,
                project.pk,
                prompt_ids[n],
                overlap,
                0,
                0,
                0,
                n % 3,
                "gold" if gold[n] else "ranking",
                _tiers([[r] for r in response_ids[n]]) if gold[n] else None,
                f"t{n}",
                "done",
                "now",
            )
            for n, id in enumerate(task_ids)
        ),
    )
    _copy(
        "annotation_taskresponse (task_id, response_id, position)",
        ((task_ids[n], id, column) for n, row in enumerate(response_ids) for column, id in enumerate(row)),
    )
    quality = rng.normal(size=(tasks, k)) - 0.5 * np.arange(k)
    noise = np.linspace(0.3, 2.0, ANNOTATORS)
    who = np.argsort(rng.random((tasks, ANNOTATORS)), axis=1)[:, :overlap]
    made: list[tuple[Any, ...]] = []
    pairs: list[tuple[Any, ...]] = []
    for n, id in enumerate(_uuids(rng, rankings)):
        task, person = n // overlap, who[n // overlap, n % overlap]
        # Scores are rounded to half a point, so that close scores tie.
        seen = np.round(2 * (quality[task] + noise[person] * rng.normal(size=k)))
        tiers = [
            response_ids[task][seen == level].tolist() for level in sorted(set(seen.tolist()), reverse=True)
        ]
        shown = response_ids[task][rng.permutation(k)].tolist()
        when = f"2026-01-{1 + n % 28:02} 12:00:00Z"
        made.append(
            (
                id,
                project.pk,
                task_ids[task],
                people[person].pk,
                "",
                "browser",
                "{" + ",".join(map(str, shown)) + "}",
                _tiers(tiers),
                "{}",
                "{}",
                False,
                "",
                True,
                int(rng.integers(5_000, 90_000)),
                when,
            )
        )
        pairs += _comparisons(id, project.pk, prompt_ids[task], tiers)
    _copy(
        "annotation_ranking (id, project_id, task_id, annotator_id, annotator_label, source, shown_order,"
        " tiers, ratings, flags, not_rankable, comment, touched, duration_ms, created_at)",
        made,
    )
    _copy("annotation_comparison (ranking_id, project_id, prompt_id, preferred_id, other_id, is_tie)", pairs)
    return Project.objects.get(pk=project.pk), manager


def _uuids(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    return np.array([UUID(bytes=rng.bytes(16), version=4) for _ in range(n)], dtype=object)


def _tiers(tiers: list[list[UUID]]) -> str:
    return "[" + ", ".join("[" + ", ".join(f'"{id}"' for id in tier) + "]" for tier in tiers) + "]"


def _comparisons(
    ranking: UUID, project: UUID, prompt: UUID, tiers: list[list[UUID]]
) -> list[tuple[Any, ...]]:
    from preferences.pairs import comparisons_of

    return [
        (ranking, project, prompt, pair.preferred, pair.other, pair.is_tie) for pair in comparisons_of(tiers)
    ]


def _copy(into: str, rows: Any) -> None:
    from django.db import connection

    with connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def at_once(asks: list[Callable[[], object]]) -> float:
    threads = [threading.Thread(target=ask) for ask in asks]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def measure(manager: User, repeat: int) -> None:
    from django.db import connections
    from rest_framework.test import APIClient

    def asking(report: str) -> Callable[[], object]:
        client = APIClient()
        client.force_login(manager)

        def ask() -> None:
            response = client.get(f"/api/v1/projects/large/{report}")
            if response.status_code != 200:
                raise SystemExit(f"{report} answered {response.status_code}: {response.content[:500]!r}")

        return ask

    def apart(ask: Callable[[], object]) -> Callable[[], object]:
        def whole() -> None:
            ask()
            connections.close_all()

        return whole

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'request':36}  first s  median s  longest s  cpu s")
    rows: list[tuple[str, Callable[[], float]]] = []
    for report in (*PAGE, *MORE):
        ask = asking(report)
        rows.append((report or "(the project)", lambda ask=ask: timed(ask)))  # type: ignore[misc]
    page = [apart(asking(report)) for report in PAGE]
    rows.append(("all at once", lambda: at_once(page)))
    for name, run in rows:
        first, cpu = run(), time.process_time()
        rest = [run() for _ in range(repeat)]
        cpu = (time.process_time() - cpu) / repeat
        print(
            f"{name:36} {first:8.2f} {statistics.median(rest):9.2f} {max(rest):10.2f} {cpu:6.2f}", flush=True
        )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(f"memory: {grown / 1024:.0f} MB at the peak; load {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rankings", type=int, default=100_000)
    parser.add_argument("--responses", type=int, default=4)
    parser.add_argument("--overlap", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    os.environ["RANKLOOP_STATE"] = str(home / "state")
    servers = Servers(StateFolder(home), durable=False)
    try:
        servers.start()
        os.environ.update(servers.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        settings.ALLOWED_HOSTS = ["testserver"]
        call_command("migrate", verbosity=0)
        began = time.perf_counter()
        _, manager = fill(options.rankings, options.responses, options.overlap)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        print(
            f"{options.rankings} rankings of {options.responses} responses, {options.overlap} per task,"
            f" created in {time.perf_counter() - began:.0f} s"
        )
        measure(manager, options.repeat)
        connection.close()
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
