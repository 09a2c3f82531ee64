"""pytest plugin (`-p tests.demo`): one whole stack with the demo project, for all tests that need it.

Making the demo trains its first policy, a minute of both processors: the tests that turn the wheel share it.
They run one after another in one process (scripts/test), and each names the policy it starts from.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.running import Stack, eventually

_DEMO_SECONDS = 400.0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The README's lines first: they take the demo as a new user finds it, with one policy."""
    items.sort(key=lambda item: "test_readme_commands" not in item.nodeid)


@pytest.fixture(scope="session")
def demo_stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="rl-demo-"))
    home.chmod(0o711)  # root's Postgres runs as `nobody`, which has to pass through
    stack = Stack(home / "state", home / "output", demo=True)
    try:
        stack.wait_ready()
        eventually(
            lambda: "tasks to rank" in stack.said or stack.process.poll() is not None,
            seconds=_DEMO_SECONDS,
            what=f"the demo is made; the stack said {stack.said!r}",
        )
        assert stack.process.poll() is None, stack.said
        yield stack
    finally:
        stack.end()
        shutil.rmtree(home, ignore_errors=True)
