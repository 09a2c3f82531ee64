"""A user with a reset link sets a new password in the browser and is logged in."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_every_page import faults_of
from tests.embedded.running import Stack

pytestmark = pytest.mark.browser


def _printed(stack: Stack, *arguments: str) -> dict[str, str]:
    done = stack.manage(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_user_of_a_reset_link_sets_a_password_and_is_logged_in(chromium: Browser, demo_stack: Stack) -> None:
    _printed(demo_stack, "create_user", "zoe")
    link = _printed(demo_stack, "set_user", "zoe", "--reset-link")["reset_link"]
    context = chromium.new_context(base_url=f"http://127.0.0.1:{demo_stack.port}")
    page = context.new_page()
    assert not faults_of(page, link)
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Set password and log in").click()
    expect(page.get_by_text("This password is too short")).to_be_visible()
    page.get_by_label("New password").fill("staple battery horse")
    page.get_by_role("button", name="Set password and log in").click()
    expect(page).to_have_url(re.compile(r"/$"))
    page.goto("/account")
    expect(page.get_by_text("Logged in as zoe.")).to_be_visible()
    context.clear_cookies()
    page.goto(link)
    page.get_by_label("New password").fill("staple battery horse")
    page.get_by_role("button", name="Set password and log in").click()
    expect(page.get_by_text("This link is not valid.")).to_be_visible()
    context.close()
