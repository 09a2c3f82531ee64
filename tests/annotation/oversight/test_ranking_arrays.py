"""Arrays read in bulk match the database rows, ranking by ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from uuid import UUID

import numpy as np
import pytest

from annotation.database.columns import keys_of
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Project, Ranking, RankingTask, Response, User
from annotation.models.exclusion import Exclusion
from annotation.oversight import ranking_arrays
from annotation.oversight.ranking_arrays import RankingArrays, read_rankings
from preferences.pairs import comparisons_of, unranked_of
from preferences.statistics.pairs import NO_VERDICT, pair_columns, verdicts_of
from tests.annotation.answering import claim

Pair = tuple[str, tuple[UUID, UUID], UUID | None]


def _two(one: UUID, two: UUID) -> tuple[UUID, UUID]:
    return (one, two) if one < two else (two, one)


def _from_rows(project: Project) -> list[Pair]:
    """All counted pairs, as (annotator, two responses, preferred response or None for a tie)."""
    return sorted(
        (
            (
                row.annotator.username,
                _two(pair.preferred, pair.other),
                None if pair.is_tie else pair.preferred,
            )
            for row in Ranking.objects.counted().filter(project=project).select_related("annotator")
            for pair in comparisons_of(
                [[UUID(id) for id in tier] for tier in row.tiers],
                unranked=unranked_of(row.shown_order, [[UUID(id) for id in tier] for tier in row.tiers]),
            )
        ),
        key=repr,
    )


def _from_arrays(read: RankingArrays, ids: list[UUID]) -> Iterator[Pair]:
    for block in read.blocks:
        first, second = pair_columns(block.k)
        for person, responses, row in zip(
            block.person, block.responses, verdicts_of(block.places), strict=True
        ):
            for i, j, said in zip(first, second, row, strict=True):
                if said != NO_VERDICT:
                    one, two = ids[responses[i]], ids[responses[j]]
                    yield read.people[person], _two(one, two), {0: None, 1: one, -1: two}[int(said)]


def _response_ids(project: Project) -> list[UUID]:
    """The project's response IDs, in the order in which the arrays number the responses."""
    ids = list(Response.objects.filter(prompt__project=project).values_list("pk", flat=True))
    halves = np.array([divmod(id.int, 2**64) for id in ids], dtype=np.uint64).reshape(-1, 2)
    return [ids[i] for i in np.argsort(keys_of(halves))]


def _answers(shown: list[UUID]) -> list[Answer]:
    a, b, *rest = shown
    return [
        Answer(tiers=[[id] for id in shown], touched=False, duration_ms=1500),
        Answer(tiers=[[id] for id in reversed(shown)], touched=True),
        Answer(tiers=[[a, b], rest] if rest else [[a, b]], touched=True),
        Answer(tiers=[rest, [b, a]] if rest else [[b], [a]], touched=True),
        Answer(tiers=[shown], touched=True),
        Answer(not_rankable=True),
    ]


@pytest.fixture
def answered(
    project: Project, add_tasks: Callable[..., list[RankingTask]], alice: User, ben: User
) -> Project:
    for k in (2, 3, 5, 10):
        add_tasks(project, 6, k=k, overlap=2)
        for person in (alice, ben):
            for number in range(6):
                assignment = claim(project, person)
                answer = _answers(assignment.shown_order)[(number + (person == ben) * k) % 6]
                submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
    return project


def test_arrays_contain_exactly_the_pairs_of_the_rankings(answered: Project) -> None:
    read = read_rankings(project=answered)
    assert sorted(_from_arrays(read, _response_ids(answered)), key=repr) == _from_rows(answered)
    assert sorted(block.k for block in read.blocks) == [2, 3, 5, 10]
    assert sum(len(block) for block in read.blocks) == Ranking.objects.count() == 48


def test_values_in_the_arrays_match_the_database_rows(answered: Project) -> None:
    read, ids = read_rankings(project=answered), _response_ids(answered)
    rows = {
        (row.annotator.username, tuple(row.shown_order)): row
        for row in Ranking.objects.select_related("annotator")
    }
    for block in read.blocks:
        for n in range(len(block)):
            shown = tuple(ids[block.responses[n][column]] for column in block.shown[n].argsort())
            row = rows[read.people[block.person[n]], shown]
            assert block.duration_ms[n] == (-1 if row.duration_ms is None else row.duration_ms)
            assert block.given_at[n] == round(row.created_at.timestamp() * 1e6)
            assert bool(block.has(ranking_arrays.UNTOUCHED)[n]) == (not row.touched)
            assert not block.has(ranking_arrays.CHECK | ranking_arrays.IMPORTED)[n]
            responses = {response.pk: response for response in row.task.responses.all()}
            for column in range(block.k):
                response = responses[ids[block.responses[n][column]]]
                assert read.characters[block.responses[n][column]] == len(response.text)
                assert read.models[read.model[block.responses[n][column]]] == response.model_name


def test_rankings_of_one_task_share_a_task_number_and_response_columns(answered: Project) -> None:
    for block in read_rankings(project=answered).blocks:
        for one, two in combinations(range(len(block)), 2):
            same = block.task[one] == block.task[two]
            assert same == (block.responses[one].tolist() == block.responses[two].tolist())


def test_excluded_rankings_are_not_read(answered: Project, ben: User, mona: User) -> None:
    of_alice = [row for row in _from_rows(answered) if row[0] == "alice"]
    Exclusion.objects.create(project=answered, annotator=ben, reason="guesses", created_by=mona)
    read = read_rankings(project=answered)
    assert sorted(_from_arrays(read, _response_ids(answered)), key=repr) == of_alice
    assert read.people == ["alice"]


def test_revision_replaces_the_revised_ranking(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    shown = assignment.shown_order
    submit_ranking(assignment=assignment, token=assignment.token, answer=Answer(tiers=[[id] for id in shown]))
    revise_ranking(assignment=assignment, answer=Answer(tiers=[[id] for id in reversed(shown)]))
    (block,) = read_rankings(project=project).blocks
    assert len(block) == 1
    assert (block.places + block.shown == 2).all()


def test_empty_project_has_no_arrays(project: Project) -> None:
    read = read_rankings(project=project)
    assert (read.blocks, read.people, read.n_tasks, len(read.characters)) == ([], [], 0, 0)
