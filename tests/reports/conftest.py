"""Report mail, filed the way the services do it."""

import json

import pytest
from django.db import connections
from report_mail import NOW, authentication_of
from stored_mail import store_mail_in

from mailsuite.access import authentication
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain, User
from mailsuite.ids import new_id
from mailsuite.provisioning import services
from mailsuite.reports.models import IncomingReport
from mailsuite.store.operations import Deliver, ReportDelivery
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.run import execute

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def one_connection(db, monkeypatch, settings, tmp_path):
    """The reader sees what the test's own transaction has written; blobs are the test's own; hashes are quick."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    CACHE.clear()
    store_mail_in(settings, tmp_path / "mail")
    yield
    connections["reader"] = reader


@pytest.fixture
def domains():
    """example.org and example.net, hosted; by name."""
    User.objects.create_superuser("root@localhost", PASSWORD)
    for name in ("example.org", "example.net"):
        services.add_domain(name, key_pairs=[])
    return {domain.name: domain for domain in Domain.objects.all()}


@pytest.fixture
def file_report(domains):
    """`file_report(octets, "example.org")` files a mail for the report reader and returns its row."""

    def file(octets, domain="example.org", *, kind="dmarc", authentication="verified", story_kind="inbound"):
        if authentication == "verified":
            authentication = authentication_of()
        story_id = new_id()
        data = json.dumps({"authentication": authentication} if authentication else {})
        target = ReportDelivery(kind, domains[domain].pk, f"{kind}-reports@{domain}")
        story = StoryFacts(story_id, story_kind, "accepted", NOW, data=data)
        execute(Deliver.carrying(octets, story, reports=[target]))
        return IncomingReport.objects.get(story_id=story_id)

    return file
