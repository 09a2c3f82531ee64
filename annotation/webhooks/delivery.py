"""Delivers webhooks from the outbox: claims due deliveries, posts them and records the outcomes.

A delivery is retried until it gets a 2xx status or the schedule ends, always with the same `webhook-id`. Each
event is delivered at least once; the receiver recognises duplicates by the ID. A claim lasts one minute; if a
worker dies, the claim expires and another worker retries the delivery.
"""

from __future__ import annotations

import json
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from annotation.database.outages import through_outages
from annotation.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from annotation.webhooks import safe_post
from annotation.webhooks.safe_post import Outcome
from annotation.webhooks.signing import UNREADABLE, signatures
from config.keys import Unreadable
from config.problems import Conflict

log = logging.getLogger(__name__)

State = WebhookDelivery.State
# The pauses after successive failures, as Standard Webhooks recommends: ten attempts in a little over three
# days.
PAUSES: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Each pause is multiplied by a random factor from 1 − JITTER to 1 + JITTER. This spreads out the retries of
# deliveries that failed together.
JITTER = 0.2
# A claim must last longer than an attempt. An attempt can take safe_post.TOTAL_SECONDS plus the time for a
# slow name resolution.
CLAIM_SECONDS = 60
BATCH = 32
# Maximum number of deliveries per endpoint in a batch, so that a slow endpoint doesn't block the others.
BATCH_OF_ENDPOINT = 8
DUE_LOOKED_AT = 500
HOPELESS_AFTER = timedelta(days=1)
KEPT = timedelta(days=30)

_CLAIM = """
WITH due AS (
    SELECT d.id, d.endpoint_id, d.next_attempt_at
      FROM annotation_webhookdelivery d JOIN annotation_webhookendpoint e ON e.id = d.endpoint_id
     WHERE d.state = 'pending' AND d.next_attempt_at <= statement_timestamp() AND e.state = 'active'
     ORDER BY d.next_attempt_at LIMIT %(looked_at)s
), shared AS (
    SELECT id, row_number() OVER (PARTITION BY endpoint_id ORDER BY next_attempt_at, id) AS place FROM due
), free AS (
    SELECT d.id FROM annotation_webhookdelivery d JOIN shared USING (id)
     WHERE place <= %(of_endpoint)s AND d.state = 'pending' AND d.next_attempt_at <= statement_timestamp()
     LIMIT %(batch)s FOR UPDATE OF d SKIP LOCKED
)
UPDATE annotation_webhookdelivery
   SET next_attempt_at = statement_timestamp() + make_interval(secs => %(claim)s)
 WHERE id IN (SELECT id FROM free) RETURNING id
"""


def deliver_due(*, seconds: float = 20.0) -> int:
    """Posts due deliveries until none is left or the time limit is reached; returns the number of
    attempts."""
    attempts, until = 0, time.monotonic() + seconds
    with ThreadPoolExecutor(BATCH_OF_ENDPOINT * 2, thread_name_prefix="webhook") as threads:
        while time.monotonic() < until and (batch := _claim()):
            # The threads only post; all database access stays in this thread.
            for delivery, outcome in zip(batch, threads.map(_attempt, batch), strict=True):
                # Retried during a database outage: if the outcome were lost, the delivery would be posted
                # again.
                through_outages(partial(_record, delivery, outcome, timezone.now()))
            attempts += len(batch)
    return attempts


def _claim() -> list[WebhookDelivery]:
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "looked_at": DUE_LOOKED_AT,
                "of_endpoint": BATCH_OF_ENDPOINT,
                "batch": BATCH,
                "claim": CLAIM_SECONDS,
            },
        )
        ids = [id for (id,) in cursor.fetchall()]
    return list(WebhookDelivery.objects.filter(pk__in=ids).select_related("endpoint").order_by("id"))


def _attempt(delivery: WebhookDelivery) -> Outcome:
    body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"))
    message_id, at = f"msg_{delivery.message_id.hex}", timezone.now()
    try:
        signed = signatures(endpoint=delivery.endpoint, message_id=message_id, at=at, body=body)
    except Unreadable:
        # The failure is handled like any other: the delivery is retried, so it succeeds if the operator
        # restores the key.
        log.error("The secret of webhook %s can't be read.", delivery.endpoint_id)
        return Outcome(status=None, latency_ms=0, error=UNREADABLE)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Rankloop",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signed,
    }
    return safe_post.post(delivery.endpoint.url, body=body.encode(), headers=headers)


@transaction.atomic
def _record(delivery: WebhookDelivery, outcome: Outcome, at: datetime) -> None:
    """Records the outcome of an attempt. `at` identifies the attempt. If the call is repeated because the
    database's reply to the commit was lost, the attempt is not recorded again."""
    _, is_new = WebhookAttempt.objects.get_or_create(
        delivery=delivery,
        at=at,
        defaults={"status": outcome.status, "latency_ms": outcome.latency_ms, "error": outcome.error},
    )
    if not is_new:
        return
    # If the delivery was replayed during a retry, its number of attempts is 0 again. The updates of `claimed`
    # then match no row, so the replay's schedule stays unchanged.
    claimed = WebhookDelivery.objects.filter(pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts)
    endpoint = WebhookEndpoint.objects.filter(pk=delivery.endpoint_id)
    if outcome.is_success:
        claimed.update(
            state=State.DELIVERED, attempts=F("attempts") + 1, next_attempt_at=None, finished_at=Now()
        )
        endpoint.exclude(failing_since=None).update(failing_since=None)
        return
    endpoint.update(failing_since=Coalesce("failing_since", Now()))
    gone = outcome.status == HTTPStatus.GONE
    if gone or delivery.attempts >= len(PAUSES):
        claimed.update(state=State.DEAD, attempts=F("attempts") + 1, next_attempt_at=None, finished_at=Now())
        _disable_if_hopeless(delivery, gone=gone)
        return
    pause = PAUSES[delivery.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
    claimed.update(attempts=F("attempts") + 1, next_attempt_at=Now() + pause)


def _disable_if_hopeless(delivery: WebhookDelivery, *, gone: bool) -> None:
    """Disables the endpoint if it responded with 410. Also disables the endpoint if a delivery failed
    permanently and no attempt has succeeded for at least HOPELESS_AFTER."""
    rows = WebhookEndpoint.objects.filter(pk=delivery.endpoint_id, state=WebhookEndpoint.State.ACTIVE)
    if gone:
        reason = "The endpoint responded with 410 Gone."
    else:
        rows = rows.filter(failing_since__lte=timezone.now() - HOPELESS_AFTER)
        reason = (
            f"{len(PAUSES) + 1} attempts at one delivery failed, and no other delivery succeeded in the"
            " meantime."
        )
    if rows.update(state=WebhookEndpoint.State.DISABLED, disabled_reason=reason):
        log.warning("webhook %s was disabled: %s", delivery.endpoint_id, reason)


def replay(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Makes the delivery due now and restarts its schedule. Raises Conflict while the endpoint is
    disabled."""
    if delivery.endpoint.state != WebhookEndpoint.State.ACTIVE:
        raise Conflict("The webhook is disabled; enable it first.", type="webhook-disabled")
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING, attempts=0, next_attempt_at=Now(), finished_at=None
    )
    delivery.refresh_from_db()
    return delivery


def forget_old() -> int:
    """Deletes deliveries that ended more than KEPT ago, and the attempts of these deliveries."""
    old = WebhookDelivery.objects.exclude(state=State.PENDING).filter(finished_at__lt=timezone.now() - KEPT)
    return old.delete()[0]
