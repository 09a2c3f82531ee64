"""The two formats of log lines: JSON for programs, and text for people."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from config.logs.context import current_fields
from config.logs.messages import safe_message
from config.logs.tracebacks import chain, render, title

# Line breaks and other control characters in a value could imitate a log line.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The context's fields and those of this line (`extra={"fields": {…}}`). Other attributes, such as the
    request that Django attaches, can contain secrets and are not logged."""
    return current_fields() | getattr(record, "fields", {})


def message_of(record: logging.LogRecord) -> str:
    """The message, with the values in exceptions removed. Values are also removed from exceptions that
    libraries pass as arguments."""
    args: Any = record.args
    if isinstance(args, tuple):
        args = tuple(title(arg) if isinstance(arg, BaseException) else arg for arg in args)
    message = str(record.msg) % args if args else str(record.msg)
    if record.exc_info and record.exc_info[1]:
        for error, _ in chain(record.exc_info[1]):
            if text := str(error):
                message = message.replace(text, safe_message(error))
    return message


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class JSONLines(JsonFormatter):
    """One JSON object per line, with `time`, `level`, `logger`, `message`, the fields and `exception`."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data |= {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            **fields_of(record),
        }
        if record.exc_info and record.exc_info[1]:
            log_data["exception"] = render(record.exc_info[1])

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return ""  # `add_fields` renders the exception


class ReadableLines(logging.Formatter):
    """Time, level, logger, message and fields on one line, followed by the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = message_of(record).translate(_CONTROL)
        fields = "".join(
            f" {name}={str(value).translate(_CONTROL)}" for name, value in fields_of(record).items()
        )
        line = f"{_time_of(record)} {record.levelname:7} {record.name}: {message}{fields}"
        if record.exc_info and record.exc_info[1]:
            line += "\n" + render(record.exc_info[1])
        return line
