"""Hosts that take ASCII alone get a copy that says the same, signed anew where the message is one of ours."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from functools import partial
from ipaddress import ip_network

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa
from memory_storage import Held, MemoryStorage
from oracles import TestKey, dkimpy_verifies, zone_of
from queued_mail import enqueue, forget_the_directory
from smtp_sink import Behaviour, Sink
from tls_policies import Opportunistic

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, signature_fields
from mailsuite.provisioning.domains import add_domain
from mailsuite.queue.operations import Claim
from mailsuite.resolver.answers import Mx, ZoneResolver
from mailsuite.trace.models import Story
from smtpd_service.outbound.courier import Courier, Letter
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.seven_bit import NOTE, seven_bit_letter
from smtpd_service.outbound.stored_message import StoredMessage
from smtpd_service.outbound.transaction import Fate, Mail

__all__ = ["enqueue", "forget_the_directory"]

NOW = datetime.now(UTC)
LOOPBACK = [ip_network("127.0.0.0/8")]
ZONE = {("far.test", "MX"): [Mx(10, "mx.far.test")], ("mx.far.test", "A"): ["127.0.0.1"]}
TRACE = b"Received: from client by us\r\n"
HEADER = "From: Jürgen <ann@us.test>\r\nTo: bob@far.test\r\nSubject: Grüße\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
TEXT = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
BODY = ".\r\nGrüße\r\n" * 2
PLAIN = b"From: ann@us.test\r\n\r\nHello\r\n"
MESSAGE = (HEADER + TEXT + BODY).encode()
SEVEN_BIT = Behaviour(extensions=("PIPELINING", "SIZE"))


@pytest.fixture(scope="module")
def key():
    return TestKey("us.test", "r1", rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture
def sink():
    with Sink(SEVEN_BIT) as sink:
        yield sink


def signed(octets, key):
    end = header_end(octets, 0, len(octets))
    body = RelaxedBodyHash()
    body.update(octets[end:])
    return signature_fields(Header.parse(octets[:end]), body.digest(), [key.signing_key], 1_700_000_000) + octets


@pytest.fixture
def storage():
    return MemoryStorage()


def hold(storage, octets):
    storage.blobs["blob"] = Held(octets)


def octets_of(storage):
    return bytes(storage.blobs["blob"].octets)


def deliver(port, storage, keys=(), prefix=TRACE, **needs):
    """What comes of the message in the storage, and the keys' questions."""
    asked = []

    async def signing_keys(claim, domain):
        asked.append((claim.story_id, domain))
        if isinstance(keys, Exception):
            raise keys
        return keys

    async def chunks():
        yield prefix + octets_of(storage)

    async def may_finish():
        return True

    async def run():
        size = len(prefix) + len(octets_of(storage))
        claim = Claim(
            *(1, 1, EnvelopeRecipient("bob@far.test"), Envelope("ann@us.test", eight_bit=True), "far.test"),
            *(1, False, "blob", prefix, size, NOW),
            story_id=7,
        )
        mail = Mail(Envelope("ann@us.test", **{"eight_bit": True, **needs}), [EnvelopeRecipient("bob@far.test")], size)
        seven_bit = partial(seven_bit_letter, claim=claim, storage=storage, keys=signing_keys)
        courier = Courier(
            NextHop("far.test"),
            destinations=Destinations(ZoneResolver(ZONE), (), LOOPBACK, port=port),
            policy=Opportunistic(),
            helo="us.test",
            allowed=LOOPBACK,
        )
        try:
            return await courier.deliver(Letter(mail, chunks, may_finish, lambda: None, seven_bit))
        finally:
            await courier.close()

    [delivery] = uvloop.run(run())
    return delivery, asked


def test_it_arrives_as_a_copy_that_says_the_same_under_a_new_signature(sink, key, storage):
    hold(storage, signed(MESSAGE, key))
    delivery, asked = deliver(sink.port, storage, [key.signing_key])
    assert (delivery.outcome.fate, asked) == (Fate.DELIVERED, [(7, "us.test")])
    assert NOTE in delivery.dialog
    [message] = sink.messages
    assert f"C: MAIL FROM:<ann@us.test> SIZE={len(message.data)}\n" in delivery.dialog
    assert message.data.isascii() and message.data.startswith(TRACE + b"DKIM-Signature: ")
    read = message_from_bytes(message.data, policy=policy.default)
    assert (read["Subject"], str(read["From"])) == ("Grüße", "Jürgen <ann@us.test>")
    assert (read.get_content(), len(read.get_all("DKIM-Signature"))) == (BODY, 1)
    assert dkimpy_verifies(message.data, zone_of(key))


def test_what_others_have_written_goes_with_the_signature_that_it_came_with(sink, key, storage):
    hold(storage, signed(MESSAGE, key))
    delivery, _ = deliver(sink.port, storage)
    assert delivery.outcome.fate is Fate.DELIVERED
    [message] = sink.messages
    assert message.data.isascii() and message.data.count(b"DKIM-Signature: ") == 1
    assert not dkimpy_verifies(message.data, zone_of(key))


def test_a_large_one_comes_in_pieces(sink, key, storage):
    body = "Zeile mit Grüßen\r\n" * 60_000
    hold(storage, (HEADER + TEXT + body).encode())
    delivery, _ = deliver(sink.port, storage, [key.signing_key])
    assert delivery.outcome.fate is Fate.DELIVERED
    assert message_from_bytes(sink.messages[0].data, policy=policy.default).get_content() == body
    assert dkimpy_verifies(sink.messages[0].data, zone_of(key))


def test_a_host_that_takes_8_bit_gets_the_message_itself(sink, key, storage):
    sink.behaviour = Behaviour()
    hold(storage, signed(MESSAGE, key))
    delivery, asked = deliver(sink.port, storage, [key.signing_key])
    assert (delivery.outcome.fate, asked) == (Fate.DELIVERED, [])
    assert sink.messages[0].data == TRACE + octets_of(storage)


def test_a_header_that_needs_no_smtputf8_goes_without(sink, key, storage):
    sink.behaviour = Behaviour(extensions=("8BITMIME",))
    hold(storage, MESSAGE)
    delivery, _ = deliver(sink.port, storage, [key.signing_key], smtputf8=True)
    assert delivery.outcome.fate is Fate.DELIVERED
    assert "SMTPUTF8" not in delivery.dialog.partition("MAIL FROM")[2]


def test_nothing_bounces_for_what_we_put_in_front(sink, storage):
    hold(storage, PLAIN)
    trace = "Delivered-To: jürgen@us.test\r\nReceived: from client\r\n\tby us for <jürgen@us.test>\r\n".encode()
    assert StoredMessage(storage, "blob", TRACE, 0).has_ascii_header()
    assert not StoredMessage(storage, "blob", trace, 0).has_ascii_header()
    delivery, _ = deliver(sink.port, storage, prefix=trace, smtputf8=True)
    assert delivery.outcome.fate is Fate.DELIVERED
    assert sink.messages[0].data == b"Received: from client\r\n\tby us for <j?rgen@us.test>\r\n" + PLAIN


@pytest.mark.parametrize(("needs", "status"), [({"smtputf8": True}, "5.6.7"), ({}, "5.6.3")])
def test_what_has_no_copy_comes_back_and_says_why(sink, storage, needs, status):
    hold(storage, "From: jürgen@us.test\r\n\r\n".encode())
    delivery, _ = deliver(sink.port, storage, **needs)
    assert (delivery.outcome.fate, delivery.outcome.status) == (Fate.NEVER, status)
    assert "field From can't be" in delivery.outcome.text


def test_it_waits_rather_than_go_unsigned(sink, key, storage):
    hold(storage, MESSAGE)
    for keys in (OSError("no keys"), [replace(key.signing_key, private_key="no key")]):
        with pytest.raises((OSError, SigningError)):
            deliver(sink.port, storage, keys)
    assert sink.messages == []


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_only_what_our_users_submitted_is_signed(enqueue):
    add_domain("us.test")
    message = enqueue("bob@far.test")
    claim = Claim(
        *(1, message.pk, EnvelopeRecipient("bob@far.test"), Envelope("ann@us.test", eight_bit=True), "far.test"),
        *(1, False, "x", b"", 1, NOW),
        story_id=message.story_id,
    )

    async def keys(domain):
        reader = QueueReader()
        try:
            return [key.domain for key in await reader.signing_keys(claim, domain)]
        finally:
            reader.close()

    assert asyncio.run(keys("us.test")) == ["us.test"]
    assert asyncio.run(keys("other.test")) == asyncio.run(keys("")) == []
    Story.objects.filter(pk=message.story_id).update(kind=Story.Kind.INBOUND)
    assert asyncio.run(keys("us.test")) == []
