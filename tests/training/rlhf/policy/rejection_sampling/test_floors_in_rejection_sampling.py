"""Rejection sampling with several reward models and floors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import GOOD, NAMES, PROMPTS
from training.rlhf.core.reporter import Cancelled
from training.rlhf.data.candidates import Candidate, read_candidates
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy.rejection_sampling import RejectionSamplingResult, train
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig

torch.set_num_threads(1)
FINE = NAMES.index("w3")
# "good" makes an answer helpful but harmful. FINE makes an answer slightly less helpful than "good" does, but
# harmless.
VALUES: dict[str, dict[int, float]] = {"helpful": {GOOD: 1.0, FINE: 0.7}, "harmless": {GOOD: -1.0}}
SCALES = {"helpful": (0.5, 0.5), "harmless": (-0.5, 0.7)}  # mean and standard deviation
SETTINGS: dict[str, Any] = {
    "samples_per_prompt": 24,
    "max_new_tokens": 8,
    "rounds": 2,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 3e-3,
    "max_length": 16,
    "sample_prompts": 1,
    "sample_tokens": 8,
}


def reward_model(name: str) -> Loaded:
    loaded = known_optimum.world(0).reward_model()
    model: Any = loaded.model
    with torch.no_grad():
        for token, value in VALUES[name].items():
            model.model.embed_tokens.weight[token, 0] = value
    mean, std = SCALES[name]
    model.config.rankloop = {"reward_mean": mean, "reward_std": std}
    return loaded


def run(folder: Path, report: ListReporter, **changes: Any) -> RejectionSamplingResult:
    return train(
        RejectionSamplingConfig.model_validate(SETTINGS | changes),
        policy=known_optimum.world(0).policy(),
        reward_model={name: reward_model(name) for name in VALUES},
        prompts=PROMPTS * 3,
        out_dir=folder / "model",
        candidates=folder / "candidates.jsonl.gz",
        checkpoints=folder / "checkpoints",
        report=report,
    )


def usable_answers(folder: Path, round: int) -> list[list[Candidate]]:
    """The finished answers to each prompt in the round."""
    return [
        [one for one in line["candidates"] if one["finished"]]
        for line in read_candidates(folder / "candidates.jsonl.gz")
        if line["round"] == round
    ]


def standard(answer: Candidate, name: str) -> float:
    mean, std = SCALES[name]
    raw = answer["rewards"][name]
    assert raw is not None
    return (raw - mean) / std


def mean_of(answers: list[Candidate], name: str) -> float:
    return sum(standard(one, name) for one in answers) / len(answers)


def kept(groups: list[list[Candidate]]) -> list[Candidate]:
    return [one for group in groups for one in group if one["kept"]]


def best(groups: list[list[Candidate]], multiplier: float) -> list[Candidate]:
    """The best answer to each prompt if the floor has this multiplier. The floor itself and the division by
    the sum of the weights don't change the order."""
    return [
        max(group, key=lambda one: standard(one, "helpful") + multiplier * standard(one, "harmless"))
        for group in groups
    ]


def test_floor_gets_the_smallest_multiplier_at_which_kept_answers_respect_it(tmp_path: Path) -> None:
    held, free = ListReporter(), ListReporter()
    result = run(tmp_path / "held", held, reward_floors="harmless=start+0.2")
    # A floor that is never violated has no effect.
    run(tmp_path / "free", free, reward_floors="harmless=-50")
    first = usable_answers(tmp_path / "free", 1)
    everyone = [one for group in first for one in group]
    floor = mean_of(everyone, "harmless") + 0.2
    assert held.series("rewards/harmless/floor") == [pytest.approx(floor, abs=1e-5)] * 2
    assert mean_of(kept(first), "harmless") < floor - 0.2
    assert free.series("rewards/harmless/multiplier") == [0.0, 0.0]
    assert kept(first) == best(first, 0.0)

    for number in (1, 2):
        groups = usable_answers(tmp_path / "held", number)
        chosen = kept(groups)
        multiplier = held.series("rewards/harmless/multiplier")[number - 1]
        assert 0.05 < multiplier < 10
        assert mean_of(chosen, "harmless") >= floor
        assert chosen == best(groups, multiplier)
        assert mean_of(best(groups, multiplier * 0.998), "harmless") < floor
        for answer in (one for group in groups for one in group):
            above = standard(answer, "harmless") - floor
            expected = (standard(answer, "helpful") + multiplier * above) / (1 + multiplier)
            assert answer["score"] == pytest.approx(expected, abs=1e-5)
        for name in VALUES:
            reported = held.series(f"rewards/{name}/kept_mean")[number - 1]
            assert reported == pytest.approx(mean_of(chosen, name), abs=1e-5)
    assert mean_of(chosen, "helpful") > mean_of(everyone, "helpful") + 0.2
    assert result.reward_best == held.series("best_of/24")[1]


def test_cancelled_run_with_a_floor_resumes_exactly(tmp_path: Path) -> None:
    whole, reports = ListReporter(), [ListReporter()]
    run(tmp_path / "whole", whole, reward_floors="harmless=start")
    for part in (2, 3, 4):
        reports[-1].cancel_after = whole.checks // part
        with pytest.raises(Cancelled):
            run(tmp_path / "cut", reports[-1], reward_floors="harmless=start")
        reports.append(ListReporter())
    run(tmp_path / "cut", reports[-1], reward_floors="harmless=start")
    for name in ("model/model.safetensors", "candidates.jsonl.gz"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    multipliers = [value for one in reports for value in one.series("rewards/harmless/multiplier")]
    assert multipliers == whole.series("rewards/harmless/multiplier")
    assert reports[-1].sample_rows == whole.sample_rows


def test_floor_alone_does_not_lift_an_answer_over_the_threshold(tmp_path: Path) -> None:
    """Every answer is far above the floor. If the floor had a multiplier, this distance would lift every
    answer over the threshold."""
    with pytest.raises(ValueError, match="worth keeping"):
        run(tmp_path, ListReporter(), keep="threshold", threshold=50.0, reward_floors="harmless=-100")


def test_error_names_the_floor_that_leaves_no_answer_above_the_threshold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can reach the floor of harmless \(floor 5\.00\)"):
        run(tmp_path, ListReporter(), keep="threshold", threshold=0.0, reward_floors="harmless=5")
