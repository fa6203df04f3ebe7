import dataclasses
from ipaddress import ip_address, ip_network

import pytest
from django.db import connections
from dns_server import DnsServer

from mailsuite.directory.models import Domain
from mailsuite.provisioning import services
from mailsuite.records.setup import records_for
from mailsuite.signing.keys import make_key_pairs

HOST, ADDRESS = "mx.host.test", "198.41.0.4"
KEY_PAIRS = make_key_pairs()


@pytest.fixture
def site(settings):
    """Settings of a host with a name and a public address."""
    settings.MAILSUITE = dataclasses.replace(
        settings.MAILSUITE,
        hostname=HOST,
        public_addresses=(ip_address(ADDRESS),),
        allow_private_hosts=(ip_network("127.0.0.0/8"),),
        # Nothing here may lead to addresses that are others'; what records lead to: test_live.py.
        check_services=False,
    )
    return settings


@pytest.fixture
def server(site, db):
    """A name server that is the public resolver and the domain's own at once, without any of its records yet."""
    with DnsServer() as server:
        site.MAILSUITE = dataclasses.replace(site.MAILSUITE, resolver=server.address, name_server_port=server.port)
        server.serve("example.org")
        server.serve("host.test")
        yield server


@pytest.fixture
def domain(site, db):
    pk = services.add_domain("example.org", postmaster="me@remote.example", key_pairs=KEY_PAIRS)
    return Domain.objects.get(pk=pk)


@pytest.fixture
def publish(server, domain):
    """Publishes all records as they are shown, or those that the test picks."""

    def do(wanted=lambda record: True):
        chosen = [record for record in records_for(domain) if record.value and wanted(record)]
        for key in {(record.name, record.type) for record in chosen}:
            server.records[key] = [one.zone_value for one in chosen if (one.name, one.type) == key]

    return do


@pytest.fixture
def same_connection(db):
    """The reader sees what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    yield
    connections["reader"] = reader
