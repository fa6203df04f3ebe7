"""Mailboxes whose mail is filed and moved by the store's own operations, and learned by the worker."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from stored_mail import store_mail_in

from mailsuite.authcheck.report import ArcCheck, AuthReport, DkimCheck, IprevCheck, SpfCheck
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.ids import new_id
from mailsuite.junk import filter as content_filter
from mailsuite.mailauth.dmarc import DmarcOutcome
from mailsuite.store.folders import prepare_mailbox
from mailsuite.store.models import Folder, Message
from mailsuite.store.operations import Copy, Deliver, LocalDelivery, StoreFlags
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.run import execute

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def mail_folder(settings, tmp_path):
    store_mail_in(settings, tmp_path / "mail")
    content_filter.forget_kept()


@pytest.fixture
def make_mailbox():
    def make(address: str) -> Mailbox:
        domain, _ = Domain.objects.get_or_create(name=address.partition("@")[2])
        user = User.objects.create(email=address, address_key=address)
        mailbox = Mailbox.objects.create(domain=domain, user=user, address=address, address_key=address)
        prepare_mailbox(mailbox)
        return mailbox

    return make


@pytest.fixture
def report_of():
    """What the checks found of mail from this address, which its own domain signed."""

    def make(address: str, *, client="192.0.2.9", dmarc="pass", signer=None) -> AuthReport:
        domain = address.partition("@")[2]
        signer = domain if signer is None else signer
        return AuthReport(
            client, f"mx.{domain}", address, address, NOW, IprevCheck("pass"),
            SpfCheck("mailfrom", domain, "none"), SpfCheck("helo", "", "none"),
            DmarcOutcome(dmarc, domain, organizational_domain=domain), ArcCheck("none"),
            dkim=(DkimCheck("pass", domain=signer, is_aligned=signer == domain),) if signer else (),
        )  # fmt: skip

    return make


class Post:
    """One mailbox and what happens in it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def folder(self, role: str) -> Folder:
        return Folder.objects.get(mailbox=self.mailbox, role=role)

    def deliver(self, octets: bytes, role="inbox", report: AuthReport | None = None) -> Message:
        story_id = new_id()
        found = json.loads(msgspec.json.encode(report)) if report else None
        data = json.dumps({"authentication": found} if found else {})
        story = StoryFacts(story_id, "inbound", "accepted", NOW, data=data)
        local = LocalDelivery(self.mailbox.pk, self.mailbox.address, b"", role=role)
        execute(Deliver.carrying(octets, story, local=[local]))
        return Message.objects.get(story_id=story_id)

    def move(self, message: Message, role: str, *, copy=False) -> Message:
        target = self.folder(role)
        operation = Copy(self.mailbox.pk, message.folder_id, target.pk, [message.uid], move=not copy)
        [(_, uid)] = execute(operation).pairs
        return Message.objects.get(folder=target, uid=uid)

    def say(self, message: Message, mode: str, *keywords: str) -> None:
        execute(StoreFlags(self.mailbox.pk, message.folder_id, [message.uid], mode, 0, list(keywords)))


@pytest.fixture
def post(make_mailbox):
    return Post(make_mailbox("ann@example.org"))


@pytest.fixture
def other_post(make_mailbox):
    return Post(make_mailbox("bob@example.org"))
