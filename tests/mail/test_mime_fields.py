"""Values of MIME fields as real senders write them; where the grammar allows them, Dovecot reads them alike."""

import random

import pytest

from mailsuite.mail import mime_fields
from mailsuite.mail.mime_fields import (
    content_type_of,
    encoding_of,
    extended_text,
    file_name_of,
    parse_content_type,
    parse_disposition,
    parse_encoding,
    parse_languages,
)

ASCII = (b"charset", b"us-ascii")


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b"(note) text/html; (note) charset = (note) utf-8", b"text/html", [(b"charset", b"utf-8")]),
        (b'text (a) / (b) plain; charset (c) = (d) "utf-8" (e) ; a=b', b"text/plain",
         [(b"charset", b"utf-8"), (b"a", b"b")]),
        (b"text/plain; charset=us-ascii (Plain text)", b"text/plain", [ASCII]),
        (b"text/plain; charset=utf-8(note); format=flowed", b"text/plain",
         [(b"charset", b"utf-8"), (b"format", b"flowed")]),
        (b"(x\\)text/html) text/plain", b"text/plain", [ASCII]),
        (b"application/pdf; (a;(b;name=x)) name=y", b"application/pdf", [(b"name", b"y")]),
        (b'application/pdf; name="(no comment).pdf"', b"application/pdf", [(b"name", b"(no comment).pdf")]),
        (b"application/pdf; name=a.pdf (; name=b.exe)", b"application/pdf", [(b"name", b"a.pdf")]),
        (b"application/pdf; name=my report (1).pdf ; x=y", b"application/pdf",
         [(b"name", b"my report (1).pdf"), (b"x", b"y")]),
        (b"application/pdf; name=a b.pdf (; name=c.exe)", b"application/pdf", [(b"name", b"a b.pdf (; name=c.exe)")]),
        (b"application/pdf; name==?utf-8?q?a?= =?utf-8?q?b?=; x=y", b"application/pdf",
         [(b"name", b"=?utf-8?q?a?= =?utf-8?q?b?="), (b"x", b"y")]),
        (b"application/pdf; name=", b"application/pdf", [(b"name", b"")]),
        # An opening mark that nothing closes is an ordinary character, or is passed over.
        (b"text/html (open; charset=utf-8", b"text/html", [(b"charset", b"utf-8")]),
        (b"text/html; charset=a(b; x=y", b"text/html", [(b"charset", b"a(b"), (b"x", b"y")]),
        (b'text/html; charset="utf-8; x=y', b"text/html", [(b"charset", b"utf-8"), (b"x", b"y")]),
        (b'application/pdf; name="a (1.pdf; x=y', b"application/pdf", [(b"name", b"a (1.pdf"), (b"x", b"y")]),
        # Semicolons that are missing, or too many
        (b"text/plain charset=utf-8", b"text/plain", [(b"charset", b"utf-8")]),
        (b"text/plain; charset=utf-8 format=flowed", b"text/plain", [(b"charset", b"utf-8"), (b"format", b"flowed")]),
        (b"text/html;;; charset=utf-8;", b"text/html", [(b"charset", b"utf-8")]),
        (b'text/html; "a; name=x"; charset=utf-8', b"text/html", [(b"charset", b"utf-8")]),
        # No type at all
        (b"text", b"text/plain", [ASCII]),
        (b"text; charset=utf-8", b"text/plain", [(b"charset", b"utf-8")]),
        (b"charset=utf-8", b"text/plain", [(b"charset", b"utf-8")]),
        (b'X-ZIP; name="a.zip"', b"application/octet-stream", [(b"name", b"a.zip")]),
        (b"name=a.zip", b"application/octet-stream", [(b"name", b"a.zip")]),
        (b"X-ZIP; name*=us-ascii''a.zip", b"application/octet-stream", [(b"name*", b"us-ascii''a.zip")]),
        (b"multipart; boundary=x", b"multipart/mixed", [(b"boundary", b"x")]),
        (b"multipart", b"text/plain", [ASCII]),
        (b"", b"text/plain", [ASCII]),
        (b"(", b"text/plain", [ASCII]),
    ],
)  # fmt: skip
def test_content_type(value, kind, parameters):
    found = parse_content_type(value)
    assert (found.main + b"/" + found.sub, list(found.parameters)) == (kind, parameters)


@pytest.mark.parametrize(
    ("value", "boundary", "raw"),
    [
        (b"boundary*=us-ascii''abc%3Ddef", b"abc=def", (b"boundary*", b"us-ascii''abc%3Ddef")),
        (b"boundary*0*=us-ascii'en'abc%3D; boundary*1=def", b"abc=def", (b"boundary*", b"us-ascii'en'abc%3Ddef")),
        (b'boundary*0="abc"; boundary*1*=%3Ddef', b"abc=def", (b"boundary*", b"''abc%3Ddef")),
        (b'boundary*1*=%3Dd; boundary*2="e f"; boundary*0=a%b', b"a%b=de f", (b"boundary*", b"''a%25b%3Dde%20f")),
        (b"boundary*=abc%3Ddef", b"abc=def", (b"boundary*", b"abc%3Ddef")),
        (b"boundary*=''a%0D%0Ab%00%3", b"ab%3", (b"boundary*", b"''a%0D%0Ab%00%3")),
    ],
)
def test_extended_parameters_are_decoded_where_they_are_used(value, boundary, raw):
    """RFC 2231 §3 and §4.1: what goes to clients is as it was sent."""
    found = parse_content_type(b"multipart/mixed; " + value)
    assert (found.parameter(b"boundary"), found.parameters) == (boundary, (raw,))


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        (b"name*0=a; name*2=c; name*1*=b", [(b"name*", b"''abc")]),
        (b"name*0=a; name*2=c", [(b"name", b"a"), (b"name*2", b"c")]),
        (b"name*0=a; name*0=b; x=y; name*1=c", [(b"name", b"ac"), (b"name*0", b"b"), (b"x", b"y")]),
        (b"name*1=b; name*2=c", [(b"name*1", b"b"), (b"name*2", b"c")]),
        (b"name*0=a; other*1=b; name*1=c", [(b"name", b"ac"), (b"other*1", b"b")]),
    ],
)
def test_sections_that_follow_none_stay_as_they_are(value, parameters):
    """RFC 2231 §3 says nothing of gaps: nothing is lost, and what is missing is not made up."""
    assert list(parse_content_type(b"a/b; " + value).parameters) == parameters


def test_sections_sent_again_and_again_take_no_more_than_their_octets():
    value = b"a/b" + b"; n*0=x" * 300 + b"".join(b"; n*%d=%b" % (at, b"y" * 90) for at in range(1, 500))
    assert sum(len(name) + len(octets) for name, octets in parse_content_type(value).parameters) <= len(value)


def test_a_parameter_that_all_can_read_goes_before_the_extended_one():
    found = parse_content_type(b"text/plain; charset*=us-ascii''koi8-r; charset=utf-8")
    assert found.parameter(b"charset") == b"utf-8"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"attachment (not; filename=wrong.exe); (note) filename=a.pdf", (b"attachment", ((b"filename", b"a.pdf"),))),
        (b"(c) INLINE (d)", (b"inline", ())),
        (b'"attachment"; filename=x', (b"attachment", ((b"filename", b"x"),))),
        (b"attachment filename=a.pdf", (b"attachment", ((b"filename", b"a.pdf"),))),
        (b"filename=a.pdf", (b"attachment", ((b"filename", b"a.pdf"),))),
        (b"; filename=my a.pdf", (b"attachment", ((b"filename", b"my a.pdf"),))),
        (b"(nothing)", None),
        (b"; size=3", None),
    ],
)
def test_disposition(value, expected):
    assert parse_disposition(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"base64;", b"base64"),
        (b"(note) BASE64 (note)", b"base64"),
        (b'"base64"', b"base64"),
        (b"quoted-printable; charset=utf-8", b"quoted-printable"),
        (b"8bit, or so", b"8bit"),
        (b"(open) 7bit (", b"7bit"),
        (b"", b"7bit"),
        (b"(base64)", b"7bit"),
    ],
)
def test_encoding_is_the_first_token(value, expected):
    assert parse_encoding(value) == expected
    assert encoding_of({b"content-transfer-encoding": [b" " + value]}) == expected


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b"en (English), de", [b"en", b"de"]),
        (b"(a,b) it", [b"it"]),
        (b",, en ,", [b"en"]),
        (b"en (open, de", [b"en (open", b"de"]),
        (b"", []),
    ],
)
def test_languages(value, tags):
    assert parse_languages(value) == tags


@pytest.mark.parametrize(
    ("content_type", "disposition", "name"),
    [
        (b"application/pdf; name=a.pdf", b"attachment; filename=b.pdf", b"b.pdf"),
        (b"application/pdf; name=a.pdf", b"attachment (filename=b.pdf)", b"a.pdf"),
        (b"application/pdf", b"attachment; filename*=utf-8''%C3%84.pdf", "Ä.pdf".encode()),
        (b"application/pdf", b"attachment", b""),
    ],
)
def test_file_name(content_type, disposition, name):
    assert file_name_of({b"content-type": [content_type], b"content-disposition": [disposition]}) == name


def test_a_file_by_its_disposition_is_no_text_when_its_type_makes_no_sense():
    found = content_type_of({b"content-type": [b"X-ZIP"], b"content-disposition": [b"attachment; filename=a.zip"]})
    assert found[:2] == (b"application", b"octet-stream")


def test_what_extended_parameters_say_is_text():
    fields = {
        b"content-type": [b"a/b; name*=iso-8859-1''%C4pfel; x=y"],
        b"content-disposition": [b"attachment; filename*=koi8-r''%F1"],
    }
    assert extended_text(fields) == ["Äpfel", "Я"]


def test_the_short_way_reads_as_the_long_one(monkeypatch):
    """Most values are read by one pattern; on what that takes, the reader of tokens must find the same."""
    rng = random.Random(5)
    pieces = [
        b"text",
        b"/",
        b"plain",
        b";",
        b" ",
        b"name",
        b"=",
        b'"',
        b"a.b",
        b"\\",
        b"(",
        b")",
        b"x*0*",
        b"%41",
        b",",
    ]
    values = [b"a/b" + b"".join(rng.choices(pieces, k=rng.randrange(14))) for _ in range(4_000)]
    values += [b"attachment; filename=" + value for value in values[:2_000]]
    parse = mime_fields._words_and_parameters
    taken = [value for value in values if mime_fields._SIMPLE.fullmatch(value)]
    short = list(map(parse, taken))
    monkeypatch.setattr(mime_fields, "_SIMPLE", mime_fields.re.compile(rb"(?!)"))
    assert list(map(parse, taken)) == short
    assert len(taken) > 100
