"""Collects the log lines of the configured loggers in the production format."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from config.logs.formatters import JSONLines


class Lines(logging.Handler):
    """Collects every log line as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONLines())
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.written)

    def of(self, **fields: Any) -> list[dict[str, Any]]:
        """The lines in which these fields have these values."""
        parsed = [json.loads(line) for line in self.written]
        return [line for line in parsed if fields.items() <= line.items()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
