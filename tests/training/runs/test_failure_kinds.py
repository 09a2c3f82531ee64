"""A failure's kind is recorded where the failure occurs, and every kind has a cause and a fix."""

from __future__ import annotations

import copy
import errno
import math
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from peft import LoraConfig, get_peft_model

from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.ids import uuid7
from annotation.models import Project, User
from tests.training.conftest import ModelMaker, Rank, RunMaker
from tests.training.rlhf import tiny
from tests.training.rlhf.generation.openai_server import serving
from tests.training.rlhf.small_world import (
    arbitrary_reward_model,
    short_speaker,
    tokenizer,
    untrained_policy,
)
from training import demo_world
from training.models import TrainingRun
from training.rlhf.core.devices import refuse_other_device
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.reporter import NullReporter, require_finite
from training.rlhf.data.batching import Group, fit_group
from training.rlhf.data.demonstrations import encode
from training.rlhf.generation import evaluation, sampling
from training.rlhf.judging.judges import Asked, open_judges
from training.rlhf.models.loading import hub, opening, saving, sources
from training.rlhf.models.parts.trunks import head_of
from training.rlhf.models.tokens import chat
from training.rlhf.policy import ppo, rejection_sampling
from training.rlhf.recipes.answers import EvaluateConfig
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model
from training.runs.failure_texts import CAUSES
from training.runs.failures import explain, kind_of, record_of, record_of_exit
from training.runs.inputs import model_input
from training.runs.model_files import verify_model, verify_models
from training.runs.process.datasets.prompts import draw_prompts, prompts_to_sample
from training.runs.process.job import Job
from training.runs.process.kinds import perform
from training.runs.process.reporter import DatabaseReporter
from training.runs.recipes import catalog, run_recipes

Kind = FailureKind
PPO_RECIPE = run_recipes.PPORecipe().model_dump(mode="json")  # type: ignore[call-arg]
NO_SUCH_NAME = (
    "no-such-owner/no-such is not a local folder and is not a valid model identifier listed on "
    "'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a token"
)


@dataclass(frozen=True)
class Scene:
    """Fixtures that the functions below use to provoke failures."""

    lab: Project
    path: Path
    make_run: RunMaker
    make_model: ModelMaker
    rank: Rank
    alice: User
    monkeypatch: pytest.MonkeyPatch

    def saved_policy(self) -> Path:
        return saving.save_model(*untrained_policy(), self.path / "policy")

    def hub(self, *, answers: bool, error: str = "") -> None:
        """Simulate a reachable or unreachable Hub. If `error` is set, the Hub client raises that error."""

        def refuse(*args: object, **options: object) -> None:
            raise OSError(error)

        self.monkeypatch.setattr(hub, "answers", lambda: answers)
        if error:
            self.monkeypatch.setattr(opening, "cached_file", refuse)

    def evaluate(self, **recipe: Any) -> None:
        run = self.make_run(kind="evaluate", recipe={"base_model": str(self.saved_policy()), **recipe})
        perform(run, attempt=1, work=self.path / "work", report=NullReporter())


@pytest.fixture
def scene(
    lab: Project,
    tmp_path: Path,
    make_run: RunMaker,
    make_model: ModelMaker,
    rank: Rank,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    return Scene(lab, tmp_path, make_run, make_model, rank, alice, monkeypatch)


def change_the_weights_of_a_model(scene: Scene) -> None:
    model = scene.make_model(name="lab-sft-1")
    verify_model(model)  # records the checksums
    (model.folder / "config.json").write_text("[]")
    verify_models(model.folder)


def delete_weights(scene: Scene) -> None:
    shutil.rmtree(scene.make_model(name="lab-sft-1").folder)
    model_input(project=scene.lab, name="lab-sft-1")


def delete_the_base_of_an_adapter(scene: Scene) -> None:
    adapter = scene.path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "/gone/base"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    opening.load_policy(adapter)


def name_a_folder_without_a_model(scene: Scene) -> None:
    (scene.path / "empty").mkdir()
    opening.load_policy(scene.path / "empty")


def ask_a_hub_without_the_model(scene: Scene) -> None:
    scene.hub(answers=True, error=NO_SUCH_NAME)
    opening.load_policy("no-such-owner/no-such")


def ask_a_hub_that_times_out(scene: Scene) -> None:
    scene.hub(answers=True, error="HTTPSConnectionPool(host='huggingface.co'): Read timed out.")
    opening.load_policy("no-such-owner/no-such")


def ask_a_hub_that_is_down(scene: Scene) -> None:
    scene.hub(answers=False)
    opening.load_policy("no-such-owner/no-such-model")


def ask_a_server_without_the_model() -> None:
    with serving(untrained_policy()) as server:
        recipe = run_recipes.SampleRecipe(server=server.address, server_model="other")  # type: ignore[call-arg]
        sampling.sample(recipe, policy=untrained_policy(), prompts=demo_world.prompts(1, seed=0))


def damage_a_model(scene: Scene) -> None:
    folder = scene.path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    opening.load_policy(folder)


def train_on_one_ranking(scene: Scene, *, max_length: int = 2048) -> None:
    recipe = run_recipes.RewardModelRecipe(max_length=max_length, heldout_fraction=0)  # type: ignore[call-arg]
    scene.rank(scene.lab, scene.alice, n=1)
    freeze_snapshot(project=scene.lab, created_by=None, name="v1")
    run = scene.make_run(kind="reward_model", inputs={"snapshot": "v1"}, recipe=recipe.model_dump())
    rankings = job_of(run, recipe).rankings()
    reward_model.train(
        recipe, base_model=scene.saved_policy(), rankings=rankings, out_dir=scene.path / "reward-model"
    )


def keep_no_answer(scene: Scene) -> None:
    config = RejectionSamplingConfig(max_new_tokens=2, min_gain=100)  # type: ignore[call-arg]
    rejection_sampling.train(
        config,
        policy=untrained_policy(),
        reward_model=arbitrary_reward_model(),
        prompts=demo_world.prompts(2, 0),
        out_dir=scene.path / "kept",
    )


def judge_imported_prompts_with_gold(scene: Scene) -> None:
    scene.rank(scene.lab, scene.alice, n=1)
    scene.evaluate(judge="gold", split="all")


def sample_best_of_no_prompts(scene: Scene) -> None:
    rejection_sampling.train(
        RejectionSamplingConfig(),  # type: ignore[call-arg]
        policy=short_speaker(),
        reward_model=short_speaker(),
        prompts=[],
        out_dir=scene.path / "kept",
    )


def evaluate_no_prompts(scene: Scene) -> None:
    evaluation.evaluate(
        EvaluateConfig(),  # type: ignore[call-arg]
        policy=short_speaker(),
        prompts=[],
        judge=demo_world.gold_reward,
    )


def learn_from_no_ranking(scene: Scene) -> None:
    reward_model.train(
        run_recipes.RewardModelRecipe(),  # type: ignore[call-arg]
        base_model=scene.saved_policy(),
        rankings=[],
        out_dir=scene.path / "reward-model",
    )


def imitate_a_snapshot_without_training_rankings(scene: Scene) -> None:
    recipe = run_recipes.SFTRecipe(demonstrations="best_responses")  # type: ignore[call-arg]
    scene.monkeypatch.setattr(Job, "demonstrations", lambda job, answers: [])
    run = scene.make_run(recipe=recipe.model_dump(), inputs={"snapshot": "v1"})
    perform(run, attempt=1, work=scene.path, report=NullReporter())


def replace_the_file_of_a_snapshot(scene: Scene, content: bytes | None) -> None:
    scene.rank(scene.lab, scene.alice, n=1)
    file = snapshot_path(freeze_snapshot(project=scene.lab, created_by=None, name="v1"))
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    recipe = run_recipes.RewardModelRecipe()  # type: ignore[call-arg]
    job_of(scene.make_run(kind="reward_model", inputs={"snapshot": "v1"}), recipe).rankings()


def improve(
    scene: Scene,
    *,
    policy: sources.Loaded | None = None,
    reward_model: sources.Loaded | None = None,
    prompts: int = 1,
) -> None:
    ppo.train(
        PPOConfig(),  # type: ignore[call-arg]
        policy=policy or untrained_policy(),
        reward_model=reward_model or arbitrary_reward_model(),
        prompts=demo_world.prompts(prompts, 0),
        out_dir=scene.path,
    )


def improve_a_policy_with_other_tokens(scene: Scene) -> None:
    improve(scene, policy=sources.Loaded(tiny.policy(), tiny.tokenizer()))


def improve_a_policy_with_another_template(scene: Scene) -> None:
    words = copy.deepcopy(tokenizer())
    words.chat_template = "{{ messages[-1].content }}"
    improve(scene, policy=sources.Loaded(untrained_policy().model, words))


def sample_with_an_added_token(scene: Scene) -> None:
    folder = scene.saved_policy()
    words = copy.deepcopy(tokenizer())
    words.add_tokens(["an added token"])
    words.save_pretrained(folder)
    opening.load_policy(folder)


def score_with_an_adapter_without_its_head(scene: Scene) -> None:
    model = untrained_policy().model
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    adapted.active_peft_config.base_model_name_or_path = str(scene.saved_policy())
    adapted.active_peft_config.task_type = "SEQ_CLS"
    adapted.save_pretrained(str(scene.path / "adapter"))
    opening.load_reward_model(scene.path / "adapter")


def reward_everything_alike(scene: Scene) -> None:
    flat = arbitrary_reward_model()
    flat.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 0.0}
    improve(scene, reward_model=flat)


def job_of(run: TrainingRun, recipe: Recipe) -> Job:
    return Job(run, 1, recipe, run.folder, NullReporter())


def score_with_infinite_weights() -> None:
    judge = arbitrary_reward_model()
    judges = open_judges(judge, UsesRewards(), policy=untrained_policy())  # type: ignore[call-arg]
    with torch.no_grad():
        head_of(judge.model).weight.fill_(math.inf)
    judges.score([Asked([{"role": "user", "content": "?"}], [5], [[6, 7]])])


def lose_the_gpu() -> None:
    error = torch.AcceleratorError("CUDA error: unspecified launch failure")
    error.error_code = 719
    raise error


def reach_a_database_that_is_down() -> None:
    settings = connection.settings_dict | {"HOST": "/nowhere"}
    settings["OPTIONS"] = settings["OPTIONS"] | {"pool": False}
    DatabaseWrapper(settings).ensure_connection()


def write_to_a_full_disk(scene: Scene) -> None:
    Path("/dev/full").write_bytes(b"x" * 100_000)


def fill_the_disk_while_loading(scene: Scene) -> None:
    scene.hub(answers=True, error=f"[Errno {errno.ENOSPC}] No space left on device: 'model.safetensors'")
    opening.load_policy("some-owner/some-model")


PROVOKED: list[tuple[FailureKind, Callable[[Scene], object]]] = [
    (Kind.OUT_OF_MEMORY, lambda scene: torch.empty(1 << 56, dtype=torch.uint8)),
    (Kind.OUT_OF_MEMORY, lambda scene: bytearray(1 << 62)),
    (Kind.DISK_FULL, write_to_a_full_disk),
    (Kind.DISK_FULL, fill_the_disk_while_loading),
    (Kind.DIVERGED, lambda scene: require_finite(12, {"loss": math.nan})),
    (Kind.DIVERGED, lambda scene: require_finite(12, {"grad_norm": math.inf})),
    (Kind.MODEL_GONE, delete_weights),
    (Kind.ADAPTER_BASE_GONE, delete_the_base_of_an_adapter),
    (Kind.BASE_MODEL_MISSING, lambda scene: opening.load_policy("/nowhere/model")),
    (Kind.BASE_MODEL_MISSING, name_a_folder_without_a_model),
    (Kind.HUB_UNREACHABLE, ask_a_hub_that_is_down),
    (Kind.HUB_UNREACHABLE, ask_a_hub_that_times_out),
    (Kind.HUB_UNKNOWN_NAME, ask_a_hub_without_the_model),
    (Kind.WRONG_KIND_OF_MODEL, lambda scene: opening.load_reward_model(scene.saved_policy())),
    (Kind.MODEL_UNREADABLE, damage_a_model),
    (Kind.TEXTS_TOO_LONG, lambda scene: encode(demo_world.demonstrations(1, 0), tokenizer(), 2)),
    (Kind.TEXTS_TOO_LONG, lambda scene: chat.cut_prompts([[1, 2]], 0)),
    (Kind.TEXTS_TOO_LONG, lambda scene: fit_group(Group([1], [[1, 2, 3]], [0]), max_length=3)),
    (Kind.TEXTS_TOO_LONG, lambda scene: train_on_one_ranking(scene, max_length=2)),
    (Kind.NOTHING_KEPT, keep_no_answer),
    (Kind.GOLD_CANNOT_JUDGE, judge_imported_prompts_with_gold),
    (Kind.GOLD_CANNOT_JUDGE, lambda scene: demo_world.gold_reward([{"role": "user", "content": "?"}], "a")),
    (Kind.DATA_EMPTY, lambda scene: draw_prompts(project=scene.lab, split="train", limit=3, seed=0)),
    (Kind.DATA_EMPTY, lambda scene: prompts_to_sample(project=scene.lab, limit=3, seed=0)),
    (Kind.DATA_EMPTY, lambda scene: encode([], tokenizer(), 64)),
    (Kind.DATA_EMPTY, sample_best_of_no_prompts),
    (Kind.DATA_EMPTY, evaluate_no_prompts),
    (Kind.DATA_EMPTY, learn_from_no_ranking),
    (Kind.DATA_EMPTY, imitate_a_snapshot_without_training_rankings),
    (Kind.DATA_EMPTY, lambda scene: improve(scene, prompts=0)),
    (Kind.DATA_UNREADABLE, lambda scene: replace_the_file_of_a_snapshot(scene, None)),
    (Kind.INPUT_CHANGED, lambda scene: replace_the_file_of_a_snapshot(scene, b"PAR1")),
    (Kind.INPUT_CHANGED, change_the_weights_of_a_model),
    (Kind.ADAPTER_DOES_NOT_FIT, score_with_an_adapter_without_its_head),
    (Kind.TOKENIZER_DOES_NOT_FIT, sample_with_an_added_token),
    (Kind.VOCABULARIES_DIFFER, improve_a_policy_with_other_tokens),
    (Kind.TEMPLATES_DIFFER, improve_a_policy_with_another_template),
    (Kind.GENERATION_SERVER, lambda scene: ask_a_server_without_the_model()),
    (Kind.DEVICE_LOST, lambda scene: lose_the_gpu()),
    (Kind.DEVICE_DIFFERS, lambda scene: refuse_other_device("cuda", "cpu", allowed=False)),
    (Kind.REWARD_IS_FLAT, reward_everything_alike),
    (Kind.REWARD_NOT_FINITE, lambda scene: score_with_infinite_weights()),
    (Kind.INPUTS_REFUSED, lambda scene: SFTConfig(epochs=-1)),  # type: ignore[call-arg]
    (Kind.DATABASE_LOST, lambda scene: reach_a_database_that_is_down()),
    (Kind.TIME_LIMIT, lambda scene: DatabaseReporter(run_id=uuid7(), attempt=1, limit_seconds=0).check()),
    (Kind.UNKNOWN, lambda scene: {}["surprise"]),  # type: ignore[index]
]
# Failure kinds that are provoked by other tests: the tests of processes and of lost workers.
OF_PROCESSES = {Kind.KILLED, Kind.NOT_STARTED, Kind.CRASHED, Kind.WORKER_LOST, Kind.CANCELLED, Kind.HUNG}


@pytest.mark.parametrize(("kind", "provoke"), PROVOKED)
def test_each_exception_is_recorded_with_its_failure_kind(
    kind: FailureKind, provoke: Callable[[Scene], object], scene: Scene
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the assertions below check the kind
        provoke(scene)
    assert kind_of(caught.value) == kind
    failure = explain(TrainingRun(state="failed", error=record_of(caught.value), recipe=PPO_RECIPE))
    assert failure is not None
    assert failure.kind == kind


def test_every_failure_kind_is_tested_and_has_a_fix_and_valid_settings() -> None:
    assert {kind for kind, _ in PROVOKED} | OF_PROCESSES == set(FailureKind) == set(CAUSES)
    settings = {name for entry in catalog.KINDS.values() for name in entry.recipe.model_fields}
    for kind, cause in CAUSES.items():
        assert cause.cause.endswith("."), kind
        assert cause.fix.endswith("."), kind
        assert set(cause.settings) <= settings, kind


def test_message_written_by_rankloop_does_not_change_the_failure_kind() -> None:
    """Only messages from third-party software are searched for known phrases."""
    assert kind_of(RunFailure("out of memory", Kind.MODEL_UNREADABLE)) == Kind.MODEL_UNREADABLE
    on_gpu = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    )
    assert kind_of(on_gpu) == Kind.OUT_OF_MEMORY


def test_exit_code_determines_the_failure_kind_if_the_process_recorded_no_error() -> None:
    log = "step 3: a broken row makes the loss nan\na tool reported: no space left on device"
    full = record_of_exit(-signal.SIGKILL, log_tail=log, out_of_memory=True)
    assert (full["kind"], full["title"]) == ("out_of_memory", "Out of memory")
    killed = record_of_exit(-signal.SIGKILL, log_tail=log, out_of_memory=False)
    assert (killed["kind"], killed["title"]) == ("killed", "The training process was killed (SIGKILL)")
    assert record_of_exit(-signal.SIGSEGV, log_tail=log, out_of_memory=True)["kind"] == "killed"
    crashed = record_of_exit(7, log_tail=log, out_of_memory=False)
    assert crashed["kind"] == "crashed"
    assert crashed["detail"].endswith(log)
