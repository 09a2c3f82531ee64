"""A reward model learns a known order and gives the same scores when loaded with plain transformers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from training.rlhf.core.reporter import Cancelled, TrainingDiverged
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.report.reward_report import report_on
from training.rlhf.report.scored import ScoredRankings
from training.rlhf.reward import losses
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.heldout import score_rankings
from training.rlhf.reward.reward_model import RewardModelResult, train
from training.rlhf.reward.scoring import load_for_training, score, stored_scale


def message(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": text},)


def ranking(number: int) -> Ranking:
    """A ranking of four responses, in which 3, 2, 1 and 0 of the three middle words are "good". Responses
    with more occurrences of "good" rank higher. The responses are displayed in random order."""
    generator = torch.Generator().manual_seed(number)
    shown = torch.randperm(4, generator=generator).tolist()
    filler = torch.randint(0, tiny.WORDS, (2,), generator=generator).tolist()
    texts = [f"w{filler[0]} " + "good " * (3 - rank) + "bad " * rank + f"w{filler[1]}" for rank in shown]
    return Ranking(
        message(tiny.words(*range(number % 4 + 1))),  # the lengths differ, so that rows are padded
        tuple(texts),
        tuple((shown.index(rank),) for rank in range(4)),
        ranking_id=f"ranking-{number}",
    )


RANKINGS = [ranking(number) for number in range(64)]
HELDOUT = [ranking(number) for number in range(1000, 1016)]
ITEMS = [(r.messages, r.responses) for r in HELDOUT]


@pytest.fixture(scope="module", params=[False, True], ids=["pad", "pad-is-eos"])
def policy_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    return save_model(tiny.policy(), tiny.tokenizer(pad_is_eos=request.param), folder / "policy")


def run(
    policy_dir: Path, out: Path, report: ListReporter | None = None, **changes: object
) -> RewardModelResult:
    settings = {"epochs": 3, "batch_rankings": 8, "learning_rate": 5e-3, "evaluations": 2} | changes
    config = RewardModelConfig.model_validate(settings)
    return train(
        config, base_model=policy_dir, rankings=RANKINGS, heldout=HELDOUT, out_dir=out, report=report
    )


def test_training_learns_the_order_and_reports_metrics(policy_dir: Path, tmp_path: Path) -> None:
    report = ListReporter()
    result = run(policy_dir, tmp_path / "rm", report)
    assert result.metrics["heldout/accuracy"] > 0.9
    assert report.series("loss")[0] > 0.5 > report.series("loss")[-1]
    phases = [(phase, step) for phase, step, _ in report.progress_rows]
    assert phases.index(("train", 24)) < phases.index(("score", 0)) < phases.index(("score", len(RANKINGS)))
    assert report.checks >= 24  # at least one per step
    assert len(report.series("heldout/loss")) == 2
    assert all(math.isfinite(value) for _, row in report.metric_rows for value in row.values())


def test_plain_transformers_gives_the_same_scores_on_right_padded_rows(
    policy_dir: Path, tmp_path: Path
) -> None:
    result = run(policy_dir, tmp_path / "rm", epochs=1)
    model, tokenizer = load_reward_model(result.path)
    ours = score(model, tokenizer, ITEMS)

    plain = AutoModelForSequenceClassification.from_pretrained(result.path).eval()
    its_tokenizer = AutoTokenizer.from_pretrained(result.path)
    its_tokenizer.padding_side = "right"
    rows = [
        {"input_ids": chat.encode_prompt(its_tokenizer, m) + chat.encode_response(its_tokenizer, text)}
        for m, responses in ITEMS
        for text in responses
    ]
    padded = its_tokenizer.pad(rows, return_tensors="pt")
    assert not bool(padded["attention_mask"].all())  # row lengths differ, so padding occurs
    with torch.no_grad():
        theirs = plain(**padded).logits.squeeze(-1)
        alone = torch.stack([plain(torch.tensor([row["input_ids"]])).logits[0, 0] for row in rows])
    assert torch.allclose(torch.cat(ours), theirs, atol=1e-5)
    assert torch.allclose(torch.cat(ours), alone, atol=1e-5)
    assert theirs.std() > 0.05


def test_all_layouts_give_the_same_scores_in_item_order(policy_dir: Path) -> None:
    model, tokenizer = load_for_training(policy_dir)
    unlike = [*ITEMS, (message("w1"), ["w2"]), (message(tiny.words(*range(20))), ["", "w5 w6", "w7"])]
    packed = score(model, tokenizer, unlike, layout="packed")
    separate = score(model, tokenizer, unlike, layout="separate")
    assert [len(s) for s in packed] == [len(responses) for _, responses in unlike]
    assert torch.allclose(torch.cat(packed), torch.cat(separate), atol=1e-5)
    assert torch.allclose(packed[-1], score(model, tokenizer, unlike[-1:])[0], atol=1e-5)


def test_centred_scores_are_scores_minus_the_training_mean(policy_dir: Path, tmp_path: Path) -> None:
    result = run(policy_dir, tmp_path / "rm", epochs=1)
    model, tokenizer = load_reward_model(result.path)
    trained_on = [(r.messages, r.responses) for r in RANKINGS]
    assert torch.cat(score(model, tokenizer, trained_on, centred=True)).mean().item() == pytest.approx(
        0, abs=1e-4
    )
    raw = torch.cat(score(model, tokenizer, trained_on))
    assert raw.mean().item() == pytest.approx(result.scale.mean, abs=1e-4)
    assert stored_scale(model) == result.scale
    assert (
        json.loads((result.path / "config.json").read_text())["rankloop"]["reward_mean"] == result.scale.mean
    )


def test_new_head_is_initialised_and_existing_head_is_kept(policy_dir: Path, tmp_path: Path) -> None:
    wide = save_model(tiny.policy(hidden_size=512, num_hidden_layers=1), tiny.tokenizer(), tmp_path / "wide")
    head = load_for_training(wide).model.score
    assert head.bias is None
    assert head.weight.dtype == torch.float32
    assert head.weight.std().item() == pytest.approx(513**-0.5, rel=0.15)
    result = run(policy_dir, tmp_path / "rm", epochs=1)
    saved = AutoModelForSequenceClassification.from_pretrained(result.path).score.weight
    assert torch.equal(load_for_training(result.path).model.score.weight, saved)


def test_micro_batches_do_not_change_the_result(policy_dir: Path, tmp_path: Path) -> None:
    whole, cut = ListReporter(), ListReporter()
    run(policy_dir, tmp_path / "a", whole, epochs=1, learning_rate=1e-4)
    run(
        policy_dir,
        tmp_path / "b",
        cut,
        epochs=1,
        learning_rate=1e-4,
        micro_batch_tokens=40,
        layout="separate",
    )
    assert cut.series("loss") == pytest.approx(whole.series("loss"), abs=1e-4)
    assert cut.series("grad_norm") == pytest.approx(whole.series("grad_norm"), rel=1e-3)


def test_same_seed_leads_to_the_same_weights(policy_dir: Path, tmp_path: Path) -> None:
    first, second = (run(policy_dir, tmp_path / name, epochs=1).path for name in ("a", "b"))
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_ties_are_used_if_the_recipe_models_ties(ties: str, tmp_path: Path) -> None:
    """The two middle responses of each ranking are tied. After training, the rewards of the tied responses
    are closer to each other than to the other rewards."""
    policy = save_model(tiny.policy(), tiny.tokenizer(), tmp_path / "policy")
    tied = [
        dataclasses.replace(r, tiers=(r.tiers[0], (*r.tiers[1], *r.tiers[2]), r.tiers[3])) for r in RANKINGS
    ]
    config = RewardModelConfig.model_validate(
        {"ties": ties, "epochs": 8, "learning_rate": 5e-3, "batch_rankings": 8, "keep": "last"}
    )
    result = train(config, base_model=policy, rankings=tied, heldout=HELDOUT, out_dir=tmp_path / "rm")
    model, tokenizer = load_reward_model(result.path)
    by_rank = torch.stack(
        [
            s[[tier[0] for tier in r.tiers]]
            for s, r in zip(score(model, tokenizer, ITEMS), HELDOUT, strict=True)
        ]
    ).mean(dim=0)
    gaps = -by_rank.diff()
    assert gaps[0] > 2 * gaps[1].abs()
    assert gaps[2] > 2 * gaps[1].abs()
    assert model.config.rankloop["ties"] == ties


def test_fully_tied_rankings_are_skipped_only_if_ties_are_ignored() -> None:
    tied = dataclasses.replace(RANKINGS[0], tiers=((0, 1, 2, 3),))
    for ties, expected in (("ignore", {"all_tied": 1}), ("davidson", {})):
        groups, left_out, _ = encode_rankings(
            [tied, RANKINGS[1]], tiny.tokenizer(), max_length=100, ties=ties
        )
        assert (len(groups), left_out) == (2 - sum(expected.values()), expected)


def test_truncated_prompts_and_long_responses_are_counted() -> None:
    long_prompt = dataclasses.replace(RANKINGS[0], messages=message(tiny.words(*range(40))))
    long_response = dataclasses.replace(RANKINGS[1], responses=(tiny.words(*range(40)), "w1", "w2", "w3"))
    groups, left_out, cut = encode_rankings(
        [long_prompt, long_response, RANKINGS[2]], tiny.tokenizer(), max_length=30, ties="ignore"
    )
    assert (len(groups), left_out, cut) == (2, {"response_too_long": 1}, 1)
    assert len(groups[0].prompt) + max(map(len, groups[0].responses)) == 30
    whole, _, _ = encode_rankings([long_prompt], tiny.tokenizer(), max_length=100, ties="ignore")
    assert groups[0].responses == whole[0].responses
    assert whole[0].prompt[-len(groups[0].prompt) :] == groups[0].prompt


def test_cancelled_or_diverged_run_does_not_save_a_model(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Cancelled):
        run(policy_dir, tmp_path / "cancelled", ListReporter(cancel_after=3))
    monkeypatch.setattr(losses, "bradley_terry", lambda r, t, **given: r.sum(1) * math.nan)
    with pytest.raises(TrainingDiverged, match=r"step 1 of 24.*ranking-"):
        run(policy_dir, tmp_path / "diverged")
    assert not (tmp_path / "cancelled").exists()
    assert not (tmp_path / "diverged").exists()


def test_training_without_a_usable_ranking_fails_with_a_reason(policy_dir: Path, tmp_path: Path) -> None:
    tied = [dataclasses.replace(r, tiers=((0, 1, 2, 3),)) for r in RANKINGS[:3]]
    with pytest.raises(ValueError, match=r"no rankings to train on.*all_tied"):
        train(
            RewardModelConfig(),
            base_model=policy_dir,
            rankings=tied,
            heldout=HELDOUT,
            out_dir=tmp_path / "rm",
        )


def test_unsupported_recipe_is_rejected() -> None:
    with pytest.raises(ValidationError, match="own rule for ties"):
        RewardModelConfig(loss="plackett_luce", ties="davidson")
    with pytest.raises(ValidationError, match="extra"):
        RewardModelConfig.model_validate({"learning_rat": 1e-3})


def test_trained_model_has_a_report_on_the_held_out_rankings(policy_dir: Path, tmp_path: Path) -> None:
    result = run(policy_dir, tmp_path / "rm", epochs=1)
    assert result.report is not None
    assert result.report.accuracy.value == pytest.approx(result.metrics["heldout/accuracy"])
    assert result.report.pairs == result.metrics["heldout/pairs"] == 16 * 6
    assert result.report.calibration.log_loss.value == pytest.approx(result.metrics["heldout/log_loss"])
    assert result.report.best_of_4 is not None
    assert result.report.best_of_4.rankings == 16
    assert json.loads((result.path / "report.json").read_text()) == result.report.as_json()
    # The scores saved in the folder give the same report.
    again, left_out = score_rankings(result.path, HELDOUT)
    assert report_on(again).accuracy == result.report.accuracy
    kept = ScoredRankings.load(result.path / "heldout.parquet")
    assert (kept.keys, left_out) == (again.keys, {})
    assert kept.rewards == pytest.approx(again.rewards, abs=1e-5)


def test_log_loss_equals_the_held_out_loss_for_pairs(policy_dir: Path, tmp_path: Path) -> None:
    """The training loop's held-out loss equals the log loss computed from the probability of each verdict."""
    result = run(policy_dir, tmp_path / "rm", epochs=1, centring=0)
    assert result.metrics["heldout/log_loss"] == pytest.approx(result.metrics["heldout/loss"], abs=1e-5)


def test_no_report_is_written_if_no_held_out_ranking_is_usable(policy_dir: Path, tmp_path: Path) -> None:
    tied = [dataclasses.replace(r, tiers=((0, 1, 2, 3),)) for r in HELDOUT]
    config = RewardModelConfig(epochs=1, learning_rate=1e-3)
    result = train(config, base_model=policy_dir, rankings=RANKINGS, heldout=tied, out_dir=tmp_path / "rm")
    assert result.report is None
    assert not (result.path / "report.json").exists()
    long = dataclasses.replace(HELDOUT[0], responses=("w1 " * 200, "w1", "w2", "w3"))
    scored, left_out = score_rankings(result.path, [long, HELDOUT[1]])
    assert (len(scored), left_out) == (1, {"response_too_long": 1})
