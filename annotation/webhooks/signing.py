"""The signing secrets of webhook endpoints.

A receiver stores its endpoint's secret, so a secret must survive a change of SECRET_KEY. The database
contains secrets only in encrypted form, so nobody can sign an event with a copy of the database.
"""

from __future__ import annotations

import base64
import logging
import secrets
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from annotation.models import WebhookEndpoint
from config import keys
from config.keys import Unreadable, Use

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
UNREADABLE = (
    "The delivery can't be signed, because the webhook's secret can't be read with the site's SECRET_KEY."
    " Create a new secret and give it to the receiver."
)


def new_secret() -> str:
    """A random secret in the format of Standard Webhooks: `whsec_` and 32 bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def encrypted(secret: str) -> str:
    return keys.encrypt(Use.WEBHOOK_SECRET, secret)


def is_readable(endpoint: WebhookEndpoint) -> bool:
    try:
        keys.decrypt(Use.WEBHOOK_SECRET, endpoint.encrypted_secret)
    except Unreadable:
        return False
    return True


def signatures(*, endpoint: WebhookEndpoint, message_id: str, at: datetime, body: str) -> str:
    """The `webhook-signature` header, with a signature made with the current secret. While the previous
    secret is valid, the header also contains a signature made with the previous secret.

    Raises Unreadable if the current secret can't be read.
    """
    signing = [keys.decrypt(Use.WEBHOOK_SECRET, endpoint.encrypted_secret)]
    if endpoint.former_secret_until is not None and endpoint.former_secret_until > at:
        try:
            signing.append(keys.decrypt(Use.WEBHOOK_SECRET, endpoint.encrypted_former_secret))
        except Unreadable:
            log.warning("The previous secret of webhook %s can't be read.", endpoint.pk)
    return " ".join(Webhook(secret).sign(message_id, at, body) for secret in signing)
