"""A message's header is parsed once between its client and its rows, and the rows say what they said of its octets."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from oracles import TestKey

from mailsuite.mail import bounded_header
from mailsuite.mail import header as mail_header
from mailsuite.writer.reading import summarize

ZONE = {("other.example", "TXT"): [b"v=spf1 ip4:127.0.0.1 -all"]}
FIELDS = (
    b"Return-Path: <forged@other.example>\r\nReceived: from a\r\n\tby b\r\n"
    b"Authentication-Results: mx.example.org; dkim=pass\r\nDelivered-To: else@other.example\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=s; h=from; bh=; b=\r\n"
    b"Subject: only =?utf-8?Q?once?=\r\nTo: ann@example.org,\r\n Bob <bob@example.org>\r\nCc: c@d.example\r\n"
    b"Message-ID: <1@other.example>\r\nReferences: <0@other.example> <2@other.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n"
)
BODY = b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b--\r\n"
STRANGER = b"From: Somebody <x@other.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n" + FIELDS + BODY
# Completed, rewritten and signed: Bcc goes, Date comes, From is written anew.
USER = b"From: Doe, Ann <ann@example.org>\r\nBcc: hidden@example.net\r\n" + FIELDS + BODY


class Counting:
    """What splits header blocks, with the blocks of this message that it was given."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern, self.blocks = pattern, []

    def __getattr__(self, name):
        return getattr(self._pattern, name)

    def split(self, block, *limits):
        if b"Subject: only" in block:
            self.blocks.append(block)
        return self._pattern.split(block, *limits)


@pytest.fixture
def counting(monkeypatch):
    counting = Counting(mail_header.FIELD_START)
    for module in (mail_header, bounded_header):
        monkeypatch.setattr(module, "FIELD_START", counting)
    return counting


def filed(server):
    """The rows' reading of the one message that was filed, as the store makes it, and its octets."""
    [(operation, octets)] = server.store.delivered
    return summarize(octets, table=operation.header), octets


def test_mail_from_elsewhere(make_server, counting):
    server = make_server(evaluator=ZONE)
    assert server.connect().mail(STRANGER, "ann@example.org", "bob@example.org").startswith("250 ")
    reading, octets = filed(server)
    assert len(counting.blocks) == 1
    assert b"Authentication-Results" not in octets and b"Return-Path" not in octets
    assert reading == summarize(octets)
    assert (reading.subject, reading.cc_text, reading.message_id) == ("only once", "c@d.example", "<1@other.example>")


KEY = TestKey("example.org", "s1", ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("keys", [(), (KEY.signing_key,)], ids=["unsigned", "signed"])
def test_mail_of_a_user(make_server, counting, keys):
    server = make_server()
    server.directory.keys = keys
    talk = server.log_in()
    assert talk.mail(USER, "bob@example.org", sender="ann@example.org").startswith("250 ")
    reading, octets = filed(server)
    assert len(counting.blocks) == 1
    assert octets.count(b"DKIM-Signature: v=1; a=") == len(keys) + 1 and b"hidden" not in octets
    assert reading == summarize(octets)
    assert reading.from_text == '"Doe, Ann" <ann@example.org>'


def test_a_large_message(make_server, counting):
    """Its header is replaced in its file, and read by a child of the store."""
    server = make_server(evaluator=ZONE)
    large = STRANGER + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 5_000
    assert server.connect().mail(large, "ann@example.org").startswith("250 ")
    reading, octets = filed(server)
    assert len(counting.blocks) == 1
    assert len(octets) > 300_000 and reading == summarize(octets)


def test_a_table_of_another_message_is_not_believed(make_server):
    server = make_server(evaluator=ZONE)
    assert server.connect().mail(STRANGER, "ann@example.org").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    other = b"X: y\r\n" + octets
    assert summarize(other, table=operation.header) == summarize(other)
