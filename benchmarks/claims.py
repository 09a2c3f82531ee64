"""Measure the speed of claims with Postgres alone, without HTTP.

    .venv/bin/python -m benchmarks.claims [--tasks 100000] [--workers 8] [--seconds 10] [--history 20000]

Starts a temporary embedded Postgres with production durability settings.

First table: for `--seconds` seconds, `--workers` parallel processes claim tasks from a pool of `--tasks` open
tasks with overlap 3. Each claim is made by a different annotator, so no claim returns an existing lease.
Afterwards, the benchmark counts the tasks with more leases than slots (among up to 2,000 full tasks) and the
annotators with two leases on the same task. Both counts must be 0. Targets: 700 claims/s and a 99th
percentile of 50 ms.

Second table: a single annotator claims tasks, first without earlier answers and then after `--history`
answers. The answered tasks are still open to other annotators. Target: earlier answers do not slow claims
down.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import UUID

from embedded.servers import Servers
from embedded.state import StateFolder

LONE_CLAIMS = 200
CLAIMS_PER_SECOND_AT_MOST = 600  # maximum rate per worker; determines how many annotators are created


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--history", type=int, default=20_000)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    servers = Servers(StateFolder(home))
    try:
        servers.start()
        os.environ.update(servers.environment)
        os.environ |= {"RANKLOOP_STATE": str(home / "state"), "DJANGO_SETTINGS_MODULE": "config.settings"}
        measure(options)
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, connections

    from annotation.content import adding
    from annotation.models import Assignment, RankingTask

    call_command("migrate", verbosity=0)
    print("project                    workers  claims/s   p50 p99 ms   over-served   two leases")
    for policy in ("finish_started", "fifo"):
        project = filled(policy, policy, options.tasks)
        per_worker = int(options.seconds * CLAIMS_PER_SECOND_AT_MOST)
        people = new_people(policy, project.pk, per_worker * options.workers)
        with connection.cursor() as cursor:
            # Without this VACUUM, autovacuum would run during the measurement, because many rows are new.
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        connections.close_all()
        connection.close_pool()  # type: ignore[attr-defined]  # the pool's threads don't survive a fork
        barrier = multiprocessing.get_context("fork").Barrier(options.workers)
        with multiprocessing.get_context("fork").Pool(
            options.workers, initializer=remember, initargs=(barrier,)
        ) as pool:
            jobs = [
                (project.slug, people[n :: options.workers], options.seconds) for n in range(options.workers)
            ]
            times = [one for found in pool.map(claims, jobs, chunksize=1) for one in found]
        rate = len(times) / options.seconds
        rows = RankingTask.objects.filter(project=project)
        over = sum(task.assignments.count() > task.overlap for task in rows.filter(open_slots=0)[:2000])
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM (SELECT 1 FROM annotation_assignment WHERE project_id = %s"
                " GROUP BY task_id, annotator_id HAVING count(*) > 1) AS twice",
                [project.pk],
            )
            (twice,) = cursor.fetchone()
        name = f"{options.tasks} open, {policy}"
        print(f"{name:26} {options.workers:7d} {rate:9.0f} {quantiles(times)} {over:13d} {twice:12d}")
        Assignment.objects.filter(project=project).delete()
    print("\none annotator               answered before   claim p50 p99 ms")
    project = filled("lone", "finish_started", options.history + 2 * LONE_CLAIMS + 100)
    for history in (0, options.history):
        (person,) = new_people(f"lone-{history}", project.pk, 1)
        answered(project.pk, person, history)
        adding.analyze_content()
        times = lone_claims(project.slug, person)
        print(f"{'finish_started, overlap 3':26} {history:16d} {quantiles(times)}")


def filled(slug: str, policy: str, tasks: int):  # type: ignore[no-untyped-def]
    from annotation.content import adding
    from annotation.content.drafts import ResponseDraft, TaskDraft
    from annotation.projects import projects

    project = projects.create_project(slug=slug, overlap=3)
    projects.update_project(project=project, changes={"allocation_policy": policy})
    drafts = (
        TaskDraft(
            [{"role": "user", "content": f"{slug}: question {n}?"}],
            [ResponseDraft(f"Answer {k} to {n}.") for k in range(2)],
        )
        for n in range(tasks)
    )
    adding.add_ranking_tasks(project=project, items=drafts)
    return project


def new_people(prefix: str, project: UUID, count: int) -> list[UUID]:
    from annotation.models import Membership, User

    people = User.objects.bulk_create(
        [User(username=f"{prefix}-{n}", password="!") for n in range(count)], batch_size=2000
    )
    Membership.objects.bulk_create(
        [Membership(project_id=project, user=person, role="annotator") for person in people], batch_size=2000
    )
    return [person.pk for person in people]


def answered(project: UUID, person: UUID, count: int) -> None:
    """Add answers to the first tasks in the queue, each of which still needs two answers from other
    annotators."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO annotation_assignment (id, task_id, project_id, annotator_id, state, token,"
            " shown_order, leased_at, expires_at, draft_version, skip_reason, idempotency_key, answer_digest)"
            " SELECT gen_random_uuid(), id, project_id, %s, 'submitted', gen_random_uuid(), '{}', now(),"
            " now(), 0, '', '', '' FROM annotation_rankingtask WHERE project_id = %s ORDER BY id LIMIT %s",
            [person, project, count],
        )
        cursor.execute("ANALYZE annotation_assignment")


_barrier: Barrier


def remember(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def claims(job: tuple[str, list[UUID], float]) -> list[float]:
    from annotation.desk import allocation
    from annotation.models import Project, User

    slug, people, seconds = job
    project = Project.objects.get(slug=slug)
    _barrier.wait()
    end, times = time.perf_counter() + seconds, []
    for person in people:
        began = time.perf_counter()
        if began > end:
            break
        if not allocation.claim_tasks(project=project, annotator=User(pk=person)):
            raise SystemExit("a claim returned no task")
        times.append(time.perf_counter() - began)
    return times


def lone_claims(slug: str, person: UUID) -> list[float]:
    from annotation.desk import allocation
    from annotation.models import Assignment, Project, User

    project, times = Project.objects.get(slug=slug), []
    for _ in range(LONE_CLAIMS):
        began = time.perf_counter()
        held = next(iter(allocation.claim_tasks(project=project, annotator=User(pk=person))), None)
        times.append(time.perf_counter() - began)
        if held is None:
            raise SystemExit("the single annotator got no task")
        Assignment.objects.filter(pk=held.pk).update(state="submitted")
    return times


def quantiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{1000 * cuts[49]:7.1f} {1000 * cuts[98]:5.1f}"


if __name__ == "__main__":
    main()
