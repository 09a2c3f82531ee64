"""DPO learns known preferences. Its result does not depend on padding, micro-batches or interruptions."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.reporter import Cancelled, TrainingDiverged
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.policy import dpo
from training.rlhf.policy.divergence import measured
from training.rlhf.policy.dpo_loss import summed_loss
from training.rlhf.policy.preference_rows import RankingRows, encode_preferences
from training.rlhf.recipes.dpo import DPOConfig

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[4]
QUESTION = ({"role": "user", "content": "w1 w2"},)
QUICK: dict[str, Any] = {"epochs": 1, "batch_rankings": 16, "learning_rate": 2e-3, "sample_prompts": 0}


def start(**changes: Any) -> Loaded:
    return Loaded(tiny.policy(**changes), tiny.tokenizer())


def run(
    out: Path,
    rankings: Sequence[Ranking] = RANKINGS,
    *,
    policy: Loaded | None = None,
    report: ListReporter | None = None,
    checkpoints: Path | None = None,
    heldout: Sequence[Ranking] = (),
    **changes: Any,
) -> dpo.DPOResult:
    return dpo.train(
        DPOConfig.model_validate(QUICK | changes),
        base_model=policy or start(),
        rankings=rankings,
        heldout=heldout,
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    )


def all_weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def without_speed(report: ListReporter) -> list[tuple[int, dict[str, float]]]:
    return [
        (step, {name: value for name, value in row.items() if name != "tokens_per_second"})
        for step, row in report.metric_rows
    ]


def test_training_learns_the_order_of_held_out_responses(tmp_path: Path) -> None:
    report = ListReporter()
    result = run(
        tmp_path / "policy", report=report, heldout=HELDOUT, epochs=4, evaluations=2, sample_prompts=2,
        sample_tokens=8,
    )  # fmt: skip
    assert (result.rankings, result.pairs, result.steps, result.left_out) == (64, 64 * 6, 16, {})
    assert report.series("heldout/accuracy")[-1] > 0.95
    assert report.series("loss")[0] == pytest.approx(math.log(2))
    assert report.series("loss")[-1] < 0.4
    assert report.series("heldout/pairs") == [16 * 6] * 2
    assert all(math.isfinite(value) for _, row in report.metric_rows for value in row.values())
    assert report.progress_rows[-1] == ("train", 16, 16)
    assert [row["before"] != row["after"] for row in report.sample_rows] == [True, True]
    assert result.metrics["heldout/accuracy"] == report.series("heldout/accuracy")[-1]
    load_policy(result.path)


REWARDS = {"w3": 0.0, "w4 w5": 0.4, "w6 w7 w8": -0.6, "w9": 0.8}  # in log-odds


@pytest.mark.parametrize("seed", range(5))
def test_policy_reaches_the_known_optimum(seed: int, tmp_path: Path) -> None:
    """If preferences follow Bradley–Terry with rewards r, the optimum of DPO is the policy that maximises
    the expected reward with a KL penalty: its log-ratios equal r / beta up to a constant (section 4 of arXiv
    2305.18290).

    Each pair is ranked in both directions. The weight of a ranking is the probability of the preference that
    it states.
    """
    beta = 0.5
    stated = [
        Ranking(
            QUESTION, pair, order, weight=1 / (1 + math.exp(sign * (REWARDS[pair[1]] - REWARDS[pair[0]])))
        )
        for pair in itertools.combinations(REWARDS, 2)
        for order, sign in ((((0,), (1,)), 1), (((1,), (0,)), -1))
    ]
    run(
        tmp_path / "policy", stated, policy=start(seed=seed), seed=seed, beta=beta, epochs=40,
        learning_rate=4e-3, schedule="cosine", heldout_fraction=0.0,
    )  # fmt: skip
    every = [Ranking(QUESTION, tuple(REWARDS), ((0,), (1,), (2,), (3,)))]
    log_ratios = sums_of_log_probs(load_policy(tmp_path / "policy"), every) - sums_of_log_probs(
        start(seed=seed), every
    )
    goal = torch.tensor(list(REWARDS.values())) / beta
    error = (log_ratios - log_ratios.mean()) - (goal - goal.mean())
    assert error.abs().max() < 0.05 * (goal.max() - goal.min())


def sums_of_log_probs(policy: Loaded, rankings: Sequence[Ranking]) -> torch.Tensor:
    """The log-probability of each response, computed in a separate row without padding."""
    found = []
    for group in encode_preferences(rankings, policy.tokenizer, ties="ignore", max_length=100)[0]:
        for response in group.responses:
            ids = torch.tensor([group.prompt + response])
            with torch.no_grad():
                log_probs = policy.model(input_ids=ids).logits[0].log_softmax(-1)
            at = range(len(group.prompt) - 1, ids.shape[1] - 1)
            found.append(sum(log_probs[i, ids[0, i + 1]] for i in at))
    return torch.stack(found)  # type: ignore[arg-type]


def test_reference_contains_the_log_probability_of_each_response(tmp_path: Path) -> None:
    groups, _, _ = encode_preferences(RANKINGS[:6], tiny.tokenizer(), ties="ignore", max_length=100)
    policy = start()
    rows = RankingRows.of(groups[:4], groups[4:], pad_id=0, max_tokens=120, policy=policy.model)
    state = dpo.DPOState(
        policy.model,
        torch.optim.SGD(policy.model.parameters()),
        torch.full([rows.n_responses], math.nan),
        rows.max_tokens,
    )
    for part in rows.micro_batches([3, 1, 0, 2]) + rows.micro_batches(rows.heldout):
        dpo.add_to_reference(state, rows, part)
    torch.testing.assert_close(state.reference, sums_of_log_probs(policy, RANKINGS[:6]), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "max_tokens", "pad_is_eos"),
    [("llama", 100, False), ("llama", 300, True), ("gpt2", 4096, False)],
    ids=["narrow", "wide-and-pad-is-eos", "dropout"],
)
def test_margins_are_exactly_zero_until_the_weights_change(
    kind: str, max_tokens: int, pad_is_eos: bool, tmp_path: Path
) -> None:
    """With a learning rate of 1e-30, an update changes no weight."""
    report = ListReporter()
    policy = Loaded(tiny.POLICIES[kind](), tiny.tokenizer(pad_is_eos=pad_is_eos))
    policy.model.train()  # the loop must switch to eval mode, because GPT-2 has dropout
    run(
        tmp_path / "policy", policy=policy, report=report, heldout=HELDOUT, learning_rate=1e-30, epochs=2,
        micro_batch_tokens=max_tokens, evaluations=2,
    )  # fmt: skip
    assert report.series("rewards/margins")[:4] == [0.0] * 4
    assert report.series("heldout/margins") == [0.0] * 2
    assert report.series("heldout/accuracy") == [0.5] * 2
    # In the second epoch, the rankings are divided into micro-batches differently, so sums are rounded
    # differently.
    assert max(map(abs, report.series("rewards/margins"))) < 1e-6


def test_gradients_do_not_depend_on_the_micro_batches() -> None:
    mixed = [
        RANKINGS[0],
        dataclasses.replace(RANKINGS[1], tiers=((2, 0), (1, 3)), weight=2.5),
        Ranking(QUESTION, ("w3", "w4 w5 w6 w7"), ((1,), (0,)), all_bad=True),
        Ranking(QUESTION, ("w3 w4", "w5"), ((0, 1),)),
        dataclasses.replace(RANKINGS[2], tiers=((2,), (1,), (0, 3)), rest_unranked=True),
    ]
    config = DPOConfig(ties="half", sft_coefficient=0.3, label_smoothing=0.1, length_normalised=True, beta=2)
    groups, _, _ = encode_preferences(mixed, tiny.tokenizer(), ties="half", max_length=100)
    assert [sorted(group.tiers) for group in groups][4] == [0, 1, UNRANKED_TIER, UNRANKED_TIER]
    results = []
    for max_tokens in (1, 60, 150, 4096):
        policy = tiny.policy(seed=1)
        rows = RankingRows.of(groups, [], pad_id=0, max_tokens=max_tokens, policy=policy)
        optimiser = torch.optim.SGD(policy.parameters())
        state = dpo.DPOState(policy, optimiser, torch.zeros(rows.n_responses), max_tokens)
        losses = []
        for part in rows.micro_batches(range(5)):
            loss, _ = summed_loss(config, state.policy, state.reference, rows, part)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
        gradient = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
        results.append((len(losses), sum(losses), gradient))
    assert len({number for number, _, _ in results}) >= 3  # numbers of micro-batches
    for _, loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][1], rel=1e-5)
        torch.testing.assert_close(gradient, results[0][2], rtol=1e-4, atol=1e-5)
    assert results[0][2].abs().max() > 0.1


def passes_of(policy: Loaded) -> list[tuple[int, int]]:
    """Return a list to which each later pass through the policy appends its number of token positions and its
    number of responses. A pass without a shared prompt contains one response."""
    passes: list[tuple[int, int]] = []

    def count(module: Any, arguments: Any, named: dict[str, Any], output: Any) -> None:
        mask = named.get("attention_mask")
        if mask is not None and mask.ndim == 4:  # this mask is a table of segments
            prompts = int((mask[0, 0, :, 1] < 0).sum())
            passes.append((named["input_ids"].numel(), max(mask.shape[2] - prompts, 1)))

    policy.model.base_model.register_forward_hook(count, with_kwargs=True)
    return passes


def test_model_reads_every_prompt_and_response_once_per_pass(tmp_path: Path) -> None:
    policy = start()
    passes = passes_of(policy)
    groups, _, _ = encode_preferences(RANKINGS[:16], policy.tokenizer, ties="ignore", max_length=100)
    run(tmp_path / "policy", RANKINGS[:16], policy=policy, heldout_fraction=0.0, epochs=2)
    # The reference pass and two epochs, for 16 rankings of four responses each.
    assert sum(responses for _, responses in passes) == 3 * 16 * 4
    assert sum(tokens for tokens, _ in passes) == 3 * sum(group.packed_tokens for group in groups)


def test_passes_stay_within_the_token_limit_even_if_a_ranking_exceeds_it(tmp_path: Path) -> None:
    policy = start()
    passes = passes_of(policy)
    run(tmp_path / "policy", RANKINGS[:16], policy=policy, heldout_fraction=0.0, micro_batch_tokens=25)
    assert max(tokens for tokens, _ in passes) <= 25
    assert max(responses for _, responses in passes) in (2, 3)
    # the reference pass, the forward pass, and its recomputation in the backward pass
    assert sum(responses for _, responses in passes) == 3 * 16 * 4


def test_ties_count_as_half_preferences_or_are_left_out(tmp_path: Path) -> None:
    tied = [dataclasses.replace(ranking, tiers=((0, 1, 2, 3),)) for ranking in RANKINGS[:16]]
    with pytest.raises(UnusableInput, match=r"'all_tied': 16.*set `ties` to `half`") as caught:
        run(tmp_path / "policy", tied, heldout_fraction=0.0)
    assert caught.value.kind == FailureKind.DATA_EMPTY
    report = ListReporter()
    result = run(
        tmp_path / "policy", [*RANKINGS[16:32], *tied], report=report, heldout_fraction=0.0, ties="half",
        batch_rankings=32, epochs=3,
    )  # fmt: skip
    assert (result.pairs, result.left_out) == (32 * 6, {})
    ignored = run(tmp_path / "policy", [*RANKINGS[16:32], *tied], heldout_fraction=0.0)
    assert (ignored.pairs, ignored.left_out) == (16 * 6, {"all_tied": 16})
    only_ties = ListReporter()
    run(tmp_path / "policy", tied, report=only_ties, heldout_fraction=0.0, ties="half")
    assert only_ties.series("loss") == pytest.approx([math.log(2)])  # the loss starts at its minimum
    assert "rewards/margins" not in only_ties.metric_rows[0][1]


def test_best_responses_of_rankings_marked_all_bad_are_not_imitated(tmp_path: Path) -> None:
    losses = {}
    for all_bad in (False, True):
        report = ListReporter()
        marked = [dataclasses.replace(ranking, all_bad=all_bad) for ranking in RANKINGS[:16]]
        result = run(
            tmp_path / "policy", marked, report=report, heldout_fraction=0.0, sft_coefficient=0.5, epochs=8,
            batch_rankings=8,
        )  # fmt: skip
        losses[all_bad] = report.series("nll_loss")
        assert result.rankings == 16
        assert report.series("rewards/accuracies")[-1] > 0.9  # the order is learned in both cases
    assert losses[True] == [0.0] * 16
    assert losses[False][-1] < 0.7 * losses[False][0]


def test_unusable_rankings_are_counted_by_reason(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}"
        "{% endif %}{{ m['role'] + ': ' + m['content'] }} {% endfor %}assistant: "
    )
    long = ({"role": "user", "content": " ".join([tiny.words(*range(60))] * 3)},)
    given = [
        Ranking(({"role": "system", "content": "w1"}, *QUESTION), ("w3", "w4"), ((0,), (1,))),
        Ranking(QUESTION, ("w3",), ((0,),)),
        Ranking(QUESTION, ("w3", "w4"), ((0, 1),)),
        Ranking(QUESTION, ("w3 <eos>", "w3"), ((0,), (1,))),
        Ranking(QUESTION, ("w3", tiny.words(*range(50)) * 3), ((0,), (1,))),
        Ranking(long, ("w3", "w4"), ((0,), (1,))),
    ]
    result = run(tmp_path / "policy", given, policy=Loaded(tiny.policy(), tokenizer), heldout_fraction=0.0)
    assert result.left_out == {
        "refused_by_template": 1, "fewer_than_two_responses": 1, "all_tied": 1,
        "identical_after_encoding": 1, "response_too_long": 1,
    }  # fmt: skip
    assert (result.rankings, result.prompts_cut) == (1, 1)  # a prompt that is too long is truncated
    with pytest.raises(UnusableInput, match="'response_too_long': 1") as caught:
        run(tmp_path / "policy", given[4:5], heldout_fraction=0.0)
    assert caught.value.kind == FailureKind.TEXTS_TOO_LONG


def test_policy_with_nan_weights_is_refused_before_training(tmp_path: Path) -> None:
    policy = start()
    with torch.no_grad():
        policy.model.state_dict()["lm_head.weight"][7] = math.nan
    with pytest.raises(
        UnusableInput, match=r"NaN or infinite in one of these rankings: ranking-\d+"
    ) as caught:
        run(tmp_path / "policy", policy=policy)
    assert caught.value.kind == FailureKind.MODEL_UNREADABLE
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_not_finite_stops_the_run_before_the_update(tmp_path: Path) -> None:
    """IPO's target of 1 / (2 beta) is 5e29, and its square exceeds the range of float32."""
    with pytest.raises(TrainingDiverged, match=r"step 1: loss inf, .*rankings of this batch: ranking-\d+"):
        run(tmp_path / "policy", loss="ipo", beta=1e-30, checkpoints=tmp_path / "checkpoints")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    [before] = (tmp_path / "checkpoints").iterdir()
    kept = load_file(before / "weights.safetensors")
    assert all(torch.equal(kept[f"policy.{name}"], p) for name, p in start().model.named_parameters())


def test_measured_kl_equals_the_divergence_of_the_two_distributions(tmp_path: Path) -> None:
    """For answers of one token, the divergence is known exactly from the logits."""
    policy, other = start(), start(seed=1)
    folder = save_model(*other, tmp_path / "start")
    few = [({"role": "user", "content": f"w{n} w2"},) for n in range(3)]
    exact = []
    for messages in few:
        ids = torch.tensor([chat.encode_prompt(policy.tokenizer, messages)])
        with torch.no_grad():
            p, q = (
                model.model(input_ids=ids).logits[0, -1].double().log_softmax(0) for model in (policy, other)
            )
        exact.append(float((p.exp() * (p - q)).sum()))
    found = measured(
        policy, str(folder), few * 1500, max_new_tokens=1, max_tokens=8192, seed=0, check=lambda: None
    )
    assert found["objective/kl"] == pytest.approx(sum(exact) / 3, rel=0.05)
    same = measured(
        policy, str(save_model(*policy, tmp_path / "same")), few * 4, max_new_tokens=8, max_tokens=50,
        seed=0, check=lambda: None,
    )  # fmt: skip
    assert same == {"objective/kl": 0.0, "parameters/change": 0.0}


def test_guide_program_trains_a_policy_and_prints_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "dpo.md").read_text(), re.DOTALL)
    rows = [
        {"messages": list(one.messages), "responses": one.responses, "tiers": one.tiers} for one in RANKINGS
    ]
    (tmp_path / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_model(*start(), tmp_path / "models" / "policy")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/dpo.md", "exec"), {})
    assert re.search(r"384 pairs; left out: {} ; KL: -?\d+\.\d*[1-9]", capsys.readouterr().out)
    assert list((tmp_path / "checkpoints").glob("step-*")) == []  # a checkpoint is due after five minutes
    load_policy(tmp_path / "models" / "dpo")


LONG = {"epochs": 2, "batch_rankings": 16, "evaluations": 4, "sample_prompts": 2, "sample_tokens": 4,
        "micro_batch_tokens": 250, "checkpoint_minutes": None}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dpo.DPOResult, ListReporter]:
    report = ListReporter()
    folder = tmp_path_factory.mktemp("undisturbed") / "policy"
    return run(folder, report=report, heldout=HELDOUT, **LONG), report


def test_cancelled_run_resumes_bitwise_wherever_it_was_cancelled(
    undisturbed: tuple[dpo.DPOResult, ListReporter], tmp_path: Path
) -> None:
    """The run is cancelled every few checks: in the reference pass, within batches and within evaluations. If
    the run is cancelled between two micro-batches of a step, the step is repeated."""
    whole, told = undisturbed
    assert told.checks > 3 * whole.steps
    reports = []
    for attempt in range(40):
        # A step that was cancelled starts again, so each attempt must be long enough for one complete step.
        reports.append(ListReporter(cancel_after=9 + attempt % 3))
        try:
            result = run(
                tmp_path / "policy", report=reports[-1], heldout=HELDOUT,
                checkpoints=tmp_path / "checkpoints", **LONG,
            )  # fmt: skip
        except Cancelled:
            continue
        break
    assert len(reports) > 5
    assert all_weights(result.path) == all_weights(whole.path)
    assert result.metrics == whole.metrics
    assert [row for report in reports for row in without_speed(report)] == without_speed(told)
    assert reports[-1].sample_rows == told.sample_rows
    reference = [row for report in reports for row in report.progress_rows if row[0] == "reference"]
    assert reference == [row for row in told.progress_rows if row[0] == "reference"]  # no row is repeated
