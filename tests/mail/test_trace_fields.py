from datetime import UTC, datetime

import pytest

from mailsuite.mail.address import Address, parse_path
from mailsuite.mail.trace_fields import TlsInfo, delivered_to, protocol_name, received, return_path

NOW = datetime(2025, 11, 24, 10, tzinfo=UTC)
USUAL = {
    "helo": "mail.example.org",
    "peer_name": "out.example.org",
    "peer_address": "192.0.2.1",
    "by": "mx.example.net",
    "protocol": "ESMTPS",
    "queue_id": "q1",
    "received_at": NOW,
}


def test_received():
    assert received(**USUAL, recipient="bob@example.net", tls=TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384")) == (
        b"Received: from mail.example.org (out.example.org [192.0.2.1])\r\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
        b"\tby mx.example.net with ESMTPS id q1\r\n"
        b"\tfor <bob@example.net>; Mon, 24 Nov 2025 10:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"peer_name": None}, b"from mail.example.org ([192.0.2.1])\r\n"),
        ({"peer_name": None, "peer_address": None}, b"from mail.example.org\r\n"),
        ({"peer_address": "2001:db8::1"}, b"(out.example.org [IPv6:2001:db8::1])"),
        ({"peer_address": "fe80::1%eth0", "peer_name": None}, b"([IPv6:fe80::1])"),
        ({"helo": "[192.0.2.1]"}, b"from [192.0.2.1] ("),
        ({"helo": "a)\r\nX-Evil: 1"}, b"from unknown ("),
        ({"helo": ""}, b"from unknown ("),
        ({"helo": "a" * 256}, b"from unknown ("),
        ({"peer_name": "a) (b\r\nX: y"}, b"(abX:y [192.0.2.1])"),
        ({"recipient": "a\r\nX: y@example.net"}, b"for <aX: y@example.net>;"),
        ({"recipient": "jörg@example.net"}, "for <jörg@example.net>;".encode()),
    ],
)
def test_received_takes_nothing_for_granted(change, expected):
    field = received(**{**USUAL, **change})
    assert expected in field
    assert field.endswith(b"\r\n")
    assert all(line.startswith(b"\t") for line in field.split(b"\r\n")[1:-1])


@pytest.mark.parametrize(
    ("extended", "tls", "authenticated", "smtputf8", "expected"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, True, False, False, "ESMTPS"),
        (True, False, True, False, "ESMTPA"),
        (True, True, True, False, "ESMTPSA"),
        (False, True, False, False, "ESMTPS"),
        (True, False, False, True, "UTF8SMTP"),
        (True, True, True, True, "UTF8SMTPSA"),
    ],
)
def test_protocol_name(extended, tls, authenticated, smtputf8, expected):
    assert protocol_name(extended=extended, tls=tls, authenticated=authenticated, smtputf8=smtputf8) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<>", b"Return-Path: <>\r\n"),
        ("<ann@example.org>", b"Return-Path: <ann@example.org>\r\n"),
        ('<"a b"@example.org>', b'Return-Path: <"a b"@example.org>\r\n'),
        ("<jörg@example.org>", "Return-Path: <jörg@example.org>\r\n".encode()),
    ],
)
def test_return_path(path, expected):
    assert return_path(parse_path(path)) == expected


def test_delivered_to():
    assert delivered_to(Address("ann", "example.org")) == b"Delivered-To: ann@example.org\r\n"
    assert delivered_to(Address("a\nb", "example.org")) == b'Delivered-To: "ab"@example.org\r\n'
