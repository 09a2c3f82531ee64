"""Readable files in the published schemas of datasets and annotation tools. The texts in these files were
written for the tests."""

from __future__ import annotations

from typing import Any, NamedTuple

Row = dict[str, Any]
CAT, DOG, TIE = "Cat > Dog", "Dog > Cat", "Cat = Dog"


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


ASKED = {"prompt": "Best pet?"}
CONVERSATIONS = {"chosen": turns("Best pet?", "Dog"), "rejected": turns("Best pet?", "Cat")}
TEXTS = {"chosen": "Dog", "rejected": "Cat"}
BATTLE = {
    "model_a": "large",
    "model_b": "small",
    "conversation_a": turns("Best pet?", "Cat"),
    "conversation_b": turns("Best pet?", "Dog"),
}


class Read(NamedTuple):
    """A readable file, with its format, the order of its responses, and other fields of its record."""

    format: str
    data: Row | str
    order: str
    annotator: str = ""
    kept: Row = {}
    prompt: str = "Best pet?"


READ: dict[str, Read] = {
    "lmsys/mt_bench_human_judgments": Read(
        "arena-battles",
        {**BATTLE, "question_id": 81, "winner": "model_b", "judge": "expert_1", "turn": 1},
        DOG,
        "expert_1",
        {"models": ["small", "large"], "question_id": 81},
    ),
    "lmsys/chatbot_arena_conversations": Read(
        "arena-battles",
        {
            **BATTLE,
            "question_id": "q1",
            "winner": "tie (bothbad)",
            "judge": "arena_user_9",
            "turn": 1,
            "anony": True,
            "language": "English",
            "tstamp": 1682351591.1,
            "toxic_chat_tag": {"roberta-large": {"flagged": False}},
        },
        TIE,
        "arena_user_9",
        {"all_bad": True, "language": "English", "toxic_chat_tag": {"roberta-large": {"flagged": False}}},
    ),
    "lmarena-ai/arena-expert-5k": Read(
        "arena-battles",
        {**BATTLE, "id": "b1", "winner": "model_a", "evaluation_session_id": "s", "evaluation_order": 1},
        CAT,
        kept={"evaluation_session_id": "s", "external_id": "b1"},
    ),
    "lmarena-ai/PPE-Human-Preference-V1": Read(
        "table",
        {
            **ASKED,
            "question_id": "1",
            "model_a": "large",
            "model_b": "small",
            "winner": "model_b",
            "response_1": "Cat",
            "response_2": "Dog",
            "language": "English",
        },
        DOG,
        kept={"models": ["small", "large"], "question_id": "1", "language": "English"},
    ),
    "tatsu-lab/alpaca_eval": Read(
        "table",
        {
            "instruction": "Best pet?",
            "output_1": "Cat",
            "output_2": "Dog",
            "generator_1": "large",
            "generator_2": "small",
            "annotator": "judge_model",
            "preference": 2.0,
            "price_per_example": 0.01,
        },
        DOG,
        "judge_model",
        {"models": ["small", "large"], "price_per_example": 0.01},
    ),
    "tatsu-lab/alpaca_farm": Read(
        "table",
        {
            "instruction": "Translate",
            "input": "Hund",
            "output_1": "Cat",
            "output_2": "Dog",
            "preference": 2,
            "raw_preference": 4,
        },
        DOG,
        kept={"raw_preference": 4},
        prompt="Translate\n\nHund",
    ),
    "nvidia/HelpSteer2 (preference)": Read(
        "rankloop",
        {
            **ASKED,
            "split": "train",
            "response_1": "Cat",
            "response_2": "Dog",
            "preference_strength": -2,
            "preference_statement": "Quieter.",
            "preference_elaboration": "It purrs.",
        },
        CAT,
        kept={"strength": 2, "comment": "Quieter.", "preference_elaboration": "It purrs."},
    ),
    "allenai/reward-bench": Read(
        "trl-preference",
        {**ASKED, **TEXTS, "chosen_model": "large", "rejected_model": "small", "subset": "chat", "id": 3},
        DOG,
        kept={"models": ["large", "small"], "subset": "chat", "id": 3},
    ),
    "Skywork/Skywork-Reward-Preference-80K": Read(
        "trl-preference", {**CONVERSATIONS, "source": "magpie"}, DOG, kept={"source": "magpie"}
    ),
    "argilla/ultrafeedback-binarized-preferences-cleaned": Read(
        "trl-preference",
        {**ASKED, **CONVERSATIONS, "chosen-rating": 5.0, "chosen-model": "large", "rejected-rating": 3.0},
        DOG,
        kept={"chosen-rating": 5.0, "chosen-model": "large", "rejected-rating": 3.0},
    ),
    "argilla/dpo-mix-7k": Read(
        "trl-preference",
        {**CONVERSATIONS, "dataset": "capybara", "chosen_rating": 5.0, "rejected_rating": 3.0},
        DOG,
        kept={"dataset": "capybara", "chosen_rating": 5.0},
    ),
    "argilla/Capybara-Preferences": Read(
        "trl-preference",
        {**CONVERSATIONS, "chosen_model": "large", "rejected_model": "small", "original_response": "Ant"},
        DOG,
        kept={"models": ["large", "small"], "original_response": "Ant"},
    ),
    "snorkelai/Snorkel-Mistral-PairRM-DPO-Dataset": Read(
        "trl-preference",
        {
            **ASKED,
            **CONVERSATIONS,
            "prompt_id": "p",
            "all_generated_responses": ["Cat", "Dog", "Ant"],
            "all_rm_scores": [0.1, 0.9, 0.2],
        },
        DOG,
        kept={"all_generated_responses": ["Cat", "Dog", "Ant"], "all_rm_scores": [0.1, 0.9, 0.2]},
    ),
    "mlabonne/orpo-dpo-mix-40k": Read(
        "trl-preference", {**ASKED, **CONVERSATIONS, "question": "Best pet?", "source": "orca"}, DOG
    ),
    "jondurbin/truthy-dpo-v0.1": Read(
        "trl-preference",
        {**ASKED, **TEXTS, "system": "Be kind.", "id": "h", "source": "truthy"},
        DOG,
        kept={"system": "Be kind.", "source": "truthy"},
    ),
    "unalignment/toxic-dpo-v0.2": Read("trl-preference", {**ASKED, **TEXTS}, DOG),
    "Dahoas/rm-static": Read(
        "trl-preference",
        {
            "prompt": "\n\nHuman: Hello\n\nAssistant: Hi!\n\nHuman: Best pet?\n\nAssistant:",
            "response": " Dog",
            "chosen": " Dog",
            "rejected": " Cat",
        },
        " Dog >  Cat",
        kept={"turns": 3},
    ),
    "CarperAI/openai_summarize_comparisons": Read(
        "trl-preference",
        {"prompt": "SUBREDDIT: r/pets\nPOST: Best pet?\nTL;DR:", **TEXTS},
        DOG,
        prompt="SUBREDDIT: r/pets\nPOST: Best pet?\nTL;DR:",
    ),
    "HuggingFaceH4/stack-exchange-preferences": Read(
        "table",
        {
            "qid": 1,
            "question": "Best pet?",
            "answers": [
                {"answer_id": 1, "author": "mia", "pm_score": 1, "selected": False, "text": "Cat"},
                {"answer_id": 2, "author": "tom", "pm_score": 3, "selected": True, "text": "Dog"},
            ],
            "date": "2020/01/01",
            "metadata": ["https://example.org/q/1"],
        },
        DOG,
        kept={"metadata": ["https://example.org/q/1"], "qid": 1},
    ),
    "WeOpenML/PandaLM": Read(
        "pandalm",
        {
            "idx": 0,
            "cmp_key": "large_small",
            "instruction": "Best pet?",
            "input": "",
            "response1": "Cat",
            "response2": "Dog",
            "annotator1": 2,
            "annotator2": 1,
            "annotator3": 0,
        },
        DOG,
        "annotator1",
        {"models": ["small", "large"]},
    ),
    "prometheus-eval/Preference-Collection": Read(
        "table",
        {
            "orig_instruction": "Best pet?",
            "orig_response_A": "Cat",
            "orig_response_B": "Dog",
            "orig_preference": "B",
            "orig_score_A": "4",
            "orig_score_B": "5",
            "orig_criteria": "Is it loyal?",
            "instruction": "###Task: compare Cat and Dog for: Best pet?",
            "output": "Dogs are loyal. [RESULT] B",
        },
        DOG,
        kept={
            "ratings": {0: {"orig_score": 4}, 1: {"orig_score": 5}},
            "instruction": "###Task: compare Cat and Dog for: Best pet?",
        },
    ),
    "IlyaGusev/rulm_human_preferences": Read(
        "table",
        {
            "result": "right",
            "worker_id": "w1",
            "assignment_id": "a1",
            "pool_id": 3,
            "instruction": "Best pet?",
            "input": "",
            "left_answer": "Cat",
            "right_answer": "Dog",
            "left_model": "large",
            "right_model": "small",
        },
        DOG,
        "w1",
        {"models": ["small", "large"], "external_id": "a1", "pool_id": 3},
    ),
    "xinlai/Math-Step-DPO-10K": Read(
        "trl-preference",
        {**ASKED, **TEXTS, "initial_reason_steps": "Step 1: think.", "full_chosen": "Dog!", "answer": "4"},
        DOG,
        kept={"initial_reason_steps": "Step 1: think.", "full_chosen": "Dog!"},
    ),
    "OpenRLHF": Read("trl-preference", {**ASKED, **TEXTS}, DOG),
    "LLaMA-Factory (sharegpt)": Read(
        "trl-preference",
        {
            "conversations": [{"from": "human", "value": "Best pet?"}],
            "chosen": {"from": "gpt", "value": "Dog"},
            "rejected": {"from": "gpt", "value": "Cat"},
        },
        DOG,
    ),
    "LLaMA-Factory (alpaca)": Read(
        "trl-preference",
        {"instruction": "Translate", "input": "Hund", **TEXTS},
        DOG,
        prompt="Translate\n\nHund",
    ),
    "Axolotl (chatml.intel)": Read(
        "trl-preference",
        {"system": "Be kind.", "question": "Best pet?", **TEXTS},
        DOG,
        kept={"system": "Be kind."},
    ),
    "Axolotl (chatml.argilla)": Read(
        "trl-preference",
        {
            "system": "Be kind.",
            "instruction": "Best pet?",
            "chosen_response": "Dog",
            "rejected_response": "Cat",
        },
        DOG,
        kept={"system": "Be kind."},
    ),
    "Axolotl (chat_template)": Read(
        "trl-preference",
        {
            "messages": turns("Best pet?"),
            "chosen": {"role": "assistant", "content": "Dog"},
            "rejected": {"role": "assistant", "content": "Cat"},
        },
        DOG,
    ),
    "OpenAI preference fine-tuning": Read(
        "trl-preference",
        {
            "input": {"messages": turns("Best pet?"), "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "Dog"}],
            "non_preferred_output": [{"role": "assistant", "content": "Cat"}],
        },
        DOG,
        kept={"input_fields": {"tools": [], "parallel_tool_calls": True}},
    ),
    "TRL (implicit prompt)": Read(
        "trl-preference",
        {"chosen": "Best pet? Dog", "rejected": "Best pet? Cat"},
        " Dog >  Cat",
    ),
    "Prodigy (choice)": Read(
        "prodigy",
        {
            "text": "Best pet?",
            "options": [{"id": "a", "text": "Cat"}, {"id": "b", "text": "Dog"}],
            "accept": ["b"],
            "answer": "accept",
            "_input_hash": 17,
            "_annotator_id": "mia",
            "_timestamp": 1711690794,
        },
        DOG,
        "mia",
        {"_input_hash": 17, "year": 2024},
    ),
    "Amazon Mechanical Turk": Read(
        "table",
        "HITId,Reward,AssignmentId,WorkerId,SubmitTime,Input.prompt,Input.response_a,Input.response_b,"
        "Answer.choice\nh1,$0.10,as1,W1,Fri Mar 29 05:39:54 PDT 2024,Best pet?,Cat,Dog,response_b\n",
        DOG,
        "W1",
        {"external_id": "as1", "HITId": "h1", "SubmitTime": "Fri Mar 29 05:39:54 PDT 2024"},
    ),
    "Toloka": Read(
        "table",
        "INPUT:prompt\tINPUT:response_a\tINPUT:response_b\tOUTPUT:result\tASSIGNMENT:worker_id\tHINT:text\n"
        "Best pet?\tCat\tDog\tb\tw1\t\n",
        DOG,
        "w1",
    ),
    "Google Forms": Read(
        "table",
        "Timestamp,Question,Answer A,Answer B,Which is better?,Reviewer,Comment\n"
        "3/29/2024 5:39:54,Best pet?,Cat,Dog,Answer B,mia,Loyal.\n",
        DOG,
        "mia",
        {"comment": "Loyal.", "Timestamp": "3/29/2024 5:39:54"},
    ),
    "German sheet": Read(
        "table",
        "Frage;Antwort A;Antwort B;Welche Antwort ist besser?;Bewerter;Kommentar\n"
        "Best pet?;Cat;Dog;Beide sind gleich gut;mia;Süß.\n",
        TIE,
        "mia",
        {"comment": "Süß."},
    ),
}
