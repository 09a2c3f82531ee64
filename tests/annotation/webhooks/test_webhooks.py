"""Webhooks are recorded in the event's transaction, signed, retried, and logged with their outcomes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from annotation.datasets.snapshots import freeze_snapshot
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import (
    Project,
    RankingTask,
    User,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from annotation.models.webhook import WebhookEvent
from annotation.projects.projects import create_project
from annotation.webhooks import delivery as webhook_delivery
from annotation.webhooks import endpoints, safe_post
from annotation.webhooks.delivery import PAUSES, deliver_due
from annotation.webhooks.signing import new_secret
from config.celery import app
from config.problems import Conflict
from tests.annotation.answering import claim, strict_order
from tests.annotation.webhooks.receiver import LOOPBACK, Receiver, receiving
from training.loop.rounds import cancel_round
from training.models import Gate, Loop, ModelVersion, Round, StageChange, TrainingRun
from training.runs.transitions import cancel_run

ClientOf = Callable[[User | None], APIClient]
ALL = list(WebhookEvent.values)


@pytest.fixture
def subscribed(project: Project, receiver: Receiver) -> tuple[WebhookEndpoint, str]:
    """A webhook endpoint for every event, with the receiver's URL, and the endpoint's secret."""
    return endpoints.create_endpoint(project=project, url=receiver.url, events=ALL)


def _answer(project: Project, annotator: User) -> Any:
    assignment = claim(project, annotator)
    answer = strict_order(assignment.shown_order)
    return submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[0]


def _make_due() -> None:
    WebhookDelivery.objects.filter(state="pending").update(next_attempt_at=timezone.now())


def test_every_event_is_recorded_and_sent_with_a_valid_signature(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    receiver: Receiver,
    subscribed: tuple[WebhookEndpoint, str],
) -> None:
    _, secret = subscribed
    ranking = _answer(project, alice)
    revised, _ = revise_ranking(assignment=ranking.assignment, answer=strict_order(ranking.shown_order[::-1]))
    snapshot = freeze_snapshot(project=project, name="first")
    run = TrainingRun.objects.create(project=project, kind="sft", recipe={}, inputs={})
    cancel_run(run=run)
    model = ModelVersion.objects.create(project=project, name="m", kind="policy", base_model="b", path="m")
    gate = Gate.objects.create(model=model)
    gate.project = create_project(slug="support-gate-1")
    gate.save()
    StageChange.objects.create(model=model, before="candidate", after="production", gate=gate)
    loop = Loop.objects.create(project=project)
    round = Round.objects.create(loop=loop, number=1, trigger="manual", new_comparisons=0, settings={})
    cancel_round(round=round, by=None)
    assert receiver.got == [], "nothing is sent during the request"
    assert deliver_due() == 8
    found = {
        (body["type"], body["data"].get("supersedes")): body["data"] for body in receiver.verified(secret)
    }
    assert {type for type, _ in found} == set(ALL)
    assert {data["project"] for data in found.values()} == {"support"}
    first = found["ranking.submitted", None]
    assert (first["ranking"], first["task"], first["kind"]) == (
        str(ranking.pk),
        str(ranking.task_id),
        "annotation",
    )
    assert found["ranking.submitted", str(ranking.pk)]["ranking"] == str(revised.pk)
    assert found["task.finished", None]["task"] == str(ranking.task_id)
    assert found["snapshot.frozen", None]["sha256"] == snapshot.sha256
    assert found["run.finished", None]["state"] == "cancelled"
    assert (found["gate.opened", None]["model"], found["model.promoted", None]["model"]) == ("m", "m")
    assert found["round.finished", None]["state"] == "cancelled"
    assert len(set(receiver.ids())) == 8
    assert all(id.startswith("msg_") for id in receiver.ids())
    assert set(WebhookDelivery.objects.values_list("state", "attempts")) == {("delivered", 1)}
    assert set(WebhookAttempt.objects.values_list("status", "error")) == {(204, "")}
    assert deliver_due() == 0


def test_rolled_back_and_unsubscribed_events_are_not_recorded(
    project: Project, tasks: list[RankingTask], alice: User, ben: User, receiver: Receiver
) -> None:
    endpoint, _ = endpoints.create_endpoint(project=project, url=receiver.url, events=["ranking.submitted"])
    with transaction.atomic():
        _answer(project, alice)
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()
    _answer(project, alice)
    assert list(WebhookDelivery.objects.values_list("event", flat=True)) == ["ranking.submitted"]
    endpoints.update_endpoint(endpoint=endpoint, changes={"state": "disabled"})
    _answer(project, ben)
    assert WebhookDelivery.objects.count() == 1
    assert deliver_due() == 0, "a disabled endpoint receives nothing"
    endpoints.update_endpoint(endpoint=endpoint, changes={"state": "active"})
    assert deliver_due() == 1


def test_wrong_secret_and_changed_body_fail_verification(
    project: Project, tasks: list[RankingTask], alice: User, receiver: Receiver, subscribed: Any
) -> None:
    _, secret = subscribed
    _answer(project, alice)
    deliver_due()
    headers, body = receiver.got[0]
    for key, text in (
        (new_secret(), body),
        (secret, body.replace(b"support", b"surprise")),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(text, headers)


def test_deliveries_are_signed_with_both_secrets_for_a_day_after_a_rotation(
    project: Project, tasks: list[RankingTask], alice: User, receiver: Receiver, subscribed: Any
) -> None:
    endpoint, former = subscribed
    _, secret = endpoints.rotate_secret(endpoint=endpoint)
    assert secret != former
    _answer(project, alice)
    deliver_due()
    assert receiver.verified(former) == receiver.verified(secret)
    receiver.got.clear()
    WebhookEndpoint.objects.update(former_secret_until=timezone.now())
    webhook_delivery.replay(delivery=WebhookDelivery.objects.select_related("endpoint").earliest("id"))
    deliver_due()
    receiver.verified(secret)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(former)


def test_failed_delivery_is_retried_with_the_same_id(
    project: Project, tasks: list[RankingTask], alice: User, receiver: Receiver
) -> None:
    endpoint, secret = endpoints.create_endpoint(
        project=project, url=receiver.url, events=["ranking.submitted"]
    )
    _answer(project, alice)
    receiver.answers = [500, 302, 200]
    receiver.location = receiver.url
    for attempt, (pause, error) in enumerate(
        zip(
            PAUSES,
            ("The endpoint responded with 500.", "The endpoint redirects, and redirects are not"),
            strict=False,
        ),
        start=1,
    ):
        before = timezone.now()
        assert deliver_due() == 1
        delivery = WebhookDelivery.objects.get()
        assert (delivery.state, delivery.attempts) == ("pending", attempt)
        assert delivery.next_attempt_at is not None
        assert 0.75 * pause < delivery.next_attempt_at - before < 1.25 * pause + timedelta(seconds=5)
        assert WebhookAttempt.objects.latest("id").error.startswith(error)
        assert deliver_due() == 0, "the retry is not due yet"
        _make_due()
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    assert deliver_due() == 1
    assert len(receiver.got) == 3, "a redirect is not followed"
    assert len(set(receiver.ids())) == 1
    assert len(receiver.verified(secret)) == 3
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None
    assert list(WebhookAttempt.objects.order_by("id").values_list("status", flat=True)) == [500, 302, 200]


def test_undeliverable_event_disables_its_endpoint_and_can_be_replayed_later(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    mona: User,
    receiver: Receiver,
    client_of: ClientOf,
) -> None:
    endpoint, _ = endpoints.create_endpoint(project=project, url=receiver.url, events=["ranking.submitted"])
    _answer(project, alice)
    receiver.answers = [503]
    for _ in range(len(PAUSES) + 1):
        assert deliver_due() == 1
        WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=3))
        _make_due()
    delivery = WebhookDelivery.objects.select_related("endpoint").get()
    assert (delivery.state, delivery.next_attempt_at) == ("dead", None)
    assert delivery.endpoint.state == "disabled"
    assert "10 attempts" in delivery.endpoint.disabled_reason
    client = client_of(mona)
    url = f"/api/v1/webhook-deliveries/{delivery.message_id}/replay"
    assert client.post(url).json()["type"] == "webhook-disabled"
    assert client.patch(f"/api/v1/webhooks/{endpoint.pk}/", {"state": "active"}).status_code == 200
    receiver.answers = [200]
    assert client.post(url).json()["state"] == "pending"
    assert deliver_due() == 1
    listed = client.get(f"/api/v1/webhooks/{endpoint.pk}/deliveries/").json()["results"]
    assert [(row["state"], len(row["attempts"])) for row in listed] == [("delivered", 11)]
    assert len(set(receiver.ids())) == 1


def test_status_410_disables_the_endpoint(
    project: Project, tasks: list[RankingTask], alice: User, receiver: Receiver
) -> None:
    endpoints.create_endpoint(project=project, url=receiver.url, events=["ranking.submitted"])
    _answer(project, alice)
    receiver.answers = [410]
    deliver_due()
    delivery = WebhookDelivery.objects.select_related("endpoint").get()
    assert (delivery.state, delivery.endpoint.state) == ("dead", "disabled")


def test_hanging_endpoint_does_not_delay_others(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(safe_post, "TOTAL_SECONDS", 0.5)
    with receiving() as hanging:
        hanging.answers = [30.0]
        for server in (hanging, receiver):
            endpoints.create_endpoint(project=project, url=server.url, events=["ranking.submitted"])
        _answer(project, alice)
        began = time.monotonic()
        assert deliver_due() == 2
        assert time.monotonic() - began < 5
    assert len(receiver.got) == 1
    errors = dict(WebhookAttempt.objects.values_list("delivery__endpoint__url", "error"))
    assert errors[hanging.url].startswith("No response within")
    assert errors[receiver.url] == ""


def test_response_that_arrives_byte_by_byte_times_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    monkeypatch.setattr(safe_post, "TOTAL_SECONDS", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        pid = os.fork()
        if pid == 0:  # a separate process that sends one byte every tenth of a second
            try:
                line, _ = server.accept()
                while True:
                    line.send(b"H")
                    time.sleep(0.1)
            finally:
                os._exit(0)
        try:
            outcome = safe_post.post(url, body=b"{}", headers={})
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert outcome.status is None
    assert outcome.error.startswith("No response within")
    assert outcome.latency_ms < 3000


def test_secret_is_shown_once_and_never_stored_unencrypted(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    url = "/api/v1/projects/support/webhooks/"
    body = {"url": "https://example.org/hook", "events": ["task.finished", "task.finished"]}
    made = client.post(url, body).json()
    assert made["secret"].startswith("whsec_")
    assert made["webhook"]["events"] == ["task.finished"]
    id = made["webhook"]["id"]
    changed = client.patch(f"/api/v1/webhooks/{id}/", {"events": ["run.finished"]})
    assert changed.json()["events"] == ["run.finished"]
    rotated = client.post(f"/api/v1/webhooks/{id}/rotate").json()["secret"]
    assert rotated != made["secret"]
    for text in (client.get(url).content, changed.content, _whole_database()):
        for secret in (made["secret"], rotated):
            assert secret.removeprefix("whsec_").encode() not in text
    assert client.patch(f"/api/v1/webhooks/{id}/", {"events": []}).status_code == 422


def _whole_database() -> bytes:
    entries = "(SELECT string_agg(a::text, ' ') FROM annotation_auditentry a)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT string_agg(e::text, ' ') || {entries} FROM annotation_webhookendpoint e")
        return str(cursor.fetchone()).encode()


def test_replay_requires_an_enabled_endpoint(project: Project, tasks: list[RankingTask], alice: User) -> None:
    endpoint, _ = endpoints.create_endpoint(
        project=project, url="https://example.org/", events=["ranking.submitted"]
    )
    _answer(project, alice)
    endpoints.update_endpoint(endpoint=endpoint, changes={"state": "disabled"})
    with pytest.raises(Conflict, match="disabled"):
        webhook_delivery.replay(delivery=WebhookDelivery.objects.select_related("endpoint").get())


def test_old_deliveries_are_deleted_unless_they_are_pending(
    project: Project, tasks: list[RankingTask], alice: User, ben: User, receiver: Receiver, subscribed: Any
) -> None:
    _answer(project, alice)
    deliver_due()
    WebhookDelivery.objects.update(finished_at=timezone.now() - timedelta(days=31))
    _answer(project, ben)
    WebhookDelivery.objects.filter(state="pending").update(created_at=timezone.now() - timedelta(days=99))
    webhook_delivery.forget_old()
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"pending"}


@pytest.mark.django_db(transaction=True)
def test_no_event_is_lost_if_a_worker_is_killed_during_a_delivery(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    """Starts the real worker twice. The first worker is killed while the receiver hangs. The second worker
    delivers the event."""
    _, secret = endpoints.create_endpoint(project=project, url=receiver.url, events=["ranking.submitted"])
    _answer(project, alice)
    receiver.answers = [60.0, 200]
    database = connection.settings_dict
    query = urlencode({"host": database["HOST"]})
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{database['USER']}@/{database['NAME']}?{query}")
    monkeypatch.setenv("RANKLOOP_WEBHOOK_NETWORKS", "127.0.0.0/8")
    worker = [
        *(sys.executable, "-m", "celery", "--app=config", "worker", "--pool=threads", "--concurrency=1"),
        *("--without-gossip", "--without-mingle", "--queues=default", "--loglevel=INFO"),
    ]

    def wait_for(happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not happened():
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()[-3000:]
            time.sleep(0.05)

    with (tmp_path / "worker.log").open("wb") as log:
        app.send_task("annotation.tasks.deliver_webhooks")
        first = subprocess.Popen(worker, stdout=log, stderr=log)
        try:
            wait_for(lambda: len(receiver.got) == 1)
        finally:
            first.kill()
            first.wait()
        assert WebhookDelivery.objects.get().state == "pending"
        assert deliver_due() == 0, "the delivery is still claimed by the killed worker"
        receiver.released.set()
        _make_due()
        app.send_task("annotation.tasks.deliver_webhooks")
        second = subprocess.Popen(worker, stdout=log, stderr=log)
        try:
            wait_for(lambda: WebhookDelivery.objects.get().state == "delivered")
        finally:
            second.terminate()
            second.wait(30)
    assert len(receiver.got) == 2
    assert len(set(receiver.ids())) == 1
    assert len(receiver.verified(secret)) == 2


def test_test_event_is_sent_to_one_endpoint_regardless_of_its_subscriptions(
    project: Project, mona: User, client_of: ClientOf, receiver: Receiver
) -> None:
    endpoint, secret = endpoints.create_endpoint(
        project=project, url=receiver.url, events=["snapshot.frozen"]
    )
    endpoints.create_endpoint(project=project, url=receiver.url, events=ALL)
    url = f"/api/v1/webhooks/{endpoint.pk}/test"
    made = client_of(mona).post(url)
    assert (made.status_code, made.json()["event"], made.json()["state"]) == (201, "webhook.test", "pending")
    deliver_due()
    (event,) = receiver.verified(secret)
    assert event["data"] == {"project": "support", "webhook": str(endpoint.pk)}
    (listed,) = client_of(mona).get(f"/api/v1/webhooks/{endpoint.pk}/deliveries/").json()["results"]
    assert (listed["state"], listed["attempts"][0]["status"]) == ("delivered", 204)
    endpoints.update_endpoint(endpoint=endpoint, changes={"state": "disabled"})
    assert client_of(mona).post(url).status_code == 409
