"""DNS lists, settings and pauses: kept, refused, tested, and heard of by whoever remembers them."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from dns_server import DnsServer
from zone import zone_resolver

from mailsuite.errors import ChangeRefused
from mailsuite.mailauth.dnsbl import ListOutcome, ListStatus
from mailsuite.screening import services
from mailsuite.screening.models import DnsList, ScreeningSettings, SenderPause

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GOOD = {("2.0.0.127.bl.test", "A"): ["127.0.0.2"]}
LIMIT = {("2.0.0.127.bl.test", "A"): ["127.255.255.254"]}


@pytest.fixture(autouse=True)
def with_home(home):
    """A hosted domain."""


@pytest.fixture
def blocking():
    row = DnsList(name="BL", zone="BL.test.", weight=0.5, is_active=True)
    services.save_list(row)
    return row


def test_nothing_is_asked_out_of_the_box():
    """What is suggested is there to be chosen."""
    assert DnsList.objects.filter(zone="zen.spamhaus.org", is_active=False).exists()
    assert not DnsList.objects.filter(is_active=True).exists()
    assert services.active_lists() == ()
    assert services.test_lists(NOW) == 0


def test_lists_in_use(blocking):
    services.save_list(DnsList(name="WL", zone="wl.test", kind="allow", weight=0.5, is_active=True, asks_ipv6=True))
    services.save_list(DnsList(name="off", zone="off.test"))
    found = [(one.name, one.zone, one.weight, one.vouches, one.asks_ipv6) for one in services.active_lists()]
    assert found == [("BL", "bl.test", 0.5, False, False), ("WL", "wl.test", -0.5, True, True)]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"zone": "exa mple"}, "zone can't be one"),
        ({"weight": 0}, "above 0"),
        ({"weight": -1}, "above 0"),
        ({"asks_ipv4": False}, "neither IPv4 nor IPv6"),
    ],
)
def test_lists_that_can_be_none(fields, words):
    with pytest.raises(ChangeRefused, match=words):
        services.save_list(DnsList(**{"name": "x", "zone": "x.test"} | fields))


def test_a_list_with_a_key_in_its_zone():
    row = DnsList(name="DQS", zone="0123abc_key.zen.dq.spamhaus.net", is_active=True)
    services.save_list(row)
    assert row.zone == "0123abc_key.zen.dq.spamhaus.net"


def test_a_list_out_of_order_is_switched_off_until_its_test_passes(blocking):
    services.note_outcome(blocking.pk, ListOutcome(ListStatus.ERROR, reason="it answers 127.255.255.254"), NOW)
    assert services.active_lists() == ()
    assert [row.last_error for row in services.lists_out_of_order()] == ["it answers 127.255.255.254"]
    assert services.test_list(blocking, zone_resolver({})).status is ListStatus.ERROR
    assert services.test_list(blocking, zone_resolver(GOOD)).status is ListStatus.CLEAR
    assert [one.name for one in services.active_lists()] == ["BL"]
    assert services.lists_out_of_order() == []


def test_trouble_with_dns_says_nothing_of_a_list(blocking):
    assert (
        services.test_list(blocking, zone_resolver({("2.0.0.127.bl.test", "A"): "servfail"})).status.value
        == "temperror"
    )
    blocking.refresh_from_db()
    assert (blocking.state, blocking.tested_at) == ("untested", None)


def test_another_zone_is_another_list(blocking):
    services.note_outcome(blocking.pk, ListOutcome(ListStatus.ERROR, reason="gone"), NOW)
    blocking.refresh_from_db()
    blocking.zone = "new.test"
    services.save_list(blocking)
    assert (blocking.state, blocking.last_error) == ("untested", "")


def test_the_daily_self_test_asks_a_real_server_once_a_day(blocking, settings):
    with DnsServer(dict(LIMIT)) as server:
        settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, resolver=server.address)
        assert services.test_lists(datetime.now(UTC)) == 1
        blocking.refresh_from_db()
        assert blocking.state == "error" and "127.255.255.254" in blocking.last_error
        asked = len(server.questions)
        assert services.test_lists(datetime.now(UTC) + timedelta(hours=23)) == 0
        assert len(server.questions) == asked
        server.records.update(GOOD)
        assert services.test_lists(datetime.now(UTC) + timedelta(hours=25)) == 1
    blocking.refresh_from_db()
    assert (blocking.state, blocking.last_error) == ("good", "")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"junk_score": 0}, "above 0"),
        ({"junk_score": 3, "reject_score": 2}, "not above the sum"),
        ({"greylist_minutes": 2000}, "more than a day"),
        ({"first_sender_pause_minutes": 2000}, "more than a day"),
    ],
)
def test_settings_that_make_no_sense(fields, words):
    with pytest.raises(ChangeRefused, match=words):
        services.save_settings(ScreeningSettings(**fields))


def test_settings_and_pauses_are_heard_of_at_once(home):
    ann, bob = home["ann"], home["bob"]
    assert services.policy().greylists_doubtful
    assert services.sender_pause(ann.pk) == timedelta(0)
    services.save_settings(ScreeningSettings(first_sender_pause_minutes=5, greylists_doubtful=False, junk_score=1.5))
    assert (services.policy().greylists_doubtful, services.policy().junk_score) == (False, 1.5)
    assert ScreeningSettings.objects.count() == 1
    row = SenderPause(mailbox=ann, minutes=0)
    services.save_pause(row)
    assert (services.sender_pause(ann.pk), services.sender_pause(bob.pk)) == (timedelta(0), timedelta(minutes=5))
    services.remove_pause(row)
    assert services.sender_pause(ann.pk) == timedelta(minutes=5)
    with pytest.raises(ChangeRefused, match="more than a day"):
        services.save_pause(SenderPause(mailbox=ann, minutes=2000))
