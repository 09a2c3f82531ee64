"""The steps of a round, in order."""

from __future__ import annotations

from collections.abc import Iterator

from training.loop.settings import LoopSettings
from training.models import RoundStep

Kind = RoundStep.Kind
FIRST_ASKING_STEP = Kind.SAMPLE


def planned_steps(settings: LoopSettings) -> Iterator[tuple[str, str]]:
    """Yield (step kind, subject). The subject is the run kind that improves the policy, or empty for a step
    that is not about one method."""
    yield Kind.FREEZE, ""
    if settings.export_formats:
        yield Kind.EXPORT, ""
    yield Kind.REWARD_MODEL, ""
    yield Kind.REWARD_MODEL_GATE, ""
    if settings.improve_with and settings.policy_gate != "off":
        yield Kind.ANSWER_CURRENT, ""
    for method in settings.improve_with:
        yield Kind.IMPROVE, method
        if settings.policy_gate != "off":
            yield Kind.ANSWER_NEW, method
        yield Kind.POLICY_GATE, method
    yield Kind.SAMPLE, ""
