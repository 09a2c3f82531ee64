"""Reward reports, and the scores with which two reward models are compared, are read from the models'
folders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.datasets.pseudonyms import Pseudonyms
from annotation.models import Project, User
from tests.training.conftest import ModelMaker, Rank
from tests.training.rlhf.scored_rankings import answered_pairs
from training.models import ModelVersion
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.reward_comparison import compare
from training.rlhf.report.reward_report import report_on, save
from training.rlhf.report.scored import SCORED_NAME, ScoredRankings

ClientOf = Callable[[User | None], APIClient]
Trained = Callable[..., ModelVersion]
TIES = AnswerLink(ties="davidson", tie_parameter=-0.5)


def held_out(*, noise: float = 0.0) -> ScoredRankings:
    rng = np.random.default_rng(0)
    scored = answered_pairs(rng.normal(0, 1.5, 80), TIES, rng)
    blurred = scored.rewards + np.random.default_rng(9).normal(0, noise, scored.rewards.shape)
    return dataclasses.replace(scored, rewards=blurred)


@pytest.fixture
def trained(make_model: ModelMaker) -> Trained:
    """A factory for reward models whose folders contain a report and held-out scores, as saved by a run."""

    def make(name: str, scored: ScoredRankings, **columns: Any) -> ModelVersion:
        model = make_model(name=name, kind="reward_model", **columns)
        save(report_on(scored, samples=50), model.folder)
        scored.save(model.folder / SCORED_NAME)
        return model

    return make


def test_saved_report_is_returned_with_comparable_models(
    client_of: ClientOf, ada: User, trained: Trained, make_model: ModelMaker, project: Project
) -> None:
    first = trained("lab-rm-1", held_out())
    second = trained("lab-rm-2", held_out(noise=1.0))
    make_model(name="lab-rm-3", kind="reward_model")  # created before reports existed
    trained("support-rm-1", held_out(), project=project)
    body = client_of(ada).get(f"/api/v1/models/{second.pk}/report").json()
    written = report_on(held_out(noise=1.0), samples=50).as_json()
    for name in ("seed", "samples", "version"):  # the API omits technical fields
        del written[name]
    assert body["report"] == written
    assert body["report"]["ties"]["tied"]["value"] == pytest.approx(
        held_out().pairs().verdict.tolist().count(0) / 80
    )
    assert body["comparable"] == [{"id": str(first.pk), "name": "lab-rm-1"}]


def test_report_is_null_for_a_model_without_a_report(
    client_of: ClientOf, ada: User, make_model: ModelMaker
) -> None:
    for kind in ("policy", "reward_model"):
        model = make_model(name=f"lab-{kind}-1", kind=kind)
        body = client_of(ada).get(f"/api/v1/models/{model.pk}/report").json()
        assert body == {"report": None, "annotators": [], "comparable": []}


def test_models_are_compared_on_shared_held_out_rankings(
    client_of: ClientOf, ada: User, trained: Trained
) -> None:
    first = trained("lab-rm-1", held_out().at(range(60)))
    second = trained("lab-rm-2", held_out(noise=1.0).at(range(20, 80)))
    body = client_of(ada).get(f"/api/v1/models/{first.pk}/comparison?other={second.pk}").json()
    expected = compare(held_out().at(range(60)), held_out(noise=1.0).at(range(20, 80))).as_json()
    assert body["rankings"] == 40
    assert body == expected


def test_comparison_of_incomparable_models_is_refused_with_a_reason(
    client_of: ClientOf, ada: User, trained: Trained, make_model: ModelMaker, project: Project
) -> None:
    model, client = trained("lab-rm-1", held_out()), client_of(ada)

    def asked(other: object) -> tuple[int, str]:
        answer = client.get(f"/api/v1/models/{model.pk}/comparison?other={other}")
        return answer.status_code, answer.json()["detail"]

    old = make_model(name="lab-rm-2", kind="reward_model")
    assert asked(old.pk) == (422, "The scores of lab-rm-2 on its held-out rankings were not saved.")
    others = dataclasses.replace(held_out(), keys=tuple(f"another-{number}" for number in range(80)))
    status, why = asked(trained("lab-rm-3", others).pk)
    assert status == 422
    assert "can't be compared on held-out rankings" in why
    (old.folder / SCORED_NAME).write_bytes(b"not Parquet")
    status, why = asked(old.pk)
    assert status == 422
    assert why.startswith("The scores of lab-rm-2 can't be read")
    assert asked(trained("support-rm-1", held_out(), project=project).pk)[0] == 404
    assert asked("rm-1")[0] in (400, 422)


def test_only_project_managers_can_read_reports(
    client_of: ClientOf, mona: User, alice: User, trained: Trained, lab: Project
) -> None:
    first, second = trained("lab-rm-1", held_out()), trained("lab-rm-2", held_out(noise=1.0))
    add_member(project=lab, user=alice, role="annotator")
    paths = [f"/api/v1/models/{first.pk}/{read}" for read in ("report", f"comparison?other={second.pk}")]
    for who, status in ((mona, 404), (alice, 404)):
        assert [client_of(who).get(path).status_code for path in paths] == [status, status]
    add_member(project=lab, user=mona, role="manager")
    assert [client_of(mona).get(path).status_code for path in paths] == [200, 200]


@pytest.mark.parametrize("kept_in", ["config.json", "rankloop.json"])
def test_learned_reliabilities_are_shown_with_annotator_names(
    client_of: ClientOf, ada: User, ben: User, make_model: ModelMaker, lab: Project, rank: Rank, kept_in: str
) -> None:
    rank(lab, ben, n=1)
    of_ben = Pseudonyms(lab).of(annotator_id=ben.pk, label="")
    learned = {
        of_ben: {"reliability": 0.93, "low": 0.81, "high": 0.98, "rankings": 1},
        "annotator-0123456789ab": {"reliability": 0.5, "low": 0.3, "high": 0.7, "rankings": 7},
    }
    model = make_model(name="lab-rm-1", kind="reward_model")
    (model.folder / "config.json").unlink()
    (model.folder / kept_in).write_text(json.dumps({"rankloop": {"annotators": learned}}))
    body = client_of(ada).get(f"/api/v1/models/{model.pk}/report").json()
    assert body["annotators"] == [
        {
            "name": "annotator-0123456789ab",
            "rankings": 7,
            "reliability": {"value": 0.5, "low": 0.3, "high": 0.7},
        },
        {"name": "ben", "rankings": 1, "reliability": {"value": 0.93, "low": 0.81, "high": 0.98}},
    ]
