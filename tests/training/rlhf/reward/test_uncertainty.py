"""Uncertainty estimates leave the reward model unchanged, and are larger for unfamiliar responses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from tests.training.rlhf import known_rewards as known
from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.reward.test_reward_model import HELDOUT, ITEMS, RANKINGS, message
from training.rlhf.core.reporter import Cancelled
from training.rlhf.data.rankings import UNRANKED_TIER
from training.rlhf.models.files import adapters
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import uncertainty
from training.rlhf.reward.answer_model import AnswerModel, answer_key
from training.rlhf.reward.beliefs import (
    Belief,
    Uncertainty,
    beliefs_about,
    score_with_spread,
)
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.lora_ensemble import member_recipe
from training.rlhf.reward.reward_model import RewardModelResult, train
from training.rlhf.reward.scoring import score
from training.rlhf.reward.uncertainty import BrokenUncertainty, load_uncertainty

ON_FEATURES = ("laplace", "heads")
KINDS = (*ON_FEATURES, "lora")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(
    folder: Path, report: ListReporter | None = None, checkpoints: Path | None = None, **changes: Any
) -> RewardModelResult:
    settings = {"epochs": 1, "batch_rankings": 8, "learning_rate": 5e-3, "evaluations": 1} | changes
    settings |= {"members": 3} if changes.get("uncertainty") == "lora" else {}
    return train(
        RewardModelConfig.model_validate(settings),
        base_model=folder / "policy",
        rankings=RANKINGS,
        heldout=HELDOUT,
        out_dir=folder / changes.get("uncertainty", "none"),
        checkpoints=checkpoints,
        report=report,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RewardModelResult]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    save_model(tiny.policy(), tiny.tokenizer(), folder / "policy")
    return {kind: run(folder, uncertainty=kind) for kind in ("none", *KINDS)}


def opened(result: RewardModelResult) -> tuple[Any, Any, Uncertainty]:
    found = load_uncertainty(result.path)
    assert found is not None
    return *load_reward_model(result.path), found


@pytest.mark.parametrize("kind", KINDS)
def test_uncertainty_does_not_change_the_model(kind: str, trained: Mapping[str, RewardModelResult]) -> None:
    """The trunk and head are not trained further, so plain transformers loads an identical model. The model's
    score is the mean of the estimated reward distribution."""
    files = [trained[one].path / "model.safetensors" for one in ("none", kind)]
    assert files[0].read_bytes() == files[1].read_bytes()
    AutoModelForSequenceClassification.from_pretrained(trained[kind].path)
    model, tokenizer, found = opened(trained[kind])
    for belief, plain in zip(
        beliefs_about(model, tokenizer, ITEMS, found), score(model, tokenizer, ITEMS), strict=True
    ):
        assert torch.allclose(belief.mean, plain, atol=1e-6)
    centred = beliefs_about(model, tokenizer, ITEMS[:1], found, centred=True)[0]
    assert torch.allclose(centred.mean, score(model, tokenizer, ITEMS[:1], centred=True)[0], atol=1e-6)
    assert load_uncertainty(trained["none"].path) is None
    told = "uncertainty/members" if kind == "lora" else "uncertainty/prior_spread"
    assert trained[kind].metrics[told] > 0
    assert told not in trained["none"].metrics


@pytest.mark.parametrize("kind", KINDS)
def test_run_reports_the_held_out_log_loss_with_and_without_uncertainty(
    kind: str, trained: Mapping[str, RewardModelResult]
) -> None:
    model, tokenizer, found = opened(trained[kind])
    told = {"plain": 0.0, "unsure": 0.0}
    for ranking, belief in zip(HELDOUT, beliefs_about(model, tokenizer, ITEMS, found), strict=True):
        order = [tier[0] for tier in ranking.tiers]
        for place, better in enumerate(order):
            for worse in order[place + 1 :]:
                told["plain"] -= float(torch.sigmoid(belief.mean[better] - belief.mean[worse]).log()) / 96
                told["unsure"] -= float(belief.preference()[better, worse].log()) / 96
    metrics = trained[kind].metrics
    assert told["plain"] == pytest.approx(metrics["uncertainty/heldout_log_loss_plain"], rel=1e-4)
    assert told["unsure"] == pytest.approx(metrics["uncertainty/heldout_log_loss_unsure"], rel=1e-4)
    assert told["plain"] != pytest.approx(told["unsure"], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_preferences_use_the_covariance_of_the_rewards(
    kind: str, trained: Mapping[str, RewardModelResult]
) -> None:
    model, tokenizer, found = opened(trained[kind])
    twins = [(message("w1 w2"), ["w3 good good bad w4", "w3 good good bad w4", "w3 bad bad bad w4"])]
    (belief,) = beliefs_about(model, tokenizer, twins, found)
    assert belief.spread.min() > 0.05
    p = belief.preference()
    # Each reward is uncertain, but the two texts are identical, so the difference between the rewards is
    # certain.
    assert torch.allclose(p[0, 1], torch.tensor(0.5), atol=1e-4)
    assert torch.allclose(p + p.T, torch.ones(3, 3), atol=1e-6)
    plain = torch.sigmoid(belief.mean[0] - belief.mean[2])
    assert 0.5 < p[0, 2] < 1
    assert p[0, 2] < plain or kind == "lora"  # averaging LoRA members can increase confidence
    assert torch.allclose(belief.lower_bound(2.0), belief.mean - 2 * belief.spread)
    ((mean, spread),) = score_with_spread(model, tokenizer, twins, found)
    assert torch.equal(mean, belief.mean)
    assert torch.equal(spread, belief.spread)


@pytest.mark.parametrize("kind", ON_FEATURES)
def test_standard_deviation_is_larger_for_unfamiliar_responses(
    kind: str, trained: Mapping[str, RewardModelResult]
) -> None:
    model, tokenizer, found = opened(trained[kind])

    def mean_spread(items: list[Any]) -> float:
        return float(torch.cat([one.spread for one in beliefs_about(model, tokenizer, items, found)]).mean())

    unlike = [
        (m, ["user : user assistant", "assistant assistant", "user user user : : : :"]) for m, _ in ITEMS
    ]
    assert mean_spread(unlike) > 1.15 * mean_spread([(m, list(texts)) for m, texts in ITEMS])


RECIPES: dict[str, dict[str, Any]] = {
    "plackett_luce": {"loss": "plackett_luce"},
    "rao_kupper": {"ties": "rao_kupper"},
    "davidson": {"ties": "davidson"},
    "cumulative": {"strength": "cumulative"},
    "margin": {"strength": "margin", "margins": "1=0.5, 2=1"},
    "crowd_bt": {"annotators": "crowd_bt", "positions": "learned"},
    "smoothed": {"label_smoothing": 0.1},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_rankings_reduce_the_uncertainty_under_every_likelihood(recipe: str) -> None:
    """In the direction that the rankings determine, the standard deviation is smaller than that of the
    prior."""
    rankings = [
        dataclasses.replace(r, strength=1 + n % 2, annotator=f"a{n % 3}", in_shown_order=True)
        for n, r in enumerate(RANKINGS)
    ]
    config = RewardModelConfig.model_validate(
        {"uncertainty": "laplace", "prior_spread": 2.0} | RECIPES[recipe]
    )
    key = answer_key(config, rankings)
    groups, _, _ = encode_rankings(rankings, tiny.tokenizer(), max_length=99, ties=config.ties, key=key)
    head = known.weights(1, width=6, spread=1.0).float()
    features = list(known.features(1, len(groups), 4, width=6).float())
    found = uncertainty.fit(
        config, head=head, features=features, groups=groups, answers=AnswerModel(config, key, groups)
    )
    assert found is not None
    belief = found.belief(features[0] @ head, features[0])
    alone = features[0] - torch.cat(features).mean(dim=0)
    typical = (torch.cat(features) - torch.cat(features).mean(dim=0)).square().sum(dim=1).mean()
    before = 2.0 * alone.norm(dim=1) / typical.sqrt()
    assert (belief.spread < 0.6 * before).all()
    assert (belief.spread > 0.02 * before).all()


def test_dependent_pairs_in_a_ranking_count_as_fewer_observations() -> None:
    tiers = torch.tensor([[0, 1, -1, -1], [0, 1, 2, 3], [0, 1, 1, 2], [0, 1, UNRANKED_TIER, UNRANKED_TIER]])

    def counted(**recipe: Any) -> list[float]:
        found: Tensor = uncertainty.observations(RewardModelConfig.model_validate(recipe), tiers)
        return found.tolist()

    assert counted() == pytest.approx([1.0, 6 * 0.6, 5 * 0.6, 5 * 0.6])
    assert counted(ties="davidson") == pytest.approx([1.0, 6 * 0.6, 6 * 0.6, 5 * 0.6])
    assert counted(loss="plackett_luce") == pytest.approx([1.0, 3.0, 3.0, 2.0])


def test_ranking_with_a_larger_weight_reduces_the_uncertainty_more() -> None:
    config = RewardModelConfig(uncertainty="laplace", prior_spread=1.0)
    groups, _, _ = encode_rankings(RANKINGS[:20], tiny.tokenizer(), max_length=99, ties="ignore")
    features = list(known.features(1, 20, 4, width=6).float())
    spreads = []
    for weight in (1.0, 4.0):
        heavier = [dataclasses.replace(group, weight=weight) for group in groups]
        found = uncertainty.fit(
            config,
            head=torch.zeros(6),
            features=features,
            groups=heavier,
            answers=AnswerModel(config, answer_key(config, RANKINGS), heavier),
        )
        assert found is not None
        spreads.append(found.belief(torch.zeros(4), features[0]).spread.mean())
    assert spreads[1] < 0.7 * spreads[0]


@pytest.mark.parametrize("kind", ["heads", "lora"])
def test_run_cancelled_during_the_fit_saves_nothing(kind: str, tmp_path: Path) -> None:
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    with pytest.raises(Cancelled):  # cancelled after the 8 training steps, while the uncertainty is fitted
        run(tmp_path, ListReporter(cancel_after=20), uncertainty=kind)
    assert [file.name for file in tmp_path.iterdir()] == ["policy"]


def test_members_are_separate_adapters_on_one_trunk(
    trained: Mapping[str, RewardModelResult],
) -> None:
    model, tokenizer, found = opened(trained["lora"])
    alone = []
    for number in range(3):
        folder = trained["lora"].path / "uncertainty" / f"member-{number}"
        assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) < 100_000
        alone.append(torch.cat(score(*load_reward_model(folder), ITEMS, centred=True)))
    rewards = torch.stack(alone)
    deviations = [one.deviations for one in beliefs_about(model, tokenizer, ITEMS, found)]
    assert torch.allclose(torch.cat(deviations, dim=1), rewards - rewards.mean(dim=0), atol=1e-4)
    assert torch.corrcoef(rewards).min() > 0.5  # all members train on the same rankings
    assert torch.cat(deviations, dim=1).abs().mean() > 0.05  # the members are not identical


@pytest.mark.parametrize("use_peft", [False, True])
def test_members_find_their_base_after_a_move_and_errors_name_a_missing_base(
    use_peft: bool, tmp_path: Path
) -> None:
    base = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "old" / "policy")
    again: dict[str, Any] = {"uncertainty": "lora", "use_peft": use_peft}
    trained = run(tmp_path / "old", **again)
    expected = [one.spread for one in beliefs_about(*opened(trained)[:2], ITEMS, opened(trained)[2])]
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = tmp_path / "new" / trained.path.name
    found = load_uncertainty(moved)
    assert found is not None
    assert adapters.missing_base(moved) == ""
    told = beliefs_about(*load_reward_model(moved), ITEMS, found)
    assert torch.allclose(torch.cat([one.spread for one in told]), torch.cat(expected), atol=1e-5)
    shutil.rmtree(tmp_path / "new" / "policy")
    assert adapters.missing_base(moved) == str(base)
    with pytest.raises(ModelNotFound, match=rf"member-0.*is an adapter.*{base}.*Restore the model"):
        load_uncertainty(moved)


class CancelledInTheSecondMember(ListReporter):
    """Raises Cancelled at a check in the middle of the second member's training."""

    began = checks_per_member = 0

    def progress(self, phase: str, step: int, total: int) -> None:
        super().progress(phase, step, total)
        if phase == "members" and step == 0:
            self.began = self.checks
        elif phase == "members" and step == 1:
            self.checks_per_member = self.checks - self.began

    def check(self) -> None:
        super().check()
        if self.checks_per_member and self.checks > self.began + 1.6 * self.checks_per_member:
            raise Cancelled("in the second member")


def test_run_interrupted_while_training_a_member_resumes_at_that_member(
    trained: Mapping[str, RewardModelResult], tmp_path: Path
) -> None:
    save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    again: dict[str, Any] = {"uncertainty": "lora", "checkpoint_steps": 3}
    first = CancelledInTheSecondMember()
    with pytest.raises(Cancelled):
        run(tmp_path, first, checkpoints=tmp_path / "kept", **again)
    report = ListReporter()
    result = run(tmp_path, report, checkpoints=tmp_path / "kept", **again)
    assert report.metric_rows == []
    assert report.checks < 3 * first.checks_per_member
    for number in range(3):
        name = f"uncertainty/member-{number}/adapter_model.safetensors"
        assert (result.path / name).read_bytes() == (trained["lora"].path / name).read_bytes()


def test_error_for_an_unreadable_uncertainty_file_suggests_a_fix(
    trained: Mapping[str, RewardModelResult], tmp_path: Path
) -> None:
    folder = tmp_path / "uncertainty"
    folder.mkdir()
    with pytest.raises(BrokenUncertainty, match="Train the reward model again"):
        load_uncertainty(tmp_path)
    whole = trained["laplace"].path / "uncertainty"
    (folder / "uncertainty.json").write_text((whole / "uncertainty.json").read_text())
    (folder / "uncertainty.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BrokenUncertainty):
        load_uncertainty(tmp_path)
    (folder / "uncertainty.safetensors").write_bytes((whole / "uncertainty.safetensors").read_bytes())
    assert load_uncertainty(tmp_path) is not None
    notes = json.loads((whole / "uncertainty.json").read_text())
    assert notes["kind"] == "laplace"
    (folder / "uncertainty.json").write_text(json.dumps(notes | {"kind": "heads"}))
    with pytest.raises(BrokenUncertainty):
        load_uncertainty(tmp_path)


def test_preference_probability_is_the_mean_over_members() -> None:
    deviations = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    belief = Belief(torch.tensor([0.5, 0.0]), deviations.T @ deviations, deviations)
    expected = (torch.sigmoid(torch.tensor(2.5)) + torch.sigmoid(torch.tensor(-1.5))) / 2
    assert torch.allclose(belief.preference()[0, 1], expected)


@pytest.mark.parametrize("kind", ["laplace", "lora"])
def test_encoders_and_adapters_support_uncertainty(kind: str, tmp_path: Path) -> None:
    """Each member trains its own pooler if the trunk has none."""
    save_model(tiny.bert(), tiny.encoder_tokenizer(), tmp_path / "policy")
    result = run(tmp_path, uncertainty=kind, use_peft=True)
    model, tokenizer, found = opened(result)
    told = beliefs_about(model, tokenizer, ITEMS, found)
    plain = torch.cat(score(model, tokenizer, ITEMS))
    assert torch.allclose(torch.cat([one.mean for one in told]), plain, atol=1e-5)
    assert torch.cat([one.spread for one in told]).min() > 0.01
    if kind == "lora":
        members = [
            torch.cat(
                score(*load_reward_model(result.path / "uncertainty" / f"member-{n}"), ITEMS, centred=True)
            )
            for n in range(3)
        ]
        rewards = torch.stack(members)
        deviations = torch.cat([one.deviations for one in told if one.deviations is not None], dim=1)
        assert torch.allclose(deviations, rewards - rewards.mean(dim=0), atol=1e-4)


def test_members_of_runs_with_different_seeds_do_not_share_a_seed() -> None:
    """If a member's seed were a sum, such as the run's seed plus 7919 n, the first member of a run with seed
    7919 and the second member of a run with seed 0 would have the same data order."""
    seeds = [
        member_recipe(RewardModelConfig(seed=seed), n).seed for seed in (0, 7919, 15838) for n in range(8)
    ]
    assert len(set(seeds)) == 24
