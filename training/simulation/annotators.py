"""Simulated annotators, which use the HTTP API like a user's script and rank with a judge function."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from training import demo_world
from training.rlhf.core.messages import Messages
from training.simulation.answers import other_parts

Judge = Callable[[Messages, str], float]

TIMEOUT_SECONDS = 30.0
TRIES = 6
FIRST_PAUSE_SECONDS = 0.2  # doubled with each retry
WORTH_RETRYING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, 500, 502, 503, 504})
# Responses are tied if their points differ by less than SAME_POINTS, because floating-point sums are rounded.
SAME_POINTS = 1e-9

JUDGES: dict[str, Judge] = {
    "gold": demo_world.gold_reward,
    "length": lambda messages, text: float(len(text)),
}


class ApiError(Exception):
    """Raised if the API refuses a request or can't be reached. The message gives the reason."""


@dataclass
class Tally:
    """The combined results of all annotators. `stopped` contains the annotators who get no further tasks,
    each with the reason: a limit, a paused project or a failed qualification."""

    rankings: int = 0
    refused: int = 0
    by_annotator: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class ApiClient:
    """One user's persistent connection to the API. The client retries failed requests, so every call must be
    safe to repeat."""

    def __init__(self, url: str, token: str, timeout: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        self._timeout = timeout
        self._secure = parts.scheme == "https"
        self._host, self._prefix = parts.netloc, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request and return (status, decoded body). Raises ApiError if the server remains unreachable
        or keeps returning errors."""
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                status, text = self._send(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = f"{type(error).__name__}: {error}"
                continue
            if status not in WORTH_RETRYING:
                return status, json.loads(text) if text else None
            problem = f"HTTP {status}: {text[:300]}"
        raise ApiError(f"{method} {path} failed {TRIES} times. The last error: {problem}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, str]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, timeout=self._timeout)
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, self._prefix + path, sent, self._headers | dict(headers))
        response = self._connection.getresponse()
        return response.status, response.read().decode("utf-8")


def annotate(
    *,
    url: str,
    project: str,
    tokens: Mapping[str, str],
    judge: Judge,
    noise: float = 0.0,
    limit: int | None = None,
    seed: int = 0,
    told: Callable[[int], None] = lambda done: None,
) -> Tally:
    """Let all annotators in `tokens` rank concurrently until no task is left or `limit` rankings are done.

    `noise` is the share of rankings with a random order instead of the judge's order. On average, the share
    of pairs in reverse order is therefore `noise` / 2. `told` is called with the number of rankings so far.
    Raises ApiError.
    """
    if not 0 <= noise <= 1:
        raise ValueError(f"noise must be from 0 to 1, not {noise}")
    tally, lock, started = Tally(), threading.Lock(), time.monotonic()
    budget = itertools.count() if limit is None else iter(range(limit))

    def work(name: str, token: str) -> None:
        client, rng = ApiClient(url, token), random.Random(f"{seed} {name}")
        try:
            stop = partial(tally.stopped.__setitem__, name)
            for assignment in claimed(client, project, budget, lock, stop):
                accepted = submit(client, assignment, answer(assignment, judge, noise, rng))
                with lock:
                    tally.rankings += accepted
                    tally.refused += not accepted
                    tally.by_annotator[name] = tally.by_annotator.get(name, 0) + accepted
                    told(tally.rankings)
        finally:
            client.close()

    with ThreadPoolExecutor(max_workers=len(tokens), thread_name_prefix="annotator") as pool:
        for result in [pool.submit(work, name, token) for name, token in tokens.items()]:
            result.result()
    tally.seconds = time.monotonic() - started
    return tally


def claimed(
    client: ApiClient,
    project: str,
    budget: Iterable[int],
    lock: threading.Lock,
    stop: Callable[[str], None],
) -> Iterable[dict[str, Any]]:
    """Yield assignments until the API has no tasks left or the shared budget is used up. `stop` is called
    with the reason if the project gives this annotator no more tasks."""
    while True:
        with lock:
            if next(iter(budget), None) is None:
                return
        status, body = client.call("POST", f"/api/v1/projects/{project}/assignments/next", {})
        if status == HTTPStatus.NO_CONTENT:
            return
        if status == HTTPStatus.CONFLICT:
            return stop(reason(body))
        if status != HTTPStatus.OK:
            raise ApiError(f"The API refused to assign a task (HTTP {status}): {reason(body)}")
        yield body


def submit(client: ApiClient, assignment: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Submit an answer and return whether it was stored; False if the lease had expired. Raises ApiError for
    an invalid answer."""
    # All retries use the same idempotency key, so that at most one ranking is stored.
    key = {"Idempotency-Key": str(uuid.uuid4())}
    status, said = client.call("POST", f"/api/v1/assignments/{assignment['id']}/submit", body, key)
    if status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        return True
    if status == HTTPStatus.CONFLICT:
        return False
    raise ApiError(f"The API refused an answer (HTTP {status}): {reason(said)}")


def answer(assignment: Mapping[str, Any], judge: Judge, noise: float, rng: random.Random) -> dict[str, Any]:
    """Return the judge's answer to the assignment, with everything that the form requires. With probability
    `noise`, the answer is random instead."""
    started = time.monotonic()
    messages = assignment["task"]["prompt"]["messages"]
    responses = list(assignment["responses"])
    # If ties are not allowed, responses with equal points must not stay in the order of the API's list.
    rng.shuffle(responses)
    points: dict[str, float] | None = None
    if rng.random() < noise:
        tiers = [[response["id"]] for response in responses]
    else:
        points = {response["id"]: judge(messages, response["text"]) for response in responses}
        tiers = tiers_by(points, ties=bool(assignment["form"]["ties"]))
    milliseconds = int((time.monotonic() - started) * 1000)
    said = other_parts(assignment, tiers, points, rng)
    return {"token": assignment["token"], **said, "touched": True, "duration_ms": milliseconds}


def tiers_by(points: Mapping[str, float], *, ties: bool) -> list[list[str]]:
    """Return the response IDs in tiers, by descending points. Responses with equal points share a tier if
    ties are allowed."""
    tiers: list[list[str]] = []
    for name in sorted(points, key=lambda name: -points[name]):
        if ties and tiers and points[tiers[-1][0]] - points[name] <= SAME_POINTS:
            tiers[-1].append(name)
        else:
            tiers.append([name])
    return tiers


def reason(body: Any) -> str:
    """Return the detail of a problem document, followed by the reason for each field."""
    if not isinstance(body, dict):
        return str(body)[:300]
    errors: Sequence[Mapping[str, str]] = body.get("errors") or []
    fields = "; ".join(f"{error['field']}: {error['reason']}" for error in errors)
    return " ".join(filter(None, [str(body.get("detail", "")), fields]))
