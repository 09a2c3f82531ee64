"""The logs of child processes are rotated while the processes run, so the size of the logs is limited. Apart
from the oldest file, which is removed, rotation loses no line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import processes
from embedded.log_files import LogFiles
from embedded.log_writer import LogFile, old_file
from tests.embedded.running import eventually

LIMIT = 20_000
COUNT = 3_000
PRINT = """
import sys
for n in range(int(sys.argv[1]), int(sys.argv[2])):
    print(f"line {n:06d} of this log", flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web-1.log"


@pytest.fixture
def files(log: Path) -> Iterator[LogFiles]:
    found = LogFiles([log], limit=LIMIT, old_files=9)
    found.start()
    yield found
    found.close()


def child(files: LogFiles, log: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-c", PRINT, str(first), str(last)]
    return processes.spawn(program, log=log, open_log=files.open)


def everything(log: Path) -> list[str]:
    """The lines of all files, oldest first."""
    paths = [Path(old_file(str(log), number)) for number in range(20, 0, -1)] + [log]
    return [line for path in paths if path.exists() for line in path.read_text().splitlines()]


def lines(first: int, last: int) -> list[str]:
    return [f"line {n:06d} of this log" for n in range(first, last)]


def test_log_is_rotated_without_losing_a_line_while_the_process_runs(files: LogFiles, log: Path) -> None:
    process = child(files, log, 0, COUNT)
    assert process.wait(30) == 0
    files.close()
    assert everything(log) == lines(0, COUNT)
    written = sorted(log.parent.iterdir())
    assert len(written) == COUNT * len(f"{lines(0, 1)[0]}\n") // LIMIT + 1
    assert all(path.stat().st_size <= LIMIT for path in written)
    assert all(path.read_bytes().endswith(b"\n") for path in written)


def test_oldest_file_is_removed(log: Path) -> None:
    file = LogFile(str(log), limit=100, old_files=2)
    for n in range(100):
        file.write(f"line {n:03d}\n".encode())
    assert [path.name for path in sorted(log.parent.iterdir())] == ["web-1.1.log", "web-1.2.log", "web-1.log"]
    assert everything(log) == [f"line {n:03d}" for n in range(100)][-len(everything(log)) :]
    assert len(everything(log)) > 20


def test_size_of_a_log_with_an_endless_line_is_limited(log: Path) -> None:
    file = LogFile(str(log), limit=100, old_files=1)
    for _ in range(100):
        file.write(b"x" * 50)
    assert sum(path.stat().st_size for path in log.parent.iterdir()) <= 500


def test_line_that_does_not_fit_moves_to_the_next_file_as_a_whole(log: Path) -> None:
    file = LogFile(str(log), limit=100, old_files=5)
    file.write(b"a" * 60 + b"\n" + b"b" * 60 + b"\nccc")
    file.write(b"ccc\n" + b"d" * 150 + b"\ne\n")
    assert everything(log) == ["a" * 60, "b" * 60, "cccccc", "d" * 150, "e"]
    ends = [path.read_bytes()[-1:] for path in log.parent.iterdir()]
    assert ends == [b"\n"] * 4


def test_existing_log_is_continued(files: LogFiles, log: Path) -> None:
    assert child(files, log, 0, 10).wait(30) == 0
    files.close()
    again = LogFiles([log], limit=LIMIT, old_files=9)
    again.start()
    assert child(again, log, 10, 20).wait(30) == 0
    again.close()
    assert everything(log) == lines(0, 20)


def test_no_line_is_lost_while_the_writer_is_restarted(files: LogFiles, log: Path) -> None:
    # The writer is paused before it is killed, because a writer killed between a read and a write loses the
    # lines that it has read.
    os.kill(files.process.pid, signal.SIGSTOP)
    assert child(files, log, 0, COUNT).wait(30) == 0
    files.process.kill()
    files.process.wait()
    files.start()
    files.close()
    assert everything(log) == lines(0, COUNT)


def test_removed_log_is_created_again(files: LogFiles, log: Path) -> None:
    assert child(files, log, 0, 1).wait(30) == 0
    # The line and its line break can arrive separately.
    eventually(lambda: log.read_text() == f"{lines(0, 1)[0]}\n", what="the first line is written")
    log.unlink()
    assert child(files, log, 1, 2).wait(30) == 0
    eventually(lambda: log.exists() and everything(log) == lines(1, 2), what="the second line is written")


def test_full_disk_is_reported_when_there_is_space_again(log: Path) -> None:
    log.symlink_to("/dev/full")
    file = LogFile(str(log), limit=LIMIT, old_files=1)
    file.write(b"lost\n")
    log.unlink()
    file.write(b"kept\n")
    assert everything(log) == ["5 bytes of this log are missing, because the disk was full.", "kept"]


def test_last_lines_of_children_are_written_even_if_the_parent_is_killed(log: Path) -> None:
    """If the supervisor is killed, its children are stopped, and their last lines still reach the log."""
    program = f"""
import signal, sys, time
from pathlib import Path
from embedded import processes
from embedded.log_files import LogFiles
log = Path({str(log)!r})
files = LogFiles([log])
files.start()
child = "import signal, time; signal.signal(15, lambda *_: print('shut down', flush=True) or exit()); "
child += "print('started', flush=True); time.sleep(60)"
argv = [sys.executable, "-c", child]
processes.spawn(argv, log=log, open_log=files.open, death_signal=signal.SIGTERM)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    eventually(lambda: log.exists() and everything(log) == ["started"], what="the child runs")
    parent.kill()
    parent.wait()
    eventually(lambda: everything(log) == ["started", "shut down"], what="the last line is written")
