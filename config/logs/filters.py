"""Filters for loggers of libraries."""

from __future__ import annotations

import logging

from config.logs.tracebacks import title


class HasException(logging.Filter):
    """Lets only records with an exception through."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info and record.exc_info[1])


class TaskError(logging.Filter):
    """Removes values from the exception's message, which Celery includes in its log line about a failed
    task."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict) and "exc" in record.args:
            error = record.exc_info[1] if record.exc_info else None
            record.args = {**record.args, "exc": title(error) if error else "see the traceback"}
        return True
