"""POP3 of the running suite with clients that others wrote: Python's poplib, curl and fetchmail."""

import imaplib
import os
import poplib
import re
import signal
import socket
import ssl
import subprocess
import threading
import uuid
from contextlib import ExitStack

import pytest

from mailsuite.protocol.words import unavailable
from retrieval.daemon import _kinds
from retrieval.pop3.context import Pop3Limits
from retrieval.pop3.dialog import LOGIN_FAILURES, Dialog

pytestmark = pytest.mark.interop

PASSWORD = "a long password"
SHAPES = {
    "plain": b"Subject: plain\r\n\r\ntext\r\n",
    "empty body": b"Subject: empty\r\n\r\n",
    "no header": b"\r\nonly a body\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n...\r\n",
    "8-bit": "Subject: Größe\r\n\r\nÄÖÜ \U0001f4e7\r\n".encode(),
    "long line": b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n",
    "large": b"Subject: large\r\n\r\n" + b".23456789abcdef\r\n" * 600_000,
    "dots at every cut": b"Subject: cut\r\n\r\n" + b".\r\n" * 100_000,
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
def tls(suite):
    return ssl.create_default_context(cafile=suite.certificate)


@pytest.fixture
def imap(suite, account, tls):
    with imaplib.IMAP4_SSL("127.0.0.1", suite.port("IMAPS"), ssl_context=tls, timeout=30) as client:
        client.login(account, PASSWORD)
        yield client


@pytest.fixture
def fill(imap):
    """`fill(*messages)` puts them into the inbox."""

    def fill(*messages: bytes) -> None:
        for message in messages:
            # imaplib would make every line end CRLF by itself; it finds none to change.
            assert imap.append("INBOX", None, None, message)[0] == "OK"

    return fill


@pytest.fixture
def connect(suite, account, tls):
    """`connect()` is a poplib client that has logged in over TLS."""
    clients = []

    def connect() -> poplib.POP3:
        client = poplib.POP3_SSL("127.0.0.1", suite.port("POP3S"), context=tls, timeout=30)
        clients.append(client)
        client.user(account)
        client.pass_(PASSWORD)
        return client

    yield connect
    for client in clients:
        client.close()


def test_every_shape_comes_back_octet_by_octet(fill, connect, monkeypatch):
    monkeypatch.setattr(poplib, "_MAXLINE", 4096)
    fill(*SHAPES.values())
    client = connect()
    count, octets = client.stat()
    assert (count, octets) == (len(SHAPES), sum(map(len, SHAPES.values())))
    for number, (shape, message) in enumerate(SHAPES.items(), start=1):
        _, lines, _ = client.retr(number)
        assert b"".join(line + b"\r\n" for line in lines) == message, shape
        assert client.list(number) == f"+OK {number} {len(message)}".encode()
    client.quit()


def test_unique_ids_stay_over_sessions(fill, connect):
    fill(*[SHAPES["plain"]] * 3)
    first = connect()
    before = first.uidl()[1]
    first.dele(2)
    first.quit()
    second = connect()
    after = [line.split()[1] for line in second.uidl()[1]]
    assert after == [line.split()[1] for line in (before[0], before[2])]
    assert len({line.split()[1] for line in before}) == 3


def test_starttls(suite, account, tls):
    client = poplib.POP3("127.0.0.1", suite.port("POP3"), timeout=30)
    with pytest.raises(poplib.error_proto, match="TLS"):
        client.user(account)
    assert "STLS" in client.capa() and "USER" not in client.capa()
    client.stls(tls)
    assert "USER" in client.capa() and "STLS" not in client.capa()
    client.user(account)
    client.pass_(PASSWORD)
    client.quit()


def test_lock_against_a_second_session(connect):
    first = connect()
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        connect()
    first.quit()
    connect().quit()


def test_lock_falls_when_the_connection_breaks(connect):
    connect().close()
    for _ in range(100):
        try:
            connect().quit()
            return
        except poplib.error_proto as error:
            assert b"IN-USE" in error.args[0]
    pytest.fail("the maildrop stayed locked")


def everything(client: poplib.POP3) -> list[object]:
    """All that a session is told of its maildrop of three messages."""
    said: list[object] = [client.stat(), client.list(), client.uidl()]
    return said + [(client.retr(number), client.top(number, 1)) for number in (1, 2, 3)]


def test_snapshot_stays_while_imap_goes_on(suite, fill, connect, imap):
    fill(SHAPES["plain"], SHAPES["dots"], SHAPES["8-bit"])
    client = connect()
    before = everything(client)
    imap.select("INBOX")
    imap.store("1", "+FLAGS", "\\Deleted")
    imap.expunge()
    imap.uid("MOVE", "2", "Archive")
    fill(SHAPES["empty body"])
    assert everything(client) == before
    # The store's end is not the session's.
    for pid in suite.services["store"]:
        os.kill(pid, signal.SIGKILL)
    suite.wait_ready()
    imap.store("1", "+FLAGS", "\\Deleted")
    imap.expunge()
    assert imap.select("INBOX")[1] == [b"1"]
    assert everything(client) == before
    for number in (1, 2, 3):
        client.dele(number)
    assert client.quit().startswith(b"+OK")
    assert imap.select("Archive")[1] == [b"1"]
    again = connect()
    assert again.stat() == (1, len(SHAPES["empty body"]))
    assert again.retr(1)[1] == [b"Subject: empty", b""]


def test_what_a_session_did_not_delete_is_deleted_all_the_same(fill, connect, imap):
    """IMAP's EXPUNGE is not undone by the session that still showed the message."""
    fill(SHAPES["plain"], SHAPES["dots"])
    client = connect()
    imap.select("INBOX")
    imap.store("1:2", "+FLAGS", "\\Deleted")
    imap.expunge()
    client.dele(1)
    client.rset()
    assert client.retr(1)[1] == [b"Subject: plain", b"", b"text"]
    client.quit()
    assert connect().stat() == (0, 0)


def test_nothing_is_removed_without_quit(fill, connect, imap):
    fill(SHAPES["plain"])
    client = connect()
    client.dele(1)
    client.close()
    assert imap.select("INBOX")[1] == [b"1"]


def test_pipelined_session(suite, account, fill, tls):
    fill(SHAPES["plain"])
    commands = f"USER {account}\r\nPASS {PASSWORD}\r\nSTAT\r\nTOP 1 0\r\nDELE 1\r\nQUIT\r\n"
    with socket.create_connection(("127.0.0.1", suite.port("POP3S")), 30) as plain:
        with tls.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(commands.encode())
            answers = b"".join(iter(lambda: client.recv(65536), b""))
    lines = answers.split(b"\r\n")
    assert [line[:3] for line in lines] == [b"+OK"] * 5 + [b"Sub", b"", b".", b"+OK", b"+OK", b""]


def test_suspended_mailbox_ends_the_session(suite, account, connect):
    client = connect()
    suite.manage("mailbox", "suspend", account)
    assert client.sock.recv(1000).startswith(b"-ERR")
    with pytest.raises(poplib.error_proto):
        connect()


def test_abuse(suite, tls, account, connect):
    """Each gets its error or its end, and the next client is served."""
    port = suite.port("POP3")
    for octets in (
        b"\0" * 5000,
        b"A" * 100_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00" * 100,
        b"RETR 1\r\n" * 100,
        b"STLS\r\nx",
    ):
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            try:
                answers = b"".join(iter(lambda: client.recv(65536), b""))
            except ConnectionResetError:
                continue
            assert answers.startswith(b"+OK") and b"\r\n+OK" not in answers.replace(b"+OK begin TLS", b"")
    with socket.create_connection(("127.0.0.1", suite.port("POP3S")), 30) as client:
        client.sendall(b"USER in clear text\r\n")
    connect().quit()


def test_curl(suite, account, fill, require_program):
    fill(SHAPES["dots"], SHAPES["8-bit"])
    command = [require_program("curl"), "--silent", "--show-error", "--cacert", str(suite.certificate)]
    command += ["--user", f"{account}:{PASSWORD}", "--max-time", "30"]
    implicit = f"pop3s://localhost:{suite.port('POP3S')}/"
    listing = subprocess.run([*command, implicit], capture_output=True, check=True).stdout
    assert [line.split()[0] for line in listing.split(b"\r\n") if line] == [b"1", b"2"]
    whole = subprocess.run([*command, f"{implicit}1"], capture_output=True, check=True).stdout
    assert whole == SHAPES["dots"]
    upgraded = f"pop3://localhost:{suite.port('POP3')}/2"
    for login in ((), ("--login-options", "AUTH=PLAIN")):
        whole = subprocess.run([*command, "--ssl-reqd", *login, upgraded], capture_output=True, check=True).stdout
        assert whole == SHAPES["8-bit"]


@pytest.mark.parametrize("implicit_tls", [True, False])
def test_fetchmail(suite, account, fill, connect, require_program, tmp_path, implicit_tls):
    fill(SHAPES["plain"], SHAPES["dots"])
    port = suite.port("POP3S" if implicit_tls else "POP3")
    settings = tmp_path / "fetchmailrc"
    settings.write_text(
        f"poll localhost proto POP3 port {port} no dns\n"
        f"  user '{account}' password '{PASSWORD}' {'ssl' if implicit_tls else 'sslproto tls1.2+'}\n"
        f"  sslcertck sslcertfile '{suite.certificate}' fetchall no keep no rewrite\n"
        f"  mda 'cat >> {tmp_path}/mbox'\n"
    )
    settings.chmod(0o600)
    command = [require_program("fetchmail"), "--fetchmailrc", str(settings), "--nosyslog", "--invisible"]
    files = ["--pidfile", str(tmp_path / "pid"), "--idfile", str(tmp_path / "ids")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = (tmp_path / "mbox").read_bytes()
    assert b"Subject: plain\n\ntext\n" in fetched and b"Subject: dots\n\n.\n..\n.x\n...\n" in fetched
    assert connect().stat() == (0, 0)


class Pop3Words:
    """A POP3 server of few words on a free port: `greeting`, and `answer` to PASS."""

    def __init__(self, greeting: bytes, answer: bytes) -> None:
        self._answers = {b"CAPA": b"+OK\r\nUSER\r\n.\r\n", b"USER": b"+OK\r\n", b"PASS": answer, b"QUIT": b"+OK\r\n"}
        self._greeting, self._listening = greeting, socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> "Pop3Words":
        self._listening.settimeout(30)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join(30)
        self._listening.close()

    def _talk(self) -> None:
        client, _ = self._listening.accept()
        with client, client.makefile("rb") as lines:
            client.sendall(self._greeting)
            for line in lines if self._greeting.startswith(b"+") else ():
                client.sendall(self._answers.get(line[:4].strip().upper(), b"-ERR unknown\r\n"))


def _end(text: str) -> bytes:
    dialog = Dialog("mx", Pop3Limits(), tls_active=True, starttls_available=False)
    dialog.end(text)
    return dialog.data_to_send()


FAILURES = {reason: f"-ERR {text}\r\n".encode() for reason, text in LOGIN_FAILURES.items()}
KINDS = _kinds("mx.example.org", 1000, None)
AUTHENTICATION_FAILED, LOCK_BUSY, SERVER_BUSY = "3", "9", "14"


def test_fetchmail_blames_the_password_for_nothing_else(require_program, tmp_path):
    """It reads the English behind -ERR, and writes to its user that the password is probably invalid."""
    cases = [
        (FAILURES["wrong"], False, AUTHENTICATION_FAILED),
        *((FAILURES[reason], False, LOCK_BUSY) for reason in ("throttled", "locked", "unavailable")),
        *((FAILURES[reason], False, SERVER_BUSY) for reason in ("suspended", "limit")),
        (KINDS["POP3"].refusal, True, LOCK_BUSY),
        (KINDS["POP3"].banned, True, SERVER_BUSY),
        (_end(unavailable("the server is shutting down")), False, LOCK_BUSY),
    ]
    assert {words for words, _, _ in cases} >= set(FAILURES.values())
    settings, polls = tmp_path / "fetchmailrc", []
    with ExitStack() as servers:
        for number, (words, at_greeting, _) in enumerate(cases):
            server = servers.enter_context(Pop3Words(words if at_greeting else b"+OK ready\r\n", words))
            polls.append(
                f"poll case{number} via 127.0.0.1 proto POP3 port {server.port} auth password no dns timeout 20\n"
                "  user 'ann' password 'secret' sslproto '' mda 'cat'\n"
            )
        settings.write_text("".join(polls))
        settings.chmod(0o600)
        files = ["--pidfile", str(tmp_path / "pid"), "--idfile", str(tmp_path / "ids")]
        command = [require_program("fetchmail"), "--fetchmailrc", str(settings), "--nosyslog", *files]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C"})
    assert re.findall(r"Query status=(\d+)", done.stdout + done.stderr) == [status for _, _, status in cases]
