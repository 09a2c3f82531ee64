from __future__ import annotations

import time

from annotation.ids import uuid7


def test_ids_increase_even_within_one_clock_tick() -> None:
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_id_is_a_version_7_uuid_with_the_current_time() -> None:
    before = time.time_ns() // 1_000_000
    one = uuid7()
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    # The previous test generated 10,000 IDs, which may have advanced the generator's time by a few
    # milliseconds.
    assert before <= one.int >> 80 <= before + 1000
