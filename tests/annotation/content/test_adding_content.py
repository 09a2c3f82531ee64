from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from annotation.content.adding import add_prompts, add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft, prompt_hash, split_of
from annotation.models import Project, Prompt, RankingTask, Response, TaskResponse
from config.problems import Problem


def _draft(question: str = "Hello?", *answers: str, model: str = "m") -> TaskDraft:
    responses = [ResponseDraft(text, model) for text in answers or ("Yes.", "No.")]
    return TaskDraft([{"role": "user", "content": question}], responses)


QUESTION = [{"role": "user", "content": "?"}]


def _everything() -> list[list[Any]]:
    models: list[type[Model]] = [Prompt, Response, RankingTask, TaskResponse]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def test_adding_the_same_content_again_changes_nothing(project: Project) -> None:
    drafts = [_draft("One?"), _draft("Two?")]
    first = add_ranking_tasks(project=project, items=drafts, overlap=2)
    before = _everything()
    second = add_ranking_tasks(project=project, items=drafts, overlap=5, round=3)
    assert (first.prompts, first.responses, first.tasks, first.unchanged) == (2, 4, 2, 0)
    assert (second.prompts, second.responses, second.tasks, second.unchanged) == (0, 0, 0, 2)
    assert _everything() == before


def test_task_repeated_in_one_batch_is_added_once(project: Project) -> None:
    counts = add_ranking_tasks(project=project, items=[_draft("?", "a", "b"), _draft("?", "b", "a")])
    assert (counts.tasks, counts.unchanged) == (1, 1)
    shown = TaskResponse.objects.order_by("position").values_list("response__text", flat=True)
    assert list(shown) == ["a", "b"]


def test_new_responses_to_a_known_prompt_create_a_new_task(project: Project) -> None:
    add_ranking_tasks(project=project, items=[_draft("?", "a", "b")])
    counts = add_ranking_tasks(project=project, items=[_draft("?", "b", "c")])
    assert (counts.prompts, counts.responses, counts.tasks) == (0, 1, 1)


def test_same_text_from_two_models_is_stored_as_two_responses(project: Project) -> None:
    draft = TaskDraft(QUESTION, [ResponseDraft("a", "one"), ResponseDraft("a", "two")])
    assert add_ranking_tasks(project=project, items=[draft]).responses == 2


def test_tasks_are_added_in_input_order(project: Project) -> None:
    add_ranking_tasks(project=project, items=[_draft(f"{n}?") for n in range(30)])
    asked = RankingTask.objects.order_by("id").values_list("prompt__messages", flat=True)
    assert [messages[0]["content"] for messages in asked] == [f"{n}?" for n in range(30)]


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (TaskDraft([], [ResponseDraft("a"), ResponseDraft("b")]), "no messages"),
        (_draft("?", "only one"), "2 to 10 responses, not 1"),
        (_draft("?", *[str(n) for n in range(11)]), "2 to 10 responses, not 11"),
        (_draft("?", "same", "same"), "the same"),
        (_draft("?", "a", "b\x00"), "NUL"),
        (_draft("half \ud800", "a", "b"), "lone surrogate"),
        (_draft("?", "a", "b" * 1_000_001), "1,000,001 characters"),
        (TaskDraft([{"role": "wizard", "content": "?"}], [ResponseDraft("a"), ResponseDraft("b")]), "wizard"),
        (
            TaskDraft(
                QUESTION,
                [ResponseDraft("a"), ResponseDraft("b")],
                gold_tiers=[[0], [0]],
            ),
            "gold",
        ),
    ],
)
def test_invalid_draft_is_rejected_with_a_reason_and_other_drafts_are_added(
    project: Project, draft: TaskDraft, reason: str
) -> None:
    counts = add_ranking_tasks(project=project, items=[_draft("good"), draft, _draft("good too")])
    assert counts.tasks == 2
    assert [refused.index for refused in counts.refused] == [1]
    assert reason in counts.refused[0].reason


def test_gold_tiers_are_stored_as_response_ids(project: Project) -> None:
    draft = TaskDraft(
        QUESTION,
        [ResponseDraft("a"), ResponseDraft("b"), ResponseDraft("c")],
        gold_tiers=[[2], [0, 1]],
    )
    add_ranking_tasks(project=project, items=[draft])
    id_of = {response.text: str(response.pk) for response in Response.objects.all()}
    assert RankingTask.objects.get().gold_tiers == [[id_of["c"]], [id_of["a"], id_of["b"]]]


def test_overlap_out_of_bounds_is_rejected(project: Project) -> None:
    with pytest.raises(Problem) as refused:
        add_ranking_tasks(project=project, items=[_draft()], overlap=51)
    assert refused.value.errors[0].field == "overlap"


def test_prompts_without_responses_are_added_once(project: Project) -> None:
    prompts = [([{"role": "user", "content": f"{n}?"}], {"n": n}) for n in range(3)]
    assert add_prompts(project=project, prompts=prompts).prompts == 3
    again = add_prompts(project=project, prompts=[*prompts, ([], {})])
    assert (again.prompts, again.unchanged, len(again.refused)) == (0, 3, 1)


def test_same_tenth_of_prompts_is_always_held_out() -> None:
    hashes = [prompt_hash([{"role": "user", "content": f"{n}?"}]) for n in range(5000)]
    held_out = [split_of(one) == "heldout" for one in hashes]
    assert 420 <= sum(held_out) <= 580  # expected count: 500; 80 is 3.8 binomial standard deviations
    assert held_out == [split_of(one) == "heldout" for one in hashes]


def test_query_count_does_not_depend_on_the_batch_size(
    project: Project,
) -> None:
    counted = []
    for name, size in (("small", 2), ("large", 200)):
        with CaptureQueriesContext(connection) as queries:
            add_ranking_tasks(project=project, items=[_draft(f"{name} {n}?") for n in range(size)])
        counted.append(len(queries))
    assert counted[0] == counted[1]
