"""Which name servers are asked: those of strangers' records, but none that lead into networks of our own."""

import asyncio

import pytest

from mailsuite.records.authority import Authority
from mailsuite.resolver.answers import ZoneResolver


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "64:ff9b::7f00:1", "2002:7f00:1::1", "ff0e::1", "224.0.0.1"])
def test_name_servers_at_addresses_of_no_stranger_are_not_asked(address):
    kind = "AAAA" if ":" in address else "A"
    resolver = ZoneResolver({("example.org", "NS"): ["ns.example.org"], ("ns.example.org", kind): [address]})
    authority = Authority(resolver, ["example.org"])
    [server] = asyncio.run(authority.zone("example.org")).servers
    assert f"private address {address}" in server.problem
    assert authority.questions == 0
