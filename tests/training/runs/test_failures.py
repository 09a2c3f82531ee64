"""A failed run says its cause and what to do about it, told from what such a failure really records."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Project, User
from config.problems import Problem
from tests.training.conftest import ModelMaker, RunMaker
from tests.training.rlhf.small_world import short_speaker, tokenizer, untrained_policy
from training import demo_world
from training.models import TrainingRun
from training.rlhf.core.recipes import PPOConfig, RejectionSamplingConfig, SFTConfig
from training.rlhf.core.reporter import require_finite
from training.rlhf.data.rankings import read_rankings
from training.rlhf.models import chat, loading
from training.rlhf.policy import ppo, rejection_sampling, sft
from training.rlhf.reward import reward_model
from training.runs import execute
from training.runs.complete import describe_failure
from training.runs.failures import KNOWN, Failure, explain, explain_record
from training.runs.inputs import model_input
from training.runs.process import fork, supervise
from training.runs.process.prompts import draw_prompts
from training.runs.process.supervise import Ended
from training.runs.recipes import catalog

PPO_RECIPE = catalog.PPORecipe().model_dump(mode="json")  # type: ignore[call-arg]
Fails = Callable[[], object]


def told(fails: Fails, recipe: dict[str, Any] | None = None) -> Failure:
    """What is said of the error that `fails` raises, as a run would record it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it is what gets recorded
        fails()
    return explain_record(describe_failure(caught.value), recipe=recipe or PPO_RECIPE)


def test_memory_that_cannot_be_had() -> None:
    failure = told(lambda: torch.empty(1 << 56, dtype=torch.uint8))
    assert failure.kind == "out_of_memory"
    assert "72057594037927936" in failure.detail
    assert failure.settings[0] == "micro_batch_tokens"  # what PPO has of the settings that save memory
    assert "micro_batch_size" not in failure.settings
    assert told(lambda: (_ for _ in ()).throw(MemoryError())).kind == "out_of_memory"
    on_gpu = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    )
    assert explain_record(describe_failure(on_gpu), recipe={}).kind == "out_of_memory"


def test_a_process_that_the_kernel_killed(make_run: RunMaker) -> None:
    run = make_run(recipe=PPO_RECIPE)
    full = supervise._cause(run, Ended(-signal.SIGKILL, asked_to_stop=False, out_of_memory=True))
    assert explain_record(full, recipe=run.recipe).kind == "out_of_memory"
    by_hand = supervise._cause(run, Ended(-signal.SIGKILL, asked_to_stop=False, out_of_memory=False))
    killed = explain_record(by_hand, recipe=run.recipe)
    assert (killed.kind, killed.again) == ("killed", True)
    assert "SIGKILL" in killed.cause
    crashed = supervise._cause(run, Ended(7, asked_to_stop=False, out_of_memory=False))
    assert explain_record(crashed, recipe=run.recipe).kind == "crashed"
    gone = supervise._not_started(fork.ServerGone("it ends at once"))
    assert explain_record(gone, recipe=run.recipe).kind == "not_started"


def test_the_end_of_the_log_in_a_record_does_not_change_the_cause(make_run: RunMaker) -> None:
    """Only what a killed process said last; it is about what came before."""
    run = make_run(recipe=PPO_RECIPE)
    run.folder.mkdir(parents=True)
    run.log_path.write_text(
        "step 3: loss nan is what a broken row gives\nthere is no such file, said a tool\n"
    )
    record = supervise._cause(run, Ended(-signal.SIGSEGV, asked_to_stop=False, out_of_memory=False))
    assert explain_record(record, recipe=run.recipe).kind == "killed"


@pytest.mark.parametrize("values", [{"loss": math.nan}, {"grad_norm": math.inf}])
def test_a_loss_that_is_no_number(values: dict[str, float]) -> None:
    failure = told(lambda: require_finite(12, values))
    assert failure.kind == "diverged"
    assert failure.settings == ("learning_rate", "value_learning_rate", "max_grad_norm", "clip")
    assert "step 12" in failure.detail


def test_a_base_model_that_is_not_where_it_should_be(tmp_path: Path) -> None:
    assert told(lambda: loading.load_policy("/nowhere/model")).kind == "base_model_missing"
    (tmp_path / "empty").mkdir()
    assert told(lambda: loading.load_policy(tmp_path / "empty")).kind == "base_model_missing"
    shutil.copytree(tmp_path / "empty", tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "llama"}')
    assert told(lambda: loading.load_policy(tmp_path / "broken")).kind == "model_unreadable"
    path = loading.save_model(*untrained_policy(), tmp_path / "policy")
    assert told(lambda: loading.load_reward_model(path)).kind == "wrong_kind_of_model"


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_hub_answers", lambda: False)
    failure = told(lambda: loading.load_policy("no-such-owner/no-such-model"))
    assert (failure.kind, failure.settings, failure.again) == ("hub_unreachable", ("base_model",), True)


def test_a_hub_that_has_no_such_model() -> None:
    said = OSError(
        "no-such-owner/no-such is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a token"
    )
    error = loading.ModelNotFound(loading._not_found("no-such-owner/no-such", said))
    assert explain_record(describe_failure(error), recipe={}).kind == "hub_unknown_name"


def test_data_that_is_empty_or_too_small(lab: Project, tmp_path: Path) -> None:
    assert told(lambda: draw_prompts(project=lab, split="train", limit=3, seed=0)).kind == "data_empty"
    assert told(lambda: sft.encode([], tokenizer(), 64)).kind == "data_empty"
    path = loading.save_model(*untrained_policy(), tmp_path / "policy")
    tied = catalog.RewardModelRecipe()  # type: ignore[call-arg]
    learn = told(
        lambda: reward_model.train(tied, base_model=path, rankings=[], out_dir=tmp_path / "rm"),
        tied.model_dump(),
    )
    assert (learn.kind, "ties" in learn.settings) == ("data_empty", True)
    config = RejectionSamplingConfig()  # type: ignore[call-arg]
    nothing: Fails = lambda: rejection_sampling.train(  # noqa: E731
        config, policy=short_speaker(), reward_model=short_speaker(), prompts=[], out_dir=tmp_path / "rs"
    )
    assert told(nothing).kind == "data_empty"
    assert told(lambda: read_rankings(tmp_path / "gone.parquet")).kind == "data_unreadable"


def test_texts_that_do_not_fit() -> None:
    demonstration = demo_world.demonstrations(1, 0)
    assert told(lambda: sft.encode(demonstration, tokenizer(), 2)).kind == "texts_too_long"
    assert told(lambda: chat.cut_prompts([[1, 2]], 0)).kind == "texts_too_long"


def test_a_reward_model_for_other_words(tmp_path: Path) -> None:
    from tests.training.rlhf import tiny
    from tests.training.rlhf.small_world import arbitrary_reward_model

    other = loading.Loaded(tiny.policy(), tiny.tokenizer())
    config = PPOConfig()  # type: ignore[call-arg]
    failure = told(
        lambda: ppo.train(
            config,
            policy=other,
            reward_model=arbitrary_reward_model(),
            prompts=demo_world.prompts(1, 0),
            out_dir=tmp_path,
        )
    )
    assert failure.kind == "vocabularies_differ"


def test_a_model_whose_weights_were_deleted(lab: Project, make_model: ModelMaker) -> None:
    model = make_model(name="lab-sft-1")
    shutil.rmtree(model.folder)
    with pytest.raises(Problem) as caught:
        model_input(project=lab, name="lab-sft-1")
    assert explain_record(describe_failure(caught.value), recipe={}).kind == "model_gone"


def test_a_full_disk() -> None:
    assert told(lambda: Path("/dev/full").write_bytes(b"x" * 100_000)).kind == "disk_full"


def test_a_lost_worker_and_a_cancelled_run(make_run: RunMaker) -> None:
    run = make_run()
    execute.claim_run(run_id=run.pk, worker="w")
    old = timezone.now() - timedelta(hours=1)
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=old, tries=execute.MAX_TRIES)
    execute.sweep_runs()
    run.refresh_from_db()
    lost = explain(run)
    assert lost is not None
    assert (lost.kind, lost.again) == ("worker_lost", True)
    other = execute.cancel_run(run=make_run())
    stopped = explain(other)
    assert stopped is not None
    assert stopped.kind == "cancelled"
    assert explain(make_run()) is None


def test_an_error_that_nothing_explains_speaks_for_itself() -> None:
    failure = told(lambda: {}["surprise"])  # type: ignore[index]
    assert (failure.kind, failure.title) == ("unknown", "Stopped by an error (KeyError)")
    assert "surprise" in failure.detail


def test_every_cause_has_a_fix_and_settings_that_exist() -> None:
    every = {name for entry in catalog.KINDS.values() for name in entry.recipe.model_fields}
    for known in KNOWN:
        assert known.cause.endswith(".")
        assert known.fix.endswith(".")
        assert set(known.settings) <= every, known.kind
    assert len({known.kind for known in KNOWN}) == len(KNOWN)
    assert SFTConfig.model_fields.keys() <= every


def test_the_api_says_it_with_the_run(
    client_of: Callable[[User | None], APIClient], mona: User, make_run: RunMaker, project: Project
) -> None:
    error = describe_failure(MemoryError("could not get 3 GB"))
    run = make_run(
        project=project, recipe=PPO_RECIPE, state="failed", error=error, finished_at=timezone.now()
    )
    said = client_of(mona).get(f"/api/v1/runs/{run.pk}/").json()
    assert said["failure"]["kind"] == "out_of_memory"
    assert said["failure"]["detail"] == "could not get 3 GB"
    assert said["error"] == error
