"""The client's reverse DNS (RFC 8601 §3)."""

import asyncio
from ipaddress import ip_address

import pytest
from dns_server import DnsServer
from zone import zone_resolver

from mailsuite.mailauth import iprev
from mailsuite.resolver.dns_resolver import DnsResolver

ZONE = {
    ("1.2.0.192.in-addr.arpa", "PTR"): ["Good.test."],
    ("good.test", "A"): ["192.0.2.7", "192.0.2.1"],
    ("good.test", "AAAA"): ["2001:db8::1"],
    ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ["good.test."],
    ("2.2.0.192.in-addr.arpa", "PTR"): ["good.test."],
    ("3.2.0.192.in-addr.arpa", "PTR"): "servfail",
    ("4.2.0.192.in-addr.arpa", "PTR"): ["broken.test.", "absent.test."],
    ("broken.test", "A"): "servfail",
    ("5.2.0.192.in-addr.arpa", "PTR"): ["absent.test.", "five.test."],
    ("five.test", "A"): ["192.0.2.5"],
    ("6.2.0.192.in-addr.arpa", "PTR"): [f"n{number:02}.test." for number in range(12)],
    **{(f"n{number:02}.test", "A"): ["198.51.100.1"] for number in range(12)},
}


ROWS = [
    ("192.0.2.1", "pass", "good.test"),
    ("::ffff:192.0.2.1", "pass", "good.test"),
    ("2001:db8::1", "pass", "good.test"),
    ("192.0.2.2", "fail", ""),
    ("192.0.2.3", "temperror", ""),
    ("192.0.2.4", "temperror", ""),
    ("192.0.2.5", "pass", "five.test"),
    ("192.0.2.6", "fail", ""),
    ("192.0.2.99", "permerror", ""),
    ("nonsense", "permerror", ""),
]


@pytest.mark.parametrize("ip, result, confirmed", ROWS)
def test_rule(ip, result, confirmed):
    outcome = asyncio.run(iprev.check(zone_resolver(ZONE), ip))
    assert (outcome.result, outcome.confirmed) == (result, confirmed)
    assert outcome.reason


def test_the_same_through_a_real_dns_server():
    async def outcomes(server):
        return [await iprev.check(DnsResolver(server.address), ip) for ip, *_ in ROWS]

    with DnsServer(ZONE) as server:
        found = asyncio.run(outcomes(server))
    assert [(one.result, one.confirmed) for one in found] == [(result, confirmed) for _, result, confirmed in ROWS]


def test_of_many_names_ten_are_asked():
    resolver = zone_resolver(ZONE)
    assert len(asyncio.run(iprev.check(resolver, "192.0.2.6")).names) == iprev.MAX_NAMES
    assert len(resolver.asked) == 1 + iprev.MAX_NAMES


@pytest.mark.parametrize(
    "name, address, expected",
    [
        ("dsl-192-0-2-10.isp.example", "192.0.2.10", True),
        ("10.2.0.192.isp.example", "192.0.2.10", True),
        ("host192000002010.isp.example", "192.0.2.10", True),
        ("c000020a.isp.example", "192.0.2.10", True),
        ("p5.dynamic.isp.example", "192.0.2.10", True),
        ("pool-7.isp.example", "192.0.2.10", True),
        ("a.dhcp.isp.example", "192.0.2.10", True),
        ("2001-db8-0-0-0-0-0-10.isp.example", "2001:db8::10", True),
        ("mail.isp.example", "192.0.2.10", False),
        ("mx10.isp.example", "192.0.2.10", False),
        ("mail-192.isp.example", "192.0.2.10", False),
        ("carpool.example", "192.0.2.10", False),
        ("static.mailhost.example", "192.0.2.10", False),
        ("mail.isp.example", "2001:db8::10", False),
    ],
)
def test_names_that_providers_give(name, address, expected):
    assert iprev.is_generic(name, ip_address(address)) is expected
