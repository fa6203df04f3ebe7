"""DNS lists (RFC 5782)."""

import asyncio
from ipaddress import ip_address

import pytest
from dns_server import DnsServer
from zone import zone_resolver

from mailsuite.mailauth.dnsbl import ListStatus, look_up, question, self_test
from mailsuite.resolver.dns_resolver import DnsResolver

ZONE = {
    ("2.0.0.127.bl.test", "A"): ["127.0.0.2"],
    ("99.2.0.192.bl.test", "A"): ["127.0.0.2", "127.0.0.11"],
    ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.bl.test", "A"): ["127.0.0.3"],
    (question(ip_address("::ffff:7f00:2"), "bl.test"), "A"): ["127.0.0.2"],
    ("2.0.0.127.four.test", "A"): ["127.0.0.2"],
    **{(f"{octet}.0.0.127.all.test", "A"): ["127.0.0.2"] for octet in (1, 2)},
    ("2.0.0.127.limit.test", "A"): ["127.255.255.254"],
    ("99.2.0.192.limit.test", "A"): ["127.0.0.2", "127.255.255.255"],
    ("99.2.0.192.lost.test", "A"): ["203.0.113.5"],
    ("99.2.0.192.wl.test", "A"): ["127.0.10.3"],
    ("98.2.0.192.wl.test", "A"): ["127.0.0.255"],
    ("99.2.0.192.away.test", "A"): "servfail",
    ("2.0.0.127.away.test", "A"): "servfail",
}
LOOK_UPS = [
    ("192.0.2.99", "bl.test", False, "listed", ("127.0.0.11", "127.0.0.2")),
    ("::ffff:192.0.2.99", "bl.test", False, "listed", ("127.0.0.11", "127.0.0.2")),
    ("2001:db8::1", "bl.test", False, "listed", ("127.0.0.3",)),
    ("192.0.2.98", "bl.test", False, "clear", ()),
    ("192.0.2.99", "limit.test", False, "error", ()),
    ("192.0.2.99", "lost.test", False, "error", ()),
    ("192.0.2.99", "wl.test", True, "listed", ("127.0.10.3",)),
    ("192.0.2.98", "wl.test", True, "error", ()),
    ("192.0.2.98", "wl.test", False, "listed", ("127.0.0.255",)),
    ("192.0.2.99", "away.test", False, "temperror", ()),
    ("nonsense", "bl.test", False, "temperror", ()),
]
SELF_TESTS = [
    ("bl.test", True, True, "clear"),
    ("four.test", True, False, "clear"),
    ("four.test", True, True, "error"),
    ("all.test", True, False, "error"),
    ("limit.test", True, False, "error"),
    ("gone.test", True, False, "error"),
    ("away.test", True, False, "temperror"),
]


@pytest.mark.parametrize("ip, zone, vouches, status, codes", LOOK_UPS)
def test_look_up(ip, zone, vouches, status, codes):
    outcome = asyncio.run(look_up(zone_resolver(ZONE), ip, zone, vouches=vouches))
    assert (outcome.status.value, outcome.codes) == (status, codes)
    assert bool(outcome.reason) is (status in ("error", "temperror"))


@pytest.mark.parametrize("zone, ipv4, ipv6, status", SELF_TESTS)
def test_self_test(zone, ipv4, ipv6, status):
    outcome = asyncio.run(self_test(zone_resolver(ZONE), zone, ipv4=ipv4, ipv6=ipv6))
    assert outcome.status.value == status


def test_the_same_through_a_real_dns_server():
    async def outcomes(server):
        looked = [
            (await look_up(DnsResolver(server.address), ip, zone, vouches=vouches)).status
            for ip, zone, vouches, *_ in LOOK_UPS
        ]
        tested = [
            (await self_test(DnsResolver(server.address), zone, ipv4=ipv4, ipv6=ipv6)).status
            for zone, ipv4, ipv6, _ in SELF_TESTS
        ]
        return looked + tested

    with DnsServer(ZONE) as server:
        found = asyncio.run(outcomes(server))
    assert found == [ListStatus(row[3]) for row in (*LOOK_UPS, *SELF_TESTS)]


def test_names_asked_for():
    assert question(ip_address("192.0.2.99"), "bl.test") == "99.2.0.192.bl.test"
    assert question(ip_address("::FFFF:7F00:2"), "bl.test") == "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20 + ".bl.test"
