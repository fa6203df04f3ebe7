"""Messages of every shape come back octet for octet by IMAP and POP3, whether appended or received by SMTP.

CPython's own e-mail test messages are among them where that package is installed (Debian: libpython3-testsuite).
"""

import imaplib
import importlib.util
import poplib
import random
import re
import smtplib
import ssl
import uuid
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailsuite.mail.header import collect_fields, header_end, missing_blank_line
from mailsuite.mailauth.dmarc import author

pytestmark = pytest.mark.interop

PASSWORD = "a long password"
GENERATED = re.compile(
    rb"Return-Path: <x@remote\.test>\r\nDelivered-To: [^\r\n]+\r\n"
    rb"Authentication-Results: [^\0]+\r\nReceived: [^\0]+\r\n"
)
# Of a message that comes in, the one field that is not served: only the last host on the way writes it (RFC 5321 §4.4).
RETURN_PATH = re.compile(rb"^return-path[ \t]*:.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def attachment(size: int) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"], message["From"] = "attached", "x@remote.test"
    message.set_content("see below\n")
    message.add_attachment(random.Random(7).randbytes(size), "application", "octet-stream", filename="ü.bin")
    return message.as_bytes()


def nested(depth: int) -> bytes:
    octets = b"Subject: innermost\r\n\r\ntext\r\n"
    for level in range(depth):
        front = b"Subject: level %d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level)
        octets = (
            front
            + b"--b%d\r\nContent-Type: message/rfc822\r\n\r\n" % level
            + octets
            + b"\r\n--b%d--\r\nepilogue\r\n" % level
        )
    return octets


SHAPES = {
    "attachment of 10 MB": attachment(10_000_000),
    "empty": b"",
    "empty body": b"Subject: empty\r\n\r\n",
    "header alone": b"Subject: no blank line\r\n",
    "no header": b"\r\nonly a body\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n...\r\n.\r\n",
    "dot first": b".Subject: x\r\n\r\n.\r\n",
    "lines of 998 octets": b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n",
    "8-bit": "Subject: Größe\r\nFrom: Jürgen <j@remote.test>\r\n\r\nÄÖÜ \U0001f4e7\r\n".encode(),
    "all octets": b"Subject: x\r\n\r\n" + bytes(code for code in range(1, 256) if code not in b"\r\n") + b"\r\n",
    "wrong charset": b"Content-Type: text/plain; charset=no-such\r\nSubject: =?no-such?b?x?=\r\n\r\n\xff\xfe\x80\r\n",
    "false charset": b"Content-Type: text/plain; charset=utf-16\r\n\r\nplain after all\r\n",
    "nested": nested(20),
    "long header": b"From: x@remote.test\r\nTo: "
    + b",\r\n ".join([b"Recipient <r@remote.test>"] * 40_000)
    + b"\r\nSubject: behind\r\n\r\ntext\r\n",
    "many parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\npart\r\n" * 10_000 + b"--x--\r\n",
    "open multipart": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nopen\r\n",
    "blank lines": b"Subject: x\r\n\r\n\r\n\r\n\r\n",
    "many short lines": b"Subject: x\r\n\r\n" + b".\r\n\r\n" * 50_000,
    "looks like a protocol": b"Subject: {5}\r\n\r\n)\r\n* 1 EXPUNGE\r\na OK\r\n+OK\r\nQUIT\r\n",
}


def cpython_messages() -> dict[str, bytes]:
    try:
        found = importlib.util.find_spec("test.test_email")
    except ModuleNotFoundError:
        found = None
    folder = Path(found.origin).parent / "data" if found and found.origin else Path("/nowhere")
    # Line ends are those of their files; lines that end in anything but CRLF are no messages on the wire.
    return {path.name: LINE_ENDS.sub(b"\r\n", path.read_bytes()) for path in sorted(folder.glob("msg_*.txt"))}


CORPUS = SHAPES | cpython_messages()


@pytest.fixture(scope="module")
def domain(suite):
    name = f"{uuid.uuid4().hex[:8]}.example"
    suite.add_domain(name)
    return name


@pytest.fixture
def account(suite, domain):
    """The address of a fresh mailbox."""
    address = f"{uuid.uuid4().hex[:8]}@{domain}"
    suite.add_mailbox(address, PASSWORD)
    return address


@pytest.fixture
def imap(suite, account):
    context = ssl.create_default_context(cafile=suite.certificate)
    with imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context, timeout=60) as client:
        client.login(account, PASSWORD)
        yield client


def by_imap(client: imaplib.IMAP4, number: int, item: str = "BODY.PEEK[]") -> bytes:
    answer, data = client.fetch(str(number), f"({item})")
    assert answer == "OK"
    return data[0][1]


def by_pop3(suite, account: str, monkeypatch) -> list[bytes]:
    # poplib gives up at lines beyond 2,048 octets; POP3 itself has no such limit.
    monkeypatch.setattr(poplib, "_MAXLINE", 1_000_000)
    context = ssl.create_default_context(cafile=suite.certificate)
    client = poplib.POP3_SSL("localhost", suite.port("POP3S"), context=context, timeout=60)
    try:
        client.user(account)
        client.pass_(PASSWORD)
        found = [client.retr(number + 1)[1] for number in range(client.stat()[0])]
        return [b"".join(line + b"\r\n" for line in lines) for lines in found]
    finally:
        client.quit()


def test_appended(suite, account, imap, monkeypatch):
    # An empty literal takes back an APPEND.
    corpus = {name: octets for name, octets in CORPUS.items() if octets}
    for name, octets in corpus.items():
        # imaplib makes every line end CRLF by itself; it finds none to change.
        assert imap.append("INBOX", None, None, octets)[0] == "OK", name
    imap.select()
    for number, (name, octets) in enumerate(corpus.items(), 1):
        assert by_imap(imap, number) == octets, name
        assert by_imap(imap, number, "BODY.PEEK[HEADER]") + by_imap(imap, number, "BODY.PEEK[TEXT]") == octets, name
    for (name, octets), served in zip(corpus.items(), by_pop3(suite, account, monkeypatch), strict=True):
        assert served == octets or served == octets + b"\r\n", name


def test_received(suite, account, imap, monkeypatch):
    wire = {name: octets if octets.endswith(b"\r\n") else octets + b"\r\n" for name, octets in CORPUS.items()}
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), "client.remote.test", 60) as client:
        for octets in wire.values():
            client.sendmail("x@remote.test", [account], octets, ["BODY=8BITMIME"])
    served = {name: parted(without_return_path(octets)) for name, octets in wire.items()}
    authored = {name: octets for name, octets in served.items() if has_author(octets)}
    assert by_pop3(suite, account, monkeypatch) == whole_and_in_parts(imap, "INBOX", authored)
    # Who hides from whom a message is has it filed as junk.
    whole_and_in_parts(imap, "Junk", {name: octets for name, octets in served.items() if name not in authored})


def without_return_path(octets: bytes) -> bytes:
    header, blank, body = octets.partition(b"\r\n\r\n")
    return RETURN_PATH.sub(b"", header + b"\r\n").removesuffix(b"\r\n") + blank + body if blank else octets


def parted(octets: bytes) -> bytes:
    """With the blank line that text wants which comes right behind its fields."""
    at = missing_blank_line(octets[: header_end(octets, 0, len(octets))])
    return octets if at is None else octets[:at] + b"\r\n" + octets[at:]


def has_author(octets: bytes) -> bool:
    block = octets[: header_end(octets, 0, len(octets))]
    return not author(collect_fields(block).get(b"from", [])).problem


def whole_and_in_parts(imap: imaplib.IMAP4, folder: str, wire: dict[str, bytes]) -> list[bytes]:
    """The messages of a folder, which are those given, octet for octet, however they are fetched."""
    assert imap.select(folder) == ("OK", [b"%d" % len(wire)])
    whole = [by_imap(imap, number + 1) for number in range(len(wire))]
    for number, (name, octets) in enumerate(wire.items(), 1):
        served = whole[number - 1]
        prefix = served.removesuffix(octets)
        assert len(prefix) + len(octets) == len(served), name
        assert GENERATED.fullmatch(prefix), name
        # Where the generated fields end and the received octets begin there is no seam.
        for start, count in ((0, 10), (len(prefix) - 3, 6), (len(prefix) - 1, len(octets) + 5), (len(served) - 1, 9)):
            part = by_imap(imap, number, f"BODY.PEEK[]<{start}.{count}>")
            assert part == served[start : start + count], (name, start)
    return whole
