"""The annotator's view of their own work: statistics, the last answer, and feedback on practice."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView, user_of
from annotation.desk import own_work, practice
from annotation.desk.api import own_work_serializers as serializers
from annotation.desk.api.assignments import OwnAssignmentView


class OwnFiguresView(ProjectView):
    @extend_schema(
        operation_id="getOwnFigures",
        description="Your answer count, pace, remaining caps and qualification progress.",
        responses=serializers.OwnFigures,
        tags=["assignments"],
    )
    def get(self, request: Request, slug: str) -> Response:
        figures = own_work.own_figures(project=self.project, annotator=user_of(request))
        return Response(serializers.OwnFigures(figures).data)


class LastAnswerView(ProjectView):
    @extend_schema(
        operation_id="getLastAnswer",
        description="Your last answer, with the task as it was shown, so that you can revise the answer."
        " 204: there is no answer, or the last answer can't be revised. In an archived project, no answer"
        " can be revised. A practice answer can never be revised.",
        responses={200: serializers.LastAnswer, 204: None},
        tags=["assignments"],
    )
    def get(self, request: Request, slug: str) -> Response:
        last = own_work.last_answer(project=self.project, annotator=user_of(request))
        if last is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return Response(serializers.LastAnswer(last).data)


class FeedbackView(OwnAssignmentView):
    @extend_schema(
        operation_id="getFeedback",
        description="The result of your answer to a qualification task. 204 for all other assignments.",
        responses={200: serializers.Feedback, 204: None},
        tags=["assignments"],
    )
    def get(self, request: Request, id: UUID) -> Response:
        feedback = practice.feedback_on(assignment=self.assignment)
        if feedback is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return Response(serializers.Feedback(feedback).data)
