"""A log pipe that nobody reads doesn't hang the process that writes to it."""

from __future__ import annotations

import logging
import os
import select
import time
from pathlib import Path

import pytest

from config.logs import handlers
from config.logs.formatters import ReadableLines
from config.logs.handlers import DescriptorHandler
from tests.embedded.running import eventually


def record(message: str, logger: str = "rankloop") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.INFO, __file__, 1, message, None, exc_info=None)


def handler_for(descriptor: int) -> DescriptorHandler:
    handler = DescriptorHandler(descriptor)
    handler.setFormatter(ReadableLines())
    return handler


@pytest.mark.parametrize("reopened", [True, False])
def test_full_pipe_delays_the_process_only_once_and_lost_lines_are_reported(
    reopened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    if not reopened:  # a pipe of another account can't be reopened
        monkeypatch.setattr(handlers, "_never_blocking", lambda descriptor: descriptor)
    handler = handler_for(writer)
    began = time.monotonic()
    for number in range(2_000):  # the pipe has room for about 1,000 lines
        handler.emit(record(f"line {number} {'x' * 20}"))
    assert time.monotonic() - began < 5
    first = os.read(reader, 2**20).decode().splitlines()
    handler.emit(record("after the reader has returned"))
    rest = os.read(reader, 2**20).decode().splitlines()
    os.close(reader)
    os.close(writer)
    assert first[0].endswith(f"line 0 {'x' * 20}")
    assert "log lines were dropped" in rest[0]
    assert int(rest[0].split(": ")[1].split()[0]) == 2_000 - len(first)
    assert rest[1].endswith("after the reader has returned")


def test_log_lines_of_requests_are_written_together_and_in_order() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    handler = handler_for(writer)
    for number in range(3):
        handler.handle(record(f"request {number}", logger=handlers.ACCESS))
    with pytest.raises(BlockingIOError):
        os.read(reader, 2**20)
    eventually(lambda: select.select([reader], [], [], 0)[0], what="the lines are written")
    assert [line[-9:] for line in os.read(reader, 2**20).decode().splitlines()] == [
        f"request {number}" for number in range(3)
    ]
    handler.handle(record("request 3", logger=handlers.ACCESS))
    handler.handle(record("an error"))  # an error is written at once, after the buffered lines
    assert [line[-9:].strip() for line in os.read(reader, 2**20).decode().splitlines()] == [
        "request 3",
        "an error",
    ]
    handler.close()
    os.close(reader)
    os.close(writer)


def test_long_line_is_written_completely() -> None:
    reader, writer = os.pipe()
    handler_for(writer).emit(record("y" * 20_000))
    assert os.read(reader, 2**20).decode().count("y") == 20_000
    os.close(reader)
    os.close(writer)


def test_logging_to_a_full_disk_raises_no_exception(capsys: pytest.CaptureFixture[str]) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    handler_for(descriptor).emit(record("lost"))
    os.close(descriptor)
    assert capsys.readouterr().err == ""


def test_line_break_in_a_message_cannot_forge_a_log_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    handler_for(descriptor).emit(record("first\n2026-01-01 ERROR forged\x1b[31m"))
    os.close(descriptor)
    assert log.read_text().count("\n") == 1
    assert "first\\x0a2026" in log.read_text()
    assert "\x1b" not in log.read_text()
