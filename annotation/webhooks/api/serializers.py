"""Serializers for webhook endpoints and deliveries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.models.webhook import DELIVERED_EVENTS, MAX_URL_CHARACTERS, WebhookEvent
from annotation.webhooks.signing import is_readable


class NewWebhook(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL_CHARACTERS)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices), max_length=len(WebhookEvent.values)
    )
    description = serializers.CharField(max_length=200, allow_blank=True, required=False)


class WebhookChanges(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL_CHARACTERS, required=False)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices),
        max_length=len(WebhookEvent.values),
        required=False,
    )
    description = serializers.CharField(max_length=200, allow_blank=True, required=False)
    state = serializers.ChoiceField(choices=models.WebhookEndpoint.State.choices, required=False)


class Webhook(serializers.Serializer[models.WebhookEndpoint]):
    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    events = serializers.ListField(child=serializers.ChoiceField(choices=WebhookEvent.choices))
    state = serializers.ChoiceField(choices=models.WebhookEndpoint.State.choices)
    disabled_reason = serializers.CharField(allow_blank=True)
    failing_since = serializers.DateTimeField(allow_null=True)
    former_secret_until = serializers.DateTimeField(allow_null=True)
    secret_unreadable = serializers.SerializerMethodField(
        help_text="True if the secret can't be decrypted, so deliveries can't be signed. Create a new secret."
    )
    created_at = serializers.DateTimeField()

    def get_secret_unreadable(self, endpoint: models.WebhookEndpoint) -> bool:
        return not is_readable(endpoint)


class WebhookWithSecret(serializers.Serializer[Any]):
    webhook = Webhook()
    secret = serializers.CharField(help_text="The secret for verifying signatures; shown only once.")


class WebhookAttempt(serializers.Serializer[models.WebhookAttempt]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)


class WebhookDelivery(serializers.Serializer[models.WebhookDelivery]):
    id = serializers.UUIDField(
        source="message_id", help_text="The ID; the `webhook-id` header contains the same ID without dashes."
    )
    event = serializers.ChoiceField(choices=DELIVERED_EVENTS)
    payload = serializers.DictField()
    state = serializers.ChoiceField(choices=models.WebhookDelivery.State.choices)
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    attempts = WebhookAttempt(many=True, source="log.all")
