"""The English and German words that name the columns and the votes of a table."""

from __future__ import annotations

from preferences.formats.readers.columns.names import words_of

# Whole column names. A column's name is converted by `names.key_of` before the comparison: "WorkerId" becomes
# worker_id.
MORE_PROMPT_NAMES = (
    "input",
    "user_prompt",
    "user_input",
    "context",
    "user",
    "post",
    "source_text",
    "frage",
    "aufgabe",
    "anfrage",
    "eingabe",
)
ANNOTATOR_NAMES = (
    "annotator",
    "annotator_id",
    "worker",
    "worker_id",
    "labeler",
    "labeller",
    "labeler_id",
    "rater",
    "rater_id",
    "evaluator",
    "judge",
    "reviewer",
    "annotated_by",
    "completed_by",
    "bewerter",
    "bewerterin",
    "bearbeiter",
    "bearbeiterin",
    "annotatorin",
    "email_address",
    "e_mail_adresse",
)
COMMENT_NAMES = (
    "comment",
    "comments",
    "reason",
    "reasoning",
    "explanation",
    "rationale",
    "justification",
    "kommentar",
)
TIME_NAMES = ("timestamp", "created_at", "tstamp", "submitted_at", "submit_time", "given_at", "zeitstempel")
ID_NAMES = ("ranking_id", "annotation_id", "comparison_id", "assignment_id", "vote_id", "id")
LIST_NAMES = (
    "responses",
    "completions",
    "answers",
    "candidates",
    "outputs",
    "generations",
    "summaries",
    "replies",
    "options",
)
# Fields of Rankloop's own format that describe a ranking. Without an order, these fields are not a vote.
NOT_VOTES = frozenset({"ratings", "flags", "choices", "rewrite", "confidence", "strength", "metadata"})
# Words in the names of columns that contain one response each.
RESPONSE_WORDS = frozenset(
    words_of(
        "response answer completion output candidate generation reply summary text assistant continuation"
        " option sample result translation antwort ausgabe zusammenfassung"
    )
)
# Words in the names of columns that describe a response.
DESCRIPTION_WORDS = frozenset(
    words_of(
        "model source generator id name score rank rating reward winner win safe length tokens language lang"
        " label category type url time feedback comment reason rationale explanation metadata note is has"
    )
)
MODEL_WORDS = ("model", "generator", "source", "system")
# Words in the name of a column that contains a vote. If there are several such columns, the vote is the
# column whose word comes first in this list.
WINNER_WORDS = (
    "winner",
    "win",
    "wins",
    "won",
    "preferred",
    "preference",
    "prefer",
    "prefers",
    "pref",
    "prefs",
    "favorite",
    "favourite",
    "better",
    "best",
    "vote",
    "voted",
    "verdict",
    "judgement",
    "judgment",
    "decision",
    "choice",
    "chosen",
    "chose",
    "selected",
    "selection",
    "pick",
    "picked",
    "comparison",
    "accept",
    "accepted",
    "gewinner",
    "sieger",
    "bevorzugt",
    "besser",
    "bessere",
    "beste",
    "urteil",
    "entscheidung",
    "auswahl",
    "wahl",
)
# Words in the name of a column that names the worse response, such as `loser` and `least_preferred`.
LOSER_WORDS = frozenset(
    words_of(
        "rejected loser losing loses lost worst worse dispreferred unpreferred inferior disliked least less"
        " verlierer schlechter schlechtere schlechteste abgelehnt"
    )
)
# If one of these words precedes one of WINNER_WORDS, the column also names the worse response, as in
# `non_preferred`.
NEGATIONS = frozenset({"non", "not", "nicht"})
# Words in the names of columns whose numbers state whether something is true and do not identify a response.
TRUTH_WORDS = frozenset(words_of("is was has win wins won accept accepted ist hat"))
RANK_WORDS = frozenset({"rank", "ranks", "ranking", "rankings", "place", "position", "rang", "platz"})
ORDER_WORDS = frozenset({"order", "ordering", "ordered", "sorted", "sort"})
SCORE_WORDS = frozenset(
    words_of("score scores rating ratings reward rewards elo label grade punkte bewertung")
)
# Words in the names of columns that contain counts. A count per response can be the response's score, but a
# single count for the whole row is not a vote.
COUNT_WORDS = frozenset(words_of("votes upvotes likes wins labels preferences verdicts judgements judgments"))
ASPECT_WORDS = frozenset(
    words_of(
        "helpfulness helpful harmlessness harmless honesty truthfulness correctness coherence quality overall"
        " accuracy relevance fluency safety completeness clarity faithfulness factuality usefulness likert"
        " stars points"
    )
)
# Words in the names of columns that contain measurements of the responses, not judgements.
MEASURE_WORDS = frozenset(
    words_of(
        "token tokens length len lengths chars characters words temperature temperatures top seed seeds cost"
        " costs price latency id ids idx index year age turn turns page step steps size model models version"
        " logprob logprobs perplexity ppl created attempt run params parameters embedding embeddings vector"
    )
)
# Words in the names of columns whose truth values are judgements of a response.
APPROVAL_WORDS = frozenset(
    words_of(
        "thumbs thumb up like likes liked upvote upvoted correct good acceptable accepted pass passed"
        " approved helpful safe best"
    )
)
# Values that express approval or disapproval of a response.
APPROVALS = frozenset(
    {"👍", "👎", "+", "-", "+1", "-1", "good", "bad", "like", "dislike", "liked", "disliked"}
    | {"thumbs up", "thumbs down", "thumbs_up", "thumbs_down", "upvote", "downvote", "correct", "incorrect"}
    | {"better", "worse", "best", "worst", "win", "won", "lose", "lost", "pass", "fail", "passed", "failed"}
    | {"up", "down", "positive", "negative", "approve", "approved", "disapprove", "disapproved", "reject"}
    | {"accept", "acceptable", "unacceptable", "helpful", "unhelpful", "okay", "excellent", "poor", "gut"}
    | {"schlecht", "✓", "✔", "✅", "✗", "✘", "❌", "❤", "❤️", "🙂", "🙁", "😀", "☹"}
)
# Words in the names of columns in which a letter identifies the better response, although the column's name
# does not say so. In a column with any other name, such as `category`, A and B can have another meaning.
VERDICT_WORDS = frozenset(
    words_of("result outcome annotation annotations answer label human gold target truth ergebnis gt correct")
)
# Names of columns that can contain the number of the best response.
NUMBER_NAMES = frozenset(
    {"target", "gold", "argmax", "result", "outcome", "annotation", "answer", "correct", "correct_answer"}
    | {"ground_truth", "gt", "human", "ergebnis"}
)
# Names of columns whose numbers can be signed preferences between two responses. A column with one of
# SIGNED_NAMES must also contain a number below 0.
DIFFERENCE_NAMES = frozenset({"margin", "delta", "diff", "difference", "advantage", "logit", "reward_margin"})
DIFFERENCE_NAMES |= {"likert", "slider", "preference_margin", "gap"}
SIGNED_NAMES = frozenset({"strength", "scale", "value"})
# Values that compare two responses with a sign: ">" stands for "A > B".
SIGNS = frozenset({">", "<", "=", "==", ">>", "<<", ">=", "<=", "≻", "≺", "~", "≈"})
# Words in the names of columns that contain annotators' judgements.
PEOPLE_WORDS = frozenset(
    words_of(
        "annotator annotators annotation annotations rater raters judge judges worker workers labeler"
        " labelers reviewer reviewers evaluator evaluators"
    )
)
# Values that state that a response won or lost, without identifying the response.
OUTCOMES = frozenset({"win", "wins", "won", "lose", "loses", "lost", "loss"})
# Words that show that a column contains something else, such as the reason for a choice or the time of a
# vote.
OTHER_WORDS = frozenset(
    words_of(
        "reason reasoning comment comments explanation rationale justification statement elaboration why"
        " feedback"
        " confidence time date timestamp at duration seconds source count counts metadata note notes by name"
        " type prompt method strength margin of number num grund kommentar datum dauer"
    )
)
TIES = frozenset(
    words_of("tie ties tied draw equal same both even bothgood similar gleich beide unentschieden")
)
BOTH_BAD = frozenset({"bothbad", "neither", "none"})
# Words in a cell that do not identify a response.
FILLER = frozenset(
    words_of(
        "response answer model completion output assistant option candidate summary reply the is are better"
        " wins won win winner preferred side good conversation text system generation antwort"
        " ist sind besser gut"
    )
)
ADVERBS: dict[str, int | None] = {
    "equally": None,
    "slightly": 1,
    "marginally": 1,
    "clearly": 2,
    "significantly": 3,
    "much": 3,
    "far": 3,
    "strongly": 3,
    "etwas": 1,
    "deutlich": 2,
    "viel": 3,
}
