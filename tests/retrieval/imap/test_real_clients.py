"""The running suite with clients that others wrote: Python's imaplib and isync's mbsync."""

import imaplib
import ssl
import subprocess
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

PASSWORD = "a long password"
SHAPES = {
    "plain": b"Subject: plain\r\n\r\ntext\r\n",
    "empty body": b"Subject: empty\r\n\r\n",
    "no header": b"\r\nonly a body\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    "no line end": b"Subject: cut\r\n\r\nno line end",
    "8-bit": "Subject: Größe\r\n\r\nÄÖÜ \U0001f4e7\r\n".encode(),
    "wrong charset": b"Content-Type: text/plain; charset=no-such\r\nSubject: =?no-such?q?x?=\r\n\r\n\xff\xfe\x80\r\n",
    "long line": b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n",
    "large": b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 100_000,
    "large header": b"X-Large: " + b"x" * 100_000 + b"\r\nSubject: header\r\n\r\ntext\r\n",
    "nested": b"Content-Type: message/rfc822\r\nSubject: outer\r\n\r\nSubject: inner\r\n\r\ninner text\r\n",
    "quotes": b'Subject: "quoted" \\back\\ {5}\r\nFrom: "a \\"b\\"" <a@b.example>\r\n\r\n{5}\r\n)\r\n',
}


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
def connect(suite, account):
    """`connect()` is an imaplib client that has logged in over TLS."""
    clients = []

    def make() -> imaplib.IMAP4:
        context = ssl.create_default_context(cafile=str(suite.certificate))
        client = imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context, timeout=30)
        client.login(account, PASSWORD)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.logout()


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def test_starttls_is_needed_before_login(suite, account):
    client = imaplib.IMAP4("localhost", suite.port("IMAP"), timeout=30)
    assert "LOGINDISABLED" in client.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
        client.login(account, PASSWORD)
    client.starttls(ssl.create_default_context(cafile=str(suite.certificate)))
    ok(client.authenticate("PLAIN", lambda _: f"\0{account}\0{PASSWORD}".encode()))
    client.logout()


def test_messages_of_every_shape_come_back_octet_for_octet(connect):
    client = connect()
    for octets in SHAPES.values():
        ok(client.append("INBOX", "(\\Seen)", None, octets))
    ok(client.select())
    for number, (name, octets) in enumerate(SHAPES.items(), 1):
        (_, whole), *_ = ok(client.fetch(str(number), "(BODY.PEEK[])"))
        assert whole == octets, name
        (_, header), (_, text), _ = ok(client.fetch(str(number), "(BODY.PEEK[HEADER] BODY.PEEK[TEXT])"))
        assert header + text == octets, name
        half = len(octets) // 2
        (_, first), (_, second), _ = ok(
            client.fetch(str(number), f"(BODY.PEEK[]<0.{half}> BODY.PEEK[]<{half}.{len(octets)}>)")
        )
        assert first + second == octets, name
        ok(client.fetch(str(number), "(ENVELOPE BODYSTRUCTURE BODY UID FLAGS INTERNALDATE RFC822.SIZE)"))


def test_messages_of_a_client_that_has_asked_for_utf8(connect):
    """imaplib takes our OK for success and wraps what it appends (until Python 3.13.0)."""
    client = connect()
    ok(client.enable("UTF8=ACCEPT"))
    for octets in SHAPES.values():
        ok(client.append("INBOX", "(\\Seen)", None, octets))
    ok(client.select())
    for number, (name, octets) in enumerate(SHAPES.items(), 1):
        (_, whole), *_ = ok(client.fetch(str(number), "(BODY.PEEK[])"))
        assert whole == octets, name


def test_two_clients_see_each_other(connect):
    one, two = connect(), connect()
    for name in ("plain", "dots", "8-bit"):
        ok(one.append("INBOX", "", None, SHAPES[name]))
    ok(one.select())
    ok(two.select())
    ok(one.store("1:2", "+FLAGS", "(\\Deleted $Done)"))
    ok(two.noop())
    assert len(two.response("FETCH")[1]) == 2
    ok(two.expunge())
    ok(one.noop())
    assert one.response("EXPUNGE")[1] == [b"2", b"1"]
    assert ok(one.search(None, "ALL")) == [b"1"]
    ok(one.create("Work/2026"))
    ok(one.copy("1", "Work/2026"))
    assert ok(two.status("Work/2026", "(MESSAGES UIDNEXT)"))[0].endswith(b"(MESSAGES 1 UIDNEXT 2)")
    assert ok(one.search("UTF-8", "SUBJECT", '"plain"')) == [b""]
    one.literal = "größe".encode()
    assert ok(one.search("UTF-8", "SUBJECT")) == [b"1"]
    one.literal = "äöü".encode()
    assert ok(one.search("UTF-8", "BODY")) == [b"1"]


def test_idle_is_told_of_an_arrival(connect):
    waiting, other = connect(), connect()
    ok(waiting.select())
    waiting.send(b"x IDLE\r\n")
    assert waiting.readline().startswith(b"+ ")
    ok(other.append("INBOX", "", None, SHAPES["plain"]))
    assert waiting.readline() == b"* 1 EXISTS\r\n"
    assert waiting.readline() == b"* 1 RECENT\r\n"
    waiting.send(b"DONE\r\n")
    assert waiting.readline().startswith(b"x OK")


def test_mbsync_synchronizes_both_ways(suite, account, connect, tmp_path, require_program):
    mbsync = require_program("mbsync", "isync")
    client = connect()
    for octets in SHAPES.values():
        ok(client.append("INBOX", "", None, octets))
    ok(client.create("Work/Old"))
    ok(client.append("Work/Old", "(\\Flagged)", None, SHAPES["plain"]))
    config = tmp_path / "mbsyncrc"
    config.write_text(
        f"""
IMAPAccount suite
Host localhost
Port {suite.port("IMAPS")}
User {account}
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {suite.certificate}

IMAPStore far
Account suite

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
"""
    )
    (tmp_path / "mail").mkdir()

    def sync() -> None:
        done = subprocess.run([mbsync, "-c", config, "-a"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def near(folder: str) -> list[Path]:
        return [path for part in ("cur", "new") for path in (tmp_path / "mail" / folder / part).iterdir()]

    sync()
    assert len(near("INBOX")) == len(SHAPES)
    texts = {path.read_bytes().split(b"\n\n", 1)[1] for path in near("INBOX")}
    assert {
        octets.replace(b"\r\n", b"\n").split(b"\n\n", 1)[-1] for octets in SHAPES.values() if octets[0] != 13
    } <= texts
    assert [path.name.endswith("F") for path in near("Work/Old")] == [True]
    # Now the other way: a new message, a flag, a removal.
    new = tmp_path / "mail" / "Sent" / "new" / "1.local"
    new.write_bytes(b"Subject: from here\nMessage-ID: <1@here>\n\nhello\n")
    first, second, *_ = near("INBOX")
    first.rename(first.parent.parent / "cur" / (first.name.partition(":")[0] + ":2,RS"))
    second.rename(second.parent.parent / "cur" / (second.name.partition(":")[0] + ":2,T"))
    sync()
    ok(client.select("Sent"))
    (_, sent), *_ = ok(client.fetch("1", "(BODY[])"))
    assert b"Subject: from here\r\n" in sent and sent.endswith(b"\r\n\r\nhello\r\n")
    ok(client.select("INBOX"))
    assert len(ok(client.search(None, "ALL"))[0].split()) == len(SHAPES) - 1
    assert len(ok(client.search(None, "ANSWERED", "SEEN"))[0].split()) == 1
    sync()
    assert len(near("INBOX")) == len(SHAPES) - 1
