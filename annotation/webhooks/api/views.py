"""Views for a project's webhook endpoints, and for their deliveries and replays."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import ProjectView, allow_in, row_of_project, user_of
from annotation.api.pages import NewestFirst
from annotation.models import Project, WebhookDelivery, WebhookEndpoint
from annotation.webhooks import delivery as webhook_delivery
from annotation.webhooks import endpoints
from annotation.webhooks.api import serializers


class WebhooksView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(operation_id="listWebhooks", responses=serializers.Webhook(many=True), tags=["webhooks"])
    def get(self, request: Request, slug: str) -> Response:
        page: Any = self.paginate_queryset(WebhookEndpoint.objects.filter(project=self.project))
        return self.get_paginated_response(serializers.Webhook(page, many=True).data)

    @extend_schema(
        operation_id="createWebhook",
        description="Creates a webhook. Its deliveries are signed as specified by Standard Webhooks. Only"
        " this response shows the secret.",
        request=serializers.NewWebhook,
        responses={201: serializers.WebhookWithSecret},
        tags=["webhooks"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewWebhook(data=request.data)
        given.is_valid(raise_exception=True)
        endpoint, secret = endpoints.create_endpoint(
            project=self.project, by=user_of(request), **given.validated_data
        )
        return _with_secret(endpoint, secret, HTTPStatus.CREATED)


class WebhookView(APIView):
    @extend_schema(
        operation_id="updateWebhook",
        description="Changes a webhook. When a webhook is enabled, its pending events are delivered. A"
        " disabled webhook records no new events.",
        request=serializers.WebhookChanges,
        responses=serializers.Webhook,
        tags=["webhooks"],
    )
    def patch(self, request: Request, id: UUID) -> Response:
        endpoint = row_of_project(request, WebhookEndpoint.objects.all(), id)
        given = serializers.WebhookChanges(data=request.data)
        given.is_valid(raise_exception=True)
        endpoints.update_endpoint(endpoint=endpoint, changes=given.validated_data)
        return Response(serializers.Webhook(endpoint).data)


class RotateView(APIView):
    @extend_schema(
        operation_id="rotateWebhookSecret",
        description="Creates a new secret. For a day, deliveries are also signed with the previous secret.",
        request=None,
        responses=serializers.WebhookWithSecret,
        tags=["webhooks"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        endpoint = row_of_project(request, WebhookEndpoint.objects.all(), id)
        return _with_secret(*endpoints.rotate_secret(endpoint=endpoint), HTTPStatus.OK)


class TestView(APIView):
    @extend_schema(
        operation_id="testWebhook",
        description="Sends `webhook.test` to this endpoint only; the delivery shows the outcome.",
        request=None,
        responses={201: serializers.WebhookDelivery},
        tags=["webhooks"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        endpoint = row_of_project(request, WebhookEndpoint.objects.all(), id)
        delivery = endpoints.send_test(endpoint=endpoint)
        delivery.refresh_from_db()
        return Response(serializers.WebhookDelivery(delivery).data, status=HTTPStatus.CREATED)


class DeliveriesView(GenericAPIView[WebhookDelivery]):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listWebhookDeliveries",
        description="Past and pending deliveries, newest first, with every attempt.",
        responses=serializers.WebhookDelivery(many=True),
        tags=["webhooks"],
    )
    def get(self, request: Request, id: UUID) -> Response:
        endpoint = row_of_project(request, WebhookEndpoint.objects.all(), id)
        page: Any = self.paginate_queryset(endpoint.deliveries.prefetch_related("log"))
        return self.get_paginated_response(serializers.WebhookDelivery(page, many=True).data)


class ReplayView(APIView):
    @extend_schema(
        operation_id="replayWebhookDelivery",
        description="Sends the delivery again immediately, with the same webhook-id.",
        request=None,
        responses=serializers.WebhookDelivery,
        tags=["webhooks"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        visible = Project.objects.visible_to(user_of(request))
        rows = WebhookDelivery.objects.filter(endpoint__project__in=visible)
        delivery = get_object_or_404(rows.select_related("endpoint__project"), message_id=id)
        allow_in(request, delivery.endpoint.project)
        webhook_delivery.replay(delivery=delivery)
        return Response(serializers.WebhookDelivery(delivery).data)


def _with_secret(endpoint: WebhookEndpoint, secret: str, status: HTTPStatus) -> Response:
    shown = {"webhook": endpoint, "secret": secret}
    return Response(serializers.WebhookWithSecret(shown).data, status=status)
