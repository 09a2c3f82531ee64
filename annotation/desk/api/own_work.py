"""What annotators see of their own work: figures, the last answer, feedback on practice."""

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
        description="How much one has answered and how fast, what the caps leave, and the way to qualify.",
        responses=serializers.OwnFigures,
        tags=["assignments"],
    )
    def get(self, request: Request, slug: str) -> Response:
        figures = own_work.own_figures(project=self.project, annotator=user_of(request))
        return Response(serializers.OwnFigures(figures).data)


class LastAnswerView(ProjectView):
    @extend_schema(
        operation_id="getLastAnswer",
        description="One's last answer with the task as it was shown, to revise it. 204: there is none, or it"
        " stands (the project is archived, or it was given to qualify).",
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
        description="How one's answer to a qualification task did. 204 for every other assignment.",
        responses={200: serializers.Feedback, 204: None},
        tags=["assignments"],
    )
    def get(self, request: Request, id: UUID) -> Response:
        feedback = practice.feedback_on(assignment=self.assignment)
        if feedback is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return Response(serializers.Feedback(feedback).data)
