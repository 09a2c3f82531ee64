"""MT-bench, which consists of two files: `answers` contains two-turn questions with each model's answers, and
`votes` contains judgements that compare two models on one turn.

A vote on the second turn judges whole conversations, which already differ in the first answer. The prompt of
a second-turn task is therefore the opening question, as in the first-turn task, and each response consists of
the first answer, the follow-up question and the second answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from preferences.fields import (
    check_response_count,
    given,
    int_of,
    kind,
    label_of,
    list_of,
    metadata_of,
    one_of,
    prompt_messages,
    text_of,
    time_of,
)
from preferences.formats.dialogues import LABELS, run_on
from preferences.formats.readers.prompts import has_prompt
from preferences.quirks import EMPTY_REPLY
from preferences.records import (
    ImportFormat,
    Parsed,
    RankingRecord,
    Record,
    ResponseKey,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
    Vote,
)

MAX_TURNS = 10
ANSWER_FIELDS = frozenset({"turns", "responses", "metadata"})
VOTE_FIELDS = frozenset({"judge", "model_a", "model_b", "question_id", "turn", "winner", "metadata"})
BOTH_BAD = "tie (bothbad)"
WINNERS: dict[str, Tiers] = {
    "model_a": ((0,), (1,)),
    "model_b": ((1,), (0,)),
    "tie": ((0, 1),),
    BOTH_BAD: ((0, 1),),
}


def recognises_answers(row: Row) -> bool:
    responses = row.get("responses")
    return (
        isinstance(row.get("turns"), list)
        and isinstance(responses, list)
        and bool(responses)
        and all(isinstance(item, dict) and "turns" in item for item in responses)
    )


def parse_answers(row: Row) -> Parsed:
    questions = [
        text_of(text, f"turns.{index}") for index, text in enumerate(list_of(row.get("turns"), "turns"))
    ]
    if not 1 <= len(questions) <= MAX_TURNS:
        raise RowError(f"`turns` has {len(questions)} questions; the number must be from 1 to {MAX_TURNS}")
    responses = list_of(row.get("responses"), "responses")
    answers = [_answers(item, index, len(questions)) for index, item in enumerate(responses)]
    check_response_count(len(answers))
    metadata = metadata_of(row, ANSWER_FIELDS)
    if len(questions) > 1:
        metadata = {**metadata, "turns": questions}
    return [
        Record(
            messages=prompt_messages(questions[0], "turns.0"),
            responses=tuple(
                ResponseRecord(_conversation(questions, texts, turn), model, metadata={"turn": turn})
                for model, texts in answers
            ),
            metadata=metadata,
            task_metadata={"turn": turn},
            # A vote compares two of a question's responses, so all responses are needed even in a project
            # whose form shows only pairs.
            task_optional=True,
            quirks=(EMPTY_REPLY,) if any(not texts[turn - 1].strip() for _, texts in answers) else (),
        )
        for turn in range(1, len(questions) + 1)
    ]


def _answers(item: object, index: int, turns: int) -> tuple[str, list[str]]:
    where = f"responses.{index}"
    if not isinstance(item, Mapping):
        raise RowError(f"{where} must be an object with model and turns, not {kind(item)}")
    texts = [text_of(text, f"{where}.turns") for text in list_of(item.get("turns"), f"{where}.turns")]
    if len(texts) != turns:
        raise RowError(f"{where}.turns has {len(texts)} answers to {turns} questions")
    return label_of(item.get("model"), f"{where}.model"), texts


def _conversation(questions: list[str], answers: list[str], turn: int) -> str:
    further = [
        (LABELS[role], texts[number])
        for number in range(1, turn)
        for role, texts in (("user", questions), ("assistant", answers))
    ]
    return run_on(answers[0], further)


def recognises_votes(row: Row) -> bool:
    # A row that also contains a prompt belongs to a table of responses with a `question_id` column.
    votes = {"question_id", "model_a", "model_b", "winner"} <= row.keys()
    return votes and "conversation_a" not in row and not has_prompt(row)


def parse_vote(row: Row) -> Parsed:
    winner = one_of(row.get("winner"), "winner", WINNERS)
    question = row.get("question_id")
    if not given(question) or not isinstance(question, (str, int)):
        raise RowError(f"question_id must be text or a number, not {kind(question)}")
    turn = int_of(row.get("turn"), "turn", low=1, high=MAX_TURNS) or 1
    models = [label_of(row.get(name), name) for name in ("model_a", "model_b")]
    return [
        Vote(
            prompt=("question_id", question),
            responses=tuple(ResponseKey(model, {"turn": turn}) for model in models),
            ranking=RankingRecord(
                tiers=WINNERS[winner],
                annotator=label_of(row.get("judge"), "judge"),
                all_bad=winner == BOTH_BAD,
                metadata=metadata_of(row, VOTE_FIELDS),
                given_at=time_of(row.get("tstamp")),
            ),
            refers_to=f"question {question}, turn {turn}",
        )
    ]


ANSWERS = ImportFormat(
    name="mt-bench-answers",
    title="MT-bench questions with the answers of several models (JSON Lines)",
    reads="Each question becomes one task per turn. In the second turn's task, each response is "
    "the rest of the conversation: first answer, follow-up question, second answer.",
    loses="Nothing: `question_id`, `category` and `turns` are kept with the prompt, and the turn is"
    " kept with each response.",
    example='{"question_id": 81, "category": "writing", "turns": ["q1", "q2"],'
    ' "responses": [{"model": "x", "turns": ["a1", "a2"]}, {"model": "y", "turns": ["b1", "b2"]}]}',
    recognises=recognises_answers,
    parse=parse_answers,
)
VOTES = ImportFormat(
    name="mt-bench-votes",
    title="MT-bench votes on pairs of models (JSON Lines); import the answers first",
    reads="Each vote becomes a ranking of two responses, with a separate task for each pair and "
    "turn; the judge is the annotator. The responses come from the answers file and are "
    "found by `question_id`, model and turn.",
    loses="Nothing; if a judge casts the same vote on a pair several times, the votes become one ranking.",
    example='{"judge": "expert_1", "model_a": "x", "model_b": "y", "question_id": 81, "turn": 1,'
    ' "winner": "model_a"}',
    recognises=recognises_votes,
    parse=parse_vote,
)
