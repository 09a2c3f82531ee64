"""The reason why a run ended without a result. The kind of failure is determined once, when the failure is
recorded."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotation.database.outages import OUTAGE_ERRORS
from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind, RunFailure, is_device_error
from training.runs.failure_texts import CAUSES

# Error messages of third-party software, whose exceptions carry no failure kind. Rankloop's own failures are
# RunFailures, which carry their kind.
FOREIGN_MESSAGES = (
    (
        re.compile(
            r"out of memory|can(?:'t|not) allocate memory|DefaultCPUAllocator|bad_alloc|NVML_SUCCESS ==",
            re.IGNORECASE,
        ),
        FailureKind.OUT_OF_MEMORY,
    ),
    (re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE), FailureKind.DISK_FULL),
)
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
Record = dict[str, str]


@dataclass(frozen=True)
class Failure:
    """Why a run failed. `kind` is a stable identifier for programs. `settings` lists the recipe settings to
    review before the next launch. `again` states whether the same run can succeed on another attempt."""

    kind: str
    title: str
    cause: str
    fix: str
    settings: tuple[str, ...] = ()
    again: bool = False
    detail: str = ""


def record(kind: FailureKind, detail: str, *, title: str = "") -> Record:
    """Return a value for `TrainingRun.error`. `title` replaces the kind's own title with a more specific
    one."""
    return {"kind": kind.value, "title": title or CAUSES[kind].title, "detail": detail}


def record_of(error: BaseException) -> Record:
    """Return the failure record of a run that was ended by an exception."""
    kind, name = kind_of(error), type(error).__name__
    title = f"Stopped by an error ({name})" if kind == FailureKind.UNKNOWN else ""
    return record(kind, str(error) or name, title=title)


def record_of_exit(code: int, *, log_tail: str, out_of_memory: bool) -> Record:
    """Return the failure record of a run whose process ended without recording anything.

    `code` is the exit code, or the negative number of the signal that ended the process. `out_of_memory` is
    true if the kernel killed processes for lack of memory during the run.
    """
    title = ""
    if code == -signal.SIGKILL and out_of_memory:
        kind = FailureKind.OUT_OF_MEMORY
        detail = "The kernel killed the training process because the machine ran out of memory."
    elif code < 0:
        kind = FailureKind.KILLED
        title = f"The training process was killed ({signal.Signals(-code).name})"
        detail = f"The process was ended by signal {-code}, which Rankloop did not send."
    else:
        kind = FailureKind.CRASHED
        detail = f"The process ended with exit code {code} before it could report a reason."
    return record(kind, f"{detail}\n{log_tail}".strip(), title=title)


def with_log(error: Record, lines: Sequence[str]) -> Record:
    """Return the failure record with the end of the log in its detail."""
    return error | {"detail": "\n".join([error["detail"], *lines])}


def kind_of(error: BaseException) -> FailureKind:
    """Return the failure kind of the exception. If this exception or one of its causes is a third-party error
    with a known kind, such as a lack of memory, the third-party error determines the failure kind."""
    for each in _causes(error):
        if not isinstance(each, RunFailure) and (found := _foreign_kind(each)) is not None:
            return found
    if isinstance(error, RunFailure):
        return error.kind
    if isinstance(error, OUTAGE_ERRORS):
        return FailureKind.DATABASE_LOST
    return FailureKind.INPUTS_REFUSED if isinstance(error, ValueError) else FailureKind.UNKNOWN


def explain(run: TrainingRun) -> Failure | None:
    """Return the failure of a failed or cancelled run, and None for any other run.

    Only the kind is stored, so an improved explanation also applies to earlier runs.
    """
    if run.state == TrainingRun.State.CANCELLED:
        error = record(FailureKind.CANCELLED, "")
    elif run.state == TrainingRun.State.FAILED and run.error:
        error = run.error
    else:
        return None
    known = CAUSES[FailureKind(error["kind"])]
    return Failure(
        kind=error["kind"],
        title=error["title"],
        cause=known.cause,
        fix=known.fix,
        settings=tuple(name for name in known.settings if name in run.recipe),
        again=known.again,
        detail=error["detail"],
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and the exceptions that caused it."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__


def _foreign_kind(error: BaseException) -> FailureKind | None:
    if isinstance(error, MemoryError):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return FailureKind.DISK_FULL
    if is_device_error(error):
        return FailureKind.DEVICE_LOST
    return next((kind for message, kind in FOREIGN_MESSAGES if message.search(str(error))), None)
