"""The intent and the values of a demo world prompt are parsed from its text alone. The seed determines all
prompts."""

import random
import subprocess
import sys

import pytest

from training import demo_world
from training.demo_world import scenario, slots
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS, Intent


def filled(template: str, rng: random.Random) -> tuple[str, dict[str, str]]:
    values = {kind: rng.choice(slots.VALUES[kind]) for kind in slots.in_template(template)}
    return template.format(**values), values


def test_demo_world_has_at_least_thirty_intents_with_distinct_names() -> None:
    assert len(INTENTS) >= 30
    assert len(FOLLOW_UPS) >= 8
    assert len({intent.name for intent in (*INTENTS, *FOLLOW_UPS)}) == len(INTENTS) + len(FOLLOW_UPS)


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_every_wording_of_a_question_is_parsed(intent: Intent) -> None:
    rng = random.Random(1)
    for question in intent.questions:
        for opening in (*scenario.NAMED_OPENINGS, *scenario.PLAIN_OPENINGS):
            text, values = filled(opening + question, rng)
            parsed = demo_world.parse([{"role": "user", "content": text}])
            assert parsed.intent is intent
            assert parsed.name == values.get("name")
            assert {k: v for k, v in values.items() if k != "name"} == parsed.values


@pytest.mark.parametrize("intent", [*INTENTS, *FOLLOW_UPS], ids=lambda intent: intent.name)
def test_all_answers_for_one_intent_contain_the_same_facts(intent: Intent) -> None:
    kinds = set(slots.in_template(intent.answers[0]))
    questions = {slots.in_template(question) for question in intent.questions}
    for answer in intent.answers:
        assert set(slots.in_template(answer)) == kinds
        for fact in intent.facts:
            assert any(phrase in answer.lower() for phrase in fact), (answer, fact)
    assert len({frozenset(kinds) for kinds in questions}) == 1, "the questions name different kinds of values"


def test_conversations_with_a_follow_up_question_are_parsed() -> None:
    rng = random.Random(2)
    seen = set()
    for drawn, messages in scenario.draw_conversations(1500, rng):
        assert demo_world.parse(messages) == drawn
        seen.add(drawn.asked.name)
    assert seen == {intent.name for intent in (*INTENTS, *FOLLOW_UPS)}


def test_follow_up_replaces_only_the_value_that_it_mentions() -> None:
    messages = [
        {"role": "user", "content": "Hi, this is Nora. Where is my order A150?"},
        {"role": "assistant", "content": "Order A150 is on its way."},
        {"role": "user", "content": "And what about order B160?"},
    ]
    assert demo_world.parse(messages).required == {"order": "B160", "name": "Nora"}
    messages[-1] = {"role": "user", "content": "Which order do you mean?"}
    assert demo_world.parse(messages).required == {"order": "A150", "name": "Nora"}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Write a poem about the sea."}],
        [{"role": "user", "content": ""}],
        [{"role": "assistant", "content": "Hello."}],
        [
            {"role": "user", "content": "I forgot my password."},
            {"role": "user", "content": "Which order do you mean?"},
        ],
    ],
)
def test_unknown_prompts_are_rejected(messages: list[dict[str, str]]) -> None:
    with pytest.raises(demo_world.UnknownPrompt):
        demo_world.gold_reward(messages, "Hello.")


def test_prompts_are_distinct_and_determined_by_the_seed() -> None:
    first = demo_world.prompts(300, seed=4)
    assert len({str(messages) for messages in first}) == 300
    assert demo_world.prompts(300, seed=4) == first
    assert demo_world.prompts(100, seed=4) == first[:100]
    assert demo_world.prompts(300, seed=5) != first


def test_demonstrations_are_seeded_and_vary_in_quality() -> None:
    demonstrations = demo_world.demonstrations(600, seed=1)
    assert demo_world.demonstrations(600, seed=1) == demonstrations
    points = [demo_world.gold_reward(messages, text) for messages, text in demonstrations]
    assert 0.5 * demo_world.MAX_GOLD < sum(points) / len(points) < 0.75 * demo_world.MAX_GOLD
    assert min(points) < 0.2 * demo_world.MAX_GOLD
    assert max(points) == demo_world.MAX_GOLD


def test_gold_judge_does_not_import_torch() -> None:
    code = (
        "import sys; from training import demo_world; m = demo_world.prompts(1, seed=0)[0];"
        "demo_world.gold_reward(m, 'Hello.'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tokenizer_is_deterministic_and_reversible() -> None:
    tokenizer, again = demo_world.build_tokenizer(), demo_world.build_tokenizer()
    assert tokenizer.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    for text in ("Hello Nora, your order R142.", "naïve café — 漢字 🙂\n\ttabs", ""):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_every_value_is_encoded_as_one_token_per_word() -> None:
    tokenizer = demo_world.build_tokenizer()
    for kind, values in slots.VALUES.items():
        for value in values:
            expected = 2 if kind == "order" else len(value.split())  # order: a letter and a number
            assert len(tokenizer(f" {value}")["input_ids"]) == expected, value


def test_seeding_a_policy_leaves_the_global_generator_unchanged() -> None:
    import torch

    tokenizer = demo_world.build_tokenizer()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    weights = [demo_world.build_policy(tokenizer, seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), expected)
    same = [torch.equal(weights[0][name], weights[1][name]) for name in weights[0]]
    assert all(same)
    assert not torch.equal(weights[0]["lm_head.weight"], weights[2]["lm_head.weight"])
