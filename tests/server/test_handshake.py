"""Handshakes of TLS with clients that do what they should, and with others."""

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import uvloop

from mailsuite.server.handshake import HandshakeFailed, handshake, start_tls, take_over
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.tls import server_context


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """The server's and a client's."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    ensure_certificate(certificate, key, "localhost", datetime.now(UTC))
    return server_context(certificate, key), ssl.create_default_context(cafile=certificate)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    return request.param


class Served(asyncio.Protocol):
    """Says a word when there is a connection, and hears one."""

    def __init__(self):
        self.heard = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"ready\n")

    def data_received(self, data):
        if not self.heard.done():
            self.heard.set_result(data)


async def served(client, context, seconds=30.0):
    """What the protocol of an accepted socket heard of a client, which is run in a thread with the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    talking = asyncio.ensure_future(asyncio.to_thread(client, theirs))
    protocol = Served()
    try:
        await take_over(protocol, ours, context, seconds)
        async with asyncio.timeout(10):
            heard = await protocol.heard
        protocol.transport.abort()
        return heard
    finally:
        await talking
        theirs.close()


def under_tls(context):
    def client(sock):
        with context.wrap_socket(sock.dup(), server_hostname="localhost") as tls:
            assert tls.recv(100) == b"ready\n"
            tls.sendall(b"thanks")
            with suppress(OSError):
                tls.recv(100)

    return client


def saying(octets):
    def client(sock):
        sock.sendall(octets)
        # To the end, which the server brings about.
        with suppress(OSError):
            while sock.recv(100):
                pass

    return client


def leaving(octets):
    def client(sock):
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_RDWR)

    return client


# The beginning of a ClientHello that announces 512 octets.
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def test_a_client_is_served_under_tls_or_without(run, contexts):
    assert run(served(under_tls(contexts[1]), contexts[0])) == b"thanks"
    assert run(served(saying(b"hello"), None)) == b"hello"


def test_who_speaks_no_tls_is_known_for_it(run, contexts):
    with pytest.raises(HandshakeFailed) as failed:
        run(served(saying(b"EHLO me\r\nMAIL FROM:<a@b.example>\r\n"), contexts[0]))
    assert failed.value.speaks_no_tls


@pytest.mark.parametrize("octets", [b"", HALF_A_HELLO])
def test_a_handshake_that_never_ends_is_ended(run, contexts, octets):
    with pytest.raises(HandshakeFailed) as failed:
        run(served(saying(octets), contexts[0], seconds=0.2))
    assert not failed.value.speaks_no_tls and str(failed.value)


@pytest.mark.parametrize("octets", [b"", HALF_A_HELLO])
def test_a_client_that_leaves_amid_the_handshake_is_no_offender(run, contexts, octets):
    with pytest.raises(HandshakeFailed) as failed:
        run(served(leaving(octets), contexts[0]))
    assert not failed.value.speaks_no_tls


def test_a_client_that_distrusts_the_certificate_is_no_offender(run, contexts):
    def client(sock):
        with suppress(ssl.SSLError), ssl.create_default_context().wrap_socket(sock.dup(), server_hostname="localhost"):
            raise AssertionError("the certificate was trusted")

    with pytest.raises(HandshakeFailed) as failed:
        run(served(client, contexts[0]))
    assert not failed.value.speaks_no_tls


class Upgraded(Served):
    """Begins TLS at the client's first word, as after STARTTLS."""

    def __init__(self, context, seconds):
        super().__init__()
        self._context, self._seconds = context, seconds
        self.first = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        if not self.first.done():
            self.first.set_result(data)
        else:
            super().data_received(data)

    async def upgrade(self):
        async with asyncio.timeout(10):
            await self.first
        # With no turn of the loop between: what the client says next belongs to TLS.
        self.transport.write(b"go\n")
        self.transport = await start_tls(self.transport, self, self._context, self._seconds)
        async with asyncio.timeout(10):
            return await self.heard


async def upgraded(client, context, seconds=30.0):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    talking = asyncio.ensure_future(asyncio.to_thread(client, theirs))
    protocol = Upgraded(context, seconds)
    try:
        await take_over(protocol, ours, None)
        return await protocol.upgrade()
    finally:
        protocol.transport.abort()
        await talking
        theirs.close()


def test_tls_begins_on_a_connection_that_is_there(run, contexts):
    def client(sock):
        assert sock.recv(100) == b"ready\n"
        sock.sendall(b"STARTTLS\n")
        assert sock.recv(100) == b"go\n"
        with contexts[1].wrap_socket(sock.dup(), server_hostname="localhost") as tls:
            tls.sendall(b"thanks")
            with suppress(OSError):
                tls.recv(100)

    assert run(upgraded(client, contexts[0])) == b"thanks"


@pytest.mark.parametrize("octets", [None, b"", HALF_A_HELLO], ids=["silent", "gone", "gone amid it"])
def test_tls_that_does_not_begin_is_ended(run, contexts, octets):
    def client(sock):
        assert sock.recv(100) == b"ready\n"
        sock.sendall(b"STARTTLS\n")
        assert sock.recv(100) == b"go\n"
        (saying(b"") if octets is None else leaving(octets))(sock)

    with pytest.raises(HandshakeFailed) as failed:
        run(upgraded(client, contexts[0], seconds=0.2 if octets is None else 30.0))
    assert not failed.value.speaks_no_tls


def test_no_tls_begins_on_a_connection_that_is_gone(run, contexts):
    async def late():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            protocol = Served()
            await take_over(protocol, ours, None)
            protocol.transport.abort()
            with pytest.raises(HandshakeFailed, match="gone"):
                await start_tls(protocol.transport, protocol, contexts[0])

    run(late())


def test_what_fails_says_why():
    async def fail(error):
        async with handshake():
            raise error

    with pytest.raises(HandshakeFailed, match="^TimeoutError$"):
        asyncio.run(fail(TimeoutError()))
    with pytest.raises(ValueError):
        asyncio.run(fail(ValueError()))


def test_no_handshake_is_waited_for_without_end(monkeypatch):
    monkeypatch.setattr("mailsuite.server.handshake.CLOSE_SECONDS", 0.0)

    async def wait():
        async with handshake(0.01):
            await asyncio.Event().wait()

    with pytest.raises(HandshakeFailed):
        asyncio.run(wait())
