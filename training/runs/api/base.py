"""Helpers shared by the training views."""

from __future__ import annotations

from rest_framework.request import Request

from annotation.api.base import allow_in, user_of
from annotation.api.parameters import Query, name_field
from annotation.models import Project
from config.problems import FieldProblem, Problem


class ProjectQuery(Query):
    project = name_field("Only results from the project with this slug.")


def project_to_train(request: Request, slug: str) -> Project:
    """The project in which to launch a run. Raises Problem if no project with this slug is
    visible to the user."""
    project = Project.objects.visible_to(user_of(request)).filter(slug=slug).first()
    if project is None:
        raise Problem(
            f"There is no project {slug}.", errors=[FieldProblem("project", "There is no such project.")]
        )
    allow_in(request, project)
    return project
