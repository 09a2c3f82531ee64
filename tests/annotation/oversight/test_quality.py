from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.desk.answers import Answer
from annotation.desk.checks import accuracy_of, set_kind
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Membership, Project, Ranking, RankingTask, User
from annotation.models.exclusion import Exclusion
from annotation.oversight.quality.estimates import Estimate
from annotation.oversight.quality.report import quality
from preferences.statistics.krippendorff import alpha_of_pairs
from tests.annotation.answering import claim, rank_next
from tests.preferences.statistics.helpers import concordance, tau_b

AddTasks = Callable[..., list[RankingTask]]
UNKNOWN = Estimate(None, None, None)


@pytest.fixture
def shared(project: Project, add_tasks: AddTasks, alice: User, ben: User) -> Project:
    """Two tasks ranked by both annotators, who disagree only on model-1 versus model-2 in the first task."""
    add_tasks(project, 2, overlap=2)
    rank_next(project, alice, [0], [1], [2])
    rank_next(project, alice, [0, 1], [2])
    rank_next(project, ben, [0], [2], [1])
    rank_next(project, ben, [1, 0], [2], duration_ms=5000)
    return project


def test_agreement_covers_pairs_that_two_annotators_ranked(shared: Project) -> None:
    found = quality(project=shared)
    assert found.n_pairs == 6
    assert found.pairwise_agreement == found.agreement.value == pytest.approx(5 / 6)
    assert (found.agreement_without_ties, found.n_pairs_without_ties) == (pytest.approx(4 / 5), 5)
    assert found.n_shared_tasks == 2
    assert [(row.username, row.n_pairs, row.agreement) for row in found.annotators] == [
        ("alice", 6, pytest.approx(5 / 6)),
        ("ben", 6, pytest.approx(5 / 6)),
    ]
    assert [(row.one, row.other, row.n_pairs) for row in found.between] in (
        [("alice", "ben", 6)],
        [("ben", "alice", 6)],
    )
    assert [(row.date, row.n_pairs) for row in found.per_day] == [(timezone.now().date(), 12)]


def test_chance_corrected_agreement_matches_the_statistics_package(shared: Project) -> None:
    found = quality(project=shared)
    # Each row counts the verdicts on one pair: first (0, 1), (0, 2) and (1, 2) of the first task, then the
    # same pairs of the second task. In the first task, both annotators prefer the same response in the first
    # two pairs and disagree on the third pair. In the second task, both annotators tie the first pair and
    # prefer the same response in the other two pairs.
    counts = [[0, 0, 2], [0, 0, 2], [1, 0, 1], [0, 2, 0], [0, 0, 2], [0, 0, 2]]
    tasks = np.repeat([0, 1], 3)
    assert found.alpha_nominal.value == pytest.approx(alpha_of_pairs(counts, tasks, metric="nominal").alpha)
    assert found.alpha_ordinal.value == pytest.approx(alpha_of_pairs(counts, tasks, metric="ordinal").alpha)
    first, second = ([0, 1, 2], [0, 2, 1]), ([0, 0, 1], [0, 0, 1])
    assert found.tau_b.value == pytest.approx(np.mean([tau_b(*first), tau_b(*second)]))
    assert found.kendall_w.value == pytest.approx((concordance(first) + concordance(second)) / 2)
    for interval in (found.alpha_nominal, found.tau_b, found.kendall_w, found.agreement):
        assert interval.low is not None
        assert interval.low <= interval.value <= interval.high


def test_every_agreement_measure_is_null_without_overlap(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    rank_next(project, alice, [0], [1], [2])
    found = quality(project=project)
    assert (found.pairwise_agreement, found.n_pairs, found.alpha_nominal, found.tau_b) == (
        None,
        0,
        UNKNOWN,
        UNKNOWN,
    )
    assert [(row.username, row.rankings, row.agreement, row.reliability) for row in found.annotators] == [
        ("alice", 1, None, UNKNOWN)
    ]
    assert (found.per_day, found.between, found.ratings) == ([], [], [])


def test_annotator_counts_again_after_an_exclusion_is_lifted(shared: Project, ben: User, mona: User) -> None:
    before = quality(project=shared)
    exclusion = Exclusion.objects.create(project=shared, annotator=ben, reason="guesses", created_by=mona)
    without = quality(project=shared)
    assert [row.username for row in without.annotators] == ["alice"]
    assert without.n_pairs == 0
    Exclusion.objects.filter(pk=exclusion.pk).update(lifted_at=timezone.now(), lifted_by=mona)
    assert quality(project=shared) == before


def test_review_decision_does_not_count_as_an_annotation(shared: Project, rita: User) -> None:
    """A reviewer sees the annotators' answers, so the decision is not independent of those answers."""
    before = quality(project=shared)
    of_alice = Ranking.objects.filter(annotator__username="alice").first()
    assert of_alice is not None
    review = Assignment.objects.create(
        project=shared,
        task=of_alice.task,
        annotator=rita,
        state=Assignment.State.REVIEWED,
        shown_order=of_alice.shown_order,
        expires_at=timezone.now(),
    )
    review.refresh_from_db()
    Ranking.objects.create(
        project=shared,
        task=of_alice.task,
        assignment=review,
        form_version=review.form_version,
        annotator=rita,
        source="browser",
        kind="review",
        shown_order=of_alice.shown_order,
        tiers=of_alice.tiers,
        touched=True,
    )
    assert quality(project=shared) == before


def test_checks_count_only_towards_accuracy(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    rank_next(project, alice, [0], [1], [2])
    rank_next(project, ben, [1, 0], [2])
    # In the known answer, model-0 is best and the other two models are tied, so there are two ordered pairs.
    # Ben ties the responses of one ordered pair.
    known(task, RankingTask.Kind.GOLD)
    found = quality(project=project)
    assert (found.n_pairs, found.n_shared_tasks, found.per_day, found.between) == (0, 0, [], [])
    accuracy = {row.username: (row.gold_accuracy.value, row.n_gold, row.rankings) for row in found.annotators}
    assert accuracy == {"alice": (1.0, 1, 1), "ben": (0.75, 1, 1)}
    # The reported accuracy is also the value that determines whether an annotator is paused.
    for member in Membership.objects.filter(project=project, user__in=[alice, ben]):
        value, n, _ = accuracy[member.user.username]
        assert accuracy_of(member=member) == (n, value)
    assert all(row.longer_wins == UNKNOWN for row in found.annotators)


def test_ranking_task_with_a_known_answer_counts_like_any_ranking_task(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    rank_next(project, alice, [0], [1], [2])
    rank_next(project, ben, [1, 0], [2])
    before = quality(project=project)
    known(task, RankingTask.Kind.RANKING)
    found = quality(project=project)
    assert (found.n_pairs, found.n_shared_tasks) == (before.n_pairs, before.n_shared_tasks) == (3, 1)
    accuracy = {row.username: (row.gold_accuracy.value, row.n_gold) for row in found.annotators}
    assert accuracy == {"alice": (1.0, 1), "ben": (0.75, 1)}


def test_qualification_has_a_separate_score(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    rank_next(project, alice, [0], [1], [2])
    known(task, RankingTask.Kind.QUALIFICATION)
    (row,) = quality(project=project).annotators
    assert (row.rankings, row.n_gold, row.gold_accuracy) == (1, 0, UNKNOWN)


def known(task: RankingTask, kind: str) -> None:
    ids = list(task.responses.order_by("model_name").values_list("pk", flat=True))
    set_kind(task=task, kind=kind, gold_tiers=[[ids[0]], ids[1:]])


def test_position_bias_and_length_bias_are_distinguished(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    """Alice always prefers the response shown first, regardless of length."""
    add_tasks(project, 12, k=2)
    for _ in range(12):
        assignment = claim(project, alice)
        answer = Answer(tiers=[[id] for id in assignment.shown_order], touched=False, duration_ms=1000)
        submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
    (row,) = quality(project=project).annotators
    assert row.first_shown_wins.value == 1.0
    assert row.first_shown_wins.low is not None
    assert row.first_shown_wins.low > 0.7
    assert (row.as_shown, row.as_shown_by_chance, row.untouched) == (1.0, 0.5, 1.0)
    # All texts have the same length.
    assert row.longer_wins == UNKNOWN
    assert row.median_seconds == 1.0


def test_agreement_on_ratings_is_the_alpha_of_krippendorff(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    project.form |= {"ratings": [{"name": "helpful", "label": "Helpful", "min": 0, "max": 4}]}
    project.save()
    add_tasks(project, 2, overlap=2)
    for person, values in ((alice, (0, 1, 2)), (ben, (0, 1, 3))):
        for _ in range(2):
            assignment = claim(project, person)
            by_model = dict(assignment.task.responses.values_list("model_name", "pk"))
            ratings = {by_model[f"model-{n}"]: {"helpful": value} for n, value in enumerate(values)}
            answer = Answer(tiers=[list(by_model.values())], ratings=ratings, touched=True)
            submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
    (scale,) = quality(project=project).ratings
    assert (scale.scale, scale.n_units, scale.n_values) == ("helpful", 6, 12)
    # Each of the units (0, 0), (1, 1) and (2, 3) occurs twice, so D_o = 1/3. D_e is computed from all values:
    # four 0s, four 1s, two 2s and two 3s.
    pool = [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2
    expected = np.mean([(a - b) ** 2 for n, a in enumerate(pool) for b in pool[:n]])
    assert scale.alpha_interval.value == pytest.approx(1 - (1 / 3) / expected)
    assert scale.alpha_ordinal.value is not None


def test_annotator_who_answers_at_random_is_an_outlier(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User
) -> None:
    add_tasks(project, 40, overlap=3)
    rng = np.random.default_rng(0)
    for _ in range(40):
        for person in (alice, rita):
            rank_next(project, person, [0], [1], [2])
        rank_next(project, ben, *[[int(n)] for n in rng.permutation(3)])
    found = {row.username: row for row in quality(project=project).annotators}
    assert found["ben"].outlier_p_adjusted is not None
    assert found["ben"].outlier_p_adjusted < 1e-4
    assert found["alice"].outlier_p_adjusted == 1.0
    assert found["alice"].reliability.low is not None
    assert found["ben"].reliability.high is not None
    assert found["alice"].reliability.low > 0.9 > found["ben"].reliability.high


def test_reviewers_and_managers_get_a_report_that_matches_the_schema(
    shared: Project, rita: User, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    for person in (rita, mona):
        body = client_of(person).get("/api/v1/projects/support/quality/").json()
        assert body["pairwise_agreement"] == pytest.approx(5 / 6)
        assert body["per_day"] == [
            {"date": date.today().isoformat(), "agreement": pytest.approx(5 / 6), "n_pairs": 12}
        ]
        assert set(body["annotators"][0]["reliability"]) == {"value", "low", "high"}
