"""What several tests of the annotation app lean on, beyond the cast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.annotation.webhooks.receiver import LOOPBACK, Receiver, receiving


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """Takes webhooks on loopback, which is allowed while it stands."""
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with receiving() as server:
        yield server
