"""Webhook endpoints: the URLs that receive a project's events."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from annotation.models import Project, User, WebhookDelivery, WebhookEndpoint
from annotation.models.webhook import MAX_URL_CHARACTERS, TEST_EVENT, WebhookEvent
from annotation.webhooks import signing
from annotation.webhooks.safe_post import RefusedAddress, refuse_address
from config.problems import Conflict, FieldProblem, Problem

# Time for which deliveries are signed with both secrets after a new secret is created, so that the receiver
# can switch to the new secret.
ROTATION = timedelta(hours=24)
MAX_ENDPOINTS = 20
CHANGEABLE = frozenset({"url", "events", "description", "state"})


def create_endpoint(
    *, project: Project, url: str, events: Sequence[str], description: str = "", by: User | None = None
) -> tuple[WebhookEndpoint, str]:
    """Creates an endpoint. Returns the endpoint and its secret; the secret is shown only once. Raises Problem
    if a field is invalid or the project has too many endpoints."""
    _check(url=url, events=events)
    if WebhookEndpoint.objects.filter(project=project).count() >= MAX_ENDPOINTS:
        raise Problem(f"A project can have at most {MAX_ENDPOINTS} webhooks.", type="too-many")
    secret = signing.new_secret()
    endpoint = WebhookEndpoint.objects.create(
        project=project,
        url=url,
        events=_distinct(events),
        description=description,
        created_by=by,
        encrypted_secret=signing.encrypted(secret),
    )
    return endpoint, secret


def update_endpoint(*, endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Applies `changes`, a mapping from field names in CHANGEABLE to values. Enabling an endpoint resumes its
    pending deliveries."""
    _check(url=changes.get("url", endpoint.url), events=changes.get("events", endpoint.events))
    wanted = dict(changes)
    if "events" in wanted:
        wanted["events"] = _distinct(wanted["events"])
    if wanted.get("state") == WebhookEndpoint.State.ACTIVE:
        wanted |= {"disabled_reason": "", "failing_since": None}
    elif wanted.get("state") == WebhookEndpoint.State.DISABLED:
        wanted |= {"disabled_reason": "A manager disabled the webhook."}
    if wanted:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**wanted)
    endpoint.refresh_from_db()
    return endpoint


@transaction.atomic
def rotate_secret(*, endpoint: WebhookEndpoint) -> tuple[WebhookEndpoint, str]:
    """Creates a new secret. Returns the endpoint and the secret; the secret is shown only once. For a day,
    deliveries are also signed with the previous secret.

    If the previous secret is unreadable, pending deliveries, which could not be signed, become due now.
    """
    secret, readable = signing.new_secret(), signing.is_readable(endpoint)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        encrypted_secret=signing.encrypted(secret),
        encrypted_former_secret=F("encrypted_secret") if readable else "",
        former_secret_until=timezone.now() + ROTATION if readable else None,
    )
    if not readable:
        pending = endpoint.deliveries.filter(state=WebhookDelivery.State.PENDING)
        pending.update(attempts=0, next_attempt_at=Now())
    endpoint.refresh_from_db()
    return endpoint, secret


def send_test(*, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Queues an event that only tests the endpoint; this event is signed and retried like any other. Raises
    Conflict while the endpoint is disabled."""
    if endpoint.state != WebhookEndpoint.State.ACTIVE:
        raise Conflict("The webhook is disabled; enable it first.", type="webhook-disabled")
    data = {"project": endpoint.project.slug, "webhook": str(endpoint.pk)}
    payload = {"type": TEST_EVENT, "timestamp": timezone.now().isoformat(), "data": data}
    return WebhookDelivery.objects.create(
        endpoint=endpoint, message_id=uuid.uuid4(), event=TEST_EVENT, payload=payload, next_attempt_at=Now()
    )


def _distinct(events: Sequence[str]) -> list[str]:
    return [event for event in WebhookEvent.values if event in set(events)]


def _check(*, url: str, events: Sequence[str]) -> None:
    wrong = []
    if reason := _reason_to_refuse(url):
        wrong.append(FieldProblem("url", reason))
    if not events:
        wrong.append(FieldProblem("events", f"Choose at least one of {', '.join(WebhookEvent.values)}."))
    if wrong:
        raise Problem("The webhook is invalid.", errors=wrong)


def _reason_to_refuse(url: str) -> str:
    """The reason for refusing the URL; "" if the URL is accepted. The host name is not resolved here; each
    delivery checks the host's addresses."""
    schemes = ("https",) if settings.WEBHOOK_HTTPS_ONLY else ("https", "http")
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        return f"Use at most {MAX_URL_CHARACTERS} printable ASCII characters without spaces."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"This is not a URL: {error}."
    if parts.scheme not in schemes or not host:
        return f"The URL must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host."
    if parts.username is not None or parts.fragment:
        return "The URL must not contain a username or a fragment (#)."
    try:
        refuse_address(ipaddress.ip_address(host))
    except ValueError:  # a host name
        return ""
    except RefusedAddress as refusal:
        return str(refusal)
    return ""
