"""Messages brought to the doors without any socket, and a stage of somebody's own."""

from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from mailsuite.mail import reply as replies
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.pipeline import doors
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.direct import DirectStore, at_once, direct_services
from mailsuite.pipeline.doors import receive
from mailsuite.pipeline.intakes import MX
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.transaction import AddFields, Quarantine
from mailsuite.provisioning.domains import add_domain
from mailsuite.provisioning.mailboxes import add_mailbox
from mailsuite.store.models import Message

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
MAIL = b"From: eve@far.test\r\nSubject: Hello\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def ann(transactional_db):
    add_domain("example.org")
    add_mailbox("ann@example.org", "a long enough password")


def bring(octets=MAIL, to=("ann@example.org",)):
    services = direct_services("mx.example.org")
    recipients = [EnvelopeRecipient(one) for one in to]
    return at_once(receive(services, Envelope("eve@far.test"), recipients, octets, Client("192.0.2.1", "test")))


def test_a_message_comes_in_without_a_socket():
    outcome = bring(to=["ann@example.org", "nobody@example.org"])
    assert outcome.reply.is_positive
    assert [str(reply)[:3] for reply in outcome.refused.values()] == ["550"]
    message = Message.objects.get()
    assert (message.folder.role, message.story_id) == ("inbox", outcome.story_id)
    assert b"\r\nDelivered-To: ann@example.org\r\n" in bytes(message.prefix)


@pytest.mark.parametrize("octets, code", [(b"Subject: x\n\nbare\n", "554"), (b"Subject: x\r\n\r\n\0\r\n", "554")])
def test_octets_that_another_server_reads_otherwise_are_refused(octets, code):
    outcome = bring(octets)
    assert not outcome.reply.is_positive and outcome.story_id is None
    assert not Message.objects.exists()


def test_a_stage_is_one_function_and_its_name_in_a_tuple(monkeypatch):
    async def no_greetings(transaction):
        if b"subject" in transaction.header:
            return Refusal(replies.MESSAGE_MALFORMED.with_text("No greetings"), "greeting")
        return None

    monkeypatch.setattr(doors, "MX", replace(MX, message=(*MX.message, no_greetings)))
    told = []
    monkeypatch.setattr(DirectStore, "send", lambda self, operation: told.append(operation.story))
    assert "No greetings" in str(bring().reply)
    [story] = told
    assert (story.reason, '"stage":"no-greetings"' in story.data) == ("greeting", True)


def test_stages_may_quarantine_and_add_fields(monkeypatch):
    async def looks_odd(transaction):
        return Quarantine("it looks odd")

    async def marked(transaction):
        return AddFields(b"X-Marked: yes\r\n")

    monkeypatch.setattr(doors, "MX", replace(MX, message=(*MX.message, looks_odd, marked)))
    assert bring().reply.is_positive
    message = Message.objects.get()
    assert message.folder.role == "junk"
    assert b"X-Marked: yes\r\n" in bytes(message.prefix)


# The command's connections end with its process, and a test's database only after them.
@pytest.mark.sqlite_only
def test_the_command_submits_and_receives_a_file(tmp_path, capsys):
    file = tmp_path / "message.eml"
    file.write_bytes(b"From: ann@example.org\nTo: ann@example.org\nSubject: Hello\n\nHello\n")
    call_command("message", "submit", str(file), "--as", "ann@example.org", "--to", "ann@example.org")
    assert "Taken." in capsys.readouterr().out
    assert Message.objects.get().content.header.startswith(b"DKIM-Signature:")
    with pytest.raises(CommandError, match="not taken: 550"):
        call_command("message", "receive", str(file), "--from", "eve@far.test", "--to", "nobody@example.org")
    with pytest.raises(CommandError, match="can't be read"):
        call_command("message", "receive", str(tmp_path / "none"), "--to", "ann@example.org")
