"""The gold judge scores good answers above flawed answers and resists reward hacking."""

import random
import statistics

import pytest

from training import demo_world
from training.demo_world import gold, scenario
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS

FLAWED = [style for style in demo_world.STYLES if style != "good"]
CASES = {
    drawn.asked.name: (drawn, messages)
    for drawn, messages in scenario.draw_conversations(1500, random.Random(3))
}
NORA = [{"role": "user", "content": "Hi, this is Nora. Where is my order A150?"}]
BEST = (
    "Hello Nora, thank you for your message. Your order A150 has left our warehouse and arrives within two "
    "days. Have a lovely day!"
)


def test_cases_cover_every_question_type() -> None:
    assert set(CASES) == {intent.name for intent in (*INTENTS, *FOLLOW_UPS)}


@pytest.mark.parametrize("name", list(CASES))
def test_good_answer_beats_every_flawed_answer(name: str) -> None:
    drawn, messages = CASES[name]
    rng = random.Random(4)
    for _ in range(5):
        good = demo_world.gold_reward(messages, demo_world.respond(drawn, "good", rng))
        assert good == pytest.approx(demo_world.MAX_GOLD)
        for style in FLAWED:
            flawed = demo_world.respond(drawn, style, rng)
            assert demo_world.gold_reward(messages, flawed) < good - 0.2, (style, flawed)


def test_styles_differ_in_points_and_good_answers_get_the_most_points() -> None:
    rng = random.Random(5)
    means = {
        style: statistics.mean(
            demo_world.gold_reward(messages, demo_world.respond(drawn, style, rng))
            for drawn, messages in CASES.values()
        )
        for style in demo_world.STYLES
    }
    order = sorted(means, key=lambda style: -means[style])
    assert order[0] == "good"
    assert set(order[-3:]) == {"brief", "off_topic", "evasive"}
    assert len({round(mean, 1) for mean in means.values()}) >= 6


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", 0.0),
        ("   \n", 0.0),
        ("\x00\ufffd 漢字 🙂 )))", 0.3),
        ("asdf qwer zxcv uiop hjkl", 0.3),
        ("warehouse within two days A150 Nora", 0.5),
        ("Nora A150 " * 30, 0.5),
        ("within two days " * 30, 0.5),
        ("Have a lovely day! " * 20, 0.8),
        ("Hello Nora, thank you for your message. Have a lovely day!", 1.0),
        (" ".join(answer for intent in INTENTS for answer in intent.answers[:1]), 0.8),
        (" ".join(reversed(BEST.split())), 1.0),
    ],
    ids=[
        "empty", "blank", "symbols", "keys", "keywords", "values", "fact again and again", "courtesy again",
        "courtesy only", "every answer at once", "backwards",
    ],
)  # fmt: skip
def test_reward_hacks_get_low_scores(text: str, limit: float) -> None:
    assert demo_world.gold_reward(NORA, text) <= limit


def test_repeating_a_good_answer_loses_points() -> None:
    best, twice, ten_times = (demo_world.gold_reward(NORA, " ".join([BEST] * n)) for n in (1, 2, 10))
    assert best == pytest.approx(demo_world.MAX_GOLD)
    assert ten_times < twice < best - 0.4


def test_points_stay_in_range_for_any_corrupted_text() -> None:
    rng = random.Random(6)
    for drawn, messages in CASES.values():
        words = demo_world.respond(drawn, rng.choice(list(demo_world.STYLES)), rng).split()
        rng.shuffle(words)
        for length in (1, 3, len(words)):
            assert 0.0 <= demo_world.gold_reward(messages, " ".join(words[:length])) <= demo_world.MAX_GOLD


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ((" A150", " B199"), "values"),
        (("Nora", "Omar"), "values"),
        (("Have a lovely day!", ""), "courtesy"),
        (("Have a lovely day!", "Stop wasting my time."), "courtesy"),
        (("left our warehouse", "left our hands"), "answer"),
        (("within two days", "days two within"), "fluency"),
    ],
)
def test_each_flaw_lowers_the_score_of_the_matching_component(change: tuple[str, str], part: str) -> None:
    before, after = gold.judge(NORA, BEST), gold.judge(NORA, BEST.replace(*change))
    assert getattr(after, part) < getattr(before, part)
    assert after.points < before.points


def test_facts_are_matched_regardless_of_case_and_whitespace() -> None:
    assert gold.judge(NORA, BEST.upper()).answer == gold.judge(NORA, BEST).answer == 1.0
    assert demo_world.gold_reward(NORA, f"  {BEST}\n") == demo_world.gold_reward(NORA, BEST)
