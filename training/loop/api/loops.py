from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import ProjectView, allow_in, user_of
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, parses
from training.loop.api import serializers
from training.loop.gates.approvals import review_gate
from training.loop.gates.before_after import answers_before_and_after
from training.loop.rounds import advance_round, cancel_round, resume_round
from training.loop.settings import LoopSettings
from training.loop.status import status_of
from training.loop.turning import set_loop, turn_by_hand
from training.models import Gate, Loop, Round, RoundStep
from training.runs.api.base import ProjectQuery

TIMELINE_ROUNDS = 200


class LoopsView(generics.GenericAPIView[Loop]):
    pagination_class = NewestFirst

    @parses(ProjectQuery)
    @extend_schema(responses=serializers.LoopSerializer(many=True))
    def get(self, request: Request, asked: Asked) -> Response:
        """List the projects' training loops."""
        visible = Loop.objects.select_related("project").visible_to(user_of(request))
        page: Any = self.paginate_queryset(visible.of_project(asked.get("project")))
        return self.get_paginated_response(serializers.LoopSerializer(page, many=True).data)


class LoopSettingsView(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Return the JSON Schema of a loop's settings."""
        return Response(LoopSettings.model_json_schema())


class LoopView(ProjectView):
    @extend_schema(responses=serializers.LoopDetailSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Return the project's loop and what it is waiting for."""
        return Response(_detail(get_object_or_404(Loop, project=self.project)))

    @extend_schema(request=serializers.SetLoopSerializer, responses=serializers.LoopDetailSerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Create the project's loop, or change its settings. Omitted settings keep their values."""
        asked = serializers.SetLoopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        loop = set_loop(
            project=self.project, settings=values.get("settings", {}), enabled=values.get("enabled")
        )
        return Response(_detail(loop))


def _detail(loop: Loop) -> Any:
    loop.status = status_of(loop)  # type: ignore[attr-defined]
    return serializers.LoopDetailSerializer(loop).data


class RoundsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(responses=serializers.RoundSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """List the loop's rounds, newest first."""
        rounds = Round.objects.with_steps().filter(loop__project=self.project)
        page: Any = self.paginate_queryset(rounds)
        return self.get_paginated_response(serializers.RoundSerializer(page, many=True).data)

    @extend_schema(request=None, responses={201: serializers.RoundDetailSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Start a round now."""
        loop = get_object_or_404(Loop, project=self.project)
        round = turn_by_hand(loop=loop, by=user_of(request))
        return Response(serializers.RoundDetailSerializer(round).data, status=HTTPStatus.CREATED)


class TimelineView(ProjectView):
    @extend_schema(responses=serializers.TimelineRoundSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """List the loop's newest rounds, oldest first, with the figures of their gates."""
        rounds = Round.objects.with_steps().filter(loop__project=self.project).order_by("-number")
        newest_last = list(rounds[:TIMELINE_ROUNDS])[::-1]
        return Response(serializers.TimelineRoundSerializer(newest_last, many=True).data)


class RoundView(APIView):
    """A view under `rounds/{id}/`."""

    round: Round

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        visible = Round.objects.with_steps().visible_to(user_of(request))
        self.round = get_object_or_404(visible, pk=kwargs["round_id"])
        allow_in(request, self.round.loop.project)

    def answer(self, round: Round) -> Response:
        fresh = Round.objects.with_steps().get(pk=round.pk)
        return Response(serializers.RoundDetailSerializer(fresh).data)


class RoundDetailView(RoundView):
    @extend_schema(responses=serializers.RoundDetailSerializer)
    def get(self, request: Request, round_id: str) -> Response:
        """Return the round with its steps."""
        return Response(serializers.RoundDetailSerializer(self.round).data)


class RoundAnswersView(RoundView):
    @parses(serializers.AnswersQuery)
    @extend_schema(responses=serializers.AnswersComparedSerializer(many=True))
    def get(self, request: Request, asked: Asked, round_id: str) -> Response:
        """Return sample answers of the production policy and of the new policy to held-out prompts."""
        found: Any = answers_before_and_after(round=self.round, subject=asked["subject"])
        return Response(serializers.AnswersComparedSerializer(found, many=True).data)


class GateView(RoundView):
    """A view under `gates/{id}/`."""

    gate: Gate

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.gate = get_object_or_404(Gate.objects.select_related("model"), pk=kwargs["gate_id"])
        step = get_object_or_404(RoundStep, gate=self.gate)
        super().initial(request, *args, round_id=step.round_id)

    def review(self, request: Request, *, approved: bool, reason: str = "") -> Response:
        round = review_gate(gate=self.gate, by=user_of(request), approved=approved, reason=reason)
        return self.answer(advance_round(round_id=round.pk))


class ApproveGateView(GateView):
    @extend_schema(request=None, responses=serializers.RoundDetailSerializer)
    def post(self, request: Request, gate_id: str) -> Response:
        """Approve the model of a gate that waits for an approval."""
        return self.review(request, approved=True)


class RejectGateView(GateView):
    @extend_schema(request=serializers.RejectSerializer, responses=serializers.RoundDetailSerializer)
    def post(self, request: Request, gate_id: str) -> Response:
        """Reject the model of a gate that waits for an approval."""
        asked = serializers.RejectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self.review(request, approved=False, reason=asked.validated_data["reason"])


class CancelRoundView(RoundView):
    @extend_schema(request=None, responses=serializers.RoundDetailSerializer)
    def post(self, request: Request, round_id: str) -> Response:
        """Cancel the running round."""
        return self.answer(cancel_round(round=self.round, by=user_of(request)))


class ResumeRoundView(RoundView):
    @extend_schema(request=None, responses=serializers.RoundDetailSerializer)
    def post(self, request: Request, round_id: str) -> Response:
        """Continue a failed or cancelled round at the step where it ended."""
        return self.answer(resume_round(round=self.round))
