"""Measure how much background work delays annotators.

    .venv/bin/python -m benchmarks.background_load [--annotators 8] [--think 5] [--seconds 120] [--rounds 3]

Annotators claim and submit over HTTP on one temporary embedded stack, with `--think` seconds between an
answer and the next claim. Their project has 5,000 open tasks and `--rankings` rankings. Each round measures
the annotators' requests in several phases:

* idle: nothing else runs.
* import: a worker imports comparisons of the same length as those in hh-rlhf.
* all: in addition, 20 managers repeatedly request the quality report, and an admin freezes snapshots.
* hung broker: Valkey is suspended (SIGSTOP), and the health check is requested every second.

The target is a 95th percentile (p95) of at most 1.5 times the p95 without background work.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.imports import Writer
from benchmarks.requests import fill, manage, start_stack
from training.simulation.annotators import ApiClient, ApiError

DESK = "desk"
ROWS = 800_000
MANAGERS = 20
PHASES = ("idle", "import", "all", "hung broker")


class Desk:
    """Annotators who work until `stopped` is set. A request's duration is recorded under the current `phase`.
    Requests during which the phase changes are not recorded."""

    def __init__(self, url: str, tokens: list[str], think: float) -> None:
        self.phase = "warm-up"
        self.seconds: dict[tuple[str, str], list[float]] = {}
        self.stopped = threading.Event()
        self._url, self._think = url, think
        self._threads = [
            threading.Thread(target=self._work, args=(think * number / len(tokens), token))
            for number, token in enumerate(tokens)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def _timed(self, kind: str, call: Callable[..., Any], *arguments: Any) -> Any:
        phase, began = self.phase, time.perf_counter()
        result = call(*arguments)
        if phase == self.phase:
            self.seconds.setdefault((phase, kind), []).append(time.perf_counter() - began)
        return result

    def _work(self, delay: float, token: str) -> None:
        client = ApiClient(self._url, token)
        time.sleep(delay)
        while not self.stopped.is_set():
            place = f"/api/v1/projects/{DESK}/assignments/next"
            _, held = self._timed("claim", client.call, "POST", place, {})
            answer = {
                "token": held["token"],
                "tiers": [[response["id"]] for response in held["responses"]],
                "touched": True,
                "duration_ms": 1000,
            }
            # The server closes a connection that is idle for five seconds. If such a connection were reused,
            # the measured time would include a retry.
            client.close()
            time.sleep(self._think)
            key = {"Idempotency-Key": str(uuid.uuid4())}
            place = f"/api/v1/assignments/{held['id']}/submit"
            self._timed("submit", client.call, "POST", place, answer, key)
        client.close()


def queue_import(url: str, token: str, slug: str, file: Path) -> str:
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
        "Content-Type: application/gzip\r\n\r\n"
    )
    body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    connection.request("POST", f"/api/v1/projects/{slug}/imports/", body, headers)
    response = connection.getresponse()
    document = json.loads(response.read())
    if response.status != 202:
        raise SystemExit(f"The import was refused: {document}")
    return str(document["id"])


def until(client: ApiClient, id: str, states: set[str]) -> dict[str, Any]:
    while True:
        _, found = client.call("GET", f"/api/v1/imports/{id}/", None)
        if found["state"] in states:
            return dict(found)
        time.sleep(0.5)


class Reports:
    """Managers who repeatedly request the quality report, and an admin who freezes snapshots. They run in a
    separate process, because reading their responses in this process would delay the measured requests."""

    def __init__(self, url: str, managers: list[str], admin: str) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._stopped, self._found = spawning.Event(), spawning.Queue()
        self._process = spawning.Process(
            target=_request, args=[url, managers, admin, self._stopped, self._found]
        )
        self._process.start()

    def stop(self) -> tuple[list[float], list[float]]:
        """Stop the requests. Return the durations of the reports and of the snapshots, in seconds."""
        self._stopped.set()
        reports, snapshots = self._found.get()
        self._process.join()
        return reports, snapshots


def _request(url: str, managers: list[str], admin: str, stopped: Event, found: Queue[Any]) -> None:
    reports: list[float] = []
    snapshots: list[float] = []

    def repeat(token: str, method: str, place: str, expected: HTTPStatus, durations: list[float]) -> None:
        # Under this load, a snapshot takes longer than the client's usual timeout, and if the client
        # disconnected, the server would abandon the snapshot.
        client = ApiClient(url, token, timeout=600)
        while not stopped.is_set():
            body = {"name": f"snapshot-{uuid.uuid4()}"} if method == "POST" else None
            began = time.perf_counter()
            status, answer = client.call(method, f"/api/v1/projects/{DESK}/{place}", body)
            if status != expected:
                raise SystemExit(f"{method} {place} answered {status}: {answer}")
            durations.append(time.perf_counter() - began)
            client.close()

    threads = [
        threading.Thread(target=repeat, args=(token, "GET", "quality/", HTTPStatus.OK, reports))
        for token in managers
    ]
    threads.append(
        threading.Thread(target=repeat, args=(admin, "POST", "snapshots/", HTTPStatus.CREATED, snapshots))
    )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put((reports, snapshots))


@contextmanager
def hung_broker(state: Path, client: ApiClient) -> Iterator[None]:
    process = int((state / "valkey" / "valkey.pid").read_text())
    stopped = threading.Event()

    def check() -> None:
        while not stopped.wait(1.0):
            with suppress(ApiError):  # the expected status is 503
                client.call("GET", "/healthz", None)

    checks = threading.Thread(target=check)
    os.kill(process, signal.SIGSTOP)
    checks.start()
    try:
        yield
    finally:
        stopped.set()
        checks.join()
        os.kill(process, signal.SIGCONT)


def ranked_rows(path: Path, rankings: int) -> None:
    """Write rankings of four responses. Two of 20 annotators rank each set of responses."""
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(rankings):
            order = sorted(range(4), key=lambda place: place + draw.gauss(0, 2))
            row = {
                "prompt": f"Question {number // 2}?",
                "responses": [f"Answer {place}. " * (20 + place) for place in range(4)],
                "tiers": [[place] for place in order],
                "annotator": f"annotator-{(number // 2 + number % 2 * (1 + number // 2 % 19)) % 20}",
            }
            file.write(json.dumps(row) + "\n")


def p(seconds: list[float], percent: int) -> float:
    return 1000 * statistics.quantiles(seconds, n=100)[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--think", type=float, default=5.0)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rankings", type=int, default=60_000)
    parser.add_argument("--phases", nargs="+", choices=PHASES[1:], default=PHASES[1:])
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    state = home / "state"
    file = home / "pairs.jsonl.gz"
    Writer(0).write(file, ROWS)
    stack, url = start_stack(state, home / "output")
    working: Desk | None = None
    try:
        fill(state, DESK, 1, 5000, home / "responses.jsonl")
        ranked_rows(home / "ranked.jsonl", options.rankings)
        manage(state, "import_responses", str(home / "ranked.jsonl"), "--project", DESK)
        tokens = [
            str(manage(state, "create_user", f"worker-{n}", "--project", DESK)["token"])
            for n in range(options.annotators)
        ]
        admins = [
            str(manage(state, "create_user", f"admin-{n}", "--admin")["token"]) for n in range(MANAGERS + 1)
        ]
        client = ApiClient(url, admins[0])
        desk = working = Desk(url, tokens, options.think)
        time.sleep(2 * options.think)
        ratios: dict[tuple[str, str], list[float]] = {}
        pooled: dict[tuple[str, str], list[float]] = {}
        print(f"{'round':6}{'request':8}{'phase':12}{'number':>8}{'p50 ms':>8}{'p95 ms':>8}{'× idle':>8}")
        for number in range(1, options.rounds + 1):
            desk.seconds.clear()
            measure(desk, "idle", options.seconds)
            if {"import", "all"} & set(options.phases):
                slug = f"bulk-{number}"
                manage(state, "create_project", slug, "--preset", "ranking")
                id = queue_import(url, admins[0], slug, file)
                until(client, id, {"running"})
                time.sleep(2)
                if "import" in options.phases:
                    measure(desk, "import", options.seconds)
                    rows = until(client, id, {"running", "succeeded"})["progress"]["read"]
                    print(f"{number:<6}rows imported: {rows:,}")
                if "all" in options.phases:
                    reports = Reports(url, admins[1:], admins[0])
                    time.sleep(2)
                    measure(desk, "all", options.seconds)
                    found = until(client, id, {"running", "succeeded"})
                    print(f"{number:<6}import after both phases: {found['state']}", flush=True)
                    for name, durations in zip(("reports", "snapshots"), reports.stop(), strict=True):
                        print(f"{number:<6}{name}: {len(durations)}, {p50_of(durations)}")
                client.call("POST", f"/api/v1/imports/{id}/cancel", {})
                until(client, id, {"succeeded", "cancelled"})
            if "hung broker" in options.phases:
                with hung_broker(state, client):
                    measure(desk, "hung broker", options.seconds)
            for kind in ("claim", "submit"):
                idle = p(desk.seconds["idle", kind], 95)
                for phase in ("idle", *options.phases):
                    times = desk.seconds[phase, kind]
                    ratio = p(times, 95) / idle
                    ratios.setdefault((kind, phase), []).append(ratio)
                    pooled.setdefault((kind, phase), []).extend(times)
                    print(
                        f"{number:<6}{kind:8}{phase:12}{len(times):8}{p(times, 50):8.1f}{p(times, 95):8.1f}"
                        f"{ratio:8.2f}",
                        flush=True,
                    )
        for (kind, phase), found_ratios in ratios.items():
            all_rounds = p(pooled[kind, phase], 95) / p(pooled[kind, "idle"], 95)
            each = ", ".join(f"{ratio:.2f}" for ratio in found_ratios)
            print(f"{kind}, {phase}: p95 × idle: {each}; all rounds together: {all_rounds:.2f}")
    finally:
        if working is not None:
            working.stop()
        stack.terminate()
        stack.wait()
        shutil.rmtree(home, ignore_errors=True)


def measure(desk: Desk, phase: str, seconds: float) -> None:
    desk.phase = phase
    time.sleep(seconds)
    desk.phase = "between phases"


def p50_of(seconds: list[float]) -> str:
    return f"p50 {statistics.median(seconds):.1f} s" if seconds else "none was finished"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
