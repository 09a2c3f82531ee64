"""The blind human comparison of a policy gate: an ordinary ranking project in which every task holds one
answer from each policy. Annotators see the answers in random order, without the names of the policies."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.forms.answer_form import AnswerForm
from annotation.models import Membership, Project, Ranking
from annotation.models.project import Role
from annotation.projects.projects import create_project, update_project
from config.problems import Problem
from training.models import Gate
from training.runs.answers import AnsweredPrompt

PAIR = 2
EVEN, WON, LOST = 0.5, 1.0, 0.0


def ask_people(
    *,
    gate: Gate,
    name: str,
    new: Sequence[AnsweredPrompt],
    current: Sequence[AnsweredPrompt],
    usernames: Sequence[str],
    max_tasks: int,
) -> tuple[Project, int]:
    """Create the gate's project with at most `max_tasks` tasks. Return the project and its number of tasks.
    Prompts to which both policies give the same answer are left out, because they offer no choice.

    Raises Problem if the policies give the same answers to all prompts, or if the project has no active
    member who can rank.
    """
    parent = gate.model.project
    old = {repr(one["messages"]): one["responses"][0] for one in current}
    assert gate.incumbent is not None
    drafts = [
        TaskDraft(
            messages=one["messages"],
            responses=[
                ResponseDraft(one["responses"][0], gate.model.name),
                ResponseDraft(old[key], gate.incumbent.name),
            ],
        )
        for one in new
        if (key := repr(one["messages"])) in old and old[key] != one["responses"][0]
    ][:max_tasks]
    if not drafts:
        raise Problem(
            "Both policies give the same answers to all held-out prompts. There is nothing to compare."
        )
    project = _gate_project(parent, gate, name)
    _add_annotators(project, parent, usernames)
    counts = add_ranking_tasks(project=project, items=drafts, overlap=1)
    if not counts.tasks:
        raise Problem(f"No gate task could be created: {counts.refused[0].reason}.")
    return project, counts.tasks


def _gate_project(parent: Project, gate: Gate, name: str) -> Project:
    project = create_project(
        slug=_free_slug(parent.slug),
        name=f"{parent.name or parent.slug}: {name}",
        guidelines=parent.guidelines,
        lease_seconds=parent.lease_seconds,
    )
    if AnswerForm.from_json(parent.form).responses.takes(PAIR):
        update_project(project=project, changes={"form": parent.form})
    return project


def _free_slug(stem: str) -> str:
    number = 1
    while Project.objects.filter(slug=f"{stem[:60]}-gate-{number}").exists():
        number += 1
    return f"{stem[:60]}-gate-{number}"


def _add_annotators(project: Project, parent: Project, usernames: Sequence[str]) -> None:
    members = Membership.objects.filter(project=parent, state=Membership.State.ACTIVE).select_related("user")
    ranking = members.filter(user__username__in=usernames) if usernames else members
    if not ranking.exists():
        raise Problem("The project has no active members who could rank in the gate. Add annotators first.")
    for member in members.filter(role=Role.MANAGER):
        add_member(project=project, user=member.user, role=Role.MANAGER)
    for member in ranking.exclude(role=Role.MANAGER):
        add_member(project=project, user=member.user, role=Role.ANNOTATOR)


def answers_of_people(gate: Gate) -> list[float]:
    """The scores of the rankings so far, oldest first: 1 if the new policy's answer is preferred, 0 if the
    production policy's answer is preferred, and ½ for a tie or a ranking without an order."""
    rankings = Ranking.objects.counted().filter(project=gate.project_id)
    places = rankings.order_by("created_at", "pk").values_list("places", flat=True)
    return [_score(*one) if len(one) == PAIR else EVEN for one in places]


def _score(new: int, current: int) -> float:
    """Score a ranking by the places of the new policy's and the production policy's answers. Place 0 is
    best."""
    return EVEN if new == current else WON if new < current else LOST
