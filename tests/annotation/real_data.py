"""The real preference data (RANKLOOP_DATA, by default ../shared/data). Tests that need missing data are
skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("RANKLOOP_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

# The number of rows and of pairs with identical texts in each file, from data/README.md.
HH_FILES = {
    "helpful-base.test": (366, 0),
    "helpful-base.train": (1530, 2),
    "helpful-online.test": (175, 0),
    "helpful-online.train": (722, 0),
    "helpful-rejection-sampled.test": (453, 3),
    "helpful-rejection-sampled.train": (1762, 20),
}


def real_file(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA} (set RANKLOOP_DATA to the folder of the real data)")
    return path


def hh_file(name: str) -> Path:
    return real_file(f"hh-rlhf/{name}.jsonl.gz")
