"""One attempt at a run, with the run's inputs as paths and models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from annotation.database.outages import through_outages
from annotation.datasets.snapshots import SnapshotChanged, snapshot_path
from annotation.models import DatasetSnapshot
from config.problems import Problem
from storage.digests import manifest_of
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.reporter import Reporter
from training.rlhf.data.demonstration_files import Demonstrations, read_snapshot
from training.rlhf.data.files import read_rankings
from training.rlhf.data.rankings import RankingFileError, Rankings
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.sft import SnapshotAnswers
from training.runs.complete import NewModel
from training.runs.inputs import further_inputs, is_source, model_input, source_of
from training.runs.process.group import Group

Read = TypeVar("Read")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One attempt at a run: its recipe, a folder for unfinished work, the reporter and the run's processes.
    `counts` are added to the counts of the result."""

    run: TrainingRun
    attempt: int
    recipe: Recipe
    work: Path
    report: Reporter
    group: Group = field(default_factory=Group)
    counts: dict[str, int] = field(default_factory=dict)

    def in_all_processes(self, function: Callable[..., Result], **arguments: Any) -> Result:
        """Call the function with these arguments and `report` in all processes of the run (`Group.call`)."""
        return self.group.call(function, report=self.report, folder=self.work, **arguments)

    @property
    def out_dir(self) -> Path:
        return self.work / "model"

    @cached_property
    def policy(self) -> ModelVersion | None:
        return self._model("policy")

    @cached_property
    def reward_model(self) -> ModelVersion | None:
        return self._model("reward_model")

    @cached_property
    def models(self) -> dict[str, ModelVersion]:
        """The models among the run's inputs, as a dict from inputs to models."""
        further = {name: self._model(name) for name in further_inputs(self.run.inputs)}
        found = {"policy": self.policy, "reward_model": self.reward_model, **further}
        return {name: model for name, model in found.items() if model is not None}

    @property
    def reward_models(self) -> dict[str, Path]:
        """The reward models' folders, as a dict from the names in the recipe to folders. The input
        `reward_model` comes first. Raises UnusableInput if there are none."""
        if self.reward_model is None:
            raise UnusableInput("the run has no reward model among its inputs", FailureKind.INPUTS_REFUSED)
        chosen = ["reward_model", *further_inputs(self.models)]
        return {self.models[name].name: self.models[name].folder for name in chosen}

    @property
    def policy_source(self) -> str:
        """The folder or hub name from which the policy is loaded."""
        return source_of(self.run.kind, self.recipe, self.policy)

    @property
    def parent(self) -> ModelVersion | None:
        return self.policy if is_source(self.policy, self.policy_source) else None

    def new_model(self, kind: str) -> NewModel:
        base = self.parent.base_model if self.parent else self.policy_source
        # The checksums are computed here, because `complete_run` holds locks.
        files = manifest_of(self.out_dir)
        return NewModel(kind=kind, folder=self.out_dir, base_model=base, parent=self.parent, files=files)

    def rankings(self) -> Rankings:
        """Return the rankings of the input snapshot."""
        return self._read_snapshot(read_rankings)

    def demonstrations(self, answers: SnapshotAnswers) -> Demonstrations:
        """Return the demonstrations in the input snapshot."""
        return self._read_snapshot(partial(read_snapshot, answers=answers))

    def _read_snapshot(self, read: Callable[[Path], Read]) -> Read:
        """Call `read` with the input snapshot's file. Raises UnusableInput if the file is missing, has
        changed or can't be read."""
        named = DatasetSnapshot.objects.filter(project=self.run.project, name=self.run.inputs["snapshot"])
        snapshot = through_outages(named.get)
        try:
            return read(snapshot_path(snapshot))
        except SnapshotChanged as error:
            raise UnusableInput(str(error), FailureKind.INPUT_CHANGED) from error
        except (Problem, RankingFileError) as error:
            raise UnusableInput(str(error), FailureKind.DATA_UNREADABLE) from error

    def _model(self, name: str) -> ModelVersion | None:
        given = self.run.inputs.get(name)
        if not given:
            return None
        return through_outages(partial(model_input, project=self.run.project, name=given))
