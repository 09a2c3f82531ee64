"""PPO on tiny models: exact identities before the first update, and improvement on a known reward."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from training.rlhf.core.reporter import Cancelled, TrainingDiverged
from training.rlhf.data.answers import Row, Together
from training.rlhf.data.batching import LAYOUTS
from training.rlhf.generation.interface import Completion
from training.rlhf.judging.judges import Judged
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.tokens import chat
from training.rlhf.objectives import losses
from training.rlhf.policy import ppo
from training.rlhf.reward.scoring import load_for_training, score
from training.rlhf.reward.uncertainty import LastLayer, write
from training.rlhf.rollouts import rollout

PROMPTS = [[{"role": "user", "content": tiny.words(*range(n % 7 + 1))}] for n in range(24)]
PAD, EOS = 0, 1
GOOD = 67  # the ID of the token "good", which these tests reward


def reward_model(folder: Path) -> Path:
    """An untrained reward model that scores a response by its proportion of "good" tokens.

    In the model's only layer, all parameters are zero except the norms and the value and output projections.
    Attention therefore averages the embeddings of all tokens up to EOS. The head reads the first component of
    that average. Only the embedding of "good" has a nonzero first component.
    """
    model = tiny.policy(seed=3, num_hidden_layers=1, num_key_value_heads=4)
    save_model(model, tiny.tokenizer(), folder / "trunk")
    classifier, tokenizer = load_for_training(folder / "trunk")
    with torch.no_grad():
        embedding = classifier.model.embed_tokens.weight
        embedding.normal_(std=0.1)
        embedding[:, 0] = 0.0
        embedding[GOOD, 0] = 3.0
        layer = classifier.model.layers[0]
        for name, parameter in layer.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        layer.self_attn.v_proj.weight.copy_(torch.eye(32))
        layer.self_attn.o_proj.weight.copy_(torch.eye(32))
        classifier.score.weight.zero_()
        classifier.score.weight[0, 0] = 1.0
    classifier.config.rankloop = {"reward_mean": 0.5, "reward_std": 0.5}
    return save_model(classifier, tokenizer, folder / "reward")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ppo")
    policy = tiny.policy(initializer_range=0.05)
    return save_model(policy, tiny.tokenizer(), folder / "policy"), reward_model(folder)


SETTINGS: dict[str, Any] = {
    "steps": 2,
    "rollout_prompts": 8,
    "max_new_tokens": 8,
    "learning_rate": 1e-3,
    "value_learning_rate": 1e-3,
    "critic_warmup_steps": 0,
    "sample_every": 1,
    "samples": 2,
}


def run(
    folders: tuple[Path, Path], out: Path, report: ListReporter | None = None, **changes: Any
) -> ppo.PPOResult:
    policy, reward = folders
    return ppo.train(
        config_of(**changes), policy=policy, reward_model=reward, prompts=PROMPTS, out_dir=out, report=report
    )


def config_of(**changes: Any) -> ppo.PPOConfig:
    return ppo.PPOConfig.model_validate(SETTINGS | changes)


def loaded(policy: Any, reward: Any, **changes: Any) -> rollout.Models:
    return rollout.load_models(policy, {"reward": reward}, config_of(**changes))


def rollout_of(rows: list[Row], temperature: float = 1.0) -> rollout.Rollout:
    """A rollout with these rows, each with a score of 0."""
    answers = [[Completion(row.answer, row.answer[-1] == EOS)] for row in rows]
    zeros = torch.zeros(len(rows))
    return rollout.Rollout(
        step=1,
        temperature=temperature,
        prompts=[row.prompt for row in rows],
        answers=answers,
        rows=rows,
        finished=torch.tensor([group[0].finished for group in answers]),
        lengths=torch.tensor([len(row.answer) for row in rows]),
        judged=Judged(zeros, zeros, {}),
    )


def observed(
    folders: tuple[Path, Path],
) -> tuple[rollout.Models, list[Row], rollout.MicroBatch]:
    """The models, eight rows, and what `observe` returns for these rows. The rows have different lengths.
    Half of the rows end with EOS."""
    models = loaded(*folders)
    rows = [
        Row(chat.encode_prompt(models.tokenizer, PROMPTS[n]), [5 + n] * (n % 4 + 1) + [EOS] * (n % 2))
        for n in range(8)
    ]
    return (
        models,
        rows,
        rollout.observe(models, rollout_of(rows, 0.8), Together(models.layout, list(range(8)))),
    )


@pytest.mark.parametrize("micro_batch_tokens", [20, 60, 10_000])
def test_ratio_is_exactly_one_before_the_first_update(
    folders: tuple[Path, Path], tmp_path: Path, micro_batch_tokens: int
) -> None:
    """The rollout and training compute log-probabilities with the same forward pass on the same rows. The
    ratio is therefore exactly one."""
    report = ListReporter()
    run(
        folders,
        tmp_path / "out",
        report,
        micro_batch_tokens=micro_batch_tokens,
        temperature=0.7,
        minibatches=3,
    )
    assert report.series("val/first_log_ratio") == [0.0, 0.0]
    assert report.series("policy/approxkl_avg")[0] > 0  # later updates in the step change the ratio


def test_kl_is_zero_before_the_first_update_and_positive_afterwards(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    report = ListReporter()
    run(folders, tmp_path / "out", report, steps=6)
    first, *later = report.series("objective/kl")
    assert first == 0.0
    # A single sampled estimate can be negative (observed: -0.08). The mean is about 0.2.
    assert sum(later) / len(later) > 0.01


def test_log_probs_equal_those_of_unpadded_rows(folders: tuple[Path, Path]) -> None:
    models, rows, seen = observed(folders)
    for i, (prompt, answer) in enumerate(rows):
        logits = models.actor(torch.tensor([prompt + answer])).logits[0] / 0.8
        expected = logits.log_softmax(-1)[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer]
        assert torch.allclose(seen.log_probs[i, : len(answer)], expected, atol=1e-5)
        assert seen.mask[i].tolist() == [t < len(answer) for t in range(seen.mask.shape[1])]
    assert torch.equal(seen.log_probs, seen.reference)


def test_critic_starts_at_an_explained_variance_of_zero_and_learns(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """If the critic started with the reward model's head, its explained variance would start below 0."""
    report = ListReporter()
    settings = {"learning_rate": 1e-4, "value_learning_rate": 1e-2, "rollout_prompts": 16, "samples": 0}
    run(folders, tmp_path / "out", report, steps=14, **settings)
    first, *_, a, b, c, d = report.series("val/explained_variance")
    assert first == 0.0
    assert (a + b + c + d) / 4 > 0.08


def test_sampled_answers_get_the_scores_of_their_texts(folders: tuple[Path, Path]) -> None:
    """Finished answers are scored unchanged, and truncated answers are scored with EOS appended. If an answer
    ended with a stop token other than EOS, such as the padding token, EOS replaces this token."""
    models = loaded(*folders)
    prompts = [chat.encode_prompt(models.tokenizer, PROMPTS[n]) for n in range(2)]
    answers = [
        [Completion([9, GOOD, 12, EOS], True), Completion([9, GOOD, 12], False)],
        [Completion([GOOD, GOOD, PAD], True), Completion([EOS], True)],
    ]
    found = rollout.score(models, PROMPTS[:2], prompts, answers)
    texts = [["w5 good w8", "w5 good w8"], ["good good", ""]]
    [judge] = models.judges.judges
    raw = torch.cat(score(judge.model, models.tokenizer, list(zip(PROMPTS[:2], texts, strict=True))))
    assert torch.allclose(found.scores, (raw - 0.5) / 0.5, atol=1e-5)
    assert found.spreads.tolist() == [0.0] * 4  # this reward model has no uncertainty


@pytest.fixture(scope="module")
def unsure(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reward model from `folders`, with uncertainty about the reward for "good"."""
    model = load_reward_model(folders[1])
    root = torch.zeros(32, 32)
    root[0, 0] = 0.5
    uncertainty = LastLayer(root, torch.zeros(32), torch.tensor(1.0), torch.tensor(1.0))
    folder = tmp_path_factory.mktemp("unsure") / "reward"
    return save_model(*model, folder, add=lambda partial: write(uncertainty, partial))


def test_caution_subtracts_standard_deviations_from_the_scores(
    folders: tuple[Path, Path], unsure: Path
) -> None:
    prompts = [chat.encode_prompt(tiny.tokenizer(), PROMPTS[n]) for n in range(2)]
    answers = [[Completion([GOOD, GOOD, EOS], True), Completion([9, EOS], True)]] * 2
    plain, at_ease, cautious = (
        rollout.score(loaded(folders[0], judge, caution=caution), PROMPTS[:2], prompts, answers)
        for judge, caution in ((folders[1], 0.0), (unsure, 0.0), (unsure, 3.0))
    )
    assert torch.allclose(at_ease.scores, plain.scores, atol=1e-5)
    assert torch.allclose(cautious.spreads, at_ease.spreads)
    assert torch.allclose(cautious.scores, plain.scores - 3 * at_ease.spreads, atol=1e-5)
    # The score is 1 × the proportion of "good". The standard deviation of the score is 0.5 × that proportion.
    # Subtracting three standard deviations therefore reverses the order.
    assert plain.scores[0] > plain.scores[1]
    assert cautious.scores[0] < cautious.scores[1]


def test_cautious_run_reports_the_uncertainty_of_its_answers(
    folders: tuple[Path, Path], unsure: Path, tmp_path: Path
) -> None:
    report = ListReporter()
    result = run((folders[0], unsure), tmp_path / "out", report, caution=1.0, rollout_prompts=32)
    assert all(spread > 0 for spread in report.series("objective/spread"))
    assert result.metrics["objective/spread"] == report.series("objective/spread")[-1]
    with pytest.raises(ValueError, match="Train it with `uncertainty`"):
        run(folders, tmp_path / "none", caution=1.0)
    assert not (tmp_path / "none").exists()


def test_micro_batches_contain_each_row_once_and_respect_the_token_limit(folders: tuple[Path, Path]) -> None:
    rows = [Row([5] * (n % 5 + 1), [6] * (n % 3 + 1)) for n in range(23)]
    config = config_of(minibatches=4)
    for layout in LAYOUTS:
        models = dataclasses.replace(loaded(*folders), layout=layout)
        dealt = rollout.split_rollout(config, models, rollout_of(rows), max_tokens=20)
        assert sorted(i for parts in dealt for part in parts for i in part.numbers) == list(range(23))
        assert len(dealt) == 4
        for part in (part for parts in dealt for part in parts):
            assert rollout.observe(models, rollout_of(rows), part).rows.inputs.places <= 20


def test_ppo_raises_the_reward_and_saves_a_plain_policy(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = ListReporter()
    result = run(
        folders,
        tmp_path / "out",
        report,
        steps=25,
        rollout_prompts=16,
        learning_rate=5e-3,
        kl_coefficient=0.01,
    )
    scores = report.series("objective/scores")
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.5
    assert result.metrics["objective/scores"] == scores[-1]
    assert result.metrics["objective/scores_first"] == scores[0]
    plain = AutoModelForCausalLM.from_pretrained(result.path).eval()
    before = AutoModelForCausalLM.from_pretrained(folders[0]).eval()
    prompt = torch.tensor([chat.encode_prompt(tiny.tokenizer(), PROMPTS[0])])
    with torch.no_grad():
        assert (
            plain(prompt).logits[0, -1].softmax(-1)[GOOD] > 3 * before(prompt).logits[0, -1].softmax(-1)[GOOD]
        )


def test_metrics_are_finite_and_have_standard_names(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = ListReporter()
    run(folders, tmp_path / "out", report)
    names = {
        "objective/kl", "objective/entropy", "objective/non_score_reward", "objective/rlhf_reward",
        "objective/scores", "policy/approxkl_avg", "policy/clipfrac_avg", "loss/policy_avg",
        "loss/value_avg", "val/clipfrac_avg", "policy/entropy_avg", "val/ratio", "val/ratio_var",
        "val/num_eos_tokens", "lr", "episode",
        "val/explained_variance", "val/first_log_ratio", "lengths/response_mean", "eos_rate",
        "kl_coefficient", "grad_norm/policy", "grad_norm/value", "updates", "seconds/rollout",
        "seconds/update",
    }  # fmt: skip
    for _, row in report.metric_rows:
        assert names <= row.keys()
        assert all(math.isfinite(value) for value in row.values())
    update = "train: updating the weights"
    # On a slow machine, a step can also report its progress.
    rows = [row for row in report.progress_rows if " of " not in row[0]]
    assert rows == [
        *[("train", 0, 2), (update, 0, 2)],
        *[("train", 1, 2), (update, 1, 2)],
        *[("train", 2, 2)],
    ]
    assert report.series("episode") == [16.0, 32.0]


def test_samples_compare_the_initial_and_the_current_policy(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    report = ListReporter()
    run(folders, tmp_path / "out", report, steps=4, sample_every=2, learning_rate=2e-2, stop_kl=None)
    assert [row["step"] for row in report.sample_rows] == [0, 0, 2, 2, 4, 4]
    assert all(row["before"] == row["after"] for row in report.sample_rows[:2])
    assert [row["before"] for row in report.sample_rows[4:]] == [
        row["before"] for row in report.sample_rows[:2]
    ]
    assert any(row["before"] != row["after"] for row in report.sample_rows[4:])
    last = report.sample_rows[-1]["scores"]
    assert (last["kl_before"], last["kl_after"] != 0.0) == (0.0, True)
    beta = report.series("kl_coefficient")[-1]
    assert last["reward_minus_kl_after"] == pytest.approx(last["reward_after"] - beta * last["kl_after"])


def test_updates_within_a_step_stop_if_the_kl_exceeds_the_limit(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    free, held = ListReporter(), ListReporter()
    run(folders, tmp_path / "a", free, epochs=4, minibatches=2, learning_rate=1e-2, stop_kl=None)
    run(folders, tmp_path / "b", held, epochs=4, minibatches=2, learning_rate=1e-2, stop_kl=1e-4)
    assert free.series("updates") == [8.0, 8.0]
    assert max(held.series("updates")) < 8
    assert max(held.series("policy/approxkl_avg")) <= 1e-4 < max(free.series("policy/approxkl_avg"))


def test_policy_does_not_change_during_critic_warm_up(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = ListReporter()
    run(folders, tmp_path / "out", report, steps=3, critic_warmup_steps=2)
    assert report.series("objective/kl") == [0.0, 0.0, 0.0]  # measured before each step's update
    assert len(report.series("loss/policy_avg")) == 1


def test_last_step_trains_the_policy_even_if_the_warm_up_outlasts_the_run(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    result = run(folders, tmp_path / "out", steps=1, critic_warmup_steps=5)
    saved, start = (
        AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (result.path, folders[0])
    )
    assert any(not torch.equal(saved[name], start[name]) for name in start)


def test_final_check_of_the_ceiling_uses_the_temperature_of_the_last_step(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """An extrapolated temperature would be negative here."""
    result = run(folders, tmp_path / "out", temperature_end=0.4, kl_ceiling=50.0)
    assert math.isfinite(result.metrics["objective/kl_final"])
    assert result.metrics["went_back"] == 0.0


def test_policy_moves_back_if_its_kl_exceeds_the_ceiling(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Without a ceiling, the KL rises above 4 in this run."""
    report = ListReporter()
    settings = {"rollout_prompts": 16, "learning_rate": 5e-3, "kl_coefficient": 0.0, "samples": 0}
    result = run(folders, tmp_path / "out", report, steps=24, kl_ceiling=1.0, schedule="constant", **settings)
    kl, recovery = report.series("objective/kl_upper"), report.series("recovery")
    assert recovery == [float(value > 1.0) for value in kl]
    assert 2 < sum(recovery) < 22
    # Values of single steps are noisy, so the test compares means.
    changes = [(flag, after - before) for flag, before, after in zip(recovery, kl[:-1], kl[1:], strict=False)]
    back = [change for flag, change in changes if flag]
    assert sum(back) < 0
    assert max(kl) < 4
    assert result.metrics["went_back"] == float(result.metrics["objective/kl_final"] > 1.0)


def test_run_beyond_the_ceiling_saves_the_newest_weights_below_the_ceiling(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The KL of the initial policy is 0. The KL of every later policy exceeds this ceiling, even if the
    sampled k1 is negative, because the decision also uses k3, which is never negative."""
    result = run(folders, tmp_path / "out", kl_ceiling=1e-9, kl_coefficient=0.0)
    assert result.metrics["went_back"] == 1.0
    saved, start = (
        AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (result.path, folders[0])
    )
    assert all(torch.equal(saved[name], start[name]) for name in start)


def test_critic_is_not_trained_in_recovery_steps(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = ListReporter()
    run(folders, tmp_path / "out", report, steps=3, kl_ceiling=1e-9, kl_coefficient=0.0)
    reported = [("loss/value_avg" in row, "loss/policy_avg" in row) for _, row in report.metric_rows]
    assert reported == [(True, True), (False, True), (False, True)]


def test_truncation_penalty_is_applied_once_per_answer(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = ListReporter()
    run(
        folders,
        tmp_path / "out",
        report,
        steps=1,
        max_new_tokens=2,
        missing_eos_penalty=3.0,
        kl_coefficient=0.0,
    )
    (row,) = (values for _, values in report.metric_rows)
    assert row["eos_rate"] < 1
    assert row["objective/rlhf_reward"] == pytest.approx(
        row["objective/scores"] - 3.0 * (1 - row["eos_rate"]), abs=1e-4
    )


def test_cancelled_or_diverged_run_saves_nothing(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Cancelled):
        run(folders, tmp_path / "out", ListReporter(cancel_after=2))
    monkeypatch.setattr(losses, "clipped_policy_loss", lambda new, *a, **b: new * math.nan)
    with pytest.raises(TrainingDiverged, match="step 1"):
        run(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_same_seed_leads_to_the_same_policy(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (run(folders, tmp_path / name).path / "model.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_unusable_reward_models_and_empty_prompt_lists_are_rejected(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    other = copy.deepcopy(tiny.tokenizer())
    other.add_tokens(["another"])
    save_model(tiny.policy(vocab_size=80), other, tmp_path / "trunk")
    save_model(*load_for_training(tmp_path / "trunk"), tmp_path / "foreign")
    with pytest.raises(ValueError, match="different vocabularies"):
        run((folders[0], tmp_path / "foreign"), tmp_path / "out")
    flat = load_reward_model(folders[1])
    flat.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 0.0}
    with pytest.raises(ValueError, match="same reward"):
        run((folders[0], save_model(*flat, tmp_path / "flat")), tmp_path / "out")
    with pytest.raises(ValueError, match="no prompts to answer"):
        ppo.train(
            ppo.PPOConfig(), policy=folders[0], reward_model=folders[1], prompts=[], out_dir=tmp_path / "out"
        )
