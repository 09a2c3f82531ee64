"""Processes that must not delay annotators have a low priority and leave the first processor free."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
from config import priority
priority.yield_to_annotators(int(sys.argv[1]))
print(os.getpriority(os.PRIO_PROCESS, 0), *sorted(os.sched_getaffinity(0)))
print(open("/proc/self/sched").read())
"""


def lowered(nice: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(nice)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_process_has_the_given_niceness_and_leaves_the_first_processor_free() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    found, *processors = map(int, lowered(15).splitlines()[0].split())
    assert found == max(15, own)
    first, *others = sorted(os.sched_getaffinity(0))
    assert processors == (others or [first])


def test_waking_process_preempts_the_running_process_after_100_microseconds() -> None:
    found = re.search(r"se\.slice\s*:\s*(\d+)", lowered(10))
    if found is None or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 12):
        pytest.skip("the kernel can't set the length of time slices (requires Linux 6.12)")
    assert found[1] == "100000"
