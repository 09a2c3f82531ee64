"""A project's forms: the version shown to annotators, and the check that a new form fits the open tasks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from annotation.forms.answer_form import AnswerForm
from annotation.models import Assignment, FormVersion, Project, TaskResponse
from annotation.models.task import RankingTask
from config.problems import FieldProblem, Problem


def form_of(version: FormVersion) -> AnswerForm:
    return AnswerForm.from_json(version.form)


@dataclass(frozen=True)
class FormEffect:
    form: dict[str, Any]
    open_tasks: int
    in_hand: int


def effect_of(*, project: Project, form: object) -> FormEffect:
    """The effect of changing to `form`. Raises Problem with a reason for each field if the form can't be
    used."""
    checked = AnswerForm.from_json(form)
    refuse_what_open_tasks_do_not_fit(project, checked)
    return FormEffect(
        form=checked.to_json(),
        open_tasks=RankingTask.objects.open().filter(project=project).count(),
        in_hand=Assignment.objects.leased().filter(project=project).count(),
    )


def current_form(project: Project) -> AnswerForm:
    """The form that is currently stored in the database; `project.form` can be stale."""
    return AnswerForm.from_json(Project.objects.values_list("form", flat=True).get(pk=project.pk))


def refuse_what_open_tasks_do_not_fit(project: Project, form: AnswerForm) -> None:
    """Raises Problem if an open task has more or fewer responses than `form` allows.

    Callers must hold the project's `Lock.CONTENT`, so that no task is added in the meantime.
    """
    sizes = (
        TaskResponse.objects.filter(task__project=project, task__state=RankingTask.State.OPEN)
        .values("task")
        .annotate(size=Count("pk"))
        .exclude(size__gte=form.responses.min, size__lte=form.responses.max)
    )
    if misfits := Counter(sizes.values_list("size", flat=True).iterator()):
        found = ", ".join(f"{count} with {size} responses" for size, count in sorted(misfits.items()))
        raise Problem(
            "The form doesn't fit the open tasks.",
            errors=[
                FieldProblem(
                    "form.responses",
                    f"This form allows {form.responses} responses, but some open tasks have a"
                    f" different number: {found}."
                    " Finish or drop these tasks, or use another project.",
                )
            ],
        )
