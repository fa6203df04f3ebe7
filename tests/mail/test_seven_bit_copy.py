"""7-bit copies say what the originals said, to Python's own reader of mail."""

import base64
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from mailsuite.mail.ascii_fields import ascii_field
from mailsuite.mail.seven_bit_copy import PIECE_OCTETS, NotConvertible, seven_bit_copy

HEAD = b"From: ann@example.org\r\nMIME-Version: 1.0\r\n"


def copy_of(octets):
    copy = seven_bit_copy(octets)
    whole = copy.header + b"".join(copy.body)
    assert whole.isascii()
    assert whole.count(b"\n") == whole.count(b"\r\n") == whole.count(b"\r")
    return whole


def read(octets):
    message = message_from_bytes(octets, policy=policy.default)
    assert not message.defects
    return message


def text(body, *fields):
    lines = [HEAD, *(field + b"\r\n" for field in fields), b"\r\n", body]
    return b"".join(lines)


def test_what_is_ascii_stays_as_it_is():
    octets = text(b"a = b \r\n.\r\n", b"Content-Type: text/plain", b"Content-Transfer-Encoding: 7bit")
    assert copy_of(octets) == octets
    assert copy_of(b"Subject: no body") == b"Subject: no body"
    assert copy_of(b"\r\nno header\r\n") == b"\r\nno header\r\n"


@pytest.mark.parametrize("label", [b"8bit", b"BINARY", b"7bit", b""])
def test_text_becomes_quoted_printable(label):
    fields = [b"Content-Type: text/plain; charset=utf-8", *([b"Content-Transfer-Encoding: " + label] if label else [])]
    body = "Grüße = \r\nso long\r\n"
    message = read(copy_of(text(body.encode(), *fields)))
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_content() == body


@pytest.mark.parametrize("body, charset", [("Grüße\r\n".encode(), "utf-8"), (b"Gr\xfc\xdfe\r\n", "unknown-8bit")])
def test_text_that_tells_no_type_gets_one(body, charset):
    message = read(copy_of(b"Subject: bare\r\n\r\n" + body))
    assert (message["MIME-Version"], message.get_content_charset()) == ("1.0", charset)
    assert message.get_payload(decode=True) == body


def test_data_becomes_base64():
    body = bytes(range(128, 256)) * 1000 + b"\r\n"
    message = read(copy_of(text(body, b"Content-Type: application/x-data", b"Content-Transfer-Encoding: binary")))
    assert message["Content-Transfer-Encoding"] == "base64"
    assert message.get_payload(decode=True) == body


@pytest.mark.parametrize("size", [PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 3 * PIECE_OCTETS + 7])
@pytest.mark.parametrize("line", ["ü\r\n", "xü ", "x \r\n\r\nü"])
@pytest.mark.parametrize("kind", [b"text/plain; charset=utf-8", b"application/x-data"])
def test_large_bodies_come_in_pieces(size, line, kind):
    body = (line.encode() * (size // len(line.encode()) + 1))[: size - 2].rstrip(b"\xc3\r") + b"\r\n"
    copy = seven_bit_copy(text(body, b"Content-Type: " + kind))
    pieces = list(copy.body)
    assert all(len(piece) < 4 * PIECE_OCTETS for piece in pieces)
    octets = b"".join(pieces)
    assert max(map(len, octets.split(b"\r\n"))) <= 76
    assert read(copy.header + octets).get_payload(decode=True) == body


def test_a_soft_line_end_never_parts_cr_and_lf():
    body = b"\xff" + b"x" * (PIECE_OCTETS - 2) + b"\r\ny\r\n"
    message = read(copy_of(text(body, b"Content-Type: text/plain; charset=latin-1")))
    assert message.get_payload(decode=True) == body


def test_each_part_is_encoded_where_it_needs_to_be():
    octets = text(
        "préambule\r\n--b\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
        "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>plain</p>\r\n"
        "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        "Subject: ünner\r\n\r\nÜ\r\n"
        "--b\r\nContent-Type: application/x-data; name=dät\r\n"
        'Content-Disposition: attachment; filename="dä\\"t.bin"\r\n\r\nÿ\r\n'
        "--b--\r\népilogue\r\n".encode(),
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Transfer-Encoding: 8bit",
    )
    message = read(copy_of(octets))
    assert message["Content-Transfer-Encoding"] == "7bit"
    first, second, third, fourth = message.iter_parts()
    assert first.get_content() == "Grüße"
    assert second["Content-Transfer-Encoding"] == "7bit" and second.get_content() == "<p>plain</p>"
    inner = third.get_content()
    assert (third["Content-Transfer-Encoding"], inner["Subject"], inner["MIME-Version"]) == ("7bit", "ünner", "1.0")
    assert inner.get_content().strip() == "Ü"
    assert (fourth.get_filename(), fourth["Content-Type"].params["name"]) == ('dä"t.bin', "dät")
    assert fourth.get_payload(decode=True) == "ÿ".encode()


def test_quoted_printable_with_8_bit_in_it_keeps_what_was_encoded():
    octets = text("a=3Db=\r\nü\r\n".encode(), b"Content-Type: text/plain; charset=utf-8").replace(
        b"MIME-Version", b"Content-Transfer-Encoding: Quoted-Printable\r\nMIME-Version"
    )
    assert read(copy_of(octets)).get_content() == "a=bü\r\n"


SIGNED_TEXT = (
    b"Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Dear Bob, \r\nall of this is ASCII.\r\n"
)


@pytest.fixture(scope="module")
def smime():
    """`smime(octets)` is a detached S/MIME signature over them (RFC 8551 §3.5.3), in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ann@example.org")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    certificate = certificate.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = certificate.sign(key, hashes.SHA256())

    def sign(octets):
        builder = pkcs7.PKCS7SignatureBuilder().set_data(octets).add_signer(certificate, key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        return builder.sign(serialization.Encoding.DER, options)

    return sign


def signed_mail(signed, signature, *, preamble="Eine geprüfte Nachricht", encoding=b"binary"):
    return text(
        preamble.encode() + b"\r\n--b\r\n" + signed + b"\r\n--b\r\n"
        b'Content-Type: application/pkcs7-signature; name="sm\xc3\xaeme.p7s"\r\nContent-Transfer-Encoding: '
        + encoding + b"\r\n\r\n" + signature + b"\r\n--b--\r\n",
        "Subject: Grüße".encode(),
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b',
    )  # fmt: skip


@pytest.mark.parametrize("wrap", [False, True], ids=["message", "forwarded"])
@pytest.mark.parametrize("encoding", [b"binary", b"base64"])
def test_what_stands_beside_a_signed_part_is_encoded_and_its_signature_stays_good(
    smime, tmp_path, require_program, encoding, wrap
):
    """A note in front, the subject, a binary signature: none of it is signed (RFC 1847 §2.1)."""
    signature = smime(SIGNED_TEXT)
    shown = signature if encoding == b"binary" else base64.encodebytes(signature).replace(b"\n", b"\r\n")
    octets = signed_mail(SIGNED_TEXT, shown, encoding=encoding)
    if wrap:
        octets = text(b"--f\r\nContent-Type: message/rfc822\r\n\r\n" + octets + b"\r\n--f--\r\n",
                      b"Content-Type: multipart/mixed; boundary=f")  # fmt: skip
    copy = copy_of(octets)
    assert copy.count(b"\r\n--b\r\n" + SIGNED_TEXT + b"\r\n--b\r\n") == 1
    inner = copy.partition(b"message/rfc822\r\n\r\n")[2].partition(b"\r\n--f--")[0] if wrap else copy
    (tmp_path / "mail").write_bytes(inner)
    command = [require_program("openssl"), "cms", "-verify", "-noverify", "-in", tmp_path / "mail", "-inform", "SMIME"]
    done = subprocess.run(command, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, SIGNED_TEXT), done.stderr


@pytest.mark.parametrize(
    "signed",
    [
        SIGNED_TEXT + "ü\r\n".encode(),
        b"X-Note: \xc3\xbc\r\n" + SIGNED_TEXT,
        b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n\xff\r\n--i--\r\n",
    ],
    ids=["body", "field", "deeper"],
)
def test_signed_text_that_is_8_bit_has_no_copy(signed):
    with pytest.raises(NotConvertible, match="signed a part"):
        copy_of(signed_mail(signed, b"x"))


@pytest.mark.parametrize(
    "octets, why",
    [
        (text(b"\xff\r\n", b"Content-Transfer-Encoding: base64"), "is not what it is said"),
        (
            text(
                "--b\r\n\r\nü\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n".encode(),
                b"Content-Type: multipart/signed; boundary=b",
            ),
            "signed a part",
        ),
        (b"Received: from \xff\r\n\r\n", "field Received"),
        (b"X\xff: y\r\n\r\n", "field X"),
        ("From: <jürgen@example.org>\r\n\r\n".encode(), "field From"),
        ("From: jürgen@example.org\r\n\r\n".encode(), "field From"),
        ("To: x@exämple.org\r\n\r\n".encode(), "field To"),
        (b"Content-Type: multipart/mixed; boundary=\xff\r\n\r\n--\xff\r\n\r\nx\r\n--\xff--\r\n", "told apart"),
        (b"Content-Type: multipart/mixed; boundary*=''%FF\r\n\r\n--\xff\r\n\r\nx\r\n--\xff--\r\n", "told apart"),
        (b"Content-Type: multipart/mixed; x=\xff; boundary=\xff\r\n\r\n--\xff\r\n\r\nx\r\n", "told apart"),
        (b"X: y\r\n" * 350_000 + b"\r\n\xff", "too large"),
    ],
)
def test_what_can_t_be_said_otherwise_is_left_alone(octets, why):
    with pytest.raises(NotConvertible, match=why):
        copy_of(octets)


@pytest.mark.parametrize(
    "field, says",
    [
        ("Subject: Grüße\r\n  aus Köln", "Grüße  aus Köln"),
        ("Subject: =?utf-8?q?=C3=BC?= ü", "ü ü"),
        ("X-Note: ü" + "ä" * 300, "ü" + "ä" * 300),
        ("From: Jürgen Müller <j@example.org>", "Jürgen Müller <j@example.org>"),
        ('To: "Müller, Jürgen" <j@example.org>,\r\n k@example.org (Käthe)', None),
        ("Cc: Gruppe Ü: a@example.org, Bö <b@example.org>;", None),
    ],
)
def test_fields_say_the_same(field, says):
    octets = ascii_field(field.encode() + b"\r")
    assert octets.isascii() and octets.endswith(b"\r")
    message = message_from_bytes(octets + b"\n\r\n", policy=policy.default)
    [value] = message.values()
    if says is not None:
        assert value == says
    else:
        original = message_from_bytes(field.encode() + b"\r\n\r\n", policy=policy.default)
        assert [(one.display_name, one.addr_spec) for one in value.addresses] == [
            (one.display_name.encode("utf-8", "surrogateescape").decode(), one.addr_spec)
            for one in original[field.partition(":")[0]].addresses
        ]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('From: "Jürgen <j@us.test>', "From: =?utf-8?B?IkrDvHJnZW4=?= <j@us.test>"),
        ("From: Ann (Jürgen <j@us.test>", "From: =?utf-8?B?QW5uIChKw7xyZ2Vu?= <j@us.test>"),
        ("To: [Jürgen <j@us.test>, b@c.test", "To: =?utf-8?B?W0rDvHJnZW4=?= <j@us.test>, b@c.test"),
        ("From: Jürgen Groß j@us.test", "From: =?utf-8?B?SsO8cmdlbiBHcm/Dnw==?= j@us.test"),
        # Nothing touches an encoded word: it would be a part of the address.
        ("From: j@us.test(Jürgen", "From: j@us.test =?utf-8?B?KErDvHJnZW4=?="),
        ('From: ü"Ann"j@us.test', 'From: =?utf-8?B?w7w=?= "Ann"j@us.test'),
    ],
)
def test_a_mark_that_nothing_closes_takes_no_address_with_it(field, expected):
    assert ascii_field(field.encode() + b"\r") == expected.encode() + b"\r"


@pytest.mark.parametrize("field", ["From: j@ jürgen.test", "From: jürgen @us.test", "From: j@ (x) jürgen.test"])
def test_what_is_8_bit_in_an_address_has_no_other_form(field):
    with pytest.raises(NotConvertible):
        ascii_field(field.encode() + b"\r")


@pytest.mark.parametrize("hostile", [b'"\\', b"(\\", b"<", b'\\"', b" \xff", b'"', b"(", b"(\xff)"])
def test_hostile_addresses_take_time_linear_to_their_length(hostile):
    began = time.process_time()
    try:
        ascii_field(b"From: \xff" + hostile * 60_000 + b"\r")
    except NotConvertible:
        pass
    assert time.process_time() - began < 2
