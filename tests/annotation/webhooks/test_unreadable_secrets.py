"""If no key can decrypt a webhook's secret, deliveries fail with a visible reason until the key is restored
or a manager creates a new secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.models import Project, User, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from annotation.webhooks.delivery import deliver_due
from annotation.webhooks.endpoints import create_endpoint, send_test
from tests.annotation.key_rotation.changing import change_key
from tests.annotation.webhooks.receiver import Receiver

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def unreadable(project: Project, receiver: Receiver, settings: Settings) -> tuple[WebhookEndpoint, str, str]:
    """The endpoint, its secret and the lost key."""
    endpoint, secret = create_endpoint(project=project, url=receiver.url, events=["task.finished"])
    lost = change_key(settings, fallback=False)
    send_test(endpoint=endpoint)
    return endpoint, secret, lost


def test_delivery_fails_with_the_reason_and_is_retried(
    unreadable: tuple[WebhookEndpoint, str, str], receiver: Receiver, settings: Settings
) -> None:
    endpoint, secret, lost = unreadable
    assert deliver_due() == 1
    assert receiver.got == [], "nothing is sent without a signature"
    attempt = WebhookAttempt.objects.get()
    assert "the webhook's secret can't be read" in attempt.error
    assert "Create a new secret" in attempt.error
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.failing_since is not None) == ("active", True)
    settings.SECRET_KEY_FALLBACKS = [lost]
    WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    assert deliver_due() == 1
    assert len(receiver.verified(secret)) == 1


def test_unreadable_secret_does_not_delay_other_webhooks(
    unreadable: tuple[WebhookEndpoint, str, str], project: Project, receiver: Receiver
) -> None:
    other, secret = create_endpoint(project=project, url=receiver.url, events=["task.finished"])
    send_test(endpoint=other)
    assert deliver_due() == 2
    assert len(receiver.verified(secret)) == 1


def test_manager_creates_a_new_secret_and_pending_deliveries_are_sent(
    unreadable: tuple[WebhookEndpoint, str, str], receiver: Receiver, mona: User, client_of: ClientOf
) -> None:
    endpoint, _, _ = unreadable
    deliver_due()
    manager = client_of(mona)
    url = "/api/v1/projects/support/webhooks/"
    assert [row["secret_unreadable"] for row in manager.get(url).json()["results"]] == [True]
    made = manager.post(f"/api/v1/webhooks/{endpoint.pk}/rotate").json()
    assert made["webhook"]["secret_unreadable"] is False
    assert made["webhook"]["former_secret_until"] is None, "nobody can sign with the unreadable secret"
    assert deliver_due() == 1
    assert len(receiver.verified(made["secret"])) == 1
