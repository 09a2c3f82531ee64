"""Fine-tuning learns from responses, reports progress, can be cancelled, and is reproducible with a seed."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import SHORT_ANSWERS, short_demonstrations, tokenizer, untrained_policy
from training import demo_world
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.reporter import Cancelled, TrainingDiverged
from training.rlhf.data.demonstrations import Row, encode, split_by_prompt
from training.rlhf.data.packing import micro_batches
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.policy import sft
from training.rlhf.recipes.sft import SFTConfig

QUICK = SFTConfig(learning_rate=2e-2, epochs=2, batch_size=16, heldout_share=0.1, sample_tokens=12)


def rows(n: int) -> list[Row]:
    return encode(demo_world.demonstrations(n, seed=1), tokenizer(), 512).rows


def gradients(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_policy_learns_its_demonstrations(tmp_path: Path) -> None:
    report = ListReporter()
    learned, _ = split_by_prompt(encode(short_demonstrations(160), tokenizer(), 512).rows, 0.1)
    result = sft.train(
        QUICK.model_copy(update={"epochs": 6}),
        base_model=untrained_policy(),
        demonstrations=short_demonstrations(160),
        out_dir=tmp_path / "policy",
        report=report,
    )
    losses = report.series("loss")
    assert len(losses) == result.steps == 6 * math.ceil(len(learned) / 16)
    assert losses[0] == pytest.approx(math.log(len(tokenizer())), abs=0.5)
    assert result.heldout_loss is not None
    assert result.heldout_loss < 1.0 < losses[9]
    assert report.progress_rows[-1] == ("train", result.steps, result.steps)
    assert [row["after"] in SHORT_ANSWERS for row in report.sample_rows] == [True] * 4
    assert not any(row["before"] in SHORT_ANSWERS for row in report.sample_rows)
    assert load_policy(result.path).model.config.pad_token_id == tokenizer().pad_token_id


def test_same_seed_leads_to_the_same_weights(tmp_path: Path) -> None:
    def weights(seed: int, name: str) -> list[torch.Tensor]:
        config = QUICK.model_copy(update={"epochs": 1, "seed": seed})
        result = sft.train(
            config,
            base_model=untrained_policy(),
            demonstrations=short_demonstrations(48),
            out_dir=tmp_path / name,
        )
        return list(load_policy(result.path).model.state_dict().values())

    first, again, other = weights(1, "a"), weights(1, "b"), weights(2, "c")
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


def test_loss_includes_only_response_tokens() -> None:
    row = rows(1)[0]
    policy = untrained_policy()
    logits = policy.model(input_ids=torch.tensor([row.prompt + row.response])).logits.log_softmax(-1)[0]
    start = len(row.prompt)
    expected = -torch.stack([logits[start + i - 1, token] for i, token in enumerate(row.response)]).sum()
    found = sft.mean_loss(QUICK, *policy, [row])
    assert found == pytest.approx(float(expected.detach()) / len(row.response), rel=1e-5)


def test_only_the_final_answer_of_a_conversation_is_imitated() -> None:
    turns = [
        {"role": "user", "content": "w1"},
        {"role": "assistant", "content": "w2"},
        {"role": "user", "content": "w3"},
    ]
    words = tiny.tokenizer()
    (row,) = encode([Demonstration(turns, "w4")], words, 64).rows
    (batch,) = micro_batches([row], layout="separate", max_tokens=64, pad_id=0)
    assert words.decode(batch.ids[batch.wanted]) == "w4 <eos>"
    assert "w2" in words.decode(batch.ids[~batch.wanted])


@pytest.mark.parametrize("packing", ["auto", "off"])
def test_micro_batches_change_neither_loss_nor_gradients(packing: str) -> None:
    results = []
    for limit in (1, 150, 4096):
        policy = untrained_policy()
        config = QUICK.model_copy(update={"micro_batch_tokens": limit, "packing": packing})
        results.append((*sft.add_gradients(config, *policy, rows(8)), gradients(policy.model)))
    for loss, _, found in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        torch.testing.assert_close(found, results[0][2], rtol=1e-4, atol=1e-6)
    assert (results[-1][1] > 0) == (packing == "off")


def test_dropout_is_off_during_training() -> None:
    model, words = tiny.gpt2_policy(), tiny.tokenizer()
    assert model.config.attn_pdrop > 0
    given = [Row([2, 5, n], [n + 1, n + 2, 1]) for n in range(6, 30)]
    config = SFTConfig(batch_size=24, heldout_share=0)
    expected = sft.mean_loss(config, model, words, given)
    optimiser = sft.new_optimizer(model, config)
    fitted = sft.fit(config, model, words, given, ListReporter(), optimiser=optimiser)
    assert fitted.loss == pytest.approx(expected, rel=1e-5)
    assert not model.training


def test_cancelled_run_stops_before_the_next_micro_batch_and_writes_nothing(tmp_path: Path) -> None:
    report = ListReporter(cancel_after=4)
    with pytest.raises(Cancelled):
        sft.train(
            QUICK.model_copy(update={"batch_size": 1}),
            base_model=untrained_policy(),
            demonstrations=short_demonstrations(64),
            out_dir=tmp_path / "policy",
            report=report,
        )
    assert len(report.series("loss")) == 2  # the first check precedes the sample answers
    assert list(tmp_path.iterdir()) == []


def test_non_finite_loss_stops_the_run_before_the_update(tmp_path: Path) -> None:
    policy = untrained_policy()
    with torch.no_grad():
        policy.model.state_dict()["lm_head.weight"][7] = math.nan
    with pytest.raises(TrainingDiverged, match=r"step 1: loss is nan.*learning_rate"):
        sft.train(
            QUICK.model_copy(update={"sample_prompts": 0}),
            base_model=policy,
            demonstrations=short_demonstrations(64),
            out_dir=tmp_path / "policy",
        )
    assert list(tmp_path.iterdir()) == []


def test_reported_learning_rate_rises_to_its_peak_and_then_decays(tmp_path: Path) -> None:
    report = ListReporter()
    sft.train(
        QUICK.model_copy(update={"learning_rate": None, "warmup_share": 0.25, "epochs": 1}),
        base_model=untrained_policy(),
        demonstrations=short_demonstrations(140),
        out_dir=tmp_path / "policy",
        report=report,
    )
    rates = report.series("learning_rate")
    assert rates[:2] == pytest.approx([sft.RATE_AT_2M / 2, sft.RATE_AT_2M])
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert 0 < rates[-1] < sft.RATE_AT_2M / 4


@pytest.mark.parametrize("settings", [{"learning_rat": 1e-3}, {"epochs": 0}, {"learning_rate": math.nan}])
def test_unknown_or_invalid_setting_is_rejected(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SFTConfig.model_validate(settings)


def test_every_setting_has_a_description() -> None:
    for name, field in SFTConfig.model_fields.items():
        assert field.description, name
