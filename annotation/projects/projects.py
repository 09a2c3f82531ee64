"""Creating projects and changing their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from annotation.accounts.members import add_member
from annotation.database.sql import Lock, acquire
from annotation.forms.answer_form import AnswerForm
from annotation.forms.presets import DEFAULT_PRESET, PRESETS
from annotation.forms.versions import refuse_what_open_tasks_do_not_fit
from annotation.models import Assignment, Project, User
from annotation.models.project import DEFAULT_LEASE_SECONDS, MAX_CHECK_RATE, Role
from annotation.oversight import exclusion
from config.problems import Conflict, FieldProblem, Problem, refuse_invalid_fields

CHANGEABLE = frozenset(
    {
        "name",
        "guidelines",
        "form",
        "overlap",
        "lease_seconds",
        "allocation_policy",
        "review_below",
        "state",
        "max_per_annotator",
        "max_per_annotator_per_day",
        "skip_ways",
        "gold_rate",
        "attention_rate",
        "gold_minimum_accuracy",
        "gold_minimum_answers",
        "qualification_pass_mark",
        "qualification_attempts",
        "qualification_tasks",
    }
)


def create_project(
    *,
    slug: str,
    name: str = "",
    preset: str = DEFAULT_PRESET,
    overlap: int = 1,
    guidelines: str = "",
    lease_seconds: int = DEFAULT_LEASE_SECONDS,
    manager: User | None = None,
) -> Project:
    """Creates a project with the preset's form. Raises Problem for an invalid field, and Conflict for a taken
    slug."""
    if preset not in PRESETS:
        raise Problem(
            f"There is no preset {preset!r}.",
            errors=[FieldProblem("preset", f"Choose one of {', '.join(PRESETS)}.")],
        )
    project = Project(
        slug=slug,
        name=name or slug,
        guidelines=guidelines,
        preset=preset,
        form=PRESETS[preset].to_json(),
        overlap=overlap,
        lease_seconds=lease_seconds,
    )
    refuse_invalid_fields(project)
    try:
        with transaction.atomic():
            project.save(force_insert=True)
            if manager is not None:
                add_member(project=project, user=manager, role=Role.MANAGER)
    except IntegrityError:
        raise Conflict(
            f"A project named {slug} already exists.",
            errors=[FieldProblem("slug", "Another project has this short name. Choose a different name.")],
            type="project-exists",
        ) from None
    return project


@transaction.atomic
def update_project(*, project: Project, changes: Mapping[str, Any]) -> Project:
    """Atomically applies `changes`, a mapping from setting names in CHANGEABLE to values. Raises Problem if a
    setting is unknown or a value is invalid.

    A new overlap applies to new tasks only. A new form applies from the next lease on. All open tasks must
    fit the new form. Open leases keep the form that was shown.

    A paused project assigns no tasks. Current leases can be finished; prefetched leases are released. An
    archived project accepts no answers: all leases are released, and drafts are kept. When the project
    becomes active again, tasks that were answered by annotators who have been excluded in the meantime are
    assigned again.
    """
    if unknown := sorted(set(changes) - CHANGEABLE):
        raise Problem(
            "Some of these settings can't be changed.",
            errors=[FieldProblem(name, "This is not a project setting.") for name in unknown],
        )
    if "state" in changes:
        # Waits for claims that read the old state, so that their leases are visible here.
        acquire(Lock.GATE.of(project.pk))
    was_archived = Project.objects.filter(pk=project.pk, state=Project.State.ARCHIVED).exists()
    for field, value in changes.items():
        if field == "form":
            form = AnswerForm.from_json(value)
            acquire(Lock.CONTENT.of(project.pk))
            refuse_what_open_tasks_do_not_fit(project, form)
            value = form.to_json()
        setattr(project, field, value)
    refuse_invalid_fields(project)
    _refuse_odd_allocation(project)
    project.save(update_fields=list(changes))
    if changes.get("state") == Project.State.PAUSED:
        Assignment.objects.ahead_in(project).update(state=Assignment.State.RELEASED)
    elif changes.get("state") == Project.State.ARCHIVED:
        Assignment.objects.leased().filter(project=project).update(state=Assignment.State.RELEASED)
    if was_archived and project.state != Project.State.ARCHIVED:
        exclusion.ask_again(project=project)
    return project


def _refuse_odd_allocation(project: Project) -> None:
    errors = []
    if not project.skip_ways or len(set(project.skip_ways)) < len(project.skip_ways):
        errors.append(FieldProblem("skip_ways", "Name at least one way to skip, and each way only once."))
    if project.gold_rate + project.attention_rate > MAX_CHECK_RATE:
        reason = f"The rates of gold tasks and attention checks add up to more than {MAX_CHECK_RATE:.0%}."
        errors += [FieldProblem(f"checks.{name}", reason) for name in ("gold_rate", "attention_rate")]
    if errors:
        raise Problem("Some fields are invalid.", errors=errors)
