"""A policy is fine-tuned on the best of N answers, and its mean reward from the reward model improves."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForSequenceClassification

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import (
    arbitrary_reward_model,
    short_speaker,
    tokenizer,
    untrained_policy,
)
from training import demo_world
from training.rlhf.core import alive
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, NullReporter
from training.rlhf.core.seeds import seed_everything
from training.rlhf.data.candidates import read_candidates
from training.rlhf.data.demonstrations import Row
from training.rlhf.generation import pulse
from training.rlhf.generation.engines import LocalEngine
from training.rlhf.generation.evaluation import compare, evaluate
from training.rlhf.generation.prompts import encode_prompts
from training.rlhf.judging.judges import open_judges
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import sft
from training.rlhf.policy.rejection_sampling import RejectionSamplingResult, train, tuning_config
from training.rlhf.recipes.answers import EvaluateConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.reward import scoring
from training.rlhf.reward.beliefs import beliefs_about
from training.rlhf.reward.uncertainty import LastLayer, write
from training.rlhf.selection.candidate_file import kept_rows
from training.rlhf.selection.candidates import Candidates, sample_batch

torch.set_num_threads(1)
PROMPTS = demo_world.prompts(96, seed=21)
QUICK = RejectionSamplingConfig(
    samples_per_prompt=6, max_new_tokens=12, learning_rate=1e-2, epochs=4, batch_size=16, sample_tokens=12
)
# One batch contains ANSWERS_PER_BATCH answers, so 32 answers to each of 10 prompts require two batches.
SMALL = RejectionSamplingConfig(
    samples_per_prompt=32,
    max_new_tokens=8,
    learning_rate=1e-2,
    epochs=2,
    batch_size=4,
    sample_prompts=1,
    sample_tokens=8,
    rounds=2,
    heldout_share=0.2,
)


def changed(config: RejectionSamplingConfig, **changes: Any) -> RejectionSamplingConfig:
    return RejectionSamplingConfig(**(config.model_dump() | changes))


def trained(config: RejectionSamplingConfig, folder: Path, **changes: Any) -> RejectionSamplingResult:
    settings: dict[str, Any] = {
        "policy": short_speaker(),
        "reward_model": arbitrary_reward_model(),
        "prompts": PROMPTS[:10],
        "out_dir": folder / "better",
    }
    return train(config, **(settings | changes))


def sampled(
    config: RejectionSamplingConfig,
    policy: Loaded,
    judge: Any,
    prompts: Sequence[Messages],
    *,
    chosen: range | None = None,
    round: int = 1,
) -> Candidates:
    judges = open_judges({"judge": judge}, config, policy=policy)
    asked = encode_prompts(policy.tokenizer, prompts, limit=64)
    chosen = chosen or range(len(prompts))
    return sample_batch(config, policy, LocalEngine(), judges, asked, None, chosen, round, lambda: None)[0]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "better" / "model.safetensors")


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fitted(config: RejectionSamplingConfig, policy: Loaded, rows: list[Row]) -> None:
    seed_everything(config.seed)
    optimiser = sft.new_optimizer(policy.model, config)
    sft.fit(config, *policy, rows, NullReporter(), optimiser=optimiser)


def test_policy_improves_significantly(tmp_path: Path) -> None:
    reward_model, report = arbitrary_reward_model(), ListReporter()

    def judge(messages: Messages, text: str) -> float:
        return float(scoring.score(*reward_model, [(messages, [text])])[0][0])

    fresh = demo_world.prompts(60, seed=22)
    config = EvaluateConfig(responses_per_prompt=4, max_new_tokens=12)
    before = evaluate(config, policy=short_speaker(), prompts=fresh, judge=judge)
    result = trained(QUICK, tmp_path, reward_model=reward_model, prompts=PROMPTS, report=report)
    after = evaluate(config, policy=load_policy(result.path), prompts=fresh, judge=judge)
    paired = compare(after, before)
    assert paired.difference > 2 * paired.standard_error

    assert result.prompts == 96
    assert 0 < result.kept <= 96
    assert result.reward_best > result.reward_mean
    assert list(result.best_of.values()) == sorted(result.best_of.values())
    assert len(report.series("best_of/6")) == 1
    assert report.series("best_of/6") == [result.reward_best]
    assert report.series("kl_best_of/6") == [pytest.approx(math.log(6) - 5 / 6)]
    steps = [step for step, _ in report.metric_rows]
    assert steps == list(range(1, result.steps + 1))
    assert result.path.parent.joinpath("better/tokenizer_config.json").exists()
    assert load_policy(result.path).tokenizer.eos_token_id == tokenizer().eos_token_id
    scores = {frozenset(row["scores"]) for row in report.sample_rows}
    parts = {
        f"{name}_{when}" for name in ("reward", "reward_raw/reward_model") for when in ("before", "after")
    }
    assert scores == {frozenset(parts)}


def test_progress_is_reported_while_a_batch_is_answered_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PULSE_SECONDS", 0.0)
    monkeypatch.setattr(alive, "TELL_SECONDS", 0.0)
    report = ListReporter()
    trained(changed(SMALL, rounds=1), tmp_path, report=report)
    answered = [step for phase, step, _ in report.progress_rows if phase == "sample"]
    assert len({step for step in answered if 0 < step < 8}) > 1  # the first batch contains 8 prompts
    assert answered == sorted(answered)
    assert ("sample: 256 of 256 answers scored", 8, 10) in report.progress_rows
    assert len([phase for phase, _, _ in report.progress_rows if "of 256 answers scored" in phase]) > 1


def test_cancelled_run_writes_nothing(tmp_path: Path) -> None:
    for checks in (1, 3, 9):
        with pytest.raises(Cancelled):
            trained(
                QUICK, tmp_path, candidates=tmp_path / "candidates", report=ListReporter(cancel_after=checks)
            )
        assert list(tmp_path.iterdir()) == []


def test_run_fails_if_all_answers_are_truncated(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"none of the 4 prompts.*Raise max_new_tokens") as caught:
        trained(changed(QUICK, max_new_tokens=2), tmp_path, policy=untrained_policy(), prompts=PROMPTS[:4])
    assert caught.value.kind == FailureKind.NOTHING_KEPT
    assert list(tmp_path.iterdir()) == []


def test_run_fails_if_all_answers_to_each_prompt_have_the_same_reward(tmp_path: Path) -> None:
    constant = arbitrary_reward_model()
    torch.nn.init.zeros_(constant.model.score.weight)  # type: ignore[union-attr,arg-type]
    with pytest.raises(UnusableInput, match="has the same reward as all other answers to its prompt"):
        trained(QUICK, tmp_path, reward_model=constant)


def test_run_ends_early_if_a_later_round_has_nothing_to_select(tmp_path: Path) -> None:
    """After at most three rounds, the policy always gives the same answer."""
    report = ListReporter()
    config = changed(SMALL, rounds=4, epochs=40, learning_rate=3e-2, batch_size=16, samples_per_prompt=4)
    prompts, file = [PROMPTS[0]] * 4, tmp_path / "candidates"
    result = trained(config, tmp_path, prompts=prompts, report=report, candidates=file)
    assert 1 <= result.rounds < 4
    assert (result.kept, report.series("best_of/4")[-1]) == (4 * result.rounds, result.reward_best)
    kept = [
        (line["round"], sum(one["kept"] is not None for one in line["candidates"]))
        for line in read_candidates(file)
    ]
    assert kept == [(n, int(n <= result.rounds)) for n in range(1, result.rounds + 2) for _ in range(4)]

    given = {"prompts": prompts, "checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(Cancelled):  # at the last check, after the rounds ended early
        trained(config, tmp_path / "again", **given, report=ListReporter(cancel_after=report.checks))
    again = trained(config, tmp_path / "again", **given)
    assert (again.steps, again.rounds) == (result.steps, result.rounds)
    assert same(weights_of(tmp_path), weights_of(tmp_path / "again"))


def test_scores_are_computed_from_the_token_ids_that_are_imitated() -> None:
    """Several tokens end an answer, as in Qwen3 and Llama 3. The pad token is one of them."""
    policy = Loaded(tiny.policy(), tiny.tokenizer())
    policy.model.generation_config.eos_token_id = [1, 0, *range(5, 25)]  # type: ignore[union-attr]
    torch.manual_seed(4)
    judge = Loaded(LlamaForSequenceClassification(tiny.policy(num_labels=1).config).eval(), tiny.tokenizer())
    config = RejectionSamplingConfig(samples_per_prompt=8, max_new_tokens=6, sample_prompts=0)
    prompts = [[{"role": "user", "content": tiny.words(4, n)}] for n in range(5, 9)]
    found = sampled(config, policy, judge, prompts)
    assert 0 < int(found.finished.sum()) < 32
    asked = encode_prompts(policy.tokenizer, prompts, limit=64)
    for i, ids in enumerate(found.answers()):
        assert ids[-1] == 1
        whole = torch.tensor([asked.ids[i // 8] + ids])
        own = judge.model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0, 0]
        assert float(found.scores[i]) == pytest.approx(float(own), abs=1e-4)


def test_scores_are_in_standard_deviations_and_raw_rewards_are_kept() -> None:
    judge = arbitrary_reward_model()
    raw = sampled(QUICK, short_speaker(), judge, PROMPTS[:4])
    judge.model.config.rankloop = {"reward_mean": 0.5, "reward_std": 4.0}
    scaled = sampled(QUICK, short_speaker(), judge, PROMPTS[:4])
    assert torch.allclose(scaled.scores, (raw.scores - 0.5) / 4.0, atol=1e-6)
    assert torch.equal(scaled.parts["judge"], raw.parts["judge"])


def test_best_of_n_counts_only_answers_that_could_be_kept(tmp_path: Path) -> None:
    """Many answers of an untrained policy are truncated, and some of them have the highest rewards."""
    file, report = tmp_path / "candidates", ListReporter()
    config = changed(QUICK, max_new_tokens=80, samples_per_prompt=16, epochs=1)
    result = trained(config, tmp_path, policy=untrained_policy(), candidates=file, report=report)
    lines = list(read_candidates(file))
    finished = [[one["score"] for one in line["candidates"] if one["finished"]] for line in lines]
    highest = [max(one["score"] for one in line["candidates"]) for line in lines]
    bests = [max(scores) for scores in finished if scores]
    assert 0 < sum(map(len, finished)) < 16 * 10
    assert result.prompts_unfinished == len(finished) - len(bests)
    assert result.reward_best == pytest.approx(sum(bests) / len(bests))
    assert result.reward_best < sum(highest) / len(highest)
    kept = [one for line in lines for one in line["candidates"] if one["kept"]]
    assert all(one["finished"] for one in kept)
    assert sorted(one["score"] for one in kept) == sorted(bests)


def test_answer_too_long_for_the_reward_model_is_never_kept(tmp_path: Path) -> None:
    judge, file, report = arbitrary_reward_model(), tmp_path / "candidates", ListReporter()
    lengths = sorted({len(ids) for ids in sampled(QUICK, short_speaker(), judge, PROMPTS[:10]).answers()})
    judge.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0, "max_length": lengths[-1]}
    trained(changed(QUICK, epochs=1), tmp_path, reward_model=judge, candidates=file, report=report)
    answers = [one for line in read_candidates(file) for one in line["candidates"]]
    unscored = [one for one in answers if one["score"] is None]
    assert {len(one["ids"]) for one in unscored} == {lengths[-1]}
    assert not any(one["kept"] for one in unscored)
    assert report.series("rewards/reward_model/truncated") == [len(unscored)]
    assert {len(one["ids"]) for one in answers if one["score"] is not None} == set(lengths[:-1])


def test_prompts_that_the_template_refuses_are_counted_and_left_out(tmp_path: Path) -> None:
    words = demo_world.build_tokenizer()
    words.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    prompts = [[{"role": "system", "content": "Be brief."}, *PROMPTS[0]], *PROMPTS[:6]]
    policy = Loaded(short_speaker().model, words)
    result = trained(changed(QUICK, epochs=1), tmp_path, policy=policy, prompts=prompts)
    assert (result.prompts, result.prompts_refused) == (6, 1)


def test_sampling_noise_differs_between_seeds_and_batches_and_rounds() -> None:
    policy, judge, prompts = short_speaker(), arbitrary_reward_model(), [PROMPTS[0]] * 8
    places = [(0, 0, 1), (4, 0, 1), (0, 4, 1), (0, 0, 2)]  # seed, first prompt, round
    found = [
        sampled(
            changed(QUICK, seed=seed), policy, judge, prompts, chosen=range(start, start + 4), round=number
        )
        for seed, start, number in places
    ]
    answers = [tuple(map(tuple, one.answers())) for one in found]
    assert len(set(answers)) == len(places)


def test_training_on_the_candidates_file_reproduces_the_weights_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "candidates.jsonl.gz"
    config = changed(SMALL, keep="top_k", k=2)
    trained(config, tmp_path, candidates=file)
    policy = short_speaker()
    for number in (1, 2):
        rows, tuning = kept_rows(file, round=number), tuning_config(config, number)
        fitted(tuning, policy, rows)
    save_model(*policy, tmp_path / "again" / "better")
    assert same(weights_of(tmp_path), weights_of(tmp_path / "again"))

    lines = list(read_candidates(file))
    assert [(line["round"], line["prompt"]) for line in lines] == list(itertools.product((1, 2), range(10)))
    answers = lines[0]["candidates"]
    assert len(answers) == 32
    ranks = [one["kept"] for one in sorted(answers, key=lambda one: -one["score"]) if one["kept"]]
    assert ranks == [1, 2]
    trained(config, tmp_path / "twice", candidates=tmp_path / "twice" / "again")
    assert (
        hashlib.sha256(file.read_bytes()).digest()
        == hashlib.sha256((tmp_path / "twice" / "again").read_bytes()).digest()
    )
    assert gzip.decompress(file.read_bytes()).count(b"\n") == 20


def test_gold_scores_of_the_answers_that_the_reward_model_prefers_are_reported(tmp_path: Path) -> None:
    """The gold function prefers what the reward model dislikes, so the curve of the gold scores falls."""
    judge = arbitrary_reward_model()

    def opposite(messages: Messages, text: str) -> float:
        return -float(scoring.score(*judge, [(messages, [text])])[0][0])

    result = trained(changed(QUICK, epochs=1), tmp_path, reward_model=judge, gold=opposite)
    assert result.gold_best_of == pytest.approx({n: -value for n, value in result.best_of.items()}, abs=1e-4)


def test_caution_subtracts_standard_deviations_before_selection(tmp_path: Path) -> None:
    judge = arbitrary_reward_model()
    generator = torch.Generator().manual_seed(1)
    uncertainty = LastLayer(
        torch.randn(32, 32, generator=generator), torch.zeros(32), torch.tensor(1.0), torch.tensor(1.0)
    )
    folder = save_model(*judge, tmp_path / "unsure", add=lambda partial: write(uncertainty, partial))
    config, policy = changed(QUICK, caution=2.0), short_speaker()
    found = sampled(config, policy, folder, PROMPTS[:6])
    texts = found.texts(policy.tokenizer)
    items = [(messages, texts[6 * i : 6 * i + 6]) for i, messages in enumerate(PROMPTS[:6])]
    for i, belief in enumerate(beliefs_about(*judge, items, uncertainty)):
        mine = found.scores[6 * i : 6 * i + 6].tolist()
        assert mine == pytest.approx((belief.mean - 2 * belief.spread).tolist(), abs=1e-4)

    report = ListReporter()
    bold, careful = (
        trained(
            changed(QUICK, caution=caution, epochs=1),
            tmp_path / f"by-{caution}",
            reward_model=folder,
            prompts=PROMPTS[:6],
            report=report,
        )
        for caution in (0.0, 2.0)
    )
    assert careful.reward_best < bold.reward_best
    assert report.series("reward_spread")[0] > 0.1
    with pytest.raises(ValueError, match="has no uncertainty estimate"):
        trained(config, tmp_path / "x")
