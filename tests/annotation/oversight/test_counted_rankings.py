"""A ranking counts if it is current and its annotator is not excluded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Comparison, Exclusion, Project, Ranking, RankingTask, User
from tests.annotation.answering import claim, strict_order


@pytest.fixture
def rankings(project: Project, tasks: list[RankingTask], alice: User, ben: User) -> dict[str, Ranking]:
    """A ranking by Alice and its revision, a ranking by Ben, and an imported vote by `rater 7`."""
    made = {}
    for person in (alice, ben):
        assignment = claim(project, person)
        answer = strict_order(assignment.shown_order)
        made[person.username] = submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[
            0
        ]
        if person == alice:
            backwards = strict_order(assignment.shown_order[::-1])
            made["alice"] = revise_ranking(assignment=assignment, answer=backwards)[0]
    shown = list(tasks[3].responses.values_list("pk", flat=True))
    made["rater 7"] = Ranking.objects.create(
        project=project,
        task=tasks[3],
        annotator_label="rater 7",
        source="import",
        import_key="7",
        shown_order=shown,
        tiers=[[str(id)] for id in shown],
        touched=True,
    )
    return made


def _counted() -> set[str]:
    return {
        row.annotator.username if row.annotator else row.annotator_label for row in Ranking.objects.counted()
    }


def test_current_rankings_count_until_their_annotator_is_excluded(
    project: Project, rankings: dict[str, Ranking], alice: User
) -> None:
    assert Ranking.objects.count() == 4
    assert set(Ranking.objects.counted()) == set(rankings.values())
    assert Comparison.objects.counted().count() == 3 + 3
    Exclusion.objects.create(project=project, annotator=alice, reason="straight-lining")
    assert _counted() == {"ben", "rater 7"}
    assert Comparison.objects.counted().count() == 3
    assert set(Ranking.objects.current()) == set(rankings.values()), "the history is unchanged"
    Exclusion.objects.create(project=project, annotator_label="rater 7", reason="a bot")
    assert _counted() == {"ben"}
    Exclusion.objects.update(lifted_at=timezone.now())
    assert _counted() == {"alice", "ben", "rater 7"}


def test_exclusion_is_per_project_and_distinguishes_labels_from_accounts(
    project: Project, rankings: dict[str, Ranking], alice: User
) -> None:
    elsewhere = Project.objects.create(slug="elsewhere", name="Elsewhere")
    Exclusion.objects.create(project=elsewhere, annotator=alice, reason="there")
    Exclusion.objects.create(project=elsewhere, annotator_label="rater 7", reason="there")
    Exclusion.objects.create(project=project, annotator_label="alice", reason="an imported alice")
    assert _counted() == {"alice", "ben", "rater 7"}


def test_every_ranking_is_either_counted_or_uncounted(
    project: Project,
    rankings: dict[str, Ranking],
    alice: User,
    client_of: Callable[[User], APIClient],
    mona: User,
) -> None:
    def said() -> tuple[int, int, int]:
        api = client_of(mona)
        progress = api.get(f"/api/v1/projects/{project.slug}/progress/").json()
        counts = api.get(f"/api/v1/projects/{project.slug}/").json()["counts"]
        return Comparison.objects.counted().count(), progress["comparisons"], counts["comparisons"]

    def parts() -> list[int]:
        return [part.count() for part in Comparison.objects.uncounted()]

    Comparison.objects.create(
        ranking=rankings["rater 7"],
        project=project,
        prompt=rankings["rater 7"].task.prompt,
        preferred_id=rankings["rater 7"].shown_order[0],
        other_id=rankings["rater 7"].shown_order[1],
    )
    assert (parts(), said()) == ([3, 0, 0], (7, 7, 7))
    # Alice's first ranking is both superseded and excluded, but is subtracted from the count only once.
    Exclusion.objects.create(project=project, annotator=alice, reason="straight-lining")
    assert (parts(), said()) == ([3, 3, 0], (4, 4, 4))
    Exclusion.objects.create(project=project, annotator_label="rater 7", reason="a bot")
    assert (parts(), said()) == ([3, 3, 1], (3, 3, 3))
    Exclusion.objects.update(lifted_at=timezone.now())
    assert said() == (7, 7, 7)
