from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import allow_in, user_of
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, Query, WholeNumber, name_field, parses
from config.heavy.routes import Heavy
from config.problems import Problem
from training.models import RunEvent, TrainingRun
from training.runs import candidates, launch, transitions
from training.runs.api import estimate_serializers, serializers
from training.runs.api.base import ProjectQuery, file_chunks, project_to_train
from training.runs.estimates.estimates import tell_estimate
from training.runs.process import supervise
from training.runs.progress import stream
from training.runs.recipes.catalog import catalog

MAX_LOG_LINES = 2000
LOG_LINE_BYTES = 400  # maximum number of bytes read per requested line; normal lines are shorter
MAX_EVENTS = 5000


class RunsQuery(ProjectQuery):
    snapshot = name_field("Only runs that used the snapshot with this name.")


class EventsQuery(Query):
    after = WholeNumber(default=0, help_text="Only events with a seq above this number.")


class LogQuery(Query):
    tail = WholeNumber(max_value=MAX_LOG_LINES, default=200, help_text="Number of lines from the end.")


LAST_EVENT_ID = WholeNumber(
    required=False, help_text="The last event received. Takes precedence over `after`."
)


# Each event of the stream, as a browser's EventSource delivers it.
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"type": "string", "enum": RunEvent.Type.values},
        "id": {"type": "string", "pattern": "^[0-9]+$", "description": "The event's seq."},
        "data": {"type": "string", "description": "A JSON object."},
    },
}


class RecipesView(APIView):
    @extend_schema(responses=serializers.RecipesSerializer)
    def get(self, request: Request) -> Response:
        """List every run kind with the JSON Schema of its recipe."""
        return Response(catalog())


class RunsView(generics.GenericAPIView[TrainingRun]):
    heavy = {"POST": Heavy.REPORT}
    pagination_class = NewestFirst

    @parses(RunsQuery)
    @extend_schema(responses=serializers.RunSerializer(many=True))
    def get(self, request: Request, asked: Asked) -> Response:
        """List runs, newest first."""
        runs = TrainingRun.objects.with_names().visible_to(user_of(request))
        if "snapshot" in asked:
            runs = runs.filter(inputs__snapshot=asked["snapshot"])
        page: Any = self.paginate_queryset(runs.of_project(asked.get("project")))
        return self.get_paginated_response(serializers.RunSerializer(page, many=True).data)

    @extend_schema(request=serializers.ForcedLaunchSerializer, responses={201: serializers.RunSerializer})
    def post(self, request: Request) -> Response:
        """Launch a run. A 422 response names each invalid setting and input. A 400 response of the type
        `does-not-fit` means that no running worker has enough memory, and names the settings with which the
        run would fit. With `force`, the run is launched anyway."""
        asked = serializers.ForcedLaunchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = project_to_train(request, asked.validated_data.pop("project"))
        run = launch.launch_run(project=project, user=user_of(request), **asked.validated_data)
        return Response(serializers.RunSerializer(run).data, status=HTTPStatus.CREATED)


class EstimateView(APIView):
    heavy = {"POST": Heavy.REPORT}

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
        """Cancel a queued run at once, or a running run at its next step. The run keeps its newest checkpoint
        for a week and can be resumed."""
        return Response(serializers.RunSerializer(transitions.cancel_run(run=self.run)).data)


class ResumeView(RunView):
    @extend_schema(request=serializers.ResumeSerializer, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Queue a failed or cancelled run again. The run resumes after `checkpoint_step`, or starts from the
        beginning if that is null."""
        asked = serializers.ResumeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = launch.resume_run(run=self.run, **asked.validated_data)
        return Response(serializers.RunSerializer(run).data)


class MetricsView(RunView):
    # The metrics of a long run are 7 MB of JSON and take 0.3 s of CPU time to serialise. A comparison of runs
    # requests the metrics of each of them.
    heavy = {"GET": Heavy.REPORT}

    @parses(EventsQuery)
    @extend_schema(responses=serializers.MetricsSerializer)
    def get(self, request: Request, run_id: str, asked: Asked) -> Response:
        """List metrics with a higher seq than `after`, oldest first.

        Clients that poll can use this list instead of the event stream. If a later attempt repeated a step,
        only that attempt's metrics are listed for the step.
        """
        rows = self.events(RunEvent.Type.METRICS).filter(seq__gt=asked["after"])[:MAX_EVENTS]
        return Response(serializers.MetricsSerializer({"results": rows}).data)


class SamplesView(RunView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(responses=serializers.SampleEventSerializer(many=True))
    def get(self, request: Request, run_id: str) -> Response:
        """List sample prompts with the model's answers before and during training, oldest first."""
        rows = self.events(RunEvent.Type.SAMPLE)[:MAX_EVENTS]
        return Response(serializers.SampleEventSerializer(rows, many=True).data)


class LogView(RunView):
    @parses(LogQuery)
    @extend_schema(responses=serializers.LogSerializer)
    def get(self, request: Request, run_id: str, asked: Asked) -> Response:
        """Return the last lines of the training process's log."""
        tail = asked["tail"]
        lines = supervise.log_tail(self.run, lines=tail, max_bytes=tail * LOG_LINE_BYTES)
        return Response(serializers.LogSerializer({"lines": lines}).data)


class CandidatesView(RunView):
    heavy = {"GET": Heavy.DOWNLOAD}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Ignore the request's Accept header."""
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)

    @extend_schema(
        responses={
            (200, "application/gzip"): OpenApiTypes.BINARY,
        }
    )
    def get(self, request: Request, run_id: str) -> StreamingHttpResponse:
        """Download all answers that a rejection sampling run sampled, with their rewards, as gzipped JSON
        lines: one line per round and prompt. `X-Checksum` is the file's SHA-256."""
        file = candidates.stored_candidates(self.run)
        name = f"{self.run.project.slug}-{self.run.pk}-{candidates.CANDIDATES}"
        return StreamingHttpResponse(
            file_chunks(file.path),
            content_type="application/gzip",
            headers={
                "Content-Disposition": str(content_disposition_header(True, name)),
                "Content-Length": str(file.bytes),
                "X-Checksum": f"sha256:{file.sha256}",
            },
        )


class CandidateTasksView(RunView):
    heavy = {"POST": Heavy.REPORT}

    @extend_schema(
        request=serializers.CandidateTasksSerializer,
        responses={
            200: serializers.AddedTasksSerializer,
            201: serializers.AddedTasksSerializer,
        },
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Create ranking tasks from the answers of a rejection sampling run's first round.

        Each task gets distinct answers whose rewards are spread over the whole range. The status is 201 if
        tasks were created, and 200 if all of them already existed."""
        asked = serializers.CandidateTasksSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        counts = candidates.ask_for_rankings(run=self.run, **asked.validated_data)
        status = HTTPStatus.CREATED if counts.tasks else HTTPStatus.OK
        return Response(serializers.AddedTasksSerializer(counts).data, status=status)


class EventStreamRenderer(BaseRenderer):
    """Accepts `text/event-stream` in DRF's content negotiation. Problems are rendered as JSON."""

    media_type = "text/event-stream"
    format = "events"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        body: bytes = JSONRenderer().render(data)
        return body


class EventsView(RunView):
    renderer_classes = [EventStreamRenderer, JSONRenderer]

    @parses(EventsQuery, headers={"Last-Event-ID": LAST_EVENT_ID})
    @extend_schema(
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                EVENT_SCHEMA, description="Events of type metrics, sample, progress and state."
            ),
            204: OpenApiResponse(description="The run is over and every event has been sent."),
        },
    )
    def get(self, request: Request, run_id: str, asked: Asked) -> HttpResponseBase:
        """Stream server-sent events until the run is over, from the start or from the event after
        `Last-Event-ID` (or `after`)."""
        after = asked.get("last_event_id", asked["after"])
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
            headers={"X-Accel-Buffering": "no"},
        )
