"""Run a section of the benchmark. If the section fails, the reason is recorded."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, Literal

Figures = dict[str, float | str]  # the names contain the units
Start = Literal["spawn", "fork"]


@dataclass(frozen=True)
class Section:
    name: str
    shape: str
    limit: float  # seconds
    measure: Callable[[], Figures]


@dataclass(frozen=True)
class Outcome:
    """The figures of a section, or the reason why the section failed."""

    section: str
    shape: str
    seconds: float
    figures: Figures = field(default_factory=dict)
    error: str = ""
    traceback: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(name: str, *given: Any, **named: Any) -> Figures:
    """Import the section's module and call its `measure`. The module is not imported earlier, so a missing
    library affects only the sections that need it."""
    module = import_module(f"benchmarks.gpu.{name.replace(' ', '_')}")
    figures: Figures = module.measure(*given, **named)
    return figures


def outcome_of(section: Section, *, start: Start | None) -> Outcome:
    """Measure a section. If ``start`` is given, the section runs in a separate process, which is started with
    this method and killed after the section's time limit. On a GPU, the method must be ``spawn``, because a
    forked process can't use a GPU that its parent has used."""
    started = time.monotonic()
    answer = _in_own_process(section, start) if start else _answer(section)
    return Outcome(section.name, section.shape, round(time.monotonic() - started, 1), **answer)


def _answer(section: Section) -> dict[str, Any]:
    try:
        return {"figures": section.measure()}
    except Exception as error:  # the error is recorded, and the next section starts
        first = (str(error) or "no message").splitlines()[0]
        return {"error": f"{type(error).__name__}: {first}", "traceback": traceback.format_exc()}


def _in_own_process(section: Section, start: Start) -> dict[str, Any]:
    context: Any = multiprocessing.get_context(start)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(section, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(section.limit):
            answer: dict[str, Any] = receiver.recv()
            return answer
        return {"error": f"took more than {section.limit:g} s"}
    except EOFError:
        process.join()
        return {"error": f"the section's process ended without a result (exit code {process.exitcode})"}
    finally:
        process.kill()
        process.join()


def _send(section: Section, sender: Connection) -> None:
    sender.send(_answer(section))
