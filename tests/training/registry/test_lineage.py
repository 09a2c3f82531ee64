"""A model's page shows where the model comes from and what used it, and its card contains only measured
figures."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Project, User
from tests.training.conftest import ModelMaker, Rank, RunMaker
from training.models import ModelVersion
from training.registry.model_card import model_card
from training.registry.stages import promote_model
from training.rlhf.report.reward_report import JSON_NAME

ClientOf = Callable[[User | None], APIClient]


def names(models: list[dict[str, str]]) -> list[str]:
    return [model["name"] for model in models]


def test_lineage_leads_back_to_the_rankings_and_forward_to_the_runs(
    lab: Project,
    make_model: ModelMaker,
    make_run: RunMaker,
    rank: Rank,
    alice: User,
    ada: User,
    client_of: ClientOf,
) -> None:
    rank(lab, alice, n=3)
    freeze_snapshot(project=lab, name="first", created_by=ada)
    sft = make_model(name="lab-sft-1")
    by = make_run(kind="reward_model", inputs={"snapshot": "first", "policy": "lab-sft-1"})
    judge = make_model(name="lab-rm-1", kind="reward_model", parent=sft, run=by)
    improving = make_run(kind="ppo", inputs={"policy": "lab-sft-1", "reward_model": "lab-rm-1"})
    ppo = make_model(name="lab-ppo-1", parent=sft, run=improving)
    last = make_model(name="lab-ppo-2", parent=ppo)
    message = {"role": "user", "content": "Another question?"}
    responses = [ResponseDraft("yes", "lab-ppo-1"), ResponseDraft("no", "lab-ppo-1")]
    add_ranking_tasks(project=lab, items=[TaskDraft(messages=[message], responses=responses)])

    def lineage(model: ModelVersion) -> dict:  # type: ignore[type-arg]
        found: dict = client_of(ada).get(f"/api/v1/models/{model.pk}/lineage").json()  # type: ignore[type-arg]
        return found

    of_ppo = lineage(ppo)
    assert (names(of_ppo["ancestors"]), names(of_ppo["children"])) == (["lab-sft-1"], ["lab-ppo-2"])
    assert (names(of_ppo["reward_models"]), of_ppo["snapshot"]) == (["lab-rm-1"], None)
    assert (of_ppo["responses"], of_ppo["used_by"]) == (2, [])
    of_judge = lineage(judge)
    snapshot = of_judge["snapshot"]
    assert (snapshot["name"], snapshot["rankings"], snapshot["annotators"]) == ("first", 3, 1)
    assert [run["id"] for run in of_judge["used_by"]] == [str(improving.pk)]
    with CaptureQueriesContext(connection) as one:
        lineage(ppo)
    with CaptureQueriesContext(connection) as two:
        assert names(lineage(last)["ancestors"]) == ["lab-ppo-1", "lab-sft-1"]
    assert len(two) <= len(one)


def test_model_card_contains_the_data_the_results_and_the_history(
    lab: Project,
    make_model: ModelMaker,
    make_run: RunMaker,
    rank: Rank,
    alice: User,
    ada: User,
    client_of: ClientOf,
) -> None:
    rank(lab, alice, n=3)
    freeze_snapshot(project=lab, name="first", created_by=ada, license="CC-BY-4.0")
    run = make_run(kind="reward_model", inputs={"snapshot": "first"}, recipe={"seed": 7, "epochs": 1})
    model = make_model(name="lab-rm-1", kind="reward_model", run=run)
    accuracy = {"value": 0.8, "low": 0.7, "high": 0.9}
    ece = {"value": 0.05, "low": None, "high": None}
    length = {"by_model": {"value": 0.6, "low": 0.5, "high": 0.7}, "by_people": accuracy}
    report = {
        "accuracy": accuracy,
        "calibration": {"preference": {"ece": ece}},
        "length": length,
        "position": None,
    }
    (model.folder / JSON_NAME).write_text(json.dumps(report))
    promote_model(model=model, by=ada, reason="The first model.")
    lines = client_of(ada).get(f"/api/v1/models/{model.pk}/card").json()["card"].splitlines()
    assert lines[:2] == ["---", "license: CC-BY-4.0"]
    for line in (
        "- Rankings: 3, by 1 annotators",
        "- Agreement of annotators on the same two responses: not measured",
        "- `seed`: 7",
        "- Accuracy on held-out pairs: 0.800 (0.700 to 0.900)",
        "- Expected calibration error: 0.050",
        "- lab-rm-1, share of preferences for the longer response: 0.600 (0.500 to 0.700) by the model, "
        "0.800 (0.700 to 0.900) by annotators",
        "- lab-rm-1, share of preferences for the response shown first: not measured",
        "- The model has passed no gate.",
    ):
        assert line in lines, line
    assert any(line.endswith("candidate → production by ada: The first model.") for line in lines)


def test_card_of_a_model_without_a_run_states_that_nothing_was_measured(make_model: ModelMaker) -> None:
    card = model_card(make_model(name="lab-sft-1"))
    assert "The model was registered without a training run." in card
    assert "## Results\n\n- not measured\n" in card
    assert "## Bias\n\n- not measured\n" in card
