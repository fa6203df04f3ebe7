from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.configuration import RETRY_SCHEDULE
from smtpd_service.outbound.retry import RetryPlan, in_time_to_warn, is_warning_due

START = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRY = START + timedelta(days=5)
MINUTES = [timedelta(minutes=m) for m in (5, 15, 60)]


@pytest.mark.parametrize("count, minutes", [(0, 5), (1, 5), (2, 15), (3, 60), (4, 60), (400, 60)])
def test_pauses_grow_and_the_last_repeats(count, minutes):
    assert RetryPlan(MINUTES).next_attempt(count, START, EXPIRY, lambda: 0.5) == START + timedelta(minutes=minutes)


@pytest.mark.parametrize("drawn, minutes", [(0.0, 12), (0.5, 15), (1.0, 18)])
def test_pauses_are_jittered_by_a_fifth(drawn, minutes):
    assert RetryPlan(MINUTES).next_attempt(2, START, EXPIRY, lambda: drawn) == START + timedelta(minutes=minutes)


def test_the_last_attempt_is_at_the_expiry():
    now = EXPIRY - timedelta(minutes=2)
    assert RetryPlan(MINUTES).next_attempt(9, now, EXPIRY, lambda: 0.5) == EXPIRY


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1)])
def test_after_the_expiry_it_is_given_up(late):
    assert RetryPlan(MINUTES).next_attempt(9, EXPIRY + late, EXPIRY, lambda: 0.5) is None


@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_the_people_s_schedule_tries_some_twenty_times_in_five_days(drawn):
    plan, now, attempts = RetryPlan(RETRY_SCHEDULE), START, 0
    while now is not None:
        attempts += 1
        now = plan.next_attempt(attempts, now, EXPIRY, lambda: drawn)
    assert 15 <= attempts <= 30


@pytest.mark.parametrize(
    "hours, warned, due", [(3.9, False, False), (4, False, True), (90, False, True), (90, True, False)]
)
def test_one_warning_after_four_hours(hours, warned, due):
    assert is_warning_due(START, START + timedelta(hours=hours), warned=warned) is due


@pytest.mark.parametrize(
    "now, planned, warned, expected",
    [
        (3.8, 8, False, 4.4),
        (3.8, 8, True, 8),
        (3.8, 3.9, False, 3.9),
        (4, 8, False, 8),
        (0, 4, False, 4),
    ],
)
def test_a_long_pause_does_not_put_the_warning_off(now, planned, warned, expected):
    moments = [START + timedelta(hours=hours) for hours in (planned, now, expected)]
    assert in_time_to_warn(moments[0], START, moments[1], warned=warned, random=lambda: 0.5) == moments[2]


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1.0])
def test_the_people_s_schedule_warns_within_five_hours(drawn):
    plan, now, attempts = RetryPlan(RETRY_SCHEDULE), START, 1
    while not is_warning_due(START, now, warned=False):
        planned = plan.next_attempt(attempts, now, EXPIRY, lambda: drawn)
        now, attempts = in_time_to_warn(planned, START, now, warned=False, random=lambda: drawn), attempts + 1
    assert timedelta(hours=4) <= now - START <= timedelta(hours=5)
