"""What is said of a domain's records, asked of a real name server."""

import dataclasses
import io
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connections
from dns_server import DnsServer

from mailsuite.directory import services
from mailsuite.directory.models import Domain
from mailsuite.records.checking import Status, check_domain, check_unseen
from mailsuite.records.models import DkimKey
from mailsuite.records.publishing import records_for


@pytest.fixture
def server(settings, db):
    with DnsServer() as server:
        settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, resolver=server.address)
        yield server


@pytest.fixture
def domain(server):
    return Domain.objects.get(pk=services.add_domain("example.org", postmaster="me@remote.example"))


def publish(server, domain):
    for record in records_for(domain):
        server.records[record.name, record.type] = [record.zone_value]


def statuses(domain):
    return {(one.record.type, one.record.name): one.status for one in check_domain(domain)}


def test_what_is_published_as_shown_is_well_and_noted(server, domain):
    publish(server, domain)
    assert set(statuses(domain).values()) == {Status.OK}
    assert not DkimKey.objects.filter(seen_in_dns_at=None).exists()


def test_what_is_missing_differs_or_cannot_be_asked(server, domain):
    assert set(statuses(domain).values()) == {Status.MISSING}
    publish(server, domain)
    server.records["example.org", "TXT"] = ['"v=spf1 -all"']
    server.records["example.org", "MX"] = "servfail"
    server.records["_dmarc.example.org", "TXT"] = []
    found = statuses(domain)
    assert found["TXT", "example.org"] is Status.DIFFERS
    assert found["MX", "example.org"] is Status.UNKNOWN
    assert found["TXT", "_dmarc.example.org"] is Status.MISSING


def test_keys_are_looked_for_until_they_are_seen(server, domain):
    now = datetime.now(UTC)
    assert check_unseen(now) == 0
    publish(server, domain)
    assert (check_unseen(now), check_unseen(now)) == (1, 0)
    assert DkimKey.objects.get(state="active").seen_in_dns_at


def test_the_command_says_it(server, domain):
    publish(server, domain)
    server.records["example.org", "MX"] = ["10 elsewhere.example."]
    out = io.StringIO()
    call_command("domain", "check", "example.org", stdout=out)
    assert "differs  MX" in out.getvalue() and "now: 10 elsewhere.example." in out.getvalue()


def test_the_admins_page_says_it(server, domain, client, admin_user):
    reader, connections["reader"] = connections["reader"], connections["default"]
    try:
        client.force_login(admin_user)
        page = client.get(f"/admin/directory/domain/{domain.pk}/records/?check=1").content.decode()
    finally:
        connections["reader"] = reader
    assert page.count(">missing<") == len(records_for(domain))
