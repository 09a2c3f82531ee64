from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import NewestFirst, allow_in, user_of
from config.problems import Problem
from training.models import RunEvent, TrainingRun
from training.models.querysets import ProjectOwnedQuerySet
from training.runs import launch, transitions
from training.runs.api import estimate_serializers, serializers
from training.runs.api.base import PROJECT, project_to_train
from training.runs.estimates.estimates import tell_estimate
from training.runs.process import supervise
from training.runs.progress import stream
from training.runs.recipes.catalog import catalog

MAX_LOG_LINES = 2000
LOG_LINE_BYTES = 400  # maximum number of bytes read per requested line; normal lines are shorter
MAX_EVENTS = 5000
SNAPSHOT = OpenApiParameter("snapshot", str, description="Only runs that used the snapshot with this name.")
AFTER = OpenApiParameter("after", int, description="Only events with a seq above this number.")
TAIL = OpenApiParameter("tail", int, description=f"Number of lines from the end, up to {MAX_LOG_LINES}.")


def whole_number(request: Request, name: str, *, default: int, high: int = 2**63 - 1) -> int:
    raw = request.query_params.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or int(raw) > high:
        raise ValidationError({name: f"This must be a whole number from 0 to {high}."})
    return int(raw)


class RecipesView(APIView):
    @extend_schema(responses=serializers.RecipesSerializer)
    def get(self, request: Request) -> Response:
        """List every run kind with the JSON Schema of its recipe."""
        return Response(catalog())


class RunsView(generics.ListAPIView[TrainingRun]):
    serializer_class = serializers.RunSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> ProjectOwnedQuerySet[TrainingRun]:
        runs = TrainingRun.objects.with_names().visible_to(user_of(self.request))
        if snapshot := self.request.query_params.get("snapshot"):
            runs = runs.filter(inputs__snapshot=snapshot)
        return runs.of_project(self.request.query_params.get("project"))

    @extend_schema(parameters=[PROJECT, SNAPSHOT])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List runs, newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=serializers.LaunchSerializer, responses={201: serializers.RunSerializer})
    def post(self, request: Request) -> Response:
        """Launch a run. A 422 response names each invalid setting and input."""
        asked = serializers.LaunchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = project_to_train(request, asked.validated_data.pop("project"))
        run = launch.launch_run(project=project, user=user_of(request), **asked.validated_data)
        return Response(serializers.RunSerializer(run).data, status=HTTPStatus.CREATED)


class EstimateView(APIView):
    @extend_schema(request=serializers.LaunchSerializer, responses=estimate_serializers.ToldSerializer)
    def post(self, request: Request) -> Response:
        """Estimate how much time, memory and disk space a run would need, without launching the run.
        `refused` lists the reasons why a launch would be refused."""
        asked = serializers.LaunchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = project_to_train(request, asked.validated_data.pop("project"))
        told = tell_estimate(project=project, **asked.validated_data)
        return Response(estimate_serializers.ToldSerializer(told).data)


class RunView(APIView):
    """A view under `runs/{id}/`. Project managers can read the run; admins can also change it."""

    run: TrainingRun

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        runs = TrainingRun.objects.with_names().visible_to(user_of(request))
        self.run = get_object_or_404(runs, pk=kwargs["run_id"])
        allow_in(request, self.run.project)

    def events(self, type: str) -> QuerySet[RunEvent]:
        return RunEvent.objects.said_of(self.run, type)


class RunDetailView(RunView):
    @extend_schema(responses=serializers.RunSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        """Return the current state of the run."""
        return Response(serializers.RunSerializer(self.run).data)


class CancelView(RunView):
    @extend_schema(request=None, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Cancel a queued run at once, or a running run at its next step."""
        return Response(serializers.RunSerializer(transitions.cancel_run(run=self.run)).data)


class ResumeView(RunView):
    @extend_schema(request=serializers.ResumeSerializer, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Queue a failed or cancelled run again. The run resumes from its last checkpoint if there is one."""
        asked = serializers.ResumeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = launch.resume_run(run=self.run, **asked.validated_data)
        return Response(serializers.RunSerializer(run).data)


class MetricsView(RunView):
    @extend_schema(parameters=[AFTER], responses=serializers.MetricsSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        """List metrics with a higher seq than `after`, oldest first.

        Clients that poll can use this list instead of the event stream. If a later attempt repeated a step,
        only that attempt's metrics are listed for the step.
        """
        after = whole_number(request, "after", default=0)
        rows = self.events(RunEvent.Type.METRICS).filter(seq__gt=after)[:MAX_EVENTS]
        return Response(serializers.MetricsSerializer({"results": rows}).data)


class SamplesView(RunView):
    @extend_schema(responses=serializers.SampleEventSerializer(many=True))
    def get(self, request: Request, run_id: str) -> Response:
        """List sample prompts with the model's answers before and during training, oldest first."""
        rows = self.events(RunEvent.Type.SAMPLE)[:MAX_EVENTS]
        return Response(serializers.SampleEventSerializer(rows, many=True).data)


class LogView(RunView):
    @extend_schema(parameters=[TAIL], responses=serializers.LogSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        """Return the last lines of the training process's log."""
        tail = whole_number(request, "tail", default=200, high=MAX_LOG_LINES)
        lines = supervise.log_tail(self.run, lines=tail, max_bytes=tail * LOG_LINE_BYTES)
        return Response(serializers.LogSerializer({"lines": lines}).data)


class EventStreamRenderer(BaseRenderer):
    """Accepts `text/event-stream` in DRF's content negotiation. Problems are rendered as JSON."""

    media_type = "text/event-stream"
    format = "events"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        body: bytes = JSONRenderer().render(data)
        return body


class EventsView(RunView):
    renderer_classes = [EventStreamRenderer, JSONRenderer]

    @extend_schema(
        parameters=[AFTER],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, description="Events of type metrics, sample, progress and state."
            ),
            204: OpenApiResponse(description="The run is over and every event has been sent."),
        },
    )
    def get(self, request: Request, run_id: str) -> HttpResponseBase:
        """Stream server-sent events until the run is over, from the start or from the event after
        `Last-Event-ID` (or `after`)."""
        resume_at = request.headers.get("Last-Event-ID", "")
        after = int(resume_at) if resume_at.isdecimal() else whole_number(request, "after", default=0)
        if self.run.is_final and after >= self.run.last_seq:
            return HttpResponse(status=HTTPStatus.NO_CONTENT)  # tells EventSource not to reconnect
        if stream.open_streams() >= stream.MAX_STREAMS:
            raise Problem(
                "Too many event streams are open. Poll the metrics instead.",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
            )
        events = stream.stream_events(self.run.pk, after=after, document=serializers.run_document)
        connection.close()  # return the connection to the pool: the stream stays open for hours
        return StreamingHttpResponse(
            events,
            content_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
