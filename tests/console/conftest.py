import json
from datetime import UTC, datetime

import pytest
from django.db import connections
from pages import directory

from mailsuite.abuse.models import Alarm, AlarmSettings, SendingCap, SendingDay, SendingSettings
from mailsuite.access import authentication, login_log
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain, Login, LoginThrottle, User
from mailsuite.junk.models import Sender, WordTable
from mailsuite.provisioning import services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient, Route
from mailsuite.reports.models import (
    DmarcDay,
    DmarcRecord,
    DmarcReport,
    IncomingReport,
    OutgoingReport,
    ReportExclusion,
    ReportSettings,
    TlsReport,
)
from mailsuite.screening.models import GreylistEntry, Rule, ScreeningSettings, SenderPause
from mailsuite.signing.keys import make_key_pairs
from mailsuite.store.models import Content
from mailsuite.trace.models import Event, Story
from mailsuite.transport_security.models import DaneLook, KnownPolicy, MtaSts

__all__ = ["directory"]

NOW = datetime.now(UTC)
FOREIGN = "theirs.example"
PASSWORD = "correct horse battery"
KEY_PAIRS = make_key_pairs()


@pytest.fixture(autouse=True)
def one_connection(db, monkeypatch):
    """The reader sees what the test's own transaction has written; passwords are hashed quickly."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    CACHE.clear()
    authentication.forget_logins()
    login_log.forget_gathered()
    yield
    connections["reader"] = reader


@pytest.fixture
def superuser():
    return User.objects.create_superuser("root@localhost", PASSWORD)


@pytest.fixture
def domains(superuser):
    """Two domains with the same things in each; their ids by name."""
    for name in ("mine.example", "theirs.example"):
        services.add_domain(name, key_pairs=KEY_PAIRS)
        for local_part in ("ann", "bob"):
            services.add_mailbox(f"{local_part}@{name}", PASSWORD)
        services.add_alias(f"info@{name}", [f"ann@{name}"])
    return dict(Domain.objects.values_list("name", "pk"))


@pytest.fixture
def as_superuser(client, superuser):
    client.force_login(superuser)
    return client


@pytest.fixture
def as_domain_administrator(client, domains):
    """A client signed in as who administers mine.example alone."""
    boss = User.objects.create_user("boss@localhost", PASSWORD, is_staff=True)
    boss.administered_domains.add(domains["mine.example"])
    client.force_login(boss)
    return client


def story(subject, sender="x@remote.example", domain=None):
    return Story.objects.create(
        kind="inbound", outcome="accepted", at=NOW, subject=subject, reverse_path=sender, sender_domain=domain,
        data=json.dumps({"listener": "SMTP", "recipients": ["ann@mine.example", f"bob@{FOREIGN}"]}),
    )  # fmt: skip


def event(of, address, domain):
    Event.objects.create(story=of, at=NOW, kind="filed", address=address, address_key=address, domain=domain)


@pytest.fixture
def everything(domains):
    """A row of each kind in each of the two domains, and what both have in common."""
    content = Content.objects.create(
        blob="b", size_octets=1, header_octets=1, received_at=NOW, envelope=b"", body_structure=b"", body=b"",
        parts=b"", subject="queued", thread_id=1,
    )  # fmt: skip
    shared = story("a letter to both")
    for domain in Domain.objects.all():
        user = User.objects.get(email=f"ann@{domain}")
        services.add_app_password(user.pk, f"telephone of ann@{domain}")
        services.grant_send_as(user.pk, f"press@{domain}")
        Login.objects.create(
            user=user, address_key=user.email, at=NOW, protocol="imap", client_address="192.0.2.1", succeeded=True
        )
        event(shared, f"ann@{domain}", domain)
        own = story(f"a letter of {domain}", f"ann@{domain}", domain)
        event(own, f"bob@{domain}", domain)
        message = QueuedMessage.objects.create(
            content=content, size_octets=1, reverse_path=f"ann@{domain}", domain=domain, created_at=NOW,
            expires_at=NOW, story_id=own.pk,
        )  # fmt: skip
        recipient = QueuedRecipient.objects.create(
            message=message, forward_path=f"friend.of.{domain}@remote.example", destination="remote.example"
        )
        DeliveryAttempt.objects.create(recipient=recipient, token="t", started_at=NOW, reply=f"451 not {domain}")
        services.add_mailbox(f"old@{domain}", PASSWORD)
        services.add_alias(f"gone@{domain}", [f"ann@{domain}"])
        services.remove_mailbox(f"old@{domain}")
        services.remove_alias(f"gone@{domain}")
    # Two that reach over the border: an administrator's mailbox and an account with a mailbox on either side.
    services.add_mailbox("root@mine.example", owner="root@localhost")
    services.add_mailbox("ann.too@mine.example", owner=f"ann@{FOREIGN}")
    for domain in Domain.objects.all():
        Rule.objects.create(domain=domain, value=f"x@{domain}.remote.example")
        Rule.objects.create(mailbox=domain.mailboxes.first(), value=f"y@{domain}.remote.example")
        MtaSts.objects.create(domain=domain)
        SenderPause.objects.create(mailbox=domain.mailboxes.first())
        own = domain.mailboxes.first()
        Sender.objects.create(mailbox=own, rung="from", key=f"x@{domain}.remote.example", junked=1, changed_at=NOW)
        WordTable.objects.create(id=own.pk, mailbox=own, changed_at=NOW)
        SendingCap.objects.create(mailbox=domain.mailboxes.first())
        Alarm.objects.create(
            mailbox=domain.mailboxes.first(), kind="volume", day=NOW.date(), raised_at=NOW, text=f"much of {domain}"
        )
        SendingDay.objects.create(mailbox=domain.mailboxes.first(), day=NOW.date(), messages=5)
    Rule.objects.create(value=f"everywhere@{FOREIGN}")
    WordTable.objects.create(id=WordTable.SITE, changed_at=NOW)
    ScreeningSettings.objects.create(pk=1)
    SendingSettings.objects.create(pk=1)
    AlarmSettings.objects.create(pk=1, recipients=f"ops@{FOREIGN}")
    GreylistEntry.objects.create(key="k", recipient=f"ann@{FOREIGN}", first_seen_at=NOW, last_seen_at=NOW)
    KnownPolicy.objects.create(domain=FOREIGN, used_at=NOW, tried_at=NOW)
    DaneLook.objects.create(hostname=FOREIGN, at=NOW, state="good", text="fine")
    Route.objects.create(pattern=FOREIGN, host="smart.host.example")
    report_on_each(content)
    OutgoingReport.objects.create(policy_domain=FOREIGN, day=NOW.date(), next_attempt_at=NOW)
    ReportExclusion.objects.create(domain_name=FOREIGN)
    ReportSettings.objects.create(pk=1, submitter=Domain.objects.get(name=FOREIGN))
    LoginThrottle.objects.create(key=f"account:ann@{FOREIGN}", window_started_at=NOW)
    return shared


def report_on_each(content):
    """What reports say of each domain."""
    for domain in Domain.objects.all():
        incoming = IncomingReport.objects.create(
            domain=domain, address=f"dmarc-reports@{domain}", kind="dmarc", content=content, received_at=NOW,
            state="failed", reason=f"it is about {domain}",
        )  # fmt: skip
        about = {
            "domain": domain, "incoming": incoming, "org_name": f"friend of {domain}", "report_id": f"1@{domain}",
            "begins_at": NOW, "ends_at": NOW, "is_verified": True,
        }  # fmt: skip
        TlsReport.objects.create(**about)
        report = DmarcReport.objects.create(policy_domain=domain.name, **about)
        source = {"source_ip": "192.0.2.1", "source": f"shop.{domain}"}
        DmarcRecord.objects.create(
            report=report, count=1, is_dkim_aligned=False, is_spf_aligned=False, header_from=domain.name, **source
        )
        DmarcDay.objects.create(domain=domain, day=NOW.date(), messages=1, **source)
