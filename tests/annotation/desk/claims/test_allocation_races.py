"""Rules that must hold for any number of tabs and any manager action, tested on real database connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

import pytest
from django.db.models import Count

from annotation.api.refusals import AnnotatorPaused, CapReached, DailyCapReached, ProjectNotActive
from annotation.desk import allocation, membership
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Assignment, Desk, Membership, Project, Ranking, RankingTask, User
from annotation.projects.projects import update_project
from config.problems import Conflict
from tests.annotation.answering import claim, claim_next, strict_order
from tests.annotation.desk.test_checks import answer, make_check
from tests.annotation.racing import at_once

pytestmark = pytest.mark.django_db(transaction=True)

AddTasks = Callable[..., list[RankingTask]]


def _submit(held: Assignment) -> None:
    submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))


@pytest.mark.parametrize("cap", ["max_per_annotator", "max_per_annotator_per_day"])
def test_annotator_with_many_tabs_reaches_but_never_exceeds_the_cap(
    project: Project, add_tasks: AddTasks, alice: User, cap: str
) -> None:
    add_tasks(project, 40, k=2)
    setattr(project, cap, 7)
    project.save()

    def tab(seed: int) -> str:
        chance = Random(seed)
        for _ in range(60):
            try:
                leases = allocation.claim_tasks(
                    project=project, annotator=alice, prefetch=chance.choice([0, 1, 2])
                )
                held = chance.choice(leases)
                if chance.random() < 0.3:
                    allocation.release_lease(assignment=held, token=held.token)
                else:
                    _submit(held)
            except (CapReached, DailyCapReached) as refused:
                return refused.type
            except Conflict:  # another tab claimed or answered first
                continue
        return "no cap reached"

    said = at_once([partial(tab, seed) for seed in range(5)])
    assert set(said) <= {CapReached.type, DailyCapReached.type}, said
    assert Ranking.objects.filter(annotator=alice).count() == 7
    desk = Desk.objects.get(annotator=alice)
    assert (desk.answered, desk.answered_on_day) == (7, 7)


def test_prefetching_in_many_tabs_leases_three_tasks_in_total(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 20, k=2)
    got = at_once([partial(allocation.claim_tasks, project=project, annotator=alice, prefetch=2)] * 6)
    assert len({tuple(lease.pk for lease in leases) for leases in got}) == 1
    assert sorted(Assignment.objects.leased().values_list("place", flat=True)) == [0, 1, 2]


def test_simultaneous_answers_and_releases_never_lose_a_slot(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    add_tasks(project, 30, k=2, overlap=2)

    def work(person: User, seed: int) -> None:
        chance = Random(seed)
        while leases := allocation.claim_tasks(
            project=project, annotator=person, prefetch=chance.choice([0, 1, 2])
        ):
            held = chance.choice(leases)
            with suppress(Conflict):
                if chance.random() < 0.2:
                    allocation.release_lease(assignment=held, token=held.token)
                else:
                    _submit(held)

    failed = at_once([partial(work, person, seed) for seed, person in enumerate([alice, ben] * 2)])
    assert failed == [None] * 4
    assert Ranking.objects.count() == 60
    assert not Ranking.objects.values("task", "annotator").annotate(n=Count("pk")).filter(n__gt=1).exists()
    assert set(RankingTask.objects.values_list("state", "open_slots", "answered")) == {("done", 0, 2)}


def test_only_one_of_several_simultaneous_skips_and_submits_succeeds(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    project.skip_ways = ["others", "me", "drop"]
    project.save()
    add_tasks(project, 1, overlap=2)
    held = claim(project, alice)
    told = at_once(
        [
            partial(allocation.skip_assignment, assignment=held, token=held.token, way=way)
            for way in ("others", "me", "drop", "others")
        ]
        + [partial(_submit, held)]
    )
    assert sum(one is None for one in told) == 1
    assert all(one is None or isinstance(one, Conflict) for one in told)
    task, row = RankingTask.objects.get(), Assignment.objects.get()
    assert task.open_slots == (1 if row.state == "submitted" else 2)
    assert (task.state == "dropped") == (row.skip_way == "drop")
    assert Desk.objects.get().skipped == (row.state == "skipped")


def test_annotator_paused_during_a_claim_holds_no_lease(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 30, k=2)
    member = Membership.objects.get(user=alice)
    for _ in range(8):
        told = at_once(
            [partial(allocation.claim_tasks, project=project, annotator=alice, prefetch=1)] * 3
            + [partial(membership.pause, member=member, reason="Away.")]
        )
        assert all(isinstance(one, list | AnnotatorPaused) for one in told[:3]), told
        assert not Assignment.objects.leased().exists()
        membership.resume(member=member)


@pytest.mark.parametrize(("state", "stay"), [("archived", set()), ("paused", {0})])
def test_claim_never_leases_a_task_of_an_inactive_project(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, state: str, stay: set[int]
) -> None:
    """`stay` contains the places at which leases may remain: none in an archived project, and only place 0,
    the current task, in a paused project."""
    add_tasks(project, 30, k=2)
    for _ in range(8):
        told = at_once(
            [
                partial(allocation.claim_tasks, project=project, annotator=person, prefetch=1)
                for person in (alice, ben)
            ]
            + [partial(update_project, project=Project.objects.get(), changes={"state": state})]
        )
        assert all(isinstance(one, list | ProjectNotActive) for one in told[:2]), told
        assert set(Assignment.objects.leased().values_list("place", flat=True)) <= stay
        Assignment.objects.leased().update(state=Assignment.State.RELEASED)
        update_project(project=project, changes={"state": "active"})


def test_qualification_is_evaluated_once_if_its_last_answers_are_simultaneous(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User
) -> None:
    for task in add_tasks(project, 4)[:2]:
        make_check(task, "qualification")
    project.qualification_pass_mark = 1.0
    project.save()
    for person, right in ((alice, True), (ben, False)):
        both = allocation.claim_tasks(project=project, annotator=person, prefetch=1)
        assert at_once([partial(answer, held, right=right) for held in both]) == [None, None]
        member = Membership.objects.get(user=person)
        assert (member.qualified_at is not None) == right
        assert member.qualification_attempt == (1 if right else 2)


def test_score_matches_the_current_ranking_after_simultaneous_revisions(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    make_check(add_tasks(project, 1)[0])
    project.gold_rate = 0.5
    project.save()
    held = None
    project.mixing_seed = project.pk
    while held is None:
        held = claim_next(project=project, annotator=alice)
        if held is None:  # no check is due: try another seed
            project.mixing_seed = type(project.pk)(int=project.mixing_seed.int + 1)
    answer(held)
    orders = [held.shown_order[i:] + held.shown_order[:i] for i in range(1, 3)]
    at_once([partial(revise_ranking, assignment=held, answer=strict_order(order)) for order in orders])
    standing = Ranking.objects.current().get()
    from annotation.desk.checks import score_of

    held.refresh_from_db()
    assert held.score == score_of(held.task, standing.tiers)
