"""A delivery is sent only once, even if the database fails while the outcome is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.models import Project, WebhookDelivery
from annotation.webhooks import endpoints
from annotation.webhooks.delivery import deliver_due
from tests.annotation.webhooks.receiver import Receiver
from tests.postgres_outage import losing_the_answer


@pytest.mark.usefixtures("test_database")
@pytest.mark.parametrize("after", [b'INSERT INTO "annotation_webhookattempt"', b"COMMIT"])
def test_outcome_is_recorded_once_even_if_the_database_fails(
    project: Project, receiver: Receiver, tmp_path: Path, after: bytes
) -> None:
    endpoint, _ = endpoints.create_endpoint(project=project, url=receiver.url, events=["ranking.submitted"])
    endpoints.send_test(endpoint=endpoint)
    with losing_the_answer(tmp_path, after=after) as proxy:
        assert deliver_due() == 1
        assert proxy.cuts == 1
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.log.count()) == ("delivered", 1, 1)
    assert len(receiver.got) == 1
