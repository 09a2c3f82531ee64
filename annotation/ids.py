"""Ids: UUID version 7 (RFC 9562, section 5.7), so that sorting by id is sorting by birth."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last_tick = 0


def uuid7() -> uuid.UUID:
    """A new id, greater than every id this process made before.

    48 bits of Unix milliseconds, then 12 bits of the millisecond's fraction (method 3 of section 6.2), then
    62 random bits. Ids made within one 244 ns tick borrow the next tick: an import keeps its file's order.
    """
    return uuid.UUID(int=_with_random(_ticks(1), int.from_bytes(os.urandom(8), "big")))


def uuid7_texts(count: int) -> list[str]:
    """`count` new ids as text, ascending: a bulk load makes five per row, and objects took half its time."""
    first = _ticks(count)
    random_bytes = os.urandom(8 * count)
    texts = []
    for number in range(count):
        random_bits = int.from_bytes(random_bytes[8 * number : 8 * number + 8], "big")
        digits = f"{_with_random(first + number, random_bits):032x}"
        texts.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
    return texts


def _ticks(count: int) -> int:
    """The first of `count` ticks that belong to nobody else."""
    global _last_tick
    with _lock:
        first = max(_last_tick + 1, time.time_ns() * 4096 // 1_000_000)
        _last_tick = first + count - 1
    return first


def _with_random(tick: int, random_bits: int) -> int:
    return (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | random_bits & ((1 << 62) - 1)
