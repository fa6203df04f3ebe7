"""By which addresses of this host mail goes out: what the settings say, and what is known of reverse names."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import uvloop
from django.conf import settings

from mailsuite.configuration import read_configuration
from mailsuite.directory.models import Domain
from mailsuite.env import Environment
from mailsuite.records.models import Observation
from mailsuite.records.setup import host_addresses, versions_without_name
from mailsuite.resolver.answers import Mx, ZoneResolver
from mailsuite.writer.operation import StoreUnavailable
from smtpd_service.outbound import way_out
from smtpd_service.outbound.connection import connect
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.routing import RouteFacts, Security, Unroutable
from smtpd_service.outbound.way_out import CurrentWayOut, WayOut, configured

BOTH, IPV6 = "both.test", "six.test"
ZONE = {
    (BOTH, "MX"): [Mx(10, "mx.both.test")],
    ("mx.both.test", "A"): ["198.51.100.1"],
    ("mx.both.test", "AAAA"): ["2600::1"],
    (IPV6, "MX"): [Mx(10, "mx.six.test")],
    ("mx.six.test", "AAAA"): ["2600::2"],
}
SOURCES = {4: "198.51.100.200", 6: "2600::200"}


def endpoints(domain, by, route=None):
    # The addresses of documentation are nobody's, and so forbidden.
    allowed = [ip_network("198.51.100.0/24")]
    destinations = Destinations(ZoneResolver(ZONE), (), allowed, way_out=lambda: by)
    found = uvloop.run(destinations.endpoints(NextHop(domain, route)))
    return found if isinstance(found, Unroutable) else [(one.address, one.source) for one in found]


def test_the_source_is_that_of_the_family():
    assert endpoints(BOTH, WayOut()) == [("2600::1", ""), ("198.51.100.1", "")]
    assert endpoints(BOTH, WayOut(sources=SOURCES)) == [("2600::1", "2600::200"), ("198.51.100.1", "198.51.100.200")]
    assert WayOut(sources=SOURCES).source("127.0.0.1") == WayOut(sources=SOURCES).source("::1") == ""


def test_a_family_that_is_left_out_bounces_nothing():
    assert endpoints(BOTH, WayOut(versions={4})) == [("198.51.100.1", "")]
    found = endpoints(IPV6, WayOut(versions={4}))
    assert (found.status, found.is_permanent) == ("4.4.4", False) and "MAILSUITE_SEND_FAMILIES" in found.text


def test_a_family_without_reverse_name_is_for_those_who_have_no_other():
    without = WayOut(unnamed={6})
    assert endpoints(BOTH, without) == [("198.51.100.1", "")]
    assert endpoints(IPV6, without) == [("2600::2", "")]
    assert len(endpoints(BOTH, WayOut(unnamed={4, 6}))) == 2


def test_a_smarthost_asks_for_no_reverse_name():
    route = RouteFacts("*", "mx.both.test", 587, Security.OPPORTUNISTIC)
    assert len(endpoints("any.test", WayOut(unnamed={6}), route)) == 2
    assert endpoints("any.test", WayOut(versions={6}), route) == [("2600::1", "")]
    only_six = RouteFacts("*", "mx.six.test", 587, Security.OPPORTUNISTIC)
    assert endpoints("any.test", WayOut(versions={4}), only_six).status == "4.4.4"


def test_a_connection_comes_from_its_source():
    async def run():
        peers = []
        server = await asyncio.start_server(
            lambda reader, writer: (peers.append(writer.get_extra_info("peername")[0]), writer.close()), "127.0.0.1", 0
        )
        async with server:
            connection = await connect("127.0.0.1", server.sockets[0].getsockname()[1], "127.0.0.7")
            await connection.close()
            with pytest.raises(OSError):
                await connect("127.0.0.1", server.sockets[0].getsockname()[1], "192.0.2.77")
        return peers

    assert uvloop.run(run()) == ["127.0.0.7"]


def test_what_is_known_of_names_is_followed(monkeypatch):
    monkeypatch.setattr(way_out, "LOOK_SECONDS", 0)

    async def run():
        ended, answers, seen = asyncio.Event(), [{6}, StoreUnavailable("away"), set()], []

        async def look():
            seen.append(set(current.now.unnamed))
            answer = answers.pop(0)
            if not answers:
                ended.set()
            if isinstance(answer, Exception):
                raise answer
            return answer

        current = CurrentWayOut(WayOut(), look)
        await current.run(ended)
        return seen, set(current.now.unnamed)

    assert uvloop.run(run()) == ([set(), {6}, {6}], set())


def read(**variables):
    env = Environment({f"MAILSUITE_{name}": value for name, value in variables.items()})
    return configured(read_configuration(env, Path("/"))), env.problems


def test_the_settings():
    assert read() == (WayOut(), [])
    found, problems = read(SEND_FAMILIES="IPv4", SOURCE_ADDRESSES="192.0.2.10, 2001:db8::10")
    assert (set(found.versions), dict(found.sources), problems) == ({4}, {4: "192.0.2.10", 6: "2001:db8::10"}, [])
    assert "must be ipv4, ipv6, or ipv4,ipv6" in read(SEND_FAMILIES="4")[1][0]
    assert "one of each" in read(SOURCE_ADDRESSES="192.0.2.10,192.0.2.11")[1][0]


@pytest.mark.django_db
def test_a_name_is_missing_when_the_public_saw_none_last(monkeypatch):
    domain = Domain.objects.create(name="example.org")
    configuration = settings.MAILSUITE

    def see(address, verdict, source="public"):
        name = ip_address(address).reverse_pointer
        row = {"domain": domain, "name": name, "type": "PTR", "source": source, "at": datetime.now(UTC)}
        Observation.objects.create(values="[]", verdict=verdict, **row)

    addresses = (ip_address("198.51.100.200"), ip_address("2600::200"))
    monkeypatch.setattr(settings, "MAILSUITE", replace(configuration, public_addresses=addresses))
    assert versions_without_name("default") == frozenset(), "nothing was looked at yet"
    see("198.51.100.200", "unknown")
    see("2600::200", "ok")
    see("2600::200", "missing")
    see("2600::200", "ok", "own")
    assert versions_without_name("default") == {6}
    chosen = (ip_address("9.9.9.200"), ip_address("fd00::1"))
    monkeypatch.setattr(settings, "MAILSUITE", replace(settings.MAILSUITE, source_addresses=chosen))
    see("9.9.9.200", "missing")
    assert versions_without_name("default") == {4, 6}, "of a private source what others see counts"
    see("9.9.9.200", "ok")
    see("2600::200", "ok")
    assert versions_without_name("default") == frozenset()


@pytest.mark.django_db
def test_records_are_made_for_the_source(monkeypatch):
    chosen = (ip_address("9.9.9.200"), ip_address("2600::200"))
    monkeypatch.setattr(settings, "MAILSUITE", replace(settings.MAILSUITE, source_addresses=chosen))
    assert host_addresses(Domain(name="example.org"), "default") == ("9.9.9.200", "2600::200")
