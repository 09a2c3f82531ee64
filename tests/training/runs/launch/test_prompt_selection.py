"""A run's prompts are chosen by metadata and in given proportions, and the seed determines the choice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from annotation.content.adding import add_prompts, add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.models import Project, Prompt
from tests.training.conftest import ModelMaker
from tests.training.rlhf.models.broken_models import saved
from tests.training.runs.launch.test_models_at_launch import refusal
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter
from training.runs.estimates.reading import data_of
from training.runs.launch import launch_run
from training.runs.process.datasets.prompts import draw_prompts, prompts_to_sample
from training.runs.process.kinds import perform
from training.runs.prompt_selection import quotas
from training.runs.recipes.run_recipes import EvaluateRecipe, PPORecipe, PromptSelection, SampleRecipe

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if thinking %}w9{% endif %}"
)


@pytest.fixture(autouse=True)
def prompts(lab: Project) -> None:
    """60 prompts from support, 30 about coding and 10 without a source. Every third prompt is in German."""
    kinds = [{"source": "support"}] * 60 + [{"source": "coding"}] * 30 + [{}] * 10
    add_prompts(
        project=lab,
        prompts=[
            ([{"role": "user", "content": f"w1 w{i}"}], {**kind, "language": "de" if i % 3 == 0 else "en"})
            for i, kind in enumerate(kinds)
        ],
    )


def sources(project: Project, messages: list[Messages]) -> Counter[str]:
    found = dict(Prompt.objects.filter(project=project).values_list("messages__0__content", "metadata"))
    return Counter(str(found[one[0]["content"]].get("source")) for one in messages)


def drawn(project: Project, *, limit: int = 1000, seed: int = 0, **settings: Any) -> list[Messages]:
    selection = PPORecipe(**settings).selection
    return draw_prompts(project=project, split=None, limit=limit, seed=seed, selection=selection).messages


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 100),
        ("source=coding", 30),
        ("source=coding, source=support", 90),
        ("source=coding, language=de", 10),
        ("source=cooking", None),
        ("tags=a", 2),
        ("year=2024", 2),
        ('year="2024"', 1),
        ('nested={"a": 1}', 1),
    ],
)
def test_prompts_are_filtered_by_their_metadata(text: str, count: int | None, lab: Project) -> None:
    if text.startswith(("tags", "year", "nested")):
        metadata = [
            {"tags": ["a", "b"], "year": 2024},
            {"tags": "a", "year": "2024"},
            {"nested": {"a": 1, "b": 2}},
        ]
        more = [([{"role": "user", "content": f"w2 w{i}"}], one) for i, one in enumerate(metadata)]
        add_prompts(project=lab, prompts=more)
    if count is None:
        with pytest.raises(UnusableInput, match="no prompts that match prompt_filter"):
            drawn(lab, prompt_filter=text)
    else:
        assert len(drawn(lab, prompt_filter=text)) == count


def test_mixture_has_the_proportions_of_its_weights(lab: Project) -> None:
    mixed = drawn(lab, prompt_mixture="support=1, coding=1", limit=20)
    assert sources(lab, mixed) == {"support": 10, "coding": 10}
    scarce = drawn(lab, prompt_mixture="support=1, coding=1")
    assert sources(lab, scarce) == {"support": 30, "coding": 30}
    filtered = drawn(lab, prompt_mixture="coding=2, support=1", prompt_filter="language=de")
    assert sources(lab, filtered) == {"coding": 10, "support": 5}
    other = drawn(lab, prompt_mixture="de=1, en=1", mixture_key="language", limit=10)
    assert len(other) == 10
    selection = PPORecipe(prompt_mixture="support=3, coding=1").selection
    chosen = draw_prompts(project=lab, split=None, limit=8, seed=0, selection=selection)
    assert chosen.counts == {"prompts/support": 6, "prompts/coding": 2}


def test_seed_determines_the_choice_and_the_order(lab: Project) -> None:
    settings: dict[str, Any] = {"prompt_mixture": "support=1, coding=1", "limit": 20}
    assert drawn(lab, **settings) == drawn(lab, **settings)
    assert drawn(lab, **settings) != drawn(lab, seed=1, **settings)
    order = [str(sources(lab, [one])) for one in drawn(lab, **settings)]
    assert order != sorted(order)  # the prompts are not grouped by source


@pytest.mark.parametrize(
    ("weights", "available", "limit", "expected"),
    [
        ({"a": 1, "b": 1}, {"a": 5, "b": 5}, 7, {"a": 4, "b": 3}),
        ({"a": 1, "b": 2}, {"a": 9, "b": 9}, 100, {"a": 4, "b": 9}),
        ({"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 100, "b": 100, "c": 100}, 10, {"a": 1, "b": 2, "c": 7}),
        ({"a": 1}, {"a": 3, "b": 9}, 100, {"a": 3}),
        ({"a": 1, "b": 1000}, {"a": 5, "b": 5}, 100, {"a": 0, "b": 5}),
    ],
)
def test_quotas_are_as_large_as_the_proportions_allow(
    weights: dict[str, float], available: dict[str, int], limit: int, expected: dict[str, int]
) -> None:
    assert quotas(PromptSelection((), weights, "source"), available, limit) == expected


def test_prompts_with_the_fewest_tasks_are_selected_for_ranking(lab: Project) -> None:
    busy = list(Prompt.objects.filter(project=lab, metadata__source="coding").order_by("id")[:25])
    answers = [ResponseDraft("yes", "m"), ResponseDraft("no", "m")]
    add_ranking_tasks(
        project=lab, items=[TaskDraft(messages=one.messages, responses=answers) for one in busy]
    )
    selection = SampleRecipe(prompt_mixture="coding=1, support=1").selection
    found = prompts_to_sample(project=lab, limit=10, seed=0, selection=selection)
    assert found.counts == {"prompts/coding": 5, "prompts/support": 5}
    texts = {one[0]["content"] for one in found.messages}
    assert not texts & {one.messages[0]["content"] for one in busy}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"prompt_filter": "language"}, "expected entries of the form name=value"),
        ({"prompt_mixture": "support"}, "expected entries of the form name=value"),
        ({"prompt_mixture": "support=0"}, "must be a number above 0"),
        ({"prompt_mixture": "support=a"}, "must be a number above 0"),
        ({"prompt_mixture": "support=true"}, "must be a number above 0"),
        ({"prompt_mixture": "support=1, support=2"}, "given twice"),
    ],
)
def test_invalid_selection_settings_are_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        EvaluateRecipe(**settings)


def test_launch_refuses_a_selection_without_prompts(lab: Project, make_model: ModelMaker) -> None:
    saved(make_model(name="lab-sft-1").folder, template=NO_SYSTEM)
    for recipe, field, reason in (
        ({"prompt_filter": "source=cooking"}, "prompt_filter", "None of the project's prompts"),
        ({"prompt_mixture": "suport=1"}, "prompt_mixture", "The values are: support (60), coding (30)."),
        ({"prompt_mixture": "a=1", "mixture_key": "kind"}, "prompt_mixture", "No prompt has this key"),
        ({"template_arguments": "thinkin=true"}, "template_arguments", "own arguments are: thinking"),
    ):
        found, text = refusal(lab, "sample", recipe)
        assert found == f"recipe.{field}"
        assert reason in text


def test_estimate_counts_the_selected_prompts(lab: Project) -> None:
    recipe = SampleRecipe(prompt_mixture="support=1, coding=1", max_prompts=1000)
    assert data_of(project=lab, kind="sample", recipe=recipe).items == 60
    recipe = SampleRecipe(prompt_filter="source=coding", max_prompts=1000)
    assert data_of(project=lab, kind="sample", recipe=recipe).items == 30


def test_result_counts_selected_and_refused_prompts(
    lab: Project, make_model: ModelMaker, tmp_path: Path
) -> None:
    saved(make_model(name="lab-sft-1").folder, template=NO_SYSTEM)
    refused = [{"role": "system", "content": "w1"}, {"role": "user", "content": "w2"}]
    add_prompts(project=lab, prompts=[(refused, {"source": "cooking"}) for _ in range(1)])
    recipe = {
        "prompt_mixture": "coding=3, cooking=1",
        "max_new_tokens": 4,
        "template_arguments": "thinking=true",
    }
    run = launch_run(project=lab, kind="sample", recipe=recipe, inputs={}, user=None)
    outcome = perform(run, attempt=1, work=tmp_path / "work", report=NullReporter())
    assert outcome.counts["prompts/coding"] == 3
    assert outcome.counts["prompts/cooking"] == 1
    assert outcome.counts["prompts_refused"] == 1
    assert outcome.counts["prompts_answered"] == 3
    assert outcome.tasks is not None
    assert outcome.tasks.drafts[0].responses[0].sampling["template_arguments"] == {"thinking": True}
