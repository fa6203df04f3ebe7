import http.client
import socket
import ssl
from datetime import UTC, datetime

import pytest

from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.tls import server_context
from mailsuite.web.deadline import DeadlineSocket, DeadlineTlsSocket


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with DeadlineSocket.adopt(ours) as ours, theirs:
        yield ours, theirs


def test_what_comes_in_time_is_read(pair):
    ours, theirs = pair
    ours.setblocking(True)
    theirs.sendall(b"GET")
    assert ours.recv(10) == b"GET"


def test_dripping_octets_does_not_move_the_deadline(pair):
    ours, theirs = pair
    ours.seconds = 0.05
    ours.setblocking(True)
    with pytest.raises(ConnectionResetError):
        while True:
            theirs.sendall(b"x")
            ours.recv(1)


def test_each_request_has_its_own_deadline(pair):
    ours, theirs = pair
    ours.seconds = 1e-9
    ours.setblocking(True)
    theirs.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        ours.recv(1)
    ours.seconds = 60.0
    ours.setblocking(True)
    assert ours.recv(1) == b"x"


def test_a_reader_who_does_not_read_ends_at_the_deadline(pair):
    ours, _ = pair
    ours.seconds = 0.05
    ours.setblocking(True)
    with pytest.raises(ConnectionResetError):
        ours.sendall(bytes(10_000_000))


def test_a_handshake_that_does_not_come_ends_at_the_deadline(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ensure_certificate(certificate, key, "one.test", datetime.now(UTC))
    context = server_context(certificate, key)
    context.sslsocket_class = DeadlineTlsSocket
    ours, theirs = socket.socketpair()
    plain = DeadlineSocket.adopt(ours)
    plain.seconds = 0.05
    plain.setblocking(True)
    with theirs, context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as wrapped:
        assert isinstance(wrapped, DeadlineTlsSocket)
        theirs.sendall(b"\x16\x03\x01")
        with pytest.raises((TimeoutError, ssl.SSLError)):
            wrapped.do_handshake()


@pytest.mark.interop
def test_a_connection_is_kept_for_several_requests(suite):
    """Over both listeners, since each has a socket class of its own."""
    context = ssl.create_default_context(cafile=str(suite.certificate))
    plain = http.client.HTTPConnection("127.0.0.1", suite.port("HTTP"))
    encrypted = http.client.HTTPSConnection("127.0.0.1", suite.port("HTTPS"), context=context)
    for connection in (plain, encrypted):
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            connection.request("GET", "/health")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok\n")
            assert connection.sock is kept
        connection.close()


@pytest.mark.interop
def test_silent_connections_keep_no_thread(suite):
    """More of them than there are threads, and the pages are served."""
    silent = [socket.create_connection(("127.0.0.1", suite.port("HTTPS"))) for _ in range(20)]
    context = ssl.create_default_context(cafile=str(suite.certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", suite.port("HTTPS"), context=context)
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()
    for one in silent:
        one.close()
