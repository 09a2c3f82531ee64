"""Fixtures for the annotation tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.annotation.webhooks.receiver import LOOPBACK, Receiver, receiving


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A webhook receiver on loopback. Webhooks to loopback addresses are allowed during the test."""
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with receiving() as server:
        yield server
