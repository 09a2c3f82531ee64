"""Refused files in the published schemas of datasets and annotation tools. If a mapping makes a file
readable, the mapping is included. The texts in these files were written for the tests."""

from __future__ import annotations

from typing import NamedTuple

from tests.preferences.formats.shapes.read import ASKED, CAT, DOG, TEXTS, Row, turns

BOTH = {"response_a": "Cat", "response_b": "Dog"}


class Refused(NamedTuple):
    """A refused file, with part of the error message. If `mapping` is set, the file can be read with this
    mapping, and `order` is the resulting order of its responses."""

    data: Row | str
    reason: str
    mapping: Row = {}
    order: str = ""


REFUSED: dict[str, Refused] = {
    "openai/webgpt_comparisons": Refused(
        {
            "question": {"dataset": "eli5", "id": "1", "full_text": "Best pet?"},
            "quotes_0": {"title": [], "extract": []},
            "answer_0": "Cat",
            "tokens_0": {"prefix": [1], "completion": [2]},
            "score_0": -0.5,
            "quotes_1": {"title": [], "extract": []},
            "answer_1": "Dog",
            "tokens_1": {"prefix": [1], "completion": [3]},
            "score_1": 0.5,
        },
        "score_0 (it isn't known whether a higher number is better); score_1",
        {"vote": "score_0,score_1", "direction": "higher"},
        DOG,
    ),
    "stanfordnlp/SHP": Refused(
        {
            "post_id": "p",
            "history": "Best pet?",
            "score_A": 5,
            "score_B": 2,
            "human_ref_A": "Cat",
            "human_ref_B": "Dog",
            "labels": 1,
            "seconds_difference": 60.0,
        },
        "post_id, history, score_A, score_B, human_ref_A, human_ref_B, labels",
        {
            "prompt": "history",
            "responses": "human_ref_A,human_ref_B",
            "vote": "score_A,score_B",
            "direction": "higher",
        },
        CAT,
    ),
    "lvwerra/stack-exchange-paired": Refused(
        {"qid": 1, "question": "Best pet?", "metadata": ["u"], "response_j": "Dog", "response_k": "Cat"},
        "response_j, response_k",
    ),
    "BAAI/JudgeLM-100K": Refused(
        {
            "question_body": "Best pet?",
            "answer1_body": "Cat",
            "answer2_body": "Dog",
            "answer1_model_id": "large",
            "answer2_model_id": "small",
            "score": [6, 8],
        },
        "score (it isn't known whether a higher number is better)",
        {"vote": "score", "direction": "higher"},
        DOG,
    ),
    "Anthropic/hh-rlhf (red-team-attempts)": Refused(
        {
            "transcript": "\n\nHuman: Best pet?\n\nAssistant: Cat",
            "min_harmlessness_score_transcript": -1.2,
            "rating": 4.0,
            "task_description": "Ask about pets.",
        },
        "transcript, min_harmlessness_score_transcript, rating",
    ),
    "nvidia/HelpSteer2": Refused(
        {**ASKED, "response": "Cat", "helpfulness": 3, "correctness": 4, "coherence": 4},
        "prompt, response, helpfulness, correctness",
    ),
    "PKU-Alignment/BeaverTails": Refused(
        {**ASKED, "response": "Cat", "category": {"animal_abuse": False}, "is_safe": True},
        "prompt, response, category, is_safe",
    ),
    "princeton-nlp/LLMBar": Refused(
        {"input": "Best pet?", "output_1": "Cat", "output_2": "Dog", "label": 2},
        "label (",
        {"vote": "label"},
        DOG,
    ),
    "NCSOFT/offsetbias": Refused(
        {"instruction": "Best pet?", "output_1": "Cat", "output_2": "Dog", "label": 1, "id": "x"},
        "label (",
        {"vote": "label"},
        CAT,
    ),
    "prometheus-eval/Feedback-Collection": Refused(
        {
            "orig_instruction": "Best pet?",
            "orig_response": "Cat",
            "orig_score": "4",
            "instruction": "###Task",
            "output": "[RESULT] 4",
        },
        "orig_instruction, orig_response, orig_score",
    ),
    "TRL (unpaired, KTO)": Refused(
        {**ASKED, "completion": "Cat", "label": True}, "prompt, completion, label"
    ),
    "argilla/ultrafeedback (distilabel)": Refused(
        {"instruction": "Best pet?", "generations": ["Cat", "Dog"], "ratings": [4.0, 5.0]},
        "ratings (it isn't known whether a higher number is better)",
        {"vote": "ratings", "direction": "higher"},
        DOG,
    ),
    "HannahRoseKirk/prism-alignment": Refused(
        {
            "user_prompt": "Best pet?",
            "model_name": "large",
            "model_response": "Cat",
            "score": 88,
            "if_chosen": True,
        },
        "if_chosen (no response columns were found)",
    ),
    "Arena-Hard judgments": Refused(
        {**ASKED, "answer_a": "Cat", "answer_b": "Dog", "judgment": "My final verdict is: [[A>>B]]"},
        "judgment ('My final verdict is: [[A>>B]]' names no response)",
    ),
    "openbmb/UltraInteract_pair": Refused(
        {
            "trajectory": [{"from": "user", "value": "Best pet?"}],
            "chosen": "Step 1: Dog",
            "rejected": "Step 1: Cat",
        },
        "trajectory could contain the prompt",
    ),
    "openbmb/RLAIF-V-Dataset": Refused(
        {"image": {"bytes": "iVBO", "path": "a.png"}, "question": "Best pet?", **TEXTS},
        "an image, audio or video in image",
    ),
    "Potato": Refused(
        {"id": "1", "displayed_text": ["Cat", "Dog"], "label_annotations": {"preference": {"A": "true"}}},
        "displayed_text, label_annotations",
    ),
    "doccano": Refused(
        {"id": 1, **ASKED, **BOTH, "label": ["A"], "Comments": []},
        "label (it isn't known which response its values refer to)",
        {"vote": "label"},
        CAT,
    ),
    "LangSmith": Refused(
        {"inputs": {"question": "Best pet?"}, "outputs": {"answer": "Cat"}, "feedback_stats": {"rank": 1}},
        "inputs, outputs, feedback_stats",
    ),
    "Langfuse": Refused(
        "id,traceId,name,value,stringValue,comment,authorUserId\ns1,t1,preference,1,A,Loyal.,mia\n",
        "traceId, name, value, stringValue, comment",
    ),
    "Amazon SageMaker Ground Truth": Refused(
        {**ASKED, **BOTH, "better": 0, "better-metadata": {"class-name": "A", "human-annotated": "yes"}},
        "better (its numbers (0) don't show whether the numbering starts at 0 or 1)",
        {"vote": "better", "direction": "from-0"},
        CAT,
    ),
    "Likert scale": Refused(
        {**ASKED, **BOTH, "preference": -2},
        "preference (its numbers (-2) don't show",
        {"vote": "preference", "direction": "negative-first"},
        CAT,
    ),
    "TRL (vision)": Refused(
        {"messages": turns("Best pet?"), "images": [{"url": "a.png"}], **TEXTS},
        "an image, audio or video in images",
    ),
    "yuvalkirstain/pickapic_v1_no_images": Refused(
        {"caption": "A cat", "jpg_0": "", "jpg_1": "", "label_0": 1.0, "label_1": 0.0, "user_id": 7},
        "the file contains preferences between images, as in Pick-a-Pic",
    ),
    "Approval per response": Refused(
        {**ASKED, **BOTH, "thumbs_a": "down", "thumbs_b": "up"},
        "thumbs_a (it isn't known which response its values refer to); thumbs_b",
    ),
    "Order as text": Refused(
        {**ASKED, **BOTH, "response_c": "Ant", "preferences": "B>A=C"},
        "preferences (it contains an order as text",
    ),
    "Matrix of pairs": Refused(
        {**ASKED, "responses": ["Cat", "Dog"], "pairwise": [[0, 0], [1, 0]]},
        "pairwise (it compares the responses in pairs",
    ),
    "One column per annotator": Refused(
        {**ASKED, **BOTH, "annotator_1": "B", "annotator_2": "tie", "annotator_3": "B"},
        "annotator_2 (several columns can be read as the vote)",
    ),
    "allenai/multipref": Refused(
        {
            "comparison_id": "1",
            "text": "Best pet?",
            "completion_a": "Cat",
            "completion_b": "Dog",
            "model_a": "m",
            "model_b": "n",
            "normal_worker_annotations": [{"overall_pref": "B-is-clearly-better", "evaluator": "w1"}],
        },
        "The format is not recognised",
    ),
}
