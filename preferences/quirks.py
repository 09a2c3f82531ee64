"""What real files do that a format's description doesn't say. Each is counted and named in the report with
its lines, together with the rule that was followed; nothing here makes a row fail. No Django here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirk:
    """`name` is for programs, `text` says what was found and what was done about it."""

    name: str
    text: str


IDENTICAL_PAIR = Quirk(
    "identical-pair",
    "both replies are the same text, so there is nothing to rank: the prompt and the reply were taken, no"
    " comparison",
)
EMPTY_REPLY = Quirk("empty-reply", "a reply is empty; it is kept as it stands")
EMPTY_TURN = Quirk("empty-turn", "a turn inside the conversation is empty; it is kept as it stands")
RUNS_ON = Quirk(
    "runs-on",
    "a reply runs on into further turns (the histories differ); its whole text is kept as the response",
)
NOT_ALTERNATING = Quirk(
    "not-alternating", "the turns of the conversation don't alternate; they are kept as they stand"
)
ROLE_IN_TEXT = Quirk(
    "role-in-text", "text that looks like a role label stands inside a turn; it is kept as text"
)
REPEATED_RESPONSE = Quirk(
    "repeated-response", "a response stands there twice; it was taken once, at its best place"
)
ONE_RESPONSE = Quirk(
    "one-response",
    "there is only one distinct response, so nothing to rank: it was taken with its prompt, without a task",
)
TOO_MANY_RESPONSES = Quirk(
    "too-many-responses",
    "there are more responses than one task can show; they were dealt out to several tasks",
)
SAME_ANNOTATOR_AGAIN = Quirk(
    "same-annotator-again",
    "the same annotator ranks the same responses again; the later answer supersedes the earlier, which stays"
    " as history",
)
IMPLICIT_PROMPT = Quirk(
    "implicit-prompt",
    "no prompt is given; what both texts begin with, up to the last space, was taken as the prompt",
)
RANKS_MISSING = Quirk(
    "ranks-missing",
    "some replies have no rank: they were taken without one, and the ranking is of the others",
)
NO_RANKS = Quirk("no-ranks", "there are several replies and no ranks; the task is open, to be ranked")
RANKS_LOST = Quirk(
    "ranks-lost",
    "the answers hold the options without their ranks (lost when the file was written); the task is open, to"
    " be ranked",
)
NO_WEAK_ORDER = Quirk(
    "no-weak-order",
    "the pairs contradict each other, so no one ranking says them all; each pair was taken as a ranking of"
    " two",
)
ANSWER_LEFT_OUT = Quirk(
    "answer-left-out",
    "an answer was cancelled, discarded, a draft or empty in the system it comes from; it was left out",
)
BUCKETS = Quirk(
    "buckets",
    "the responses were sorted into named buckets; these were taken as tiers, in the order of the file, and"
    " each response keeps its bucket as a flag",
)
TIME_NOT_UNDERSTOOD = Quirk(
    "time-not-understood", "a time could not be understood; it is kept as text in the metadata"
)
MARGIN_NOT_WHOLE = Quirk(
    "margin-not-whole", "a margin is no whole number, so it is no strength; it is kept in the metadata"
)
FORM_TAKES_OTHERS = Quirk(
    "form-takes-others",
    "the project's form doesn't take so many responses: no task was made, prompt and responses came in",
)
QUIRKS = {
    quirk.name: quirk
    for quirk in (
        IDENTICAL_PAIR,
        EMPTY_REPLY,
        EMPTY_TURN,
        RUNS_ON,
        NOT_ALTERNATING,
        ROLE_IN_TEXT,
        REPEATED_RESPONSE,
        ONE_RESPONSE,
        TOO_MANY_RESPONSES,
        SAME_ANNOTATOR_AGAIN,
        IMPLICIT_PROMPT,
        RANKS_MISSING,
        NO_RANKS,
        RANKS_LOST,
        NO_WEAK_ORDER,
        ANSWER_LEFT_OUT,
        BUCKETS,
        TIME_NOT_UNDERSTOOD,
        MARGIN_NOT_WHOLE,
        FORM_TAKES_OTHERS,
    )
}
