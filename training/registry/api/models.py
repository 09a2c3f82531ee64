from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import allow_in, user_of
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, parses
from config.heavy.routes import Heavy
from training.models import ModelVersion, TrainingRun
from training.registry.api import model_serializers, reward_report_serializers
from training.registry.evaluations import judged_policies
from training.registry.lineage import lineage_of
from training.registry.model_card import model_card
from training.registry.reward_reports import (
    comparable_to,
    compare_reward_models,
    learned_of_annotators,
    report_of,
)
from training.registry.stages import archive_model, demote_model, history_of, promote_model
from training.runs.api.base import ProjectQuery


class ModelsView(generics.GenericAPIView[ModelVersion]):
    pagination_class = NewestFirst

    @parses(model_serializers.ModelsQuery)
    @extend_schema(responses=model_serializers.ModelSerializer(many=True))
    def get(self, request: Request, asked: Asked) -> Response:
        """List policies and reward models, newest first."""
        visible = ModelVersion.objects.with_lineage().visible_to(user_of(request))
        chosen = visible.filter(kind=asked["kind"]) if "kind" in asked else visible
        page: Any = self.paginate_queryset(chosen.of_project(asked.get("project")))
        return self.get_paginated_response(model_serializers.ModelSerializer(page, many=True).data)


class JudgedView(APIView):
    heavy = {"GET": Heavy.REPORT}

    @parses(ProjectQuery)
    @extend_schema(responses=model_serializers.JudgedPoliciesSerializer)
    def get(self, request: Request, asked: Asked) -> Response:
        """List the newest evaluations of each policy, with the policy's gain over its parent."""
        user, project = user_of(request), asked.get("project")
        policies = judged_policies(
            models=ModelVersion.objects.visible_to(user).of_project(project),
            runs=TrainingRun.objects.visible_to(user).of_project(project),
        )
        return Response(model_serializers.JudgedPoliciesSerializer({"policies": policies}).data)


class ModelView(APIView):
    """A view under `models/{id}/`. Project managers can read the model; admins can also change it."""

    model: ModelVersion

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        visible = ModelVersion.objects.with_lineage().visible_to(user_of(request))
        self.model = get_object_or_404(visible, pk=kwargs["model_id"])
        allow_in(request, self.model.project)


class ModelDetailView(ModelView):
    @extend_schema(responses=model_serializers.ModelSerializer)
    def get(self, request: Request, model_id: str) -> Response:
        """Return the model with its origin and metrics."""
        return Response(model_serializers.ModelSerializer(self.model).data)


class PromoteView(ModelView):
    @extend_schema(request=model_serializers.PromoteSerializer, responses=model_serializers.ModelSerializer)
    def post(self, request: Request, model_id: str) -> Response:
        """Make the model the project's production model of its kind. A model that has passed no gate needs a
        reason."""
        asked = model_serializers.PromoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        model = promote_model(model=self.model, by=user_of(request), **asked.validated_data)
        return Response(model_serializers.ModelSerializer(model).data)


class DemoteView(ModelView):
    @extend_schema(request=model_serializers.DemoteSerializer, responses=model_serializers.ModelSerializer)
    def post(self, request: Request, model_id: str) -> Response:
        """Take the model out of production. With roll_back, the model that was in production before is
        promoted again."""
        asked = model_serializers.DemoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        model = demote_model(model=self.model, by=user_of(request), **asked.validated_data)
        return Response(model_serializers.ModelSerializer(model).data)


class ArchiveView(ModelView):
    @extend_schema(request=None, responses=model_serializers.ModelSerializer)
    def post(self, request: Request, model_id: str) -> Response:
        """Archive the model: runs can no longer use it, but its files are kept."""
        model = archive_model(model=self.model, by=user_of(request))
        return Response(model_serializers.ModelSerializer(model).data)


class HistoryView(ModelView):
    @extend_schema(responses=model_serializers.HistorySerializer)
    def get(self, request: Request, model_id: str) -> Response:
        """Return the changes of the model's stage and its gates, newest first."""
        return Response(model_serializers.HistorySerializer(history_of(self.model)).data)


class LineageView(ModelView):
    @extend_schema(responses=model_serializers.LineageSerializer)
    def get(self, request: Request, model_id: str) -> Response:
        """Return where the model comes from, and the models and runs that used it."""
        return Response(model_serializers.LineageSerializer(lineage_of(self.model)).data)


class CardView(ModelView):
    @extend_schema(responses=model_serializers.CardSerializer)
    def get(self, request: Request, model_id: str) -> Response:
        """Return the model card."""
        return Response(model_serializers.CardSerializer({"card": model_card(self.model)}).data)


class ReportView(ModelView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(responses=reward_report_serializers.ModelReport)
    def get(self, request: Request, model_id: str) -> Response:
        """Return the report on a reward model, measured on rankings held out from the model's training."""
        found = {
            "report": report_of(self.model),
            "annotators": learned_of_annotators(self.model),
            "comparable": comparable_to(self.model),
        }
        return Response(reward_report_serializers.ModelReport(found).data)


class ComparisonView(ModelView):
    heavy = {"GET": Heavy.REPORT}

    @parses(model_serializers.OtherModelQuery)
    @extend_schema(responses=reward_report_serializers.RewardComparison)
    def get(self, request: Request, model_id: str, asked: Asked) -> Response:
        """Compare two reward models in the project. The comparison uses the rankings that are in both models'
        held-out sets."""
        rivals = ModelVersion.objects.filter(project=self.model.project_id, pk=asked["other"])
        found = compare_reward_models(model=self.model, other=get_object_or_404(rivals))
        return Response(reward_report_serializers.RewardComparison(found).data)
