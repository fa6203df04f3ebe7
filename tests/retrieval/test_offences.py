"""Which ends of IMAP and POP3 sessions count against the client: real sessions over real sockets."""

import asyncio
import re
import socket
import ssl
from datetime import UTC, datetime

import pytest
import uvloop
from memory_mail_store import MemoryDirectory, MemoryMailbox

from mailsuite.mail.foreign import foreign_protocol
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.supervisor.certificate import ensure_certificate
from retrieval.imap.context import ImapLimits
from retrieval.imap.session import ImapSession
from retrieval.pop3.context import Pop3Limits
from retrieval.pop3.session import Pop3Session
from retrieval.transport import Kind, Server, ServerLimits

CLIENT = "127.0.0.9"
HTTP = b"GET / HTTP/1.1\r\nHost: mail.example.org\r\n\r\n"


def client_hello() -> bytes:
    """What a client whose setting says TLS sends to a plain port."""
    outgoing = ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ensure_certificate(folder / "cert.pem", folder / "key.pem", "localhost", datetime.now(UTC))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def offences(certificate):
    """`offences(client, kind, implicit_tls)` has the client talk to a port; returns what was noted in the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def scene(client, name, implicit_tls):
        noted = []
        admission = Admission(AdmissionLimits(9, 9))
        server = Server(ServerLimits(), context, admission, lambda *offence: noted.append(offence))
        directory = MemoryDirectory(MemoryMailbox())

        def imap(tls_active, client_address, connection_id):
            return ImapSession(ImapLimits(), "localhost", tls_active, not tls_active, directory, client_address)

        def pop3(tls_active, client_address, connection_id):
            return Pop3Session(Pop3Limits(), "localhost", tls_active, not tls_active, directory, client_address)

        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        make_session = {"imap": imap, "pop3": pop3}[name]
        server.listen(sock, Kind(name, make_session, b"", implicit_tls=implicit_tls))
        await asyncio.to_thread(client, sock.getsockname()[1])
        async with asyncio.timeout(10):
            await asyncio.gather(*(connection.task for connection in admission))
        await server.close()
        return noted

    return lambda *arguments: uvloop.run(scene(*arguments))


def saying(octets: bytes, tls: bool, certificate=None):
    """A client that sends the octets and reads to the end."""

    def client(port):
        with socket.create_connection(("127.0.0.1", port), 10, source_address=(CLIENT, 0)) as sock:
            if tls:
                context = ssl.create_default_context(cafile=certificate)
                sock = context.wrap_socket(sock, server_hostname="localhost")
            with sock:
                try:
                    sock.sendall(octets)
                    if not tls:
                        sock.shutdown(socket.SHUT_WR)
                    while sock.recv(10_000):
                        pass
                except OSError:
                    pass

    return client


ENDED = [
    ("imap", b"nonsense\r\n" * 20, "too-many-errors"),
    ("imap", b"a AUTHENTICATE PLAIN !!!\r\n" * 20, "too-many-errors"),
    ("imap", b"a" * 9000, "too-many-errors"),
    ("imap", b"a LOGIN {9999999+}\r\n", "too-many-errors"),
    ("imap", b"a AUTHENTICATE LOGIN\r\n{5+}\r\n", "too-many-errors"),
    ("imap", HTTP, "foreign-protocol"),
    ("imap", b"a LOGIN ann@example.org wrong\r\n" * 5, ""),
    ("imap", b"nonsense\r\n" * 19 + b"a LOGOUT\r\n", ""),
    ("imap", b"a LOGIN ann@example.org secret\r\n" + b"nonsense\r\n" * 20, ""),
    ("imap", b"a LOGIN ann@example.org secret\r\n" + b"a" * 70_000, ""),
    ("pop3", b"NONSENSE\r\n" * 20, "too-many-errors"),
    ("pop3", b"AUTH PLAIN !!!\r\n" * 20, "too-many-errors"),
    ("pop3", (b"a" * 600 + b"\r\n") * 20, "too-many-errors"),
    ("pop3", HTTP, "foreign-protocol"),
    ("pop3", b"USER ann@example.org\r\nPASS wrong\r\n" * 3, ""),
    ("pop3", b"NONSENSE\r\n" * 19 + b"QUIT\r\n", ""),
    ("pop3", b"USER ann@example.org\r\nPASS secret\r\n" + b"NONSENSE\r\n" * 20, ""),
]


@pytest.mark.parametrize(("kind", "octets", "offence"), ENDED)
def test_under_tls(offences, certificate, kind, octets, offence):
    assert offences(saying(octets, True, certificate[0]), kind, True) == ([(CLIENT, offence)] if offence else [])


@pytest.mark.parametrize(
    ("kind", "octets", "offence"),
    [
        ("imap", b"nonsense\r\n" * 20, "too-many-errors"),
        ("imap", HTTP, "foreign-protocol"),
        ("imap", client_hello(), "foreign-protocol"),
        ("imap", b"a STARTTLS\r\n" + HTTP, ""),
        ("imap", b"a LOGIN ann@example.org secret\r\n" * 30, ""),
        ("pop3", b"NONSENSE\r\n" * 20, "too-many-errors"),
        ("pop3", client_hello(), "foreign-protocol"),
        ("pop3", b"SSH-2.0-scanner\r\n", "foreign-protocol"),
        ("pop3", b"USER ann@example.org\r\nQUIT\r\n", ""),
        ("pop3", b"", ""),
    ],
)
def test_in_clear_text(offences, kind, octets, offence):
    assert offences(saying(octets, False), kind, False) == ([(CLIENT, offence)] if offence else [])


def test_a_client_whose_tls_is_none(offences):
    assert offences(saying(b"a NOOP\r\n" * 10, False), "imap", True) == [(CLIENT, "tls-handshake")]


def test_what_is_said_for_tls_after_starttls(offences):
    def client(port):
        with socket.create_connection(("127.0.0.1", port), 10, source_address=(CLIENT, 0)) as sock:
            sock.recv(1000)
            sock.sendall(b"a STARTTLS\r\n")
            assert sock.recv(1000).startswith(b"a OK")
            sock.sendall(HTTP)
            assert not re.search(rb"^a ", sock.recv(1000))

    assert offences(client, "imap", False) == [(CLIENT, "tls-handshake")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_distrusts_the_certificate_is_no_offender(offences, version):
    def client(port):
        context = ssl.create_default_context()
        context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port), 10, source_address=(CLIENT, 0)) as sock:
            with pytest.raises(ssl.SSLCertVerificationError):
                context.wrap_socket(sock, server_hostname="localhost")

    assert offences(client, "imap", True) == []


@pytest.mark.parametrize("end", ["close", "reset", "half"])
def test_a_client_that_goes_away_amid_the_handshake_is_no_offender(offences, end):
    def client(port):
        with socket.create_connection(("127.0.0.1", port), 10, source_address=(CLIENT, 0)) as sock:
            if end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif end == "half":
                sock.sendall(client_hello()[:50])

    assert offences(client, "imap", True) == []


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (HTTP, "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"CONNECT mail.example.org:143 HTTP/1.1\r\n", "HTTP"),
        (client_hello(), "TLS"),
        (b"SSH-2.0-Go\r\n", "SSH"),
        # A tag may be any such word (RFC 3501 §2.2.1).
        (b"GET NOOP\r\n", ""),
        (b"DELETE LOGIN ann secret\r\n", ""),
        (b"USER HTTP/1.1\r\n", ""),
        (b"a NOOP\r\nGET / HTTP/1.1\r\n", ""),
        (b"EHLO GET / HTTP/1.1\r\n", ""),
        (b"", ""),
        (b"\x16", ""),
    ],
)
def test_what_is_another_protocols(octets, name):
    assert foreign_protocol(octets) == name
