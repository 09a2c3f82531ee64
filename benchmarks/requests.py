"""Measure how long annotators wait for claim and submit requests over HTTP.

    .venv/bin/python -m benchmarks.requests [--annotators 1 16] [--drains 1x600 3x200] [--think 0]

Each row is for one project, whose tasks have four responses. For example, `3x200` means overlap 3 and 200
tasks. All projects are on one temporary embedded stack. Every annotator claims tasks and submits answers
until no task is left. `--think` is the number of seconds between answers; 0 is the worst case.

Afterwards, the benchmark counts the answers beyond a task's overlap, the missing answers, and the repeated
answers to a task by the same annotator. All three counts must be zero. The targets without pauses are 60
answers/s from 16 annotators, and a 95th percentile of 250 ms for claim and submit requests. With a second of
thinking time, the target for this percentile is 50 ms.

For 16 annotators without pauses, the last column is the speed relative to Label Studio, the fastest
comparable tool for which all three counts were zero. In Label Studio, 16 annotators completed the project
`1x600` at 4 answers/s, with 8 gunicorn workers and Postgres 15, on the same kind of machine. This figure was
measured separately, because this benchmark can't run Label Studio.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psycopg

from embedded.state import StateFolder
from training.simulation.annotators import ApiClient

ROOT = Path(__file__).resolve().parent.parent
RESPONSES = 4
READY_SECONDS = 90.0
PEER_ANSWERS_PER_SECOND = 4.0


def manage(state: Path, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments, "--json"],
        cwd=ROOT,
        env=os.environ | {"RANKLOOP_STATE": str(state)},
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def start_stack(state: Path, output: Path) -> tuple[subprocess.Popen[bytes], str]:
    environment = os.environ | {"RANKLOOP_STATE": str(state), "PORT": "0"}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded", "up", "--no-demo"], cwd=ROOT, env=environment, stdout=stream
        )
    deadline = time.monotonic() + READY_SECONDS
    while not (found := re.search(r"ready at (\S+)", output.read_text())):
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"The stack did not start: {output.read_text()}")
        time.sleep(0.1)
    return process, found[1]


def fill(state: Path, slug: str, overlap: int, tasks: int, file: Path) -> None:
    lines = (
        {
            "prompt": f"{slug}: question {n}?",
            "responses": [f"Answer {k} to {n}. " * 20 for k in range(RESPONSES)],
        }
        for n in range(tasks)
    )
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    manage(state, "create_project", slug, "--preset", "ranking", "--overlap", str(overlap))
    manage(state, "import_responses", str(file), "--project", slug)


def drain(url: str, slug: str, tokens: list[str], think: float) -> tuple[list[float], list[float], float]:
    """Rank all tasks of the project. Return the durations, in seconds, of every claim request, of every
    submit request and of the whole drain."""
    claims: list[float] = []
    submits: list[float] = []

    def work(number: int, token: str) -> None:
        client = ApiClient(url, token)
        time.sleep(think * number / len(tokens))  # annotators start at different times
        while True:
            began = time.perf_counter()
            status, assignment = client.call("POST", f"/api/v1/projects/{slug}/assignments/next", {})
            if status == 204:
                return client.close()
            claims.append(time.perf_counter() - began)
            answer = {
                "token": assignment["token"],
                "tiers": [[response["id"]] for response in reversed(assignment["responses"])],
                "touched": True,
                "duration_ms": 1000,
            }
            began = time.perf_counter()
            status, body = client.call(
                "POST",
                f"/api/v1/assignments/{assignment['id']}/submit",
                answer,
                {"Idempotency-Key": str(uuid.uuid4())},
            )
            submits.append(time.perf_counter() - began)
            if status != 201:
                raise SystemExit(f"submit answered {status}: {body}")
            time.sleep(think)

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=numbered) for numbered in enumerate(tokens)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return claims, submits, time.perf_counter() - began


COUNTS = """
WITH said AS (
    SELECT t.id, t.overlap, count(r.id) AS answers, count(r.id) - count(DISTINCT r.annotator_id) AS repeats
      FROM annotation_project p JOIN annotation_rankingtask t ON t.project_id = p.id
      LEFT JOIN annotation_ranking r ON r.task_id = t.id
     WHERE p.slug = %s GROUP BY t.id
)
SELECT sum(greatest(answers - overlap, 0)), sum(greatest(overlap - answers, 0)), sum(repeats) FROM said
"""


def counts(state: Path, slug: str) -> tuple[int, int, int]:
    """The numbers of excess answers, missing answers, and repeated answers to a task by the same
    annotator."""
    running = StateFolder(state.resolve()).running()
    if running is None:
        raise SystemExit("The stack has stopped.")
    with psycopg.connect(running.database_url) as connection:
        over, under, repeats = connection.execute(COUNTS, [slug]).fetchone() or (0, 0, 0)
    return int(over), int(under), int(repeats)


def quantiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{1000 * cuts[49]:6.0f} {1000 * cuts[94]:6.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotators", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--drains", nargs="+", default=["1x600", "3x200"], metavar="OVERLAPxTASKS")
    parser.add_argument(
        "--think", type=float, default=0.0, help="seconds between an answer and the next claim"
    )
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    stack, url = start_stack(home / "state", home / "output")
    try:
        print(
            "annotators  drain   answers/s  claim p50 p95 ms   submit p50 p95 ms   over under repeats  × peer"
        )
        for count, kind in itertools.product(options.annotators, options.drains):
            overlap, tasks = map(int, kind.split("x"))
            if count < overlap:
                continue
            slug = f"drain-{count}-{kind}"
            fill(home / "state", slug, overlap, tasks, home / "responses.jsonl")
            tokens = [
                str(manage(home / "state", "create_user", f"{slug}-{n}", "--project", slug)["token"])
                for n in range(count)
            ]
            claims, submits, seconds = drain(url, slug, tokens, options.think)
            times = f"{quantiles(claims):>15}   {quantiles(submits):>17}"
            wrong = "{:6d} {:5d} {:7d}".format(*counts(home / "state", slug))
            rate = len(submits) / seconds
            ratio = f"{rate / PEER_ANSWERS_PER_SECOND:7.1f}" if count == 16 and not options.think else ""
            print(f"{count:10d}  {kind:6} {rate:10.1f}   {times} {wrong} {ratio}", flush=True)
    finally:
        stack.terminate()
        stack.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
