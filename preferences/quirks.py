"""Quirks: deviations of real files from the specification of their format. An import counts each quirk and
reports the affected lines and how they were interpreted. A quirk never causes a row to be rejected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirk:
    """`name` is for programs; `text` describes the deviation and how the import handled it."""

    name: str
    text: str


IDENTICAL_PAIR = Quirk(
    "identical-pair",
    "both replies have the same text, so there is nothing to rank; the prompt and one reply were imported "
    "without a comparison",
)
EMPTY_REPLY = Quirk("empty-reply", "a reply is empty; it is kept unchanged")
EMPTY_TURN = Quirk("empty-turn", "a turn of the conversation is empty; it is kept unchanged")
RUNS_ON = Quirk(
    "runs-on",
    "a reply contains further turns, which differ between the two conversations; the reply's whole text is "
    "kept as the response",
)
NOT_ALTERNATING = Quirk(
    "not-alternating",
    "the conversation's turns do not alternate between user and assistant; they are kept unchanged",
)
ROLE_IN_TEXT = Quirk("role-in-text", "a turn contains text that looks like a role label; it is kept as text")
REPEATED_RESPONSE = Quirk(
    "repeated-response",
    "a response occurs twice; it was imported once, at its best position and with the ratings and "
    "flags of its first occurrence",
)
ONE_RESPONSE = Quirk(
    "one-response",
    "there is only one distinct response, so there is nothing to rank; the prompt and the response were "
    "imported without a task; if the row's ranking contains more than an order, it is kept in the response's "
    "metadata, under `left_out_rankings`",
)
TOO_MANY_RESPONSES = Quirk(
    "too-many-responses",
    "there are more responses than one task can show; the responses were divided among several tasks",
)
SAME_ANNOTATOR_AGAIN = Quirk(
    "same-annotator-again",
    "the same annotator ranked the same responses again; the later ranking replaces the earlier one, which "
    "is kept as history",
)
IMPLICIT_PROMPT = Quirk(
    "implicit-prompt",
    "there is no prompt; the words that both texts begin with were used as the prompt",
)
PROMPT_REPEATED = Quirk(
    "prompt-repeated",
    "both responses begin with the text of the prompt; it was removed from the responses",
)
PROMPT_DIFFERS = Quirk(
    "prompt-differs",
    "the prompt or system field differs from the turns that both conversations share; the shared turns were "
    "used as the prompt, and the field is kept in the metadata",
)
RANKS_MISSING = Quirk(
    "ranks-missing",
    "some replies have no rank; they were imported without a rank, and the ranking covers the other replies",
)
NO_RANKS = Quirk("no-ranks", "there are several replies without ranks; the task is open for ranking")
RANKS_LOST = Quirk(
    "ranks-lost",
    "the ranks of the options were lost when the file was written; the task is open for ranking",
)
NO_WEAK_ORDER = Quirk(
    "no-weak-order",
    "the judgements of pairs contradict each other, so no ranking can express all of them; each "
    "judgement was imported as a ranking of two responses",
)
ANSWER_LEFT_OUT = Quirk(
    "answer-left-out",
    "an answer was cancelled, discarded, empty or a draft in its source system; it was left out",
)
BUCKETS = Quirk(
    "buckets",
    "the responses were sorted into named buckets; the buckets were used as tiers, in file order, and each "
    "response keeps its bucket's name as a flag",
)
TIME_NOT_UNDERSTOOD = Quirk(
    "time-not-understood", "a time is in an unknown format; it is kept as text in the metadata"
)
MARGIN_NOT_WHOLE = Quirk(
    "margin-not-whole",
    "a margin is negative, too large or not a whole number, so it can't be used as the strength; it is kept "
    "in the metadata",
)
NOT_A_NUMBER = Quirk(
    "not-a-number",
    "a value is NaN or Infinity, which JSON can't contain; the value was treated as missing",
)
FORM_TAKES_OTHERS = Quirk(
    "form-takes-others",
    "the project's form requires a different number of responses; the prompt, the responses and any "
    "rankings were imported, but no task is open for them",
)
VOTE_MISSING = Quirk(
    "vote-missing",
    "the file has a column for votes, but the row contains no vote; the task is open for ranking",
)
NO_ORDER = Quirk(
    "no-order",
    "the responses were rated, flagged, commented on or rewritten, but not ordered; these values are kept as "
    "a ranking without an order, which does not close its task",
)
OTHER_VOTES = Quirk(
    "other-votes",
    "the row has further columns that look like votes; they are kept in the ranking's metadata",
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
        PROMPT_REPEATED,
        PROMPT_DIFFERS,
        RANKS_MISSING,
        NO_RANKS,
        RANKS_LOST,
        NO_WEAK_ORDER,
        ANSWER_LEFT_OUT,
        BUCKETS,
        TIME_NOT_UNDERSTOOD,
        MARGIN_NOT_WHOLE,
        NOT_A_NUMBER,
        FORM_TAKES_OTHERS,
        VOTE_MISSING,
        OTHER_VOTES,
        NO_ORDER,
    )
}
