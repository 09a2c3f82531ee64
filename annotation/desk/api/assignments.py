"""The annotator's desk: the next task, drafts, skips and answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.views import APIView

from annotation.api.base import ProjectView, user_of
from annotation.api.endpoint import action_of
from annotation.api.parameters import Asked, parses
from annotation.api.permissions import paused_reason, require
from annotation.api.refusals import AnnotatorPaused
from annotation.desk import allocation, reads, submission
from annotation.desk.api import serializers
from annotation.models import ApiToken, Assignment, Ranking

IDEMPOTENCY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY = CharField(
    max_length=200,
    trim_whitespace=False,
    default="",
    help_text="Use the same key for every attempt to submit the same answer.",
)


def source_of(request: Request) -> str:
    """Returns `API` for a request with a token, and `BROWSER` for a request with a session."""
    return Ranking.Source.API if isinstance(request.auth, ApiToken) else Ranking.Source.BROWSER


class NextAssignmentView(ProjectView):
    @extend_schema(
        operation_id="claimNextAssignment",
        description="Leases the next task, or returns the open lease. 204: no task is left. "
        "The type of a 409 response states the reason: `project-not-active`, `annotator-paused`, "
        "`annotator-excluded`, `qualification-failed`, `cap-reached` or `daily-cap-reached`.",
        request=serializers.Next,
        responses={200: serializers.NextAssignment, 204: None},
        tags=["assignments"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.Next(data=request.data)
        given.is_valid(raise_exception=True)
        leases = allocation.claim_tasks(
            project=self.project, annotator=user_of(request), **given.validated_data
        )
        if not leases:
            return Response(status=HTTPStatus.NO_CONTENT)
        current, *after = reads.shown(leases)
        return Response({**current, "prefetched": after})


class OwnAssignmentView(APIView):
    """A view under `assignments/{id}/`. Annotators can access only their own assignments."""

    assignment: Assignment
    paused: str | None = None
    """The reason why the annotator is paused in the project; None if they are not paused."""
    refuses_paused = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        user = user_of(request)
        found = reads.own_assignment(user=user, id=kwargs["id"])
        if found is None:
            raise NotFound
        self.assignment, member = found
        if (action := action_of(request)) is not None:
            if not user.is_admin:
                self.paused = paused_reason(member.state, member.paused_reason)
            require(user, action, role=member.role, paused=self.paused if self.refuses_paused else None)


class AssignmentView(OwnAssignmentView):
    """An assignment view whose requests have a body."""

    takes: type[Serializer[Any]] = serializers.LeaseToken
    given: Any

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.given = self.takes(data=request.data)
        if not self.given.is_valid() and self.paused is not None:
            raise AnnotatorPaused(self.paused)
        self.given.is_valid(raise_exception=True)


class DraftView(AssignmentView):
    takes = serializers.Draft

    @extend_schema(
        operation_id="saveDraft",
        request=serializers.Draft,
        responses=serializers.DraftVersion,
        tags=["assignments"],
    )
    def put(self, request: Request, id: UUID) -> Response:
        version = submission.save_draft(assignment=self.assignment, **self.given.validated_data)
        return Response({"version": version})


class HeartbeatView(AssignmentView):
    @extend_schema(
        operation_id="renewLease",
        request=serializers.LeaseToken,
        responses=serializers.Lease,
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        until = allocation.renew_lease(assignment=self.assignment, **self.given.validated_data)
        return Response(serializers.Lease({"expires_at": until}).data)


class SkipView(AssignmentView):
    takes = serializers.Skip

    @extend_schema(
        operation_id="skipAssignment",
        request=serializers.Skip,
        responses={204: None},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        allocation.skip_assignment(assignment=self.assignment, **self.given.validated_data)
        return Response(status=HTTPStatus.NO_CONTENT)


class ReleaseView(AssignmentView):
    @extend_schema(
        operation_id="releaseAssignment",
        request=serializers.LeaseToken,
        responses={204: None},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        allocation.release_lease(assignment=self.assignment, **self.given.validated_data)
        return Response(status=HTTPStatus.NO_CONTENT)


class SubmitView(AssignmentView):
    takes = serializers.Submission
    # An annotator can be paused after the claim. The service then refuses the answer and saves it as the
    # draft.
    refuses_paused = False

    @parses(headers={IDEMPOTENCY_HEADER: IDEMPOTENCY_KEY})
    @extend_schema(
        operation_id="submitRanking",
        description="201: the answer was stored. 200: the same answer was stored earlier with this"
        " key, and the earlier ranking is returned. 409: the lease is no longer held, the annotator is"
        " paused, or the task already has an answer that was not sent with this key. If the lease is no"
        " longer held or the annotator is paused, the answer is saved as the draft, unless there is a newer"
        " draft.",
        request=serializers.Submission,
        responses={200: serializers.RankingId, 201: serializers.RankingId},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID, asked: Asked) -> Response:
        ranking, created = submission.submit_ranking(
            assignment=self.assignment,
            token=self.given.validated_data["token"],
            answer=self.given.answer(),
            idempotency_key=asked["idempotency_key"],
            source=source_of(request),
            paused=self.paused,
        )
        return _ranking(ranking, created)


class ReviseView(AssignmentView):
    takes = serializers.Answer

    @extend_schema(
        operation_id="reviseRanking",
        description="201: a new ranking supersedes the current ranking. 200: the answer has not changed.",
        request=serializers.Answer,
        responses={200: serializers.RankingId, 201: serializers.RankingId},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        ranking, created = submission.revise_ranking(
            assignment=self.assignment, answer=self.given.answer(), source=source_of(request)
        )
        return _ranking(ranking, created)


def _ranking(ranking: Ranking, created: bool) -> Response:
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return Response(serializers.RankingId(ranking).data, status=status)
