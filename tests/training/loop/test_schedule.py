"""The schedule starts one round at each scheduled time, and one for all times that were missed in an outage.
A time without new data is skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from annotation.models import User
from tests.training.conftest import Rank
from training.loop.rounds import cancel_round
from training.loop.settings import LoopSettings
from training.loop.triggers import latest_tick, next_tick
from training.loop.turning import set_loop, turn_loop
from training.models import Loop


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "latest", "following"),
    [
        ("2026-11-30T01:29", "2026-11-29T01:30", "2026-11-30T01:30"),
        ("2026-11-30T01:30", "2026-11-30T01:30", "2026-12-01T01:30"),
        # Germany's clocks go forward from 02:00 to 03:00 on 29 March 2026, so 02:30 does not occur.
        ("2026-03-29T01:29", "2026-03-28T01:30", "2026-03-29T01:30"),
        ("2026-03-29T01:30", "2026-03-29T01:30", "2026-03-30T00:30"),
        # The clocks go back from 03:00 to 02:00 on 25 October 2026, so 02:30 occurs twice. The first counts.
        ("2026-10-25T00:31", "2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_scheduled_times_are_in_the_time_zone_of_the_schedule(now: str, latest: str, following: str) -> None:
    settings = LoopSettings(schedule_time="02:30", time_zone="Europe/Berlin")
    assert latest_tick(settings, at(now)) == at(latest)
    assert next_tick(settings, at(now)) == at(following)


def test_weekdays_of_a_schedule_are_days_in_its_time_zone() -> None:
    # 30 November 2026 is a Monday. In Auckland (UTC+13), Monday 08:00 is Sunday 19:00 UTC.
    settings = LoopSettings(schedule_time="08:00", schedule_days=("mon",), time_zone="Pacific/Auckland")
    assert latest_tick(settings, at("2026-11-30T00:00")) == at("2026-11-29T19:00")
    assert next_tick(settings, at("2026-11-30T00:00")) == at("2026-12-06T19:00")


@pytest.fixture
def nightly(loop: Loop) -> Loop:
    return set_loop(
        project=loop.project, settings={"min_new_comparisons": None, "schedule_time": "02:00"}, enabled=True
    )


def tomorrow(loop: Loop, *, nights: int = 1) -> datetime:
    assert loop.scheduled_until is not None
    return loop.scheduled_until + timedelta(days=nights)


def test_scheduled_round_starts_once_after_several_missed_nights(
    nightly: Loop, alice: User, rank: Rank
) -> None:
    rank(nightly.project, alice, n=1)
    assert turn_loop(loop=nightly, now=nightly.scheduled_until) is None
    later = tomorrow(nightly, nights=4)
    round = turn_loop(loop=nightly, now=later)
    assert round is not None
    assert (round.trigger, round.state) == ("schedule", "running")
    cancel_round(round=round, by=None)
    rank(nightly.project, alice, n=3)
    assert turn_loop(loop=nightly, now=later + timedelta(minutes=1)) is None
    assert nightly.rounds.count() == 1


def test_night_without_new_comparisons_is_skipped_with_a_reason(nightly: Loop) -> None:
    skipped = turn_loop(loop=nightly, now=tomorrow(nightly))
    assert skipped is not None
    assert (skipped.state, skipped.steps.count()) == ("skipped", 0)
    assert skipped.reason == "There were no new comparisons at the scheduled time."
    assert turn_loop(loop=nightly, now=tomorrow(nightly) + timedelta(minutes=1)) is None


def test_new_schedule_starts_no_round_for_earlier_times(loop: Loop, alice: User, rank: Rank) -> None:
    rank(loop.project, alice, n=1)
    changed = set_loop(project=loop.project, settings={"schedule_time": "00:00"})
    assert turn_loop(loop=changed) is None
