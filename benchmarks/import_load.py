"""Measure how much a large import delays annotators.

    .venv/bin/python -m benchmarks.import_load [--annotators 8] [--think 5] [--seconds 120] [--rounds 3]

Annotators claim and submit over HTTP on one temporary embedded stack, with `--think` seconds between an
answer and the next claim. In each round, the requests are first measured without an import and then during an
import of comparisons as long as those of hh-rlhf. The import worker runs at nice 19. The target is a 95th
percentile (p95) during the import of at most 1.5 times the p95 without an import.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.imports import Writer
from benchmarks.requests import fill, manage, start_stack
from training.simulation.annotators import ApiClient

DESK = "desk"
ROWS = 400_000
PHASES = ("idle", "import")


class Desk:
    """Annotators who work until `stopped` is set. Each request's duration is filed under the current
    `phase`."""

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
            # The server closes a connection that is idle for five seconds. Reusing it would measure a retry.
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
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # Postgres started by root runs as `nobody`, which needs access to this folder
    file = home / "pairs.jsonl.gz"
    Writer(0).write(file, ROWS)
    stack, url = start_stack(home / "state", home / "output")
    working: Desk | None = None
    try:
        fill(home / "state", DESK, 1, 5000, home / "responses.jsonl")
        tokens = [
            str(manage(home / "state", "create_user", f"annotator-{n}", "--project", DESK)["token"])
            for n in range(options.annotators)
        ]
        admin = str(manage(home / "state", "create_user", "ada", "--admin")["token"])
        client = ApiClient(url, admin)
        desk = working = Desk(url, tokens, options.think)
        time.sleep(2 * options.think)
        ratios: dict[str, list[float]] = {"claim": [], "submit": []}
        print(f"{'round':6}{'request':8}{'phase':8}{'number':>8}{'p50 ms':>8}{'p95 ms':>8}")
        for number in range(1, options.rounds + 1):
            desk.seconds.clear()
            desk.phase = "idle"
            time.sleep(options.seconds)
            desk.phase = "queueing"
            slug = f"bulk-{number}"
            manage(home / "state", "create_project", slug, "--preset", "ranking")
            id = queue_import(url, admin, slug, file)
            until(client, id, {"running"})
            time.sleep(2)
            desk.phase = "import"
            time.sleep(options.seconds)
            rows = until(client, id, {"running", "succeeded"})["progress"]["read"]
            desk.phase = "cancelling"
            client.call("POST", f"/api/v1/imports/{id}/cancel", {})
            until(client, id, {"succeeded", "cancelled"})
            for kind in ratios:
                for phase in PHASES:
                    times = desk.seconds[phase, kind]
                    print(f"{number:<6}{kind:8}{phase:8}{len(times):8}{p(times, 50):8.1f}{p(times, 95):8.1f}")
                ratio = p(desk.seconds["import", kind], 95) / p(desk.seconds["idle", kind], 95)
                ratios[kind].append(ratio)
            print(f"{number:<6}rows imported in {options.seconds} s: {rows:,}", flush=True)
        for kind, found in ratios.items():
            print(f"{kind}: p95 during the import, × idle: {', '.join(f'{ratio:.2f}' for ratio in found)}")
    finally:
        if working is not None:
            working.stop()
        stack.terminate()
        stack.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
