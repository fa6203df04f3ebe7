from ipaddress import ip_network

import pytest

from mailsuite.mail.networks import is_forbidden
from mailsuite.resolver.answers import Answer, Mx, Status
from smtpd_service.outbound.routing import (
    MAX_HOSTS,
    RouteFacts,
    Security,
    Unroutable,
    find_route,
    host_addresses,
    literal_address,
    mail_hosts,
    no_address,
)


def hosts(mx, own=(), shuffle=lambda found: None):
    answer = mx if isinstance(mx, Answer) else Answer(Status.OK, tuple(Mx(*record) for record in mx))
    found = mail_hosts("example.org", answer, own, shuffle)
    return found if isinstance(found, Unroutable) else [host.name for host in found]


@pytest.mark.parametrize(
    "mx, own, expected",
    [
        ([(20, "b"), (10, "a"), (30, "c")], (), ["a", "b", "c"]),
        ([(10, "a"), (10, "b")], (), ["a", "b"]),
        (Answer(Status.NODATA), (), ["example.org"]),
        (Answer(Status.OK), (), ["example.org"]),
        ([(10, "a"), (0, "")], (), ["a"]),
        # RFC 5321 §5.1: we are one of the hosts; those no better than us are left out
        ([(10, "a"), (20, "us"), (20, "b"), (30, "c")], {"us"}, ["a"]),
        ([(10, "a"), (20, "us"), (30, "us2")], {"us", "us2"}, ["a"]),
    ],
)
def test_hosts_in_order(mx, own, expected):
    assert hosts(mx, own) == expected


@pytest.mark.parametrize(
    "mx, own, status, reason",
    [
        ([(0, "")], (), "5.1.10", "null-mx"),
        (Answer(Status.NXDOMAIN), (), "5.1.2", "no-such-domain"),
        (Answer(Status.TEMPERROR), (), "4.4.3", "dns-error"),
        ([(10, "us"), (20, "b")], {"us"}, "5.4.6", "mail-loop"),
        ([(10, "us"), (10, "b")], {"us"}, "5.4.6", "mail-loop"),
        (Answer(Status.NODATA), {"example.org"}, "5.4.6", "mail-loop"),
    ],
)
def test_no_host(mx, own, status, reason):
    found = hosts(mx, own)
    assert (found.status, found.reason, found.is_permanent) == (status, reason, status.startswith("5"))


def test_equal_preferences_are_shuffled_and_others_stay_behind():
    records = [(10, "a"), (20, "b"), (10, "c"), (20, "d")]
    assert hosts(records, shuffle=lambda found: found.reverse()) == ["c", "a", "d", "b"]


def test_a_list_without_end_is_cut():
    assert len(hosts([(n, f"h{n}") for n in range(500)])) == MAX_HOSTS


def route(pattern):
    return RouteFacts(pattern, "relay.test", 25, Security.OPPORTUNISTIC)


@pytest.mark.parametrize(
    "domain, pattern",
    [
        ("example.org", "example.org"),
        ("sub.example.org", "*.example.org"),
        ("deep.sub.example.org", "*.sub.example.org"),
        ("notexample.org", "*"),
        ("elsewhere.test", "*"),
    ],
)
def test_the_nearest_route_wins(domain, pattern):
    patterns = ["*", "*.example.org", "example.org", "*.sub.example.org"]
    for order in (patterns, patterns[::-1]):
        assert find_route(domain, [route(one) for one in order]).pattern == pattern


def test_no_route():
    assert find_route("example.org", [route("*.example.org"), route("other.test")]) is None


@pytest.mark.parametrize(
    "text, address",
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("example.org", None),
        ("[example]", None),
        ("[192.0.2.1", None),
    ],
)
def test_literals(text, address):
    assert literal_address(text) == address


def test_families_take_turns():
    a = Answer(Status.OK, ("192.0.2.1", "192.0.2.2"))
    aaaa = Answer(Status.OK, ("2001:db8::1",))
    assert host_addresses(a, aaaa) == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    assert host_addresses(a, Answer(Status.TEMPERROR)) == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    "address, forbidden",
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("::1", True),
        ("fe80::1", True),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("2002:7f00:1::1", True),
        ("64:ff9b::7f00:1", True),
        ("8.8.8.8", False),
        ("2a00:1450::1", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_where_strangers_may_not_lead_us(address, forbidden):
    assert is_forbidden(address, ()) is forbidden


def test_a_setting_allows_networks():
    allowed = [ip_network("127.0.0.0/8"), ip_network("fd00::/8")]
    assert not is_forbidden("127.0.0.9", allowed)
    assert not is_forbidden("fd00::9", allowed)
    assert not is_forbidden("::ffff:127.0.0.9", allowed)
    assert is_forbidden("10.0.0.1", allowed)


@pytest.mark.parametrize(
    "statuses, forbidden, status, reason",
    [
        ([Status.NODATA, Status.TEMPERROR], [], "4.4.3", "dns-error"),
        ([Status.OK], ["10.0.0.1"], "5.4.4", "private-host"),
        ([Status.NXDOMAIN], [], "5.4.4", "no-address"),
    ],
)
def test_why_no_address(statuses, forbidden, status, reason):
    found = no_address("example.org", [Answer(one) for one in statuses], forbidden)
    assert (found.status, found.reason) == (status, reason)
