"""What an annotator is shown, as it goes over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotation.api import serializers
from annotation.models import Assignment


def shown(leases: Sequence[Assignment]) -> Any:
    """The current lease with all that its annotator sees, and under `prefetched` the others likewise."""
    rows = Assignment.objects.with_shown().in_bulk([lease.pk for lease in leases])
    current, *after = (serializers.Assignment(rows[lease.pk]).data for lease in leases)
    return {**current, "prefetched": after}
