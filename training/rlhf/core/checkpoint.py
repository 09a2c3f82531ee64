"""On-disk checkpoints of a training run. A killed run resumes exactly from its last checkpoint.

A checkpoint is a folder `step-00000040` that contains:

- `weights.safetensors`: the trained weights and the buffers that are saved with them. Frozen weights belong
  to the base model, whose fingerprint is in `state.json`. For 16-bit weights, the file also contains their
  float32 masters.
- `moments.safetensors`: the states of the optimisers, keyed by parameter index.
- `data.safetensors`: the loop's other tensors, such as the answers that have been sampled so far.
- `generators.safetensors`: the states of torch's random generators.
- `best.safetensors`: the weights of the best evaluation so far, if any. All checkpoints with the same best
  weights share one file through hard links. Each checkpoint is therefore complete, although the best weights
  are stored only once.
- `state.json`: the run's identity, the kind of device, the loop's own counters, and the states of Python's
  and NumPy's random generators. This file also contains the size and SHA-256 digest of every other file.

A checkpoint is written to a temporary folder, which is then synced and renamed. A crash therefore never
leaves an incomplete checkpoint. Checkpoints contain no pickles. A checkpoint from an unknown source can
therefore contain incorrect numbers but cannot execute code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from safetensors.torch import load_file, save_file
from torch import Tensor

from storage import durable
from storage.space import require_space
from training.rlhf.core import distributed
from training.rlhf.core.devices import device_of, refuse_other_device
from training.rlhf.core.loop_state import (
    Modules,
    Optimisers,
    complete,
    fill_masters,
    fill_modules,
    fill_optimisers,
    generator_states,
    kept_in_memory,
    master_weights,
    moments_of,
    restore_from_memory,
    saved_tensors,
    set_generator_states,
)
from training.rlhf.core.reporter import Reporter, StopRequested
from training.rlhf.core.sharding import shards
from training.rlhf.recipes.parts.base import CADENCE, Checkpointed

FORMAT = 2
WEIGHTS, MOMENTS, GENERATORS = "weights.safetensors", "moments.safetensors", "generators.safetensors"
DATA, BEST, STATE = "data.safetensors", "best.safetensors", "state.json"
logger = logging.getLogger(__name__)


class CheckpointRefused(ValueError):
    """Raised if checkpoints exist, but this run cannot resume from any of them. The error message states the
    reason and a fix."""


class _Broken(Exception):
    """Raised if a checkpoint is damaged or has a format that this version can't read."""


class Resumed(NamedTuple):
    """The contents of a checkpoint besides weights and moments: the loop's own counters and tensors."""

    counters: dict[str, Any]
    data: dict[str, Tensor]


class CheckpointStore(Protocol):
    """The checkpoint operations used by a training loop. `modules` and `optimisers` are keyed by name.
    `counters` must be storable as JSON."""

    def resume(self, modules: Modules, optimisers: Optimisers) -> Resumed | None:
        """Restore weights, moments and global random generators from the last checkpoint. Return the loop's
        own counters and tensors, or None for a new run."""

    def due(self) -> bool:
        """Return whether it is time for another checkpoint."""

    def save(
        self,
        step: int,
        modules: Modules,
        optimisers: Optimisers,
        counters: Mapping[str, Any],
        data: Mapping[str, Tensor] | None = None,
        *,
        best: bool = False,
    ) -> bool:
        """Save the state after `step`. `best` indicates whether the weights are the best so far. Return
        whether a killed run would resume from this state."""

    def load_best(self, modules: Modules) -> None:
        """Load the best weights into the modules. Do nothing if no best weights were saved."""


class BestInMemory:
    """A store that writes no checkpoints and keeps only a copy of the best weights in main memory."""

    def __init__(self) -> None:
        self._best: dict[str, Tensor] = {}

    def resume(self, modules: Modules, optimisers: Optimisers) -> None:
        return None

    def due(self) -> bool:
        return False

    def save(
        self,
        step: int,
        modules: Modules,
        optimisers: Optimisers,
        counters: Mapping[str, Any],
        data: Mapping[str, Tensor] | None = None,
        *,
        best: bool = False,
    ) -> bool:
        if best:
            self._best = kept_in_memory(modules)
        return False

    def load_best(self, modules: Modules) -> None:
        if self._best:
            restore_from_memory(modules, self._best)


class Checkpoints:
    """Stores the newest `keep` checkpoints of one run in one folder.

    `of` is the run's identity. A run resumes only from checkpoints with an equal identity. With several
    processes, the first process writes checkpoints, and all processes read them. Every process must therefore
    have access to this folder. If the model is sharded (`in_step`), all processes save at the same step,
    because the first process gathers the tensors from all of them.

    A run does not resume from a checkpoint that was written on another kind of device, unless `other_device`
    is true.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        of: Mapping[str, Any],
        keep: int = 2,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        in_step: bool = False,
        other_device: bool = False,
    ) -> None:
        self._other_device = other_device
        self._folder, self._of, self._keep, self._in_step = Path(folder), dict(of), keep, in_step
        self._every_steps, self._every_seconds = every_steps, every_seconds
        self._asked, self._saved_at = 0, time.monotonic()
        self._newest: Path | None = None
        if distributed.is_first():
            durable.remove_unfinished(self._folder)

    def resume(self, modules: Modules, optimisers: Optimisers) -> Resumed | None:
        """Restore all state, as in `CheckpointStore.resume`, from the newest intact checkpoint. A broken
        checkpoint is logged and skipped.

        Raises CheckpointRefused if all checkpoints are broken, or if the newest intact one belongs to another
        run. Raises DeviceDiffers if that checkpoint was written on another kind of device.
        """
        error: CheckpointRefused | None = None
        step = -1
        if distributed.is_first():
            try:
                step = self._newest_intact()
            except CheckpointRefused as refused:
                error, step = refused, -2
        step = distributed.broadcast(step)
        if step == -2:
            raise error or CheckpointRefused("the first process refused the checkpoints; see its log")
        if step == -1:
            return None
        self._newest = folder = self._folder / _name(step)
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        now = device_of(saved_tensors(modules).values())
        refuse_other_device(state.get("device", ""), now, allowed=self._other_device)
        with reading_state():
            weights = load_file(folder / WEIGHTS)
            fill_modules(modules, weights)
            fill_masters(modules, optimisers, weights)
            fill_optimisers(optimisers, load_file(folder / MOMENTS))
            set_generator_states(load_file(folder / GENERATORS), state["chance"])
        if distributed.is_first():
            logger.warning("resuming from the checkpoint at step %d in %s", step, self._folder)
        return Resumed(state["loop"], load_file(folder / DATA))

    def due(self) -> bool:
        """Return whether this method has been called `every_steps` times, or `every_seconds` seconds have
        passed, since the last save."""
        self._asked += 1
        by_steps = self._every_steps is not None and self._asked >= self._every_steps
        waited = time.monotonic() - self._saved_at
        due = by_steps or (self._every_seconds is not None and waited >= self._every_seconds)
        return bool(distributed.broadcast(due)) if self._in_step else due

    def save(
        self,
        step: int,
        modules: Modules,
        optimisers: Optimisers,
        counters: Mapping[str, Any],
        data: Mapping[str, Tensor] | None = None,
        *,
        best: bool = False,
    ) -> bool:
        made = self._folder / _name(step)
        # If the checkpoint already exists, nothing is written: the same step always produces the same state.
        if made != self._newest and (self._in_step or distributed.is_first()):
            weights = complete(saved_tensors(modules) | master_weights(modules, optimisers))
            moments, others = complete(moments_of(optimisers)), complete(data or {})
            if distributed.is_first():
                device = device_of(saved_tensors(modules).values())
                self._write(step, weights, moments, counters, others, device=device, best=best)
        self._newest = made
        self._asked, self._saved_at = 0, time.monotonic()
        return True

    def load_best(self, modules: Modules) -> None:
        distributed.wait()  # wait until the first process has written the checkpoint
        newest = max(self._steps(), default=None)
        if newest is not None and (file := self._folder / _name(newest) / BEST).exists():
            fill_modules(modules, load_file(file))

    def _write(
        self,
        step: int,
        weights: dict[str, Tensor],
        moments: dict[str, Tensor],
        counters: Mapping[str, Any],
        data: dict[str, Tensor],
        *,
        device: str,
        best: bool,
    ) -> None:
        made = self._folder / _name(step)
        durable.make_folders(self._folder)
        needed = sum(tensor.nbytes for part in (weights, moments, data) for tensor in part.values())
        require_space(self._folder, needed)
        with durable.replacing(made, needed=needed) as partial:
            partial.mkdir()
            generators, numbers = generator_states()
            save_file(weights, partial / WEIGHTS)
            save_file(moments, partial / MOMENTS)
            save_file(generators, partial / GENERATORS)
            save_file(data, partial / DATA)
            files = {name: _digest(partial / name) for name in (WEIGHTS, MOMENTS, GENERATORS, DATA)}
            if best:
                _link(partial / WEIGHTS, partial / BEST)
                files[BEST] = files[WEIGHTS]
            elif self._newest is not None and (self._newest / BEST).exists():
                _link(self._newest / BEST, partial / BEST)
                files[BEST] = json.loads((self._newest / STATE).read_text())["files"][BEST]
            saved = {"format": FORMAT, "step": step, "of": self._of, "loop": counters, "files": files}
            saved |= {"device": device, "chance": numbers}
            (partial / STATE).write_text(_sealed(saved))
        for old in sorted(self._steps())[: -self._keep]:
            shutil.rmtree(self._folder / _name(old), ignore_errors=True)

    def _newest_intact(self) -> int:
        """Return the step of the newest intact checkpoint, or -1 if the folder contains no checkpoints.
        Remove any newer, broken checkpoints. Raises CheckpointRefused as `resume` does."""
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
                logger.warning("checkpoint %s is broken and was skipped: %s", bad, why)
                shutil.rmtree(bad, ignore_errors=True)
            return step
        if broken:
            named = "; ".join(f"{bad.name}: {why}" for bad, why in broken)
            raise CheckpointRefused(
                f"{self._folder} contains no readable checkpoint ({named}). Remove the folder to start over."
            )
        return -1

    def _must_be_of_this_run(self, folder: Path, state: Mapping[str, Any]) -> None:
        differing = list(_differences(state["of"], self._of))
        if differing:
            raise CheckpointRefused(
                f"{folder} is a checkpoint of another run: {'; '.join(differing)}. "
                "Restore the original inputs to resume. To start over, use another folder or remove this "
                "folder."
            )

    def _steps(self) -> Iterable[int]:
        for folder in self._folder.glob("step-*"):
            number = folder.name.removeprefix("step-")
            if number.isdecimal():
                yield int(number)


def open_store(folder: str | Path | None, config: Checkpointed, *, of: Mapping[str, Any]) -> CheckpointStore:
    """Return the store for a run's checkpoints. Without a folder, no checkpoints are written.

    The run's identity consists of its recipe and of the digests in `of`. A run with a different identity
    can't resume from these checkpoints.
    """
    if folder is None:
        return BestInMemory()
    minutes = config.checkpoint_minutes
    return Checkpoints(
        folder,
        of={"recipe": config.model_dump(mode="json", exclude=CADENCE)} | dict(of),
        every_steps=config.checkpoint_steps,
        every_seconds=minutes and 60 * minutes,
        in_step=shards(config),
        other_device=config.other_device,
    )


def save_checkpoint(
    store: CheckpointStore,
    report: Reporter,
    step: int,
    modules: Modules,
    optimisers: Optimisers,
    counters: Mapping[str, Any],
    data: Mapping[str, Tensor] | None = None,
    *,
    best: bool = False,
) -> None:
    """Store all reports, then save a checkpoint, because a resumed run does not repeat the reports of earlier
    steps."""
    report.flush()
    if store.save(step, modules, optimisers, counters, data, best=best):
        report.checkpoint(step)


@contextmanager
def reading_state() -> Iterator[None]:
    """Raise CheckpointRefused if this block can't read the state of a checkpoint that another version of the
    library stored with different names or types."""
    try:
        yield
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise CheckpointRefused(
            "the checkpoint contains a state that this version can't read "
            f"({type(error).__name__}: {error}). Resume with the version that wrote the checkpoint. To "
            "start over, use another folder or remove this folder."
        ) from error


@contextmanager
def saving_when_stopped(save: Callable[[], None]) -> Iterator[None]:
    """Call `save` if the loop is asked to stop in this block. The block must not change the state that `save`
    writes. The block can therefore contain a rollout, but not an update."""
    try:
        yield
    except StopRequested:
        save()
        raise


def digest(value: Any) -> str:
    """Return a digest of a run's input, for the run's identity. The value must be storable as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state = json.loads((folder / STATE).read_text())
    except (OSError, ValueError) as error:
        raise _Broken(f"{STATE} can't be read ({error})") from error
    if not isinstance(state, dict) or _sealed(state) != json.dumps(state):
        raise _Broken(f"{STATE} was changed after it was written")
    if state.get("format") != FORMAT:
        raise _Broken(
            f"{STATE} has the format {state.get('format')!r}, but this version reads format {FORMAT}"
        )
    return state


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, expected in files.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise _Broken(f"{name} can't be read ({error.strerror})") from error
        if found["bytes"] != expected["bytes"]:
            raise _Broken(f"{name} has {found['bytes']} of {expected['bytes']} bytes")
        if found != expected:
            raise _Broken(f"{name} was changed after it was written (its SHA-256 differs)")


def _sealed(state: Mapping[str, Any]) -> str:
    """Return the state as JSON, together with a SHA-256 digest of the state. Any later change to the state is
    then detected."""
    body = {name: value for name, value in state.items() if name != "seal"}
    return json.dumps(body | {"seal": hashlib.sha256(json.dumps(body).encode()).hexdigest()})


def _differences(before: Any, now: Any, path: str = "") -> Iterable[str]:
    """Yield a description of each difference between two identities. A name that occurs in only one identity
    is not reported, because a later version of the library can add settings that older checkpoints lack."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in before:
            if name in now:
                yield from _differences(before[name], now[name], f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path} was {_short(before)} and is now {_short(now)}"


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
    except OSError:  # the file system does not support hard links
        shutil.copyfile(old, new)
