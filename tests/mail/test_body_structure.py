import mmap
import tempfile
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from mailsuite.mail.envelope_structure import envelope_structure
from mailsuite.mail.header import collect_fields
from mailsuite.mail.message import ParseLimits, parse_message
from mailsuite.mail.structure import decode_parts, encode_parts

TEXT = [b"text", b"plain", [b"charset", b"us-ascii"], None, None, b"7bit"]
SUBJECT_D = [None, b"d", *[None] * 8]  # an ENVELOPE


IMAGE_FIELDS = b"Content-Transfer-Encoding: BASE64\r\nContent-ID: <a@b>\r\nContent-Description: a b\r\n"
INNER = b"Content-Type: multipart/mixed; boundary=%b\n"


def _message(content_type, body, more=b""):
    return b"Content-Type: " + content_type + b"\r\n" + more + b"\r\n" + body


def _mixed(body, more=b""):
    return _message(b"multipart/mixed; boundary=x", body, more)


def _leaf(main, sub, parameters=None, *rest):
    return [main, sub, parameters, None, None, b"7bit", 0, *rest]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", [*TEXT, 0, 0]),
        (b"Subject: x\r\n", [*TEXT, 0, 0]),
        (b"Subject: x\r\n\r\nfirst\r\nsecond", [*TEXT, 13, 1]),
        (_message(b"garbage", b""), [*TEXT, 0, 0]),
        (_message(b"TEXT/HTML; Charset=UTF-8", b""), _leaf(b"text", b"html", [b"charset", b"UTF-8"], 0)),
        (_message(b"text/html", b""), _leaf(b"text", b"html", [b"charset", b"us-ascii"], 0)),
        (_message(b"image/png", b"abc", IMAGE_FIELDS),
         [b"image", b"png", None, b"<a@b>", b"a b", b"base64", 3]),
        (_message(b'image/png; name="a \\"b\\".png"; x', b""),
         [b"image", b"png", [b"name", b'a "b".png'], None, None, b"7bit", 0]),
        (_message(b"image/png;\r\n filename*0*=utf-8''%C3%A4;\r\n\tfilename*1=b", b""),
         [b"image", b"png", [b"filename*", b"utf-8''%C3%A4b"], None, None, b"7bit", 0]),
        (_message(b"image/png; name*1*=%20c; name*0*=us-ascii'en'a; name*2=\"it's %\"; x=1", b""),
         _leaf(b"image", b"png", [b"name*", b"us-ascii'en'a%20cit%27s%20%25", b"x", b"1"])),
        (_message(b"image/png; name*0=\"a b\"; name*1=.png; name*3=kept", b""),
         _leaf(b"image", b"png", [b"name", b"a b.png", b"name*3", b"kept"])),
        (_message(b"image/png; name*1=x; name*=utf-8''y; *0=z; name*0", b""),
         _leaf(b"image", b"png", [b"name*1", b"x", b"name*", b"utf-8''y", b"*0", b"z"])),
        (_message(b"image/png; name=\xe4(1).png", b""), _leaf(b"image", b"png", [b"name", b"\xe4(1).png"])),
        (_message(b"multipart/mixed", b"--x\r\n"), [*TEXT, 5, 1]),
        (_mixed(b""), [[*TEXT, 0, 0], b"mixed"]),
        (_mixed(b"text\r\n--x--\r\n"), [[*TEXT, 0, 0], b"mixed"]),
        (_mixed(b"--x\r\n\r\n--x\r\n--x--"), [[*TEXT, 0, 0], [*TEXT, 0, 0], b"mixed"]),
        (_mixed(b"--x\r\n\r\nopen"), [[*TEXT, 4, 0], b"mixed"]),
        (_mixed(b"--x \t\r\n\r\na\r\n--xy\r\n--x-\r\nb\r\n--x-- \r\n--x\r\n\r\nlate"),
         [[*TEXT, 16, 3], b"mixed"]),
        (_message(b'multipart/mixed; boundary="a b:?"', b"--a b:?\r\n\r\na\r\n--a b:?--"), [[*TEXT, 1, 0], b"mixed"]),
        (_mixed(b"--x\n" + INNER % b"xy" + b"\n--xy\n\na\n--xy\n\nb\n--x\n\nc\n"),
         [[[*TEXT, 1, 0], [*TEXT, 1, 0], b"mixed"], [*TEXT, 2, 1], b"mixed"]),
        (_mixed(b"--x\n\na\n--x\n" + INNER % b"x" + b"\nb\n--x--"),
         [[*TEXT, 1, 0], [[*TEXT, 0, 0], b"mixed"], b"mixed"]),
        (_message(b"multipart/digest; boundary=x", b"--x\n\nSubject: d\n\nbody\n--x--"),
         [[b"message", b"rfc822", None, None, None, b"7bit", 16, SUBJECT_D, [*TEXT, 4, 0], 2], b"digest"]),
        (_message(b"message/rfc822", b"Subject: d\r\n\r\nbody\r\n"),
         [b"message", b"rfc822", None, None, None, b"7bit", 20, SUBJECT_D, [*TEXT, 6, 1], 3]),
    ],
)  # fmt: skip
def test_body(octets, expected, read_imap):
    assert read_imap(parse_message(octets).body) == expected


@pytest.mark.parametrize(
    ("header", "extension"),
    [
        (b"", [None, None, None, None]),
        (b"Content-Disposition: inline\r\n", [None, [b"inline", None], None, None]),
        (b"Content-Disposition: ATTACHMENT; FileName=\"a;b.txt\"; size=3\r\n",
         [None, [b"attachment", [b"filename", b"a;b.txt", b"size", b"3"]], None, None]),
        (b"Content-Disposition: ;\r\n", [None, None, None, None]),
        (b"Content-Language: en\r\n", [None, None, b"en", None]),
        (b"Content-Language: en, de ,\r\n", [None, None, [b"en", b"de"], None]),
        (b"Content-Location: http://x/\r\n", [None, None, None, b"http://x/"]),
        (b"Content-MD5: AAAA\r\n", [b"AAAA", None, None, None]),
    ],
)  # fmt: skip
def test_extension(header, extension, read_imap):
    message = parse_message(header + b"\r\nbody")
    assert read_imap(message.body_structure) == [*TEXT, 4, 0, *extension]


def test_extension_of_a_multipart(read_imap):
    octets = _mixed(b"--x\r\n\r\na\r\n--x--", b"Content-Language: en\r\n")
    assert read_imap(parse_message(octets).body_structure) == [
        [*TEXT, 1, 0, None, None, None, None], b"mixed", [b"boundary", b"x"], None, b"en", None,
    ]  # fmt: skip


def _generated():
    plain = EmailMessage()
    plain["Subject"], plain["From"], plain["To"] = (
        "plain",
        "Ann <ann@example.org>",
        "bob@example.net, C <c@example.net>",
    )
    plain.set_content("hello\nthere\n")
    alternative = EmailMessage()
    alternative["Subject"] = "Grüße"
    alternative.set_content("hällo\n", cte="quoted-printable")
    alternative.add_alternative("<p>hällo</p>\n", subtype="html", cte="base64")
    alternative.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<i@example.org>")
    mixed = EmailMessage()
    mixed["Subject"] = "attachments"
    mixed.set_content("see below\n")
    mixed.add_attachment(b"\0\1\2" * 100, "application", "octet-stream", filename="ä b.bin")
    mixed.add_attachment(plain)
    nested = EmailMessage()
    nested.set_content("outer\n")
    nested.add_attachment(alternative)
    nested.add_attachment(mixed)
    return [plain, alternative, mixed, nested]


def _expected(part):
    """What BODY says of the standard library's reading: types, size and children."""
    if part.get_content_maintype() == "multipart":
        return [*map(_expected, part.get_payload()), part.get_content_subtype().encode()]
    kind = [part.get_content_maintype().encode(), part.get_content_subtype().encode()]
    if part.get_content_type() == "message/rfc822":
        return [*kind, _expected(part.get_payload(0))]
    return [*kind, len(part.get_payload().encode("ascii", "surrogateescape"))]


def _seen(body):
    if isinstance(body[0], list):
        return [*map(_seen, body[:-1]), body[-1]]
    return [*body[:2], _seen(body[8])] if body[1] == b"rfc822" else [*body[:2], body[6]]


@pytest.mark.parametrize("linesep", ["\r\n", "\n"])
@pytest.mark.parametrize("number", range(4))
def test_standard_library_sees_the_same(number, linesep, read_imap):
    octets = _generated()[number].as_bytes(policy=policy.SMTP.clone(linesep=linesep))
    message = parse_message(octets)
    reference = message_from_bytes(octets, policy=policy.compat32)
    assert _seen(read_imap(message.body)) == _expected(reference)
    assert not message.truncated


def _nest(depth, innermost):
    octets = innermost
    for level in range(depth):
        octets = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%b\r\n--b%d--" % (
            level,
            level,
            octets,
            level,
        )
    return octets


ALL_OF_IT = [*TEXT, 3, 1]  # what is not looked into
NESTED = b"Content-Type: message/rfc822\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "limits", "expected"),
    [
        (_mixed(b"--x\r\n" + INNER % b"y" + b"\n--y"), ParseLimits(depth=1),
         [[[*TEXT, 3, 0], b"mixed"], b"mixed"]),
        (NESTED * 2 + b"a\r\n", ParseLimits(depth=1),
         [b"message", b"rfc822", None, None, None, b"7bit", 35, [None] * 10,
          [b"message", b"rfc822", None, None, None, b"7bit", 3, [None] * 10, ALL_OF_IT, 1], 3]),
        (NESTED + b"a\r\n", ParseLimits(searched_octets=2),
         [b"message", b"rfc822", None, None, None, b"7bit", 3, [None] * 10, ALL_OF_IT, 1]),
        (_mixed(b"--x\r\n\r\n" * 5), ParseLimits(parts=3), [[*TEXT, 0, 0], [*TEXT, 0, 0], b"mixed"]),
        (_mixed(b"--x\r\n\r\n" * 5), ParseLimits(parts=1), [[*TEXT, 35, 10], b"mixed"]),
        (_mixed(b"--x\r\n\r\na\r\n" + b"--xy\r\n" * 5 + b"--x\r\n\r\n"), ParseLimits(false_delimiters=4),
         [[*TEXT, 40, 8], b"mixed"]),
        (_message(b"text/html; name=%b; charset=utf-8" % (b"x" * 100), b""), ParseLimits(structure_octets=170),
         [b"text", b"html", [b"charset", b"utf-8"], None, None, b"7bit", 0, 0]),
        (b"Content-ID: <a@b>\r\nContent-Description: %b\r\n\r\n" % (b"x" * 100), ParseLimits(structure_octets=170),
         [b"text", b"plain", [b"charset", b"us-ascii"], b"<a@b>", None, b"7bit", 0, 0]),
    ],
)  # fmt: skip
def test_past_a_limit_something_is_left_out_and_the_rest_stays_what_it_is(octets, limits, expected, read_imap):
    message = parse_message(octets, limits)
    assert message.truncated
    assert read_imap(message.body) == expected
    assert read_imap(message.body_structure)[0] == expected[0] or isinstance(expected[0], list)
    assert (message.parts.header_start, message.parts.end) == (0, len(octets))
    assert not parse_message(octets).truncated


LONG_TO = b"To: " + b",\r\n ".join(b'"Doe, J %d" <r%d@example.org>' % (at, at) for at in range(300)) + b"\r\n"
BEHIND = (
    b"Subject: behind\r\nDate: Mon, 02 Feb 2026 10:00:00 +0000\r\nMessage-ID: <a@b>\r\nX: y\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: a/b\r\n\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    "limits",
    [
        ParseLimits(header_octets=2_000),
        ParseLimits(header_octets=2_001),
        ParseLimits(header_octets=2_030),
        ParseLimits(header_octets=len(LONG_TO)),
        ParseLimits(fields=1),
        ParseLimits(structure_octets=4_000),
    ],
)
def test_of_a_long_header_whole_addresses_are_left_out_and_what_the_mail_is_stays(limits, read_imap):
    message = parse_message(b"From: ann@example.org\r\n" + LONG_TO + BEHIND, limits)
    assert message.truncated
    date, subject, authors, *_, to, cc, bcc, _, message_id = read_imap(message.envelope_structure)
    assert (subject, message_id, cc, bcc) == (b"behind", b"<a@b>", None, None)
    assert authors == [[None, None, b"ann", b"example.org"]] and message.sent_at is not None
    assert to == [[b"Doe, J %d" % at, None, b"r%d" % at, b"example.org"] for at in range(len(to))] and to
    assert read_imap(message.body) == [[b"a", b"b", None, None, None, b"7bit", 0], b"mixed"]
    whole = parse_message(b"From: ann@example.org\r\n" + LONG_TO + BEHIND)
    assert not whole.truncated and len(read_imap(whole.envelope_structure)[5]) == 300


@pytest.mark.parametrize(
    ("header", "limit", "subject"),
    [
        (b"Subject: one two three\r\n\r\n", 20, b"one two"),
        (b"Subject: %b\r\n\r\n" % (b"word " * 50), 100, b" ".join([b"word"] * 10)),
    ],
)
def test_a_long_text_ends_where_a_word_does(header, limit, subject, read_imap):
    octets = envelope_structure(collect_fields(header), limit).octets
    assert read_imap(octets)[1] == subject
    assert len(octets) <= limit + 60


def test_a_group_that_goes_on_is_ended(read_imap):
    fields = {b"to": [b"Team: " + b", ".join([b"a@example.org"] * 50) + b";"]}
    octets, is_whole = envelope_structure(fields, 1_000)
    opened, *members, ended = read_imap(octets)[5]
    assert (opened, ended, is_whole) == ([None, None, b"Team", None], [None] * 4, False)
    assert len(octets) < 1_200 and members == [[None, None, b"a", b"example.org"]] * len(members)


def test_as_many_parts_as_others_take_are_described(read_imap):
    """Dovecot takes 10,000; what a list sends as a digest has some hundreds."""
    octets = _mixed(b"".join(b"--x\r\n\r\npart %d\r\n" % at for at in range(10_000)) + b"--x--\r\n")
    message = parse_message(octets)
    assert not message.truncated
    assert message.body.count(b'"plain"') == len(message.parts.children) == 10_000
    assert decode_parts(encode_parts(message.parts)) == message.parts


def test_hundred_levels_are_described(read_imap):
    message = parse_message(_nest(100, b"Content-Type: image/png\r\n\r\nx"))
    assert not message.truncated and b'"png"' in message.body
    assert decode_parts(encode_parts(message.parts)) == message.parts
    deeper = parse_message(_nest(1_000, b"Content-Type: image/png\r\n\r\nx"))
    assert deeper.truncated and deeper.body.endswith(b'"mixed")') and deeper.body.count(b'"mixed"') == 101


def test_at_the_limit_nothing_is_lost():
    assert not parse_message(_nest(3, b"\r\nx"), ParseLimits(depth=3)).truncated
    assert not parse_message(_mixed(b"--x\r\n\r\n" * 4), ParseLimits(parts=5)).truncated


ODD = b"Content-Type: a/b " + b"(" * 20_000 + b"\r\n\r\n"


def test_mime_fields_that_take_long_to_read_are_bounded_over_all_parts():
    """Twenty megabytes of open parentheses took a minute, before the sender was told that the mail is taken."""
    message = parse_message(_mixed((b"--x\r\n" + ODD) * 40), ParseLimits(odd_octets=100_000))
    assert message.truncated and len(message.parts.children) == 5
    assert not parse_message(_mixed((b"--x\r\n" + ODD) * 3), ParseLimits(odd_octets=100_000)).truncated
    assert not parse_message(_mixed(b"--x\r\nContent-Type: a/b; c=d\r\n\r\n" * 40), ParseLimits(odd_octets=1)).truncated


def test_a_mime_field_that_is_too_long_is_cut_behind_a_parameter():
    octets = _message(b"image/png; name=a.png" + b"; x=y" * 20_000 + b"; z=(", b"")
    message = parse_message(octets)
    assert message.truncated and message.body.startswith(b'("image" "png" ("name" "a.png" "x" "y" ')
    assert b'"z"' not in message.body and message.body.count(b'"x" "y"') == 13_102


def test_mmap_and_memoryview_read_like_bytes():
    octets = _generated()[3].as_bytes(policy=policy.SMTP) + b"x\r\n" * 100_000
    expected = parse_message(octets)
    assert parse_message(memoryview(octets)) == expected
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert parse_message(mapped) == expected
