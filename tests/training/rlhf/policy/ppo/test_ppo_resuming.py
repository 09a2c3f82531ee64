"""A stopped or killed PPO run resumes and ends with the weights and metrics of an uninterrupted run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.ppo.test_ppo import PROMPTS, reward_model
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.reporter import Cancelled
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts import on_policy
from training.rlhf.rollouts.on_policy import OnPolicyResult

# The settings use every part of the state: a moving reference, a KL coefficient that adapts, a ceiling with
# its kept weights, a temperature schedule, and demonstrations.
RECIPE = PPOConfig.model_validate(
    {
        **{"steps": 4, "rollout_prompts": 5, "max_new_tokens": 5, "minibatches": 2, "epochs": 2},
        **{"learning_rate": 5e-3, "value_learning_rate": 1e-3, "critic_warmup_steps": 1},
        **{"kl_target": 0.5, "kl_ceiling": 0.6, "reference": "ema", "reference_decay": 0.9},
        **{"ptx_coefficient": 0.1, "ptx_batch_size": 3, "temperature_end": 0.7, "entropy_coefficient": 0.01},
        **{"samples": 2, "sample_every": 2, "checkpoint_steps": 2, "checkpoint_minutes": None},
    }
)
DEMONSTRATIONS = [Demonstration(prompt, tiny.words(5, 6)) for prompt in PROMPTS[:4]]


class Telling(ListReporter):
    """Leaves out times, which depend on the clock, and kills the process after the metrics of step `last`."""

    last: int | None = None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        super().metrics(step, {k: v for k, v in values.items() if not k.startswith("seconds/")})
        if step == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("judge"))


def run(folder: Path, judge: Path, report: ListReporter, **changes: Any) -> OnPolicyResult:
    return ppo.train(
        RECIPE.model_copy(update=changes),
        policy=Loaded(tiny.policy(initializer_range=0.05), tiny.tokenizer()),
        reward_model=judge,
        prompts=PROMPTS[:7],  # three steps make more than two passes over the prompts
        demonstrations=DEMONSTRATIONS,
        out_dir=folder / "model",
        checkpoints=folder / "checkpoints",
        report=report,
    )


def outcome(result: OnPolicyResult) -> tuple[Any, ...]:
    return (result.path / "model.safetensors").read_bytes(), result.steps, result.metrics


@pytest.fixture(scope="module")
def whole(
    judge: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[Any, ...], Telling]:
    report = Telling()
    return outcome(run(tmp_path_factory.mktemp("whole"), judge, report)), report


def test_repeatedly_cancelled_run_resumes_bitwise(
    whole: tuple[tuple[Any, ...], Telling], judge: Path, tmp_path: Path
) -> None:
    """The run is cancelled in each of its phases: while it answers prompts, scores and observes the answers,
    updates the policy, or generates the sample answers. Without a checkpoint of the rollout, the run could
    never complete step 2."""
    expected, uninterrupted = whole
    reports: list[Telling] = []
    for attempt in range(60):
        reports.append(Telling(cancel_after=9 + 7 * attempt))
        try:
            result = run(tmp_path, judge, reports[-1])
        except Cancelled:
            assert not (tmp_path / "model").exists()
        else:
            break
    assert outcome(result) == expected
    assert len(reports) > 4
    assert {report.progress_rows[0][1] for report in reports} >= {0, 1, 2}
    rows = [row for report in reports for row in report.metric_rows]
    assert dict(rows) == dict(uninterrupted.metric_rows)
    assert all(row in uninterrupted.metric_rows for row in rows)  # repeated steps report the same metrics
    for row in uninterrupted.sample_rows:
        assert row in [row for report in reports for row in report.sample_rows]
    for report in reports:
        assert all(row in uninterrupted.sample_rows for row in report.sample_rows)


def test_run_cancelled_during_a_rollout_keeps_the_earlier_steps(judge: Path, tmp_path: Path) -> None:
    class Stopping(Telling):
        def metrics(self, step: int, values: Mapping[str, float]) -> None:
            super().metrics(step, values)
            self.cancel_after = self.checks + 4  # in the next step, while answers are sampled

    with pytest.raises(Cancelled):
        run(tmp_path, judge, Stopping(), checkpoint_steps=1000, sample_every=1000)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


@pytest.mark.parametrize(("grace", "kept"), [(60.0, ["step-00000001"]), (0.0, [])])
def test_cancelled_run_completes_its_update_only_if_the_update_is_short(
    grace: float, kept: list[str], judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, epochs = Telling(), ppo.epochs

    def cancelled_at_the_start(*arguments: Any, **named: Any) -> dict[str, float]:
        report.cancel_after = report.checks
        return epochs(*arguments, **named)

    monkeypatch.setattr(ppo, "epochs", cancelled_at_the_start)
    monkeypatch.setattr(on_policy, "UPDATE_GRACE", grace)
    with pytest.raises(Cancelled):
        run(tmp_path, judge, report, checkpoint_steps=1000, sample_every=1000)
    assert [folder.name for folder in (tmp_path / "checkpoints").glob("step-*")] == kept


def test_killed_run_resumes_bitwise_from_its_last_checkpoint(
    whole: tuple[tuple[Any, ...], Telling], judge: Path, tmp_path: Path
) -> None:
    expected, uninterrupted = whole
    for step, saved in ((1, 0), (3, 2)):
        folder = tmp_path / str(step)
        pid = os.fork()
        if not pid:
            report = Telling()
            report.last = step
            run(folder, judge, report)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        resumed = Telling()
        assert outcome(run(folder, judge, resumed)) == expected, step
        assert resumed.progress_rows[0] == ("train", saved, 4)
        assert resumed.metric_rows == [row for row in uninterrupted.metric_rows if row[0] > saved], step


def test_checkpoints_of_a_run_with_other_inputs_are_refused(judge: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, judge, Telling(cancel_after=3))
    with pytest.raises(CheckpointRefused, match=r"recipe.kl_target was 0.5 and is now 0.25"):
        run(tmp_path, judge, Telling(), kl_target=0.25)
    other = save_model(tiny.policy(seed=1), tiny.tokenizer(), tmp_path / "other")
    with pytest.raises(CheckpointRefused, match="policy was"):
        ppo.train(
            RECIPE,
            policy=other,
            reward_model=judge,
            prompts=PROMPTS[:7],
            demonstrations=DEMONSTRATIONS,
            out_dir=tmp_path / "model",
            checkpoints=tmp_path / "checkpoints",
        )
