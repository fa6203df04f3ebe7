"""Whose request is next, and what a request costs before it is anybody's turn."""

from ipaddress import ip_network

from mailsuite.web import waiting
from mailsuite.web.client import MAX_HOPS, original_address
from mailsuite.web.waiting import WaitingLine

ONE, OTHER, THIRD = (ip_network(f"192.0.2.{number}/32") for number in range(3))


def test_clients_take_turns_however_many_requests_one_has_sent_ahead():
    line = WaitingLine(4)
    for number in range(100):
        line.add(f"one {number}", ONE)
    for number in range(3):
        line.add(f"other {number}", OTHER)
    line.add("third", THIRD)
    taken = [line.next()[0] for _ in range(6)]
    assert taken == ["one 0", "other 0", "third", "one 1", "other 1", "one 2"]


def test_no_client_has_more_than_its_share_at_once_but_programs_of_this_host():
    line = WaitingLine(2)
    for number in range(3):
        line.add(f"one {number}", ONE)
        line.add(f"host {number}", None)
    taken = [line.next() for _ in range(5)]
    assert [request for request, _ in taken] == ["one 0", "host 0", "one 1", "host 1", "host 2"]
    assert line.next() is None
    line.done(ONE)
    assert line.next() == ("one 2", ONE)


def test_whoever_goes_is_no_longer_waited_for():
    line = WaitingLine(2)
    line.add("a", ONE)
    line.add("b", ONE)
    line.remove("a", ONE)
    assert line.next() == ("b", ONE)
    line.add("c", OTHER)
    line.remove("c", OTHER)
    assert line.next() is None


def test_of_a_field_full_of_hops_the_last_ones_are_looked_at():
    everybody = [ip_network("0.0.0.0/0")]
    hops = [f"10.{number >> 8}.{number & 255}.1" for number in range(2000)]
    assert original_address("127.0.0.1", ",".join(hops), everybody) == hops[-MAX_HOPS]
    assert original_address("127.0.0.1", ",".join(hops[:3]), everybody) == hops[0]


def test_who_comes_for_the_first_time_does_not_wait_for_a_crowd():
    line, crowd = WaitingLine(4), [ip_network(f"198.51.100.{number}/32") for number in range(200)]
    for client in crowd:
        line.add("first", client)
    for client in crowd:
        assert line.next()[0] == "first"
        line.add("again", client)
    line.add("honest", ONE)
    assert line.next() == ("honest", ONE)
    assert line.next() == ("again", crowd[0])


def test_little_is_remembered_of_who_had_a_turn(monkeypatch):
    monkeypatch.setattr(waiting, "REMEMBERED", 10)
    line = WaitingLine(4)
    for number in range(100):
        line.add(number, ip_network(f"198.51.100.{number}/32"))
        line.done(line.next()[1])
    assert len(line._served) == 10
    assert not line._waiting
