from dataclasses import dataclass, field

import pytest

from mailsuite.server import admission as admission_module
from mailsuite.server.admission import (
    KNOWN_IDLE_SECONDS,
    MAX_LEAVING,
    PRESSED_SECONDS,
    Admission,
    AdmissionLimits,
    Denial,
    Reason,
)
from mailsuite.server.octets import OctetBudget

TOTAL, CLIENT = Denial(Reason.TOTAL), Denial(Reason.CLIENT)


@dataclass(eq=False)
class Guest:
    """A connection that gives way unless it is `busy`."""

    busy: bool = False
    sent_away: bool = field(default=False)

    def may_give_way(self) -> bool:
        return not self.busy

    def give_way(self) -> None:
        self.sent_away = True


class House(Admission[Guest]):
    """An admission whose clock is set by hand."""

    def __init__(self, total=9, per_client=9, **others):
        self.now = 0.0
        super().__init__(AdmissionLimits(total, per_client), clock=lambda: self.now, **others)

    def come(self, address="192.0.2.1", *, busy=False):
        """Whom the house has let in, or why it has not."""
        if denial := self.deny(address):
            return denial
        guest = Guest(busy)
        self.enter(guest, address)
        return guest


def test_a_full_house_lets_the_longest_idle_go_for_a_newcomer():
    house = House(total=3)
    first, second, third = house.come(busy=True), house.come(), house.come()
    assert isinstance(house.come("192.0.2.2"), Guest)
    assert [first.sent_away, second.sent_away, third.sent_away] == [False, True, False]
    assert len(house) == 3
    house.progressed(third)
    assert isinstance(house.come("192.0.2.3"), Guest)
    assert not third.sent_away


def test_who_is_amid_something_stays_and_the_newcomer_does_not_come_in():
    house = House(total=2)
    house.come(busy=True), house.come(busy=True)
    assert house.come("198.51.100.1") == TOTAL


def test_who_has_logged_in_stays_for_strangers_unless_silent_for_long():
    house = House(total=2)
    known, stranger = house.come(), house.come()
    house.vouch(known, 1)
    assert isinstance(house.come(busy=True), Guest) and stranger.sent_away
    assert house.come() == TOTAL
    house.now = KNOWN_IDLE_SECONDS + 1
    assert isinstance(house.come(), Guest) and known.sent_away


def test_of_the_idle_ones_the_fullest_network_gives_way():
    """A crowd makes room before the one who came first."""
    house = House(total=20, per_client=10)
    honest = house.come("198.51.100.1")
    crowd = [house.come("192.0.2.1") for _ in range(10)] + [house.come("192.0.2.2") for _ in range(9)]
    assert isinstance(house.come("203.0.113.1"), Guest)
    assert not honest.sent_away and crowd[0].sent_away


def test_a_thousand_idle_ones_of_twenty_addresses_do_not_shut_the_door():
    house = House(total=1000, per_client=50)
    idle = [house.come(f"198.51.{network}.1") for network in range(20) for _ in range(50)]
    assert all(isinstance(one, Guest) for one in idle)
    honest = [house.come(f"203.0.113.{host}") for host in range(100)]
    assert all(isinstance(one, Guest) and not one.sent_away for one in honest)
    assert len(house) == 1000


def test_little_is_looked_at_for_one_newcomer():
    asked = []

    class Asked(Guest):
        def may_give_way(self):
            asked.append(self)
            return False

    house = House(total=1000, per_client=1000)
    for _ in range(1000):
        house.enter(Asked(), "127.0.0.1")
    assert house.deny("192.0.2.1") == TOTAL
    assert len(asked) <= admission_module.LOOKED_AT * 2


def test_those_who_close_slowly_are_bounded():
    house = House(total=1, per_client=10**6)
    came = [house.come() for _ in range(MAX_LEAVING + 2)]
    assert [one for one in came if not isinstance(one, Guest)] == [TOTAL]
    assert len(list(house)) == MAX_LEAVING + 1
    house.leave(came[0])
    assert isinstance(house.come(), Guest)


def test_strangers_have_less_time_under_pressure():
    house = House(total=8)
    slow = [house.come() for _ in range(6)]
    house.now = PRESSED_SECONDS + 1
    assert isinstance(house.come(), Guest)
    assert not any(one.sent_away for one in slow)
    house.come()
    assert all(one.sent_away for one in slow)


def test_octets_make_pressure_too():
    budget = OctetBudget(limit=100)
    house = House(budget=budget)
    assert not house.is_pressed
    budget.take(76)
    assert house.is_pressed


@pytest.mark.parametrize(
    ("one", "other", "counted_together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("", "", False),
    ],
)
def test_one_client_is_capped_but_loopback_is_spared(one, other, counted_together):
    house = House(per_client=1)
    first = house.come(one)
    second = house.come(other)
    assert (second == CLIENT) is counted_together
    house.leave(first)
    house.leave(first)
    assert isinstance(house.come(one), Guest)


@pytest.mark.parametrize("around", ["192.0.2.{}", "2001:db8:0:{:x}::1"])
def test_the_network_around_a_client_is_capped_too(around):
    house = House(total=100, per_client=2)
    came = [house.come(around.format(host)) for host in range(10)]
    assert [isinstance(one, Guest) for one in came] == [True] * 8 + [False] * 2
    assert isinstance(house.come("198.51.100.1"), Guest)


def test_who_is_banned_makes_nobody_go():
    house = House(total=1, banned={"192.0.2.1": "the ban"}.get)
    resident = house.come("192.0.2.2")
    assert house.come("192.0.2.1") == Denial(Reason.BANNED, "the ban")
    assert not resident.sent_away


def test_a_named_proxy_stands_for_many_and_is_not_banned():
    house = House(per_client=1, banned=lambda address: "a ban", spared={"192.0.2.1"}.__contains__)
    assert all(isinstance(house.come("192.0.2.1"), Guest) for _ in range(5))


def test_workers_share_the_limits_of_a_host():
    assert AdmissionLimits(1000, 50).share(4) == AdmissionLimits(250, 12)
    assert AdmissionLimits(2, 1).share(4) == AdmissionLimits(1, 1)


@pytest.mark.parametrize("known", [False, True])
def test_a_few_that_are_busy_do_not_hide_those_that_are_idle(known):
    """However long the first ones are amid something, the idle ones behind them give way to the second who comes."""
    house = House(total=1000, per_client=1000)
    came = [house.come(f"192.0.2.{number % 200}", busy=number < admission_module.LOOKED_AT) for number in range(1000)]
    for one in came if known else ():
        house.vouch(one, None)
    house.now = KNOWN_IDLE_SECONDS + 1
    house.deny("203.0.113.1")
    assert isinstance(house.come("203.0.113.1"), Guest)
    assert not any(one.sent_away for one in came if one.busy)


def test_colleagues_who_have_logged_in_are_no_crowd():
    house = House(total=1000, per_client=10)
    for account in range(40):
        colleague = house.come()
        assert isinstance(colleague, Guest)
        house.vouch(colleague, account)
    assert all(isinstance(house.come(), Guest) for _ in range(10))
    assert house.come() == CLIENT


def test_an_account_holds_so_many_connections_wherever_it_logs_in_from():
    house = House(total=1000, per_client=2)
    came = [house.come(f"198.51.{number}.1", busy=number == 0) for number in range(4)]
    for one in came:
        house.vouch(one, "ann")
    assert [one.sent_away for one in came] == [False, True, True, False]
    other = house.come("198.51.9.1")
    house.vouch(other, "bob")
    assert not other.sent_away
    for one in came:
        house.leave(one)
    again = [house.come(f"198.51.{number}.1", busy=True) for number in range(3)]
    for one in again:
        house.vouch(one, "ann")
    assert [one.sent_away for one in again] == [False, False, True]


def test_who_comes_again_and_again_is_held_back_for_the_rest_of_the_minute():
    house = House(total=10, per_client=2)
    for _ in range(2 * admission_module.COMES_A_MINUTE_TIMES):
        house.leave(house.come())
    assert house.come() == CLIENT
    assert isinstance(house.come("192.0.2.2"), Guest)
    house.now += 60
    assert isinstance(house.come(), Guest)


def test_limits_are_shared_by_workers_and_kept_within_what_may_be_open():
    limits = AdmissionLimits(1000, 50)
    assert limits.share(4) == AdmissionLimits(250, 12)
    assert limits.share(2000) == AdmissionLimits(1, 1)
    assert limits.within(800) == AdmissionLimits(800, 50)
    assert limits.within(2000) == limits
