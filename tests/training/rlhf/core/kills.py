"""Kill a training loop with SIGKILL at chosen moments, resume it, and compare its final state with that of an
uninterrupted run.

All attempts are forked from one process that has already imported torch (`Killer`), so an attempt takes only
the time of its own training. A new kind of loop needs one function in `kills_kinds.KINDS`.

A moment is one of:

- `("tick", "", n)`: the n-th reporter call or file operation. An uninterrupted run counts its ticks, so a
  random number up to this count selects a random moment. The same number always selects the same moment.
- `("cancel", "", n)`: the n-th call to `check`, which raises Cancelled. The loop can still write a
  checkpoint.
- `("after", "", seconds)`: this number of seconds after the start, at any instruction.
- `("step", "", n)`: after the metrics of step n were reported.
- `(event, part, n)`: the n-th Python audit event of this name whose arguments contain `part`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, NullReporter, Reporter

ROOT = Path(__file__).resolve().parents[4]
KILLED, CANCELLED = -signal.SIGKILL, 3
Moment = tuple[str, str, float]
# A loop of one kind: (folder with its inputs, folder for the model, folder for checkpoints, reporter) -> the
# figures that the loop returns.
Loop = Callable[[Path, Path, Path | None, Reporter], Mapping[str, Any]]
# These figures depend on the clock, so they differ between any two runs.
OF_THE_CLOCK = re.compile(r"second|time|elapsed")
FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "shutil.rmtree"}


@dataclass(frozen=True)
class Ended:
    """How a run ended: the reports that no later attempt repeated, the returned figures, and the digest of
    every file of the model.

    For each attempt, `resumed_after` contains the step before its first metrics (0 without metrics), and
    `reported` contains the number of its metrics. `kills` counts the attempts that were killed. `longest_gap`
    is the longest time, in seconds, between two consecutive calls to `check` in the last attempt.
    """

    metrics: list[Any]
    samples: list[Any]
    figures: dict[str, Any]
    files: dict[str, str]
    resumed_after: list[int]
    reported: list[int]
    kills: int
    ticks: int
    checks: int
    seconds: float
    longest_gap: float

    @property
    def result(self) -> tuple[object, ...]:
        """The parts that must equal those of an uninterrupted run."""
        return self.metrics, self.samples, self.figures, self.files


class Killer:
    """The process from which attempts are forked. Use this class as a context manager."""

    def __enter__(self) -> Killer:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.communicate()

    def attempt(self, kind: str, folder: Path, name: str, moment: Moment | None = None) -> int:
        """Make one attempt at the run `name`, and return its exit code. The model is saved to `folder/name`.
        A run whose name starts with "in-memory" writes no checkpoints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, str(folder), name, moment]) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline()))

    def run(self, kind: str, folder: Path, name: str, *moments: Moment) -> Ended:
        """Stop one attempt at each moment, and let another attempt finish."""
        codes = [self.attempt(kind, folder, name, moment) for moment in (*moments, None)]
        assert set(codes) <= {KILLED, CANCELLED, 0}, f"{kind} {name}: exit codes {codes}"
        assert codes[-1] == 0, f"{kind} {name}: the last attempt did not succeed"
        return _ended(folder, name, codes.count(KILLED))


def _ended(folder: Path, name: str, kills: int) -> Ended:
    attempts = [_rows(file) for file in sorted(folder.glob(f"{name}.attempt-*.jsonl"), key=_number)]
    last = json.loads((folder / f"{name}.json").read_text())
    return Ended(
        metrics=_said(attempts, "metrics"),
        samples=_said(attempts, "sample"),
        figures=last["figures"],
        files={
            str(path.relative_to(folder / name)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((folder / name).rglob("*"))
            if path.is_file()
        },
        resumed_after=[
            min((step for what, step, _ in rows if what == "metrics"), default=1) - 1 for rows in attempts
        ],
        reported=[sum(row[0] == "metrics" for row in rows) for rows in attempts],
        kills=kills,
        ticks=last["ticks"],
        checks=last["checks"],
        seconds=last["seconds"],
        longest_gap=last["longest_gap"],
    )


def _said(attempts: list[list[Any]], what: str) -> list[Any]:
    """The reports of this type from all attempts. As in `RunEventQuerySet.said_of`, a report is left out if a
    later attempt began at or before the report's step, so only the last report of a repeated step remains."""
    said: list[Any] = []
    for rows in attempts:
        mine = [row for row in rows if row[0] == what]
        first = min((row[1] for row in mine), default=None)
        said = [row for row in said if first is None or row[1] < first] + mine
    return said


def _rows(file: Path) -> list[Any]:
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last line is empty or incomplete


def _number(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


class FileReporter(NullReporter):
    """Writes each report to a file immediately. The platform, too, writes all reports before a checkpoint."""

    def __init__(self, file: Path, ticks: Ticks) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._ticks = ticks
        self._checked_at = time.monotonic()
        self.longest_gap = 0.0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        kept = {name: value for name, value in values.items() if not OF_THE_CLOCK.search(name)}
        self._say("metrics", step, kept)
        self._ticks.step(step)

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        self._say("sample", step, [[dict(message) for message in messages], before, after, dict(scores)])

    def progress(self, phase: str, step: int, total: int) -> None:
        self._say("progress", step, [phase, total])

    def flush(self) -> None:
        self._ticks.tick()

    def checkpoint(self, step: int) -> None:
        self._say("checkpoint", step, None)

    def check(self) -> None:
        now = time.monotonic()
        self.longest_gap, self._checked_at = max(self.longest_gap, now - self._checked_at), now
        self._ticks.check()

    def _say(self, what: str, step: int, data: object) -> None:
        self._ticks.tick()
        os.write(self._file, (json.dumps([what, step, data]) + "\n").encode())


class Ticks:
    """Counts reporter calls and file operations, and kills this process at the given moment."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self._folder = str(folder)
        self._event, self._part = moment[:2] if moment else ("", "")
        self._left = moment[2] if moment else 0.0
        self.count = self.checks = 0
        if self._event == "after":
            threading.Thread(target=self._wait, daemon=True).start()
        sys.addaudithook(self._heard)

    def tick(self) -> None:
        self.count += 1
        if self._event == "tick" and self.count >= self._left:
            _die()

    def check(self) -> None:
        self.tick()
        self.checks += 1
        if self._event == "cancel" and self.checks >= self._left:
            raise Cancelled

    def step(self, step: int) -> None:
        if self._event == "step" and step >= self._left:
            _die()

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == self._event and self._part in str(arguments):
            self._left -= 1
            if self._left <= 0:
                _die()
        if event in FILE_EVENTS and self._folder in str(arguments):
            self.tick()

    def _wait(self) -> None:
        time.sleep(self._left)
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _attempt(kind: str, folder: Path, name: str, moment: Moment | None) -> None:
    import torch

    from tests.training.rlhf.core.kills_kinds import CONFIGURED, KINDS

    torch.set_num_threads(1)
    number = 1 + len(list(folder.glob(f"{name}.attempt-*.jsonl")))
    ticks = Ticks(folder / name, moment)
    report = FileReporter(folder / f"{name}.attempt-{number}.jsonl", ticks)
    checkpoints = None if name.startswith("in-memory") else folder / f"{name}.checkpoints"
    started = time.monotonic()
    figures = (KINDS | CONFIGURED)[kind](folder, folder / name, checkpoints, report)
    seconds = time.monotonic() - started
    kept = {
        each: value
        for each, value in figures.items()
        if not OF_THE_CLOCK.search(each) and not isinstance(value, Path)
    }
    last = {
        **{"figures": kept, "ticks": ticks.count, "checks": ticks.checks},
        **{"seconds": seconds, "longest_gap": report.longest_gap},
    }
    (folder / f"{name}.json").write_text(json.dumps(last))


def _serve() -> None:
    import torch

    from tests.training.rlhf.core import kills_kinds  # noqa: F401 - imports every loop

    torch.set_num_threads(1)
    answers = os.dup(1)
    os.dup2(2, 1)  # a loop's output must not be mistaken for an exit code
    for line in sys.stdin:
        kind, folder, name, moment = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                _attempt(kind, Path(folder), name, moment and tuple(moment))
                code = 0
            except Cancelled:
                code = CANCELLED
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(answers, f"{code}\n".encode())


if __name__ == "__main__":
    _serve()
