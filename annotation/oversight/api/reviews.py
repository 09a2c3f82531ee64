"""Views of the reviewers' queue. The ID in `reviews/{id}/` is a task ID."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from annotation.api.base import ProjectView, row_of_project, user_of
from annotation.api.endpoint import action_of
from annotation.desk.api.assignments import source_of
from annotation.desk.api.serializers import Lease, LeaseToken, RankingId
from annotation.models import Assignment, RankingTask
from annotation.oversight import review
from annotation.oversight.api import review_serializers as serializers
from config.heavy.routes import Heavy


class QueueView(ProjectView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(
        operation_id="listReviews",
        description="Tasks that await a decision, lowest agreement first, and the latest decisions.",
        responses=serializers.ReviewQueue,
        tags=["reviews"],
    )
    def get(self, request: Request, slug: str) -> Response:
        waiting = review.waiting(project=self.project, reviewer=user_of(request))
        decided = review.decided(project=self.project)
        listed = review.with_holder(waiting).select_related("task__prompt")
        queue = {
            "n_waiting": waiting.count(),
            "waiting": listed[: review.MAX_LISTED],
            "n_decided": decided.count(),
            "decided": decided.select_related("task__prompt", "annotator")[: review.MAX_LISTED],
        }
        return Response(serializers.ReviewQueue(queue).data)


class NextView(ProjectView):
    @extend_schema(
        operation_id="openNextReview",
        description="Returns the task that you already have open, or else opens the free task with the lowest"
        " agreement. 204: no task is free.",
        request=None,
        responses={200: serializers.ReviewShown, 204: None},
        tags=["reviews"],
    )
    def post(self, request: Request, slug: str) -> Response:
        held = review.open_next_review(project=self.project, reviewer=user_of(request))
        return Response(status=HTTPStatus.NO_CONTENT) if held is None else _shown(held)


class TaskView(APIView):
    """A view under `reviews/{id}/`. Checks can't be reviewed, because their answer is known."""

    takes: type[Serializer[Any]] | None = LeaseToken
    task: RankingTask
    given: Any

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        tasks = RankingTask.objects.asked()
        self.task = row_of_project(request, tasks, kwargs["id"])
        if self.takes is not None and action_of(request) is not None:
            self.given = self.takes(data=request.data)
            self.given.is_valid(raise_exception=True)


class OpenView(TaskView):
    takes = None

    @extend_schema(
        operation_id="openReview",
        description="Holds the task for you and returns its annotators' answers.",
        request=None,
        responses=serializers.ReviewShown,
        tags=["reviews"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        return _shown(review.open_review(task=self.task, reviewer=user_of(request)))


class HeartbeatView(TaskView):
    @extend_schema(operation_id="renewReview", request=LeaseToken, responses=Lease, tags=["reviews"])
    def post(self, request: Request, id: UUID) -> Response:
        until = review.renew_review(task=self.task, reviewer=user_of(request), **self.given.validated_data)
        return Response(Lease({"expires_at": until}).data)


class ReleaseView(TaskView):
    @extend_schema(operation_id="releaseReview", request=LeaseToken, responses={204: None}, tags=["reviews"])
    def post(self, request: Request, id: UUID) -> Response:
        review.release_review(task=self.task, reviewer=user_of(request), **self.given.validated_data)
        return Response(status=HTTPStatus.NO_CONTENT)


class DecideView(TaskView):
    takes = serializers.Decision

    @extend_schema(
        operation_id="decideReview",
        description="201: the decision was stored and supersedes any previous decision. 200: your current"
        " decision is the same.",
        request=serializers.Decision,
        responses={200: RankingId, 201: RankingId},
        tags=["reviews"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        ranking, created = review.decide(
            task=self.task,
            reviewer=user_of(request),
            token=self.given.validated_data["token"],
            answer=self.given.answer(),
            source=source_of(request),
        )
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        return Response(RankingId(ranking).data, status=status)


def _shown(held: Assignment) -> Response:
    return Response(serializers.ReviewShown(review.shown_to_reviewer(assignment=held)).data)
