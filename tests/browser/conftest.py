"""Fixtures that drive a real Chromium against the whole embedded stack."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests.embedded.running import ROOT, Stack

# Disables Chromium's background traffic, which is unrelated to the page and fails without a network.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# The timeout is generous, because a busy machine is slow. A test fails if the expected state doesn't appear
# within this time.
_ACTION_MS = 60_000
expect.set_options(timeout=_ACTION_MS)

LogIn = Callable[[str], Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("RANKLOOP_NO_BROWSER") != "1":
        return
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason="RANKLOOP_NO_BROWSER=1"))


@pytest.fixture(scope="session")
def executable() -> str:
    """The path to the browser's executable. Without a browser, the tests fail rather than being skipped."""
    found = subprocess.run([ROOT / "scripts" / "browser"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.fail(found.stderr, pytrace=False)
    return found.stdout.strip()


@pytest.fixture(scope="module")
def chromium(executable: str) -> Iterator[Browser]:
    """The browser, closed after each module, because Django refuses database access while Playwright's event
    loop runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def passwords(demo_stack: Stack) -> dict[str, str]:
    lines = (demo_stack.state / "demo-logins.txt").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.fixture(scope="session")
def sessions() -> dict[tuple[Path, str], StorageState]:
    """The cookies of each user who has logged in, keyed by the stack's state folder and the username.
    Checking a password is deliberately slow, so each user logs in only once."""
    return {}


@pytest.fixture
def log_in(
    chromium: Browser,
    demo_stack: Stack,
    passwords: dict[str, str],
    sessions: dict[tuple[Path, str], StorageState],
) -> Iterator[LogIn]:
    """log_in(name): opens a page on which the user with this name is logged in. Each page has its own browser
    context. A script error fails the test."""
    contexts, thrown = [], []

    def open_page(name: str) -> Page:
        session = sessions.get((demo_stack.state, name))
        context = chromium.new_context(
            base_url=f"http://127.0.0.1:{demo_stack.port}",
            viewport={"width": 1280, "height": 900},
            storage_state=session,
        )
        contexts.append(context)
        context.set_default_timeout(_ACTION_MS)
        context.on("weberror", lambda thrown_by: thrown.append(str(thrown_by.error)))
        page = context.new_page()
        if session is not None:
            page.goto("/")
            expect(page.get_by_role("heading", name="Projects")).to_be_visible()
            return page
        page.goto("/login")
        page.get_by_label("Username").fill(name)
        page.get_by_role("textbox", name="Password").fill(passwords[name])
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile(r"/$"))
        sessions[demo_stack.state, name] = {"cookies": context.storage_state()["cookies"]}
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not thrown
