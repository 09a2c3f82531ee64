"""Checkpoints: where a run stands, on disk, so that one that was killed goes on as if it had not been.

A checkpoint is a folder `step-00000040` of

- `weights.safetensors`: what is trained, and the buffers that are saved with it (frozen weights are the base
  model's, whose fingerprint is in `state.json`);
- `moments.safetensors`: the optimiser's state, by the number of its weight;
- `chance.safetensors`: the states of torch's generators;
- `best.safetensors`: the weights of the best evaluation so far, where there was one. A hard link: each
  checkpoint is whole by itself and the weights are on the disk once;
- `state.json`: whose run this is, its loop's own numbers, Python's and NumPy's generators, and the size and
  SHA-256 of every file.

It is written beside its place, synced and renamed, so that a crash at whatever moment leaves a whole one or
none. Nothing in it is a pickle: a checkpoint from somewhere else can be wrong, but it can't run anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.rlhf.core import distributed

FORMAT = 1
WEIGHTS, MOMENTS, CHANCE = "weights.safetensors", "moments.safetensors", "chance.safetensors"
BEST, STATE = "best.safetensors", "state.json"
SAMPLED_NUMBERS = 1024  # of a weight, that its fingerprint is made of: all of 7 billion would take a minute
logger = logging.getLogger(__name__)

Modules = Mapping[str, nn.Module]


class CheckpointRefused(ValueError):
    """There are checkpoints, and none that this run may go on from; the text says why and what to do."""


class _Broken(Exception):
    """One checkpoint can't be read as it was written."""


class Keeper(Protocol):
    """What a loop needs of checkpoints."""

    def resume(self, modules: Modules, optimiser: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Set everything to where the run stood; the loop's own numbers, or None for a new run."""

    def due(self) -> bool:
        """Whether it is time for one more."""

    def save(
        self,
        step: int,
        modules: Modules,
        optimiser: torch.optim.Optimizer,
        state: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> None:
        """Keep where the run stands after `step`; `best`: these weights are the best so far."""

    def load_best(self, modules: Modules) -> None:
        """Set the modules to the best weights; nothing where there were none."""


class BestInMemory:
    """No checkpoints: what is kept is a copy of the best weights, in the machine's memory."""

    def __init__(self) -> None:
        self._best: dict[str, Tensor] = {}

    def resume(self, modules: Modules, optimiser: torch.optim.Optimizer) -> None:
        return None

    def due(self) -> bool:
        return False

    def save(
        self,
        step: int,
        modules: Modules,
        optimiser: torch.optim.Optimizer,
        state: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> None:
        if best:
            self._best = {name: tensor.to("cpu", copy=True) for name, tensor in _named(modules).items()}

    def load_best(self, modules: Modules) -> None:
        if self._best:
            _fill(modules, self._best)


class Checkpoints:
    """The checkpoints of one run in one folder, the newest `keep` of them.

    `of` says whose they are: what it holds must be equal for a run to go on from them. With several
    processes the first one writes and all read, so the folder must be one that all of them see.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        of: Mapping[str, Any],
        keep: int = 2,
        every_steps: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        self._folder, self._of, self._keep = Path(folder), dict(of), keep
        self._every_steps, self._every_seconds = every_steps, every_seconds
        self._asked, self._saved_at = 0, time.monotonic()
        self._newest: Path | None = None
        if distributed.is_first():
            for leftover in self._folder.glob(".partial-*"):  # of a process that was killed while it wrote
                shutil.rmtree(leftover, ignore_errors=True)

    def resume(self, modules: Modules, optimiser: torch.optim.Optimizer) -> dict[str, Any] | None:
        """As `Keeper.resume`, from the newest sound checkpoint; a broken one is named in the log and passed
        by. Raises CheckpointRefused where all are broken, and for those of another run."""
        error: CheckpointRefused | None = None
        step = -1
        if distributed.is_first():
            try:
                step = self._newest_sound()
            except CheckpointRefused as refused:
                error, step = refused, -2
        step = distributed.agreed(step)
        if step == -2:
            raise error or CheckpointRefused("the first process refused the checkpoints; see its log")
        if step == -1:
            return None
        self._newest = folder = self._folder / _name(step)
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        _fill(modules, load_file(folder / WEIGHTS))
        _fill_optimiser(optimiser, load_file(folder / MOMENTS))
        _set_chance(load_file(folder / CHANCE), state["chance"])
        logger.warning("going on from the checkpoint of step %d in %s", step, self._folder)
        loop: dict[str, Any] = state["loop"]
        return loop

    def due(self) -> bool:
        """Whether `every_steps` calls of this function or `every_seconds` have gone by since the last one."""
        self._asked += 1
        by_steps = self._every_steps is not None and self._asked >= self._every_steps
        waited = time.monotonic() - self._saved_at
        return by_steps or (self._every_seconds is not None and waited >= self._every_seconds)

    def save(
        self,
        step: int,
        modules: Modules,
        optimiser: torch.optim.Optimizer,
        state: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> None:
        if distributed.is_first():
            self._write(step, modules, optimiser, state, best=best)
        self._asked, self._saved_at = 0, time.monotonic()

    def load_best(self, modules: Modules) -> None:
        distributed.wait()  # for the first one to have written
        newest = max(self._steps(), default=None)
        if newest is not None and (file := self._folder / _name(newest) / BEST).exists():
            _fill(modules, load_file(file))

    def _write(
        self,
        step: int,
        modules: Modules,
        optimiser: torch.optim.Optimizer,
        state: Mapping[str, Any],
        *,
        best: bool,
    ) -> None:
        made, partial = self._folder / _name(step), self._folder / f".partial-{uuid.uuid4().hex}"
        if made == self._newest:
            return  # a run stands at one place after a step: it is there already
        partial.mkdir(parents=True)
        try:
            drawn, numbers = _chance()
            save_file(_to_cpu(_named(modules)), partial / WEIGHTS)
            save_file(_to_cpu(_moments(optimiser)), partial / MOMENTS)
            save_file(drawn, partial / CHANCE)
            files = {name: _digest(partial / name) for name in (WEIGHTS, MOMENTS, CHANCE)}
            if best:
                _link(partial / WEIGHTS, partial / BEST)
                files[BEST] = files[WEIGHTS]
            elif self._newest is not None and (self._newest / BEST).exists():
                _link(self._newest / BEST, partial / BEST)
                files[BEST] = json.loads((self._newest / STATE).read_text())["files"][BEST]
            told = {"format": FORMAT, "step": step, "of": self._of, "loop": state, "files": files}
            (partial / STATE).write_text(_sealed(told | {"chance": numbers}))
            for file in partial.iterdir():
                _sync(file)
            _sync(partial)
            os.rename(partial, made)
            _sync(self._folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._newest = made
        for old in sorted(self._steps())[: -self._keep]:
            shutil.rmtree(self._folder / _name(old), ignore_errors=True)

    def _newest_sound(self) -> int:
        """Its step, -1 where there is no checkpoint at all. Broken ones that are newer are removed."""
        broken: list[tuple[Path, str]] = []
        for step in sorted(self._steps(), reverse=True):
            folder = self._folder / _name(step)
            try:
                state = _read_state(folder)
                self._must_be_of_this_run(folder, state)
                _check_files(folder, state["files"])
            except _Broken as reason:
                broken.append((folder, str(reason)))
                continue
            for bad, why in broken:
                logger.warning("checkpoint %s is broken and was passed by: %s", bad, why)
                shutil.rmtree(bad, ignore_errors=True)
            return step
        if broken:
            named = "; ".join(f"{bad.name}: {why}" for bad, why in broken)
            raise CheckpointRefused(
                f"{self._folder} holds no checkpoint that can be read ({named}). "
                "Remove the folder to start from the beginning."
            )
        return -1

    def _must_be_of_this_run(self, folder: Path, state: Mapping[str, Any]) -> None:
        differing = list(_differences(state["of"], self._of))
        if differing:
            raise CheckpointRefused(
                f"{folder} is a checkpoint of another run: {'; '.join(differing)}. "
                "Give its own inputs to go on with it; to start from the beginning, name another folder or "
                "remove this one."
            )

    def _steps(self) -> Iterable[int]:
        for folder in self._folder.glob("step-*"):
            number = folder.name.removeprefix("step-")
            if number.isdecimal():
                yield int(number)


def fingerprint(modules: Modules) -> str:
    """What the weights are before training, by up to SAMPLED_NUMBERS of each of them, and their shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_named(modules, frozen=True).items()):
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // SAMPLED_NUMBERS)].to("cpu", torch.float32)
        digest.update(f"{name} {tuple(tensor.shape)} ".encode() + some.numpy().tobytes())
    return digest.hexdigest()


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _named(modules: Modules, *, frozen: bool = False) -> dict[str, Tensor]:
    """What is trained, each once though it be tied, and the buffers that belong to the weights."""
    found: dict[str, Tensor] = {}
    for part, module in modules.items():
        saved = module.state_dict()
        for name, parameter in module.named_parameters():
            if frozen or parameter.requires_grad:
                found[f"{part}.{name}"] = parameter.detach()
        found |= {f"{part}.{name}": buffer for name, buffer in module.named_buffers() if name in saved}
    return found


def _fill(modules: Modules, tensors: Mapping[str, Tensor]) -> None:
    for name, place in _named(modules).items():
        place.copy_(tensors[name])


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def _chance() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of the global generators: torch's, and NumPy's and Python's as numbers."""
    drawn = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        drawn |= {f"cuda.{n}": state for n, state in enumerate(torch.cuda.get_rng_state_all())}
    name, keys, *rest = np.random.get_state(legacy=True)
    numbers = {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *rest]}
    return drawn, numbers


def _set_chance(drawn: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    torch.set_rng_state(drawn["cpu"])
    for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda.{device}" in drawn:
            torch.cuda.set_rng_state(drawn[f"cuda.{device}"], device)
    version, keys, gauss = numbers["python"]
    random.setstate((version, tuple(keys), gauss))
    name, keys, *rest = numbers["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state = json.loads((folder / STATE).read_text())
    except (OSError, ValueError) as error:
        raise _Broken(f"{STATE} can't be read ({error})") from error
    if not isinstance(state, dict) or _sealed(state) != json.dumps(state):
        raise _Broken(f"{STATE} is not as it was written")
    if state.get("format") != FORMAT:
        raise _Broken(f"{STATE} has the format {state.get('format')!r}, and this version reads {FORMAT}")
    return state


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, expected in files.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise _Broken(f"{name} can't be read ({error.strerror})") from error
        if found["bytes"] != expected["bytes"]:
            raise _Broken(f"{name} has {found['bytes']} bytes of {expected['bytes']}")
        if found != expected:
            raise _Broken(f"{name} is not as it was written (its SHA-256 differs)")


def _sealed(state: Mapping[str, Any]) -> str:
    """As JSON, with a digest of all the rest, so that a changed digit in it is seen too."""
    body = {name: value for name, value in state.items() if name != "seal"}
    return json.dumps(body | {"seal": hashlib.sha256(json.dumps(body).encode()).hexdigest()})


def _differences(before: Any, now: Any, path: str = "") -> Iterable[str]:
    """What differs between two descriptions, in words. A name that only one of them has is no difference: a
    later version may have one setting more."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in before:
            if name in now:
                yield from _differences(before[name], now[name], f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path} was {_short(before)} and is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _digest(file: Path) -> dict[str, Any]:
    with file.open("rb") as read:
        return {
            "bytes": os.fstat(read.fileno()).st_size,
            "sha256": hashlib.file_digest(read, "sha256").hexdigest(),
        }


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # a file system without hard links
        shutil.copyfile(old, new)


def _sync(path: Path) -> None:
    """Return when it is on the disk, whatever happens to the machine next."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
