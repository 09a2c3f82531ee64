"""Simulated annotators use the HTTP API and rank as their judge does, with the requested noise."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any, Protocol

import pytest
from django.core.management import CommandError, call_command

from annotation.forms.presets import PRESETS
from annotation.models import ApiToken, Comparison, Project, Ranking, RankingTask
from annotation.projects.projects import create_project, update_project
from tests.conftest import name_test_database
from training.simulation import annotators
from training.simulation.annotators import ApiClient, ApiError
from training.simulation.answers import best_few, rating_of
from training.simulation.webserver import reachable_web

N_TASKS = 12


class Simulated(Protocol):
    def __call__(self, project: Project, **options: Any) -> dict[str, Any]: ...


def simulated_with_an_own_server(project: Project, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("simulate_annotators", project=project.slug, json=True, stdout=out, **options)
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


@pytest.fixture(scope="module")
def web(django_db_setup: None) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        name_test_database(environment)
        with reachable_web(None) as url:
            yield url


@pytest.fixture
def simulated(web: str) -> Simulated:
    return partial(simulated_with_an_own_server, url=web)


@pytest.fixture
def ranked_by_length(
    test_database: None, project: Project, add_tasks: Callable[..., list[RankingTask]]
) -> Project:
    """A project with tasks for simulated annotators. The annotators rank responses by length."""
    add_tasks(project, N_TASKS, k=4, overlap=2)
    return project


def test_simulation_ranks_every_task_as_often_as_its_overlap_requires(
    ranked_by_length: Project, simulated: Simulated
) -> None:
    said = simulated_with_an_own_server(ranked_by_length, annotators=3, judge="length")
    assert said["rankings"] == 2 * N_TASKS == Ranking.objects.count()
    assert said["refused"] == 0
    assert sum(said["annotators"].values()) == 2 * N_TASKS
    assert RankingTask.objects.filter(state="done").count() == N_TASKS
    for ranking in Ranking.objects.prefetch_related("task__responses"):
        texts = {str(response.id): response.text for response in ranking.task.responses.all()}
        lengths = [{len(texts[name]) for name in tier} for tier in ranking.tiers]
        assert all(len(tier) == 1 for tier in lengths)  # equal lengths are tied
        assert lengths == sorted(lengths, key=max, reverse=True)  # longer responses come first
        assert ranking.source == "api"
        assert ranking.touched
    assert said["comparisons"] == Comparison.objects.count() == 2 * N_TASKS * 6
    assert not ApiToken.objects.filter(revoked_at=None).exists()  # every token is revoked

    assert simulated(ranked_by_length, annotators=3, judge="length")["rankings"] == 0  # no tasks remain


@pytest.mark.parametrize("preset", PRESETS)
def test_simulation_can_answer_the_form_of_every_preset(
    test_database: None, add_tasks: Callable[..., list[RankingTask]], preset: str, simulated: Simulated
) -> None:
    project = create_project(slug="any", preset=preset)
    add_tasks(project, 4, k=PRESETS[preset].responses.min)
    said = simulated(project, annotators=2, judge="length", noise=0.5)
    assert (said["rankings"], said["refused"]) == (4, 0)


def test_simulation_fills_every_required_field(
    test_database: None, add_tasks: Callable[..., list[RankingTask]], simulated: Simulated
) -> None:
    project = create_project(slug="any")
    levels = [{"value": value, "label": str(value)} for value in (1, 2, 3)]
    form = {
        "top_k": {"at_least": 1, "at_most": 2},
        "strength": {"levels": levels, "required": True},
        "confidence": {"levels": levels, "required": True},
        "comment": {"label": "Why?", "required": True},
        "rewrite": {"label": "Better", "required": True},
    }
    update_project(project=project, changes={"form": form})
    add_tasks(project, 3, k=5)
    assert simulated(project, annotators=1, judge="length")["rankings"] == 3
    for ranking in Ranking.objects.all():
        assert sum(map(len, ranking.tiers)) == 2
        assert all((ranking.strength or len(ranking.tiers) == 1, ranking.confidence, ranking.comment))


def test_simulation_stops_at_the_limit(ranked_by_length: Project, simulated: Simulated) -> None:
    assert simulated(ranked_by_length, annotators=4, judge="length", limit=5)["rankings"] == 5
    assert Ranking.objects.count() == 5


def test_annotator_without_further_tasks_stops_with_a_reason(
    ranked_by_length: Project, simulated: Simulated, web: str
) -> None:
    update_project(project=ranked_by_length, changes={"max_per_annotator": 3})
    said = simulated(ranked_by_length, annotators=2, judge="length")
    assert said["annotators"] == {"sim-1": 3, "sim-2": 3}
    assert said["stopped"].keys() == {"sim-1", "sim-2"}
    assert "3 tasks, the most that one person can answer in this project" in said["stopped"]["sim-1"]

    update_project(project=ranked_by_length, changes={"state": "paused"})
    out = StringIO()
    call_command("simulate_annotators", project="support", judge="length", annotators=1, url=web, stdout=out)
    assert "0 rankings" in out.getvalue()
    assert "sim-1 was assigned no more tasks: The project support is paused" in out.getvalue()


def test_invalid_arguments_are_rejected_before_any_request(ranked_by_length: Project) -> None:
    for wrong in ({"noise": 1.5}, {"annotators": 0}):
        with pytest.raises(CommandError):
            call_command("simulate_annotators", project="support", **wrong)
    with pytest.raises(CommandError, match="no project 'typo'"):
        call_command("simulate_annotators", project="typo")
    assert not ApiToken.objects.exists()


def test_gold_judge_rejects_prompts_from_outside_the_demo_world(ranked_by_length: Project, web: str) -> None:
    with pytest.raises(CommandError, match=r"gold judge can't rank .* order 0"):
        call_command("simulate_annotators", project="support", judge="gold", annotators=1, url=web)
    assert not Ranking.objects.exists()
    assert not ApiToken.objects.filter(revoked_at=None).exists()


def assignment(*texts: str, ties: bool = True) -> dict[str, Any]:
    responses = [{"id": text, "text": text} for text in texts]
    prompt = {"messages": [{"role": "user", "content": "?"}]}
    return {"token": "t", "task": {"prompt": prompt}, "responses": responses, "form": {"ties": ties}}


def length(messages: Any, text: str) -> float:
    return float(len(text))


def test_responses_with_equal_points_share_a_tier_only_if_ties_are_allowed() -> None:
    rng = random.Random(0)
    assert annotators.answer(assignment("aaa", "bb", "cc"), length, 0.0, rng)["tiers"][0] == ["aaa"]
    tied = annotators.answer(assignment("aaa", "bb", "cc"), length, 0.0, rng)["tiers"]
    assert [sorted(tier) for tier in tied] == [["aaa"], ["bb", "cc"]]
    strict = annotators.answer(assignment("aaa", "bb", "cc", ties=False), length, 0.0, rng)["tiers"]
    assert [len(tier) for tier in strict] == [1, 1, 1]


def test_noise_reverses_half_of_the_affected_pairs() -> None:
    rng, n = random.Random(0), 4000
    for noise in (0.0, 0.4, 1.0):
        answers = [annotators.answer(assignment("a", "bb"), length, noise, rng) for _ in range(n)]
        flipped = sum(answer["tiers"] == [["a"], ["bb"]] for answer in answers) / n
        # The tolerance is four standard errors of a proportion near one half.
        assert abs(flipped - noise / 2) < 4 * 0.5 / n**0.5


@pytest.fixture
def flaky() -> Iterator[tuple[str, list[int], list[str]]]:
    """Three values: the address of a server that answers each request with the next status in a queue, this
    queue, and the idempotency keys that the server has received."""
    statuses: list[int] = []
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            keys.append(self.headers.get("Idempotency-Key", ""))
            status = statuses.pop(0)
            if status == 0:  # close the connection without a response
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"id": "r", "detail": "why", "errors": []}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", statuses, keys
    server.shutdown()
    thread.join()
    server.server_close()


def test_failed_submission_is_retried_with_the_same_idempotency_key(
    flaky: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotators, "FIRST_PAUSE_SECONDS", 0.01)
    url, statuses, keys = flaky
    statuses += [503, 0, 429, 201]
    assert annotators.submit(ApiClient(url, "t"), {"id": "a"}, {}) is True
    assert len(keys) == 4
    assert len(set(keys)) == 1


def test_submit_returns_false_for_an_expired_lease_and_raises_other_errors(flaky: Any) -> None:
    url, statuses, _ = flaky
    statuses += [409, 422]
    assert annotators.submit(ApiClient(url, "t"), {"id": "a"}, {}) is False
    with pytest.raises(ApiError, match=r"HTTP 422.*why"):
        annotators.submit(ApiClient(url, "t"), {"id": "a"}, {})


def test_client_gives_up_on_a_broken_server(flaky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotators, "FIRST_PAUSE_SECONDS", 0.01)
    url, statuses, _ = flaky
    statuses += [500] * annotators.TRIES
    with pytest.raises(ApiError, match="HTTP 500"):
        annotators.submit(ApiClient(url, "t"), {"id": "a"}, {})
    assert statuses == []


def test_ratings_increase_with_points_within_the_scale() -> None:
    rated = [rating_of(points, 0, 4) for points in (-1e9, -1.0, 0.0, 1.0, 1e9)]
    assert rated == [0, 1, 2, 3, 4]


def test_limit_on_best_responses_can_split_a_tie() -> None:
    assert best_few([["a"], ["b", "c"], ["d"]], {"at_most": 2}) == [["a"], ["b"]]
    assert best_few([["a"], ["b", "c"], ["d"]], None) == [["a"], ["b", "c"], ["d"]]
