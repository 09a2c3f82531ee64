"""Sample answers of a gate's two policies, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from config.problems import Conflict
from training.loop.run_steps import answering_run
from training.models import Gate, Round
from training.runs.answers import stored_answers

SHOWN_PROMPTS = 5


@dataclass(frozen=True)
class AnswersCompared:
    """The two policies' answers to one held-out prompt, each with the points of the round's reward model."""

    messages: list[dict[str, str]]
    before: str
    after: str
    before_points: float
    after_points: float


def answers_before_and_after(*, round: Round, subject: str) -> list[AnswersCompared]:
    """The answers of the production policy and of the new policy from `subject` to the first held-out prompts
    that they answer differently. Empty if the round compared no such policies.

    Raises Conflict while the blind comparison is open, because its annotators must not know which policy
    wrote an answer. Raises Problem if a file with answers is missing or has changed.
    """
    gate = Gate.objects.filter(step__round=round, step__subject=subject, incumbent__isnull=False)
    found = gate.select_related("model", "incumbent").first()
    if found is None or found.incumbent is None:
        return []
    if found.state == Gate.State.OPEN:
        raise Conflict("The answers are shown after the blind comparison has ended.", type="gate-open")
    current = {repr(one["messages"]): one for one in stored_answers(answering_run(round, found.incumbent))}
    pairs = (
        AnswersCompared(
            messages=one["messages"],
            before=old["responses"][0],
            after=one["responses"][0],
            before_points=old["points"][0],
            after_points=one["points"][0],
        )
        for one in stored_answers(answering_run(round, found.model))
        if (old := current.get(repr(one["messages"]))) and old["responses"][0] != one["responses"][0]
    )
    return list(islice(pairs, SHOWN_PROMPTS))
