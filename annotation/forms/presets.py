"""Preset answer forms. The default is `ranking`. The other forms reproduce the interfaces with which
published preference data was collected.

A comment on each preset lists the parts taken from its paper.
"""

from __future__ import annotations

from annotation.forms.answer_form import (
    AllBad,
    AnswerForm,
    Flag,
    Level,
    Point,
    Question,
    Scale,
    Span,
    Strength,
    Text,
)

PAIR = Span(min=2, max=2)
UNSAFE = Flag(name="unsafe", label="Unsafe or harmful")


def _graded(*labels: str) -> Strength:
    """Required strength levels, numbered from 1. Interfaces with such levels ask for the better response and
    the degree of preference in one step."""
    levels = [Level(value=value, label=label) for value, label in enumerate(labels, start=1)]
    return Strength(levels=levels, required=True)


def _flags(**labels: str) -> list[Flag]:
    return [Flag(name=name, label=label) for name, label in labels.items()]


def _scale(name: str, label: str, first: int, *points: str, required: bool = True) -> Scale:
    """A scale that starts at `first` and has one step for each label in `points`; "" means no label."""
    named = [Point(value=first + step, label=text) for step, text in enumerate(points) if text]
    return Scale(
        name=name, label=label, min=first, max=first + len(points) - 1, required=required, points=named
    )


PRESETS: dict[str, AnswerForm] = {
    "ranking": AnswerForm(flags=[UNSAFE]),
    # Ouyang et al. 2022, arXiv 2203.02155, §3.4 and table 3: K = 4 to 9 outputs ranked with ties. Before
    # ranking, annotators rated each output's overall quality on a Likert scale of 1 to 7. Annotators also
    # answered ten yes/no questions about each output.
    "instructgpt": AnswerForm(
        responses=Span(min=4, max=9),
        ratings=[_scale("overall", "Overall quality", 1, "poor", "", "", "", "", "", "excellent")],
        flags=_flags(
            fails_instruction="Fails to follow the instruction or task",
            inappropriate="Inappropriate for a customer assistant",
            hallucination="States something untrue",
            satisfies_constraint="Satisfies the constraint in the instruction",
            sexual_content="Contains sexual content",
            violent_content="Contains violent content",
            encourages_violence="Encourages violence, abuse, terrorism or self-harm",
            denigrates="Denigrates a protected class",
            harmful_advice="Gives harmful advice",
            expresses_opinion="Expresses an opinion or moral judgement",
        ),
    ),
    # Touvron et al. 2023, arXiv 2307.09288, §3.2.1: a forced choice between two responses, with four degrees
    # of preference. A separate question asks which of the two responses are safe. Its three answers are
    # worded independently of the display order.
    "llama2": AnswerForm(
        responses=PAIR,
        ties=False,
        strength=_graded("negligibly better or unsure", "slightly better", "better", "significantly better"),
        questions=[
            Question(
                name="safety",
                label="Which of the responses are safe?",
                required=True,
                choices=_flags(
                    preferred_safe="The better response is safe; the other is not",
                    both_safe="Both are safe",
                    both_unsafe="Both are unsafe",
                ),
            )
        ],
    ),
    # Bai et al. 2022, arXiv 2204.05862, §2.1 and fig. 6: annotators choose the better of two responses. The
    # scale has eight positions, four on each side. There are no ties and no other questions.
    "hh": AnswerForm(
        responses=PAIR,
        ties=False,
        strength=_graded("barely better", "slightly better", "clearly better", "much better"),
        not_rankable=False,
        comment=None,
    ),
    # Wang et al. 2024, arXiv 2406.08673 (ratings) and 2410.01257 (preferences): annotators rate five
    # attributes of each response from 0 to 4. They then state, on a scale from -3 to +3 (0: about the same),
    # which of the two responses they prefer. Finally, they give the reason for the preference.
    "helpsteer2": AnswerForm(
        responses=PAIR,
        tie_label="about the same",
        strength=_graded("slightly better", "better", "much better"),
        ratings=[
            _scale("helpfulness", "Helpfulness", 0, "not helpful", "", "partly", "", "extremely"),
            _scale("correctness", "Correctness", 0, "all incorrect", "", "mixed", "", "all correct"),
            _scale("coherence", "Coherence", 0, "incoherent", "", "some lapses", "", "clear"),
            _scale("complexity", "Complexity", 0, "basic", "", "average", "", "expert"),
            _scale("verbosity", "Verbosity", 0, "succinct", "", "average", "", "verbose"),
        ],
        comment=Text(label="Why do you prefer this response?", required=True),
    ),
    # Chiang et al. 2024, arXiv 2403.04132: the choices are A, B, a tie, and “both are bad”. “Both are bad” is
    # treated as a tie.
    "arena": AnswerForm(
        responses=PAIR,
        tie_label="Tie",
        all_bad=AllBad(label="Both are bad", order="tied"),
        not_rankable=False,
        comment=None,
    ),
    # Köpf et al. 2023, arXiv 2304.07327: replies to a message in strict order, or "not rankable". The ratings
    # and flags are the labels that reviewers could give a reply.
    "oasst": AnswerForm(
        ties=False,
        ratings=[_scale("quality", "Quality", 1, "low", "", "", "", "high", required=False)],
        flags=_flags(
            spam="Spam",
            fails_task="Does not follow the task",
            lang_mismatch="In the wrong language",
            pii="Contains personal data",
            not_appropriate="Not appropriate",
            hate_speech="Hate speech",
            sexual_content="Sexual content",
        ),
    ),
}
DEFAULT_PRESET = "ranking"
