"""Mail of ours to people: words and names of any language, in 7 bits."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from mailsuite.pipeline.notices import notice

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def test_words_outside_ascii_travel_in_7_bits(make_mailbox):
    to = make_mailbox("a@example.org")
    text = "Über jörg@example.org:\nalles gut.\n"
    delivery = notice(to, "Grüße an jörg@example.org", text, "alarm", datetime.now(UTC))
    octets = delivery.octets
    assert octets.isascii()
    message = message_from_bytes(octets, policy=policy.default)
    assert not message.defects
    assert message["Subject"] == "Grüße an jörg@example.org"
    assert message.get_content().replace("\r\n", "\n") == text
    assert delivery.size_octets == len(octets)


def test_a_notice_is_signed_and_says_to_whom_it_was_delivered():
    from mailsuite.directory.models import Mailbox
    from mailsuite.provisioning.domains import add_domain
    from mailsuite.provisioning.mailboxes import add_mailbox

    add_domain("example.org")
    to = Mailbox.objects.get(pk=add_mailbox("ann@example.org", "a long enough password"))
    delivery = notice(to, "Hello", "Hello.\n", "quota", datetime.now(UTC))
    [local] = delivery.local
    assert local.prefix == b"Return-Path: <>\r\nDelivered-To: ann@example.org\r\n"
    assert b"d=example.org" in delivery.octets.partition(b"From:")[0]
    assert delivery.outgoing == []
