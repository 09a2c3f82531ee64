"""A pytest plugin (`-p tests.demo`) that starts complete stacks. Each stack contains the demo project
in the state in which a new user finds it.

Creating the demo takes a minute of processor time, because the demo's first policy is trained. The first
worker that needs the demo creates it for all workers. Each stack runs on a copy of the demo's state folder.
Starting a stack takes 8 s of processor time, so all test modules in one worker share one stack. Each module
uses its own projects. A module that needs the demo unchanged overrides `demo_stack` with `own_demo_stack`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.running import Stack, eventually
from tests.hub import hub_server

_DEMO_SECONDS = 400.0


@pytest.fixture(scope="session")
def made_demo() -> Path:
    """The state folder in which the demo was created. The stack that created the demo has stopped."""
    shared = Path(
        os.environ["RANKLOOP_STATE"]
    ).parent  # tests/services.py deletes this folder after it stops the servers
    home, made = shared / "demo", shared / "demo" / "made"
    with (shared / "demo.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(home, ignore_errors=True)
            # Root's Postgres runs as the account `nobody`, which needs access to this folder.
            home.mkdir(mode=0o711)
            _make(Stack(home / "state", home / "output", demo=True))
            made.touch()
    return home / "state"


def _make(stack: Stack) -> None:
    try:
        stack.wait_ready()
        eventually(
            lambda: "tasks to rank" in stack.said or stack.process.poll() is not None,
            seconds=_DEMO_SECONDS,
            what=f"the demo is created; the stack's output: {stack.said!r}",
        )
        assert stack.process.poll() is None, stack.said
    finally:
        stack.end()


@pytest.fixture(scope="session")
def demo_stack(made_demo: Path) -> Iterator[Stack]:
    """A stack whose import worker downloads datasets from a local server instead of the Hub."""
    with hub_server() as address:
        yield from _copy(made_demo, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")


@pytest.fixture(scope="module")
def own_demo_stack(made_demo: Path) -> Iterator[Stack]:
    yield from _copy(made_demo)


def _copy(made_demo: Path, **variables: str) -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="demo-", dir=made_demo.parents[1]))
    home.chmod(0o711)
    subprocess.run(["cp", "-a", made_demo, home / "state"], check=True)
    stack = Stack(home / "state", home / "output", demo=True, **variables)
    try:
        yield stack.wait_ready()
    finally:
        stack.end()
        shutil.rmtree(home, ignore_errors=True)
