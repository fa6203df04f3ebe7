"""What the filter sees of a message, and that hostile mail costs no more than its bounds."""

import base64
import sys

import pytest

from mailsuite.junk.features import MAX_FEATURES, extract
from mailsuite.junk.text import BODY_OCTETS
from mailsuite.mail.parsed_header import Header


def words(header: bytes, *body: bytes):
    return extract(Header.parse(header + b"\r\n\r\n"), body).words


@pytest.mark.parametrize(
    ("header", "body", "found"),
    [
        (b"Subject: =?utf-8?B?Q2hlYXAgcGlsbHM=?=", b"", ["subject:cheap", "subject:pills", "subject:cheap pills"]),
        (b"From: Dr Best <x@a.shop.example>", b"", ["from:a.shop.example", "from:shop.example", "name:best"]),
        (b"From: a@x.example\r\nReply-To: b@y.example", b"", ["reply-to:elsewhere"]),
        (b"List-Unsubscribe: <x>", b"", ["field:list-unsubscribe", "without:date"]),
        (b"X-Mailer: Blaster 3000", b"", ["mailer:blaster"]),
        (b"Subject: x", b"Buy cheap, cheap pills", ["buy", "cheap", "pills", "buy cheap", "cheap pills"]),
        (b"Subject: x", "FREE \u00d6LE, Now".encode(), ["free", "capitals:free", "capitals:\xf6le", "now"]),
        (b"Content-Type: text/html", b"<p>pi<b>lls</b> a&#109;ong<br>us<br/>two</p>", ["pills", "among", "two"]),
        (b"Content-Type: text/html", b"<style>hidden words</style><p>seen</p>", ["seen"]),
        (b"Content-Type: text/html", b'<div style="display:none">x</div><img src=y>', ["html:unseen", "html:img"]),
        (b"Content-Type: text/html", b'<a href="https://w.x.example/a">x</a>', ["host:w.x.example", "host:x.example"]),
        (b"Content-Transfer-Encoding: base64", base64.b64encode(b"secret pills"), ["secret pills"]),
        (b"Content-Transfer-Encoding: base64", b"c2VjcmV0IHBpbGxz IG5vdw", ["pills now"]),
        (b"Content-Transfer-Encoding: base64", b"c2VjcmV0IA==cGlsbHM=", ["secret pills"]),
        (b"Content-Transfer-Encoding: quoted-printable", b"chea=\r\np pi=6Cls", ["cheap pills"]),
        (b"Content-Type: text/plain; charset=iso-8859-1", b"gr\xfc\xdfe", ["gr\xfc\xdfe"]),
        (b"X: y", "pi\u200blls v!agra \uff50\uff49\uff4c\uff4c $$$".encode(), ["pills", "pill", "v!agra", "$$$"]),
        (
            b'Content-Type: multipart/mixed; boundary="b"',
            b"--b\r\n\r\nfirst part\r\n--b\r\nContent-Type: image/png\r\n\r\nnever\r\n--b\r\n\r\nlast\r\n--b--\r\n",
            ["first part", "last", "mime:multipart/mixed", "mime:image/png"],
        ),
    ],
)  # fmt: skip
def test_features(header, body, found):
    features = words(header, body)
    assert set(found) <= set(features) and len(set(features)) == len(features)
    assert not {"hidden", "never", "capitals:now"} & set(features)


def test_it_is_the_same_however_the_body_is_cut():
    body = b"Buy cheap pills at http://evil.example/ now " * 50
    assert words(b"Subject: x", body) == words(b"Subject: x", *(body[at : at + 7] for at in range(0, len(body), 7)))


def test_no_more_is_read_than_is_looked_at():
    taken = []

    def chunks():
        for number in range(100):
            taken.append(number)
            yield b"a" * 65536

    extract(Header.parse(b"\r\n"), chunks())
    assert len(taken) == BODY_OCTETS // 65536


HUGE = 300_000
HOSTILE = {
    "open tags": b"<" * HUGE,
    "open comments": b"<!--" * (HUGE // 4),
    "unclosed scripts": b"<script>" * (HUGE // 8),
    "entities": b"&" * HUGE,
    "half hosts": b"http://" * (HUGE // 7),
    "users": b"http://" + b"a@" * (HUGE // 2),
    "one word": b"a" * HUGE,
    "many words": b"".join(b"%06x " % number for number in range(HUGE // 7)),
    "nothing": b"\0" * HUGE,
    "equals": b"=" * HUGE,
    "spaces": b" " * HUGE,
    "combining": "\u0301".encode() * (HUGE // 2),
    "expanding": "\ufdfa".encode() * (HUGE // 3),
    "bad utf-8": b"\xff\xfe" * (HUGE // 2),
    "delimiters": b"--b\r\n" * (HUGE // 5),
    "nested": b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 4000,
}


@pytest.mark.parametrize("encoding", [b"8bit", b"base64", b"quoted-printable"])
@pytest.mark.parametrize(
    "main", [b"text/html; charset=utf-8", b"text/plain; charset=utf-7", b"multipart/mixed; boundary=b"]
)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_costs_no_more_than_its_bounds(name, main, encoding):
    """Work is counted in calls of functions, Python's and C's; what one may cost is bounded by what it is given."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    header = b"Subject: x\r\nContent-Type: " + main + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    sys.setprofile(count)
    try:
        found = extract(Header.parse(header), [HOSTILE[name]]).words
    finally:
        sys.setprofile(None)
    assert len(found) <= MAX_FEATURES and all(len(word) <= 260 for word in found)
    assert calls < 60_000


@pytest.mark.parametrize("name", [b"Subject", b"From", b"References", b"Content-Type", b"X-Mailer"])
@pytest.mark.parametrize("filling", [b"<", b"=?utf-8?q?=", b'"', b"(", b"a@", b", ", b"\r\n ", b";a="])
def test_hostile_headers(name, filling):
    assert len(words(name + b": " + filling * (100_000 // len(filling)), b"text")) <= MAX_FEATURES
