from __future__ import annotations

import io
from typing import Any


class Drain(io.RawIOBase):
    """A write-only buffer: `drain` returns the bytes written since the last call, and `tell` returns the
    total number written."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def drain(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
