"""Mail of ours to people: words and names of any language, in 7 bits."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from mailsuite.store.notices import notice

pytestmark = pytest.mark.django_db(transaction=True)


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
