"""gunicorn's worker behind our front, over real sockets, with a small application: who gets a thread, and when."""

import errno
import hashlib
import http.client
import io
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gunicorn.config import Config

from mailsuite.server.accepting import raise_descriptor_limit
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.server.pulse import Pulse
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.tls import server_context
from mailsuite.web import connection as connection_module
from mailsuite.web import exchange as exchange_module
from mailsuite.web import worker as worker_module
from mailsuite.web.connection import _HEAD_ENDS, BODY_OCTETS, HEAD_OCTETS, Budgets, HttpConnection, Phase
from mailsuite.web.daemon import Application, Log, TlsConfig
from mailsuite.web.exchange import BODY_MEMORY_OCTETS, Exchange
from mailsuite.web.worker import AT_ONCE_PER_CLIENT, THREADS, WRITES_AT_ONCE, Worker

GET = b"GET %b HTTP/1.1\r\nHost: x.test\r\n\r\n"


class Small(Application):
    """Answers what was asked; `/hold` waits until `go`, `/large` answers with that many octets."""

    def __init__(self, config):
        self.asked, self.go = [], threading.Event()
        super().__init__(config)

    def load(self):
        return self.answer

    def answer(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if path.startswith("/hold"):
            assert self.go.wait(20)
        octets = f"{environ['REQUEST_METHOD']} {path} {environ['wsgi.url_scheme']}".encode()
        if path == "/large":
            octets = bytes(int(environ["QUERY_STRING"]))
        if path != "/unread" and (body := environ["wsgi.input"].read()):
            octets += f" {len(body)} {hashlib.sha256(body).hexdigest()}".encode()
        if path == "/file":
            start_response("200 OK", [("Content-Length", str(Path(__file__).stat().st_size))])
            return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))
        start_response("200 OK", [("Content-Length", str(len(octets)))])
        return [octets]


class Quiet(Worker):
    def init_signals(self):
        """Only the main thread may have any."""


class Running:
    def __init__(self, context, total=512, per_client=64, **admission):
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
        self.http, self.https = (sock.getsockname() for sock in self.sockets)
        self.app = Small(Config())
        self.worker = worker = Quiet(0, 0, self.sockets, self.app, 0, self.app.cfg, Log(self.app.cfg))
        worker.tls_config, worker.tls_context = TlsConfig(), context
        worker.tls_addresses, worker.parent_pipe, worker.pulse = frozenset([self.https]), None, Pulse()
        worker.client_of = lambda address, forwarded_for: forwarded_for or address
        worker.budgets = Budgets(OctetBudget(), OctetBudget(64 * 1024 * 1024))
        worker.admission = Admission(AdmissionLimits(total, per_client), budget=worker.budgets.memory, **admission)
        self._thread = threading.Thread(target=worker.init_process)
        self._thread.start()
        while not worker.booted:
            time.sleep(0.001)
        self._open = ExitStack()

    def connect(self, octets=b"", *, address=None):
        sock = self._open.enter_context(socket.create_connection(address or self.http, 20))
        sock.sendall(octets)
        return sock

    def stop(self):
        self.worker.handle_exit(0, None)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def close(self):
        self.app.go.set()
        self._open.close()
        self.stop()
        self.worker.tmp.close()
        assert len(self.worker.admission) == 0
        assert (self.worker.budgets.memory.held, self.worker.budgets.bodies.held) == (0, 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    ensure_certificate(folder / "cert.pem", folder / "key.pem", "localhost", datetime.now(UTC))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def serve(certificate, monkeypatch):
    monkeypatch.setattr(worker_module, "STOPPING_SECONDS", 0.0)
    monkeypatch.setattr(worker_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(connection_module, "LINGER_SECONDS", 0.1)
    raise_descriptor_limit()
    running = []

    def start(**settings):
        running.append(Running(server_context(*certificate), **settings))
        return running[-1]

    yield start
    for one in running:
        one.close()


def answer(sock):
    """Status and body of the next answer; (0, b"") when the connection ends instead."""
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            octets = sock.recv(1)
        except ConnectionResetError:
            octets = b""
        if not octets:
            return 0, b""
        received += octets
    length = int(re.search(rb"Content-Length: (\d+)", received)[1])
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return int(received[9:12]), body


def ended(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_silent_the_dripping_and_the_half_shaken_hands_have_no_thread(serve, certificate):
    """More of them than there are places: an honest client is served by both doors, while they all hang."""
    running = serve()
    for number in range(500):
        running.connect()
        running.connect(b"\x16\x03\x01" if number % 2 else b"", address=running.https)
    dripping = [running.connect(b"GET / HTTP/1.1\r\nHost: x") for _ in range(THREADS)]
    dripping += [running.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx") for _ in range(THREADS)]
    assert answer(running.connect(GET % b"/honest")) == (200, b"GET /honest http")
    context = ssl.create_default_context(cafile=str(certificate[0]))
    secure = http.client.HTTPSConnection("localhost", running.https[1], context=context, timeout=20)
    secure.request("GET", "/secure")
    assert secure.getresponse().read() == b"GET /secure https"
    assert running.app.asked == ["/honest", "/secure"]
    assert len(running.worker.admission) <= 512
    for one in dripping[:THREADS]:
        one.sendall(b".test\r\n\r\n")
        assert answer(one)[0] == 200
    secure.close()


def test_whoever_does_not_read_the_answer_has_no_thread(serve):
    running = serve()
    unread = [running.connect(GET % b"/large?9000000") for _ in range(THREADS)]
    assert answer(running.connect(GET % b"/honest"))[0] == 200
    while len(running.app.asked) < THREADS + 1 or running.worker._working:
        time.sleep(0.01)
    assert answer(unread[3]) == (200, bytes(9_000_000))


def test_one_client_has_never_all_threads(serve):
    running = serve()
    request = b"GET /hold HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n"
    held = [running.connect(request % 1) for _ in range(THREADS)]
    other = running.connect(request.replace(b"/hold", b"/other") % 2)
    assert answer(other)[0] == 200
    assert running.app.asked.count("/hold") <= AT_ONCE_PER_CLIENT
    running.app.go.set()
    assert [answer(one)[0] for one in held] == [200] * THREADS


@pytest.mark.parametrize("secure", [False, True])
def test_a_connection_is_kept_and_requests_may_be_sent_ahead(serve, certificate, secure):
    running = serve()
    sock = running.connect(address=running.https if secure else None)
    if secure:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        sock = context.wrap_socket(sock, server_hostname="localhost")
    post = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    sock.sendall(GET % b"/1" + post % b"/2" + post % b"/unread" + GET % b"/4")
    bodies = [answer(sock) for _ in range(4)]
    assert [body.split()[1] for _, body in bodies] == [b"/1", b"/2", b"/unread", b"/4"]
    assert bodies[1][1].split()[3] == b"5"
    sock.sendall(GET % b"/5")
    assert answer(sock)[0] == 200
    sock.close()


def test_a_request_may_come_in_any_pieces(serve):
    running = serve()
    sock = running.connect()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in b"\r\nPOST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + GET % b"/y":
        sock.sendall(bytes([octet]))
    assert answer(sock)[1].startswith(b"POST /x http 3 ")
    assert answer(sock)[1] == b"GET /y http"


def test_who_speaks_http_1_0_need_not_say_the_host(serve):
    assert answer(serve().connect(b"GET /x HTTP/1.0\r\n\r\n"))[0] == 200


def test_however_a_head_drips_each_octet_is_looked_at_a_few_times(serve, monkeypatch):
    looked_at = []

    class Counting:
        def search(self, octets, start, end):
            looked_at.append(min(len(octets), end) - start)
            return _HEAD_ENDS.search(octets, start, end)

    monkeypatch.setattr(connection_module, "_HEAD_ENDS", Counting())
    ours, theirs = socket.socketpair()
    budgets = Budgets(OctetBudget(), OctetBudget())
    config = Small(Config()).cfg
    connection = HttpConnection(
        ours, client=("", 0), server=("", 0), config=config, tls=None, poller=None, budgets=budgets, now=0
    )
    ours.setblocking(False)
    head = b"GET / HTTP/1.1\r\n" + b"Host: x\r\n" + b"A: bc\r\n" * 60 + b"\r\n"
    for octet in head:
        theirs.send(bytes([octet]))
        connection.advance(0)
    assert connection.phase is Phase.READY
    assert sum(looked_at) < len(head) * 10
    connection.exchange.discard()
    ours.close()
    theirs.close()


def test_a_large_body_comes_through_whole(serve):
    running = serve()
    body = bytes(range(256)) * 8000
    sock = running.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
    sock.sendall(body + GET % b"/next")
    assert answer(sock)[1].endswith(hashlib.sha256(body).hexdigest().encode())
    assert answer(sock)[1] == b"GET /next http"


def test_a_file_comes_through_whole(serve):
    sock = serve().connect(GET % b"/file" + GET % b"/next")
    assert answer(sock) == (200, Path(__file__).read_bytes())
    assert answer(sock)[0] == 200


def test_under_pressure_bodies_and_answers_go_to_disk(serve):
    running = serve()
    running.worker.budgets.memory.take(running.worker.budgets.memory.limit)
    sock = running.connect(b"POST /large?1000 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
    sock.sendall(b"bc")
    assert answer(sock)[1].startswith(bytes(1000) + b" 3 ")
    running.worker.budgets.memory.give(running.worker.budgets.memory.limit)


def test_who_waits_for_100_is_told_to_go_on(serve):
    running = serve()
    sock = running.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert sock.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"abc")
    assert answer(sock)[1].startswith(b"POST / http 3 ")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"\r\n\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_OCTETS + 1), 413),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * HEAD_OCTETS, 431),
    ],
)
def test_what_is_no_proper_request_is_refused_and_nothing_behind_it_is_read(serve, octets, status):
    running = serve()
    sock = running.connect(octets + GET % b"/smuggled")
    assert answer(sock)[0] == status
    assert ended(sock)
    assert running.app.asked == []


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"", 0),
        (b"GET / HTTP/1.1\r\nHost: x", 408),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", 408),
    ],
)
def test_what_does_not_come_in_time_is_not_waited_for(serve, monkeypatch, octets, status):
    monkeypatch.setattr(connection_module, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(connection_module, "BODY_SECONDS", 0.0)
    running = serve()
    sock = running.connect(octets)
    assert answer(sock)[0] == status
    assert ended(sock)


def test_a_handshake_that_does_not_come_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(connection_module, "HANDSHAKE_SECONDS", 0.0)
    running = serve()
    assert ended(running.connect(b"\x16\x03\x01", address=running.https))


def test_who_reads_nothing_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(connection_module, "OCTETS_PER_SECOND", 10**9)
    running = serve()
    running.connect(GET % b"/large?9000000")
    while not running.app.asked or len(running.worker.admission):
        time.sleep(0.01)


def test_an_end_waits_for_nobody(serve):
    """Clients that keep their side open after the last answer hold up no one else."""
    running = serve()
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    kept_open = [running.connect(request) for _ in range(THREADS * 2)]
    assert [answer(one)[0] for one in kept_open] == [200] * (THREADS * 2)
    assert answer(running.connect(GET % b"/"))[0] == 200
    assert all(ended(one) for one in kept_open)


def test_clients_that_vanish_leave_nothing_behind(serve):
    running = serve()
    whole = b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)
    for length in (0, 1, 10, 48, 70, 200_000, len(whole)):
        sock = running.connect(whole[:length])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    running.app.go.set()
    # It comes behind all of them.
    assert answer(running.connect(GET % b"/"))[0] == 200
    while len(running.worker.admission) > 1:
        time.sleep(0.01)


def test_who_is_banned_or_one_too_many_is_told_so(serve):
    refused = serve(banned=lambda address: "a ban")
    assert answer(refused.connect())[0] == 403
    assert ended(refused.connect(address=refused.https))
    full = serve(total=1)
    held = full.connect(GET % b"/hold")
    while not full.app.asked:
        time.sleep(0.01)
    assert answer(full.connect())[0] == 503
    full.app.go.set()
    assert answer(held)[0] == 200


def test_stopping_finishes_what_was_asked(serve):
    running = serve()
    kept, asked = running.connect(GET % b"/1"), running.connect(GET % b"/hold")
    assert answer(kept)[0] == 200
    while len(running.app.asked) < 2:
        time.sleep(0.01)
    stopping = threading.Thread(target=running.stop)
    stopping.start()
    assert ended(kept)
    running.app.go.set()
    assert answer(asked)[0] == 200
    assert ended(asked)
    stopping.join()


SILENT_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nx"


def test_a_full_house_of_whole_heads_makes_room_for_those_who_bring_a_request(serve, monkeypatch):
    """What is announced and does not come, and what is answered and not read, hold no place against others."""
    monkeypatch.setattr(connection_module, "OCTETS_PER_SECOND", 10**12)
    for octets in (SILENT_BODY % 500_000, GET % b"/large?9000000"):
        running = serve(total=8)
        for _ in range(8):
            running.connect(octets)
        while len(running.worker.admission) < 8 or running.worker._working:
            time.sleep(0.001)
        assert answer(running.connect(GET % b"/honest"))[0] == 200


def test_requests_that_wait_for_a_thread_give_way_too(serve):
    running = serve(total=12)
    held = [running.connect(GET % b"/hold") for _ in range(12)]
    while len(running.worker._working) < THREADS:
        time.sleep(0.001)
    late = running.connect(GET % b"/honest")
    assert answer(held[THREADS])[0] == 503
    running.app.go.set()
    assert answer(late)[0] == 200
    assert [answer(one)[0] for one in held[:THREADS]] == [200] * THREADS


def test_what_is_announced_takes_neither_time_nor_room_from_others(serve):
    """A body has the time that its octets earn and the room that they take; a login always has room."""
    running = serve()
    bodies = running.worker.budgets.bodies
    silent = [running.connect(SILENT_BODY % BODY_OCTETS) for _ in range(20)]
    while len(running.worker.admission) < 20 or any(one.phase is not Phase.BODY for one in running.worker.admission):
        time.sleep(0.001)
    latest = max(one.deadline for one in running.worker.admission)
    assert latest < time.monotonic() + connection_module.BODY_SECONDS + 1
    assert bodies.held == 0
    bodies.take(bodies.limit)
    login = running.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
    login.sendall(b"abc")
    assert answer(login)[1].startswith(b"POST / http 3 ")
    silent[0].sendall(bytes(BODY_MEMORY_OCTETS + 1))
    assert answer(silent[0])[0] == 503
    assert answer(running.connect(SILENT_BODY % BODY_OCTETS))[0] == 503
    bodies.give(bodies.limit)


@pytest.fixture
def full_disk(monkeypatch):
    def full(**settings):
        return open("/dev/full", "r+b", buffering=0)  # noqa: SIM115

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(exchange_module, "TemporaryFile", full)


def test_on_a_full_disk_pages_are_served_and_large_bodies_refused(serve, full_disk):
    running = serve()
    large = running.connect(SILENT_BODY % 300_001)
    large.sendall(bytes(300_000))
    assert answer(large)[0] == 503
    sock = running.connect(GET % b"/large?300000" + GET % b"/next")
    assert answer(sock) == (200, bytes(300_000))
    assert answer(sock)[0] == 200
    running.worker.budgets.memory.take(running.worker.budgets.memory.limit)
    assert answer(running.connect(GET % b"/"))[0] == 200
    running.worker.budgets.memory.give(running.worker.budgets.memory.limit)


def test_what_a_disk_takes_no_more_of_comes_whole_from_memory(monkeypatch):
    class Filling(io.FileIO):
        def write(self, octets):
            if self.tell() + len(octets) > 100:
                super().write(octets[:5])
                raise OSError(errno.ENOSPC, "full")
            return super().write(octets)

    monkeypatch.setattr(exchange_module, "TemporaryFile", lambda buffering: Filling(os.memfd_create("disk"), "r+b"))
    monkeypatch.setattr(exchange_module, "ANSWER_MEMORY_OCTETS", 20)
    exchange = Exchange(b"")
    pieces = [bytes([number]) * 9 for number in range(30)]
    for piece in pieces:
        exchange.sendall(piece)
    exchange.seal(spool=True)
    assert bytes(exchange.next_chunk()) == b"".join(pieces)
    exchange.discard()


def test_a_fault_at_one_connection_ends_that_one_alone(serve, monkeypatch):
    def fail(connection):
        raise RuntimeError("a fault")

    running = serve()
    kept = running.connect(GET % b"/1")
    assert answer(kept)[0] == 200
    monkeypatch.setitem(connection_module._STEPS, Phase.LINGER, fail)
    closing = running.connect(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer(closing)[0] == 200
    assert ended(closing)
    kept.sendall(GET % b"/2")
    assert answer(kept)[0] == 200


def test_pages_are_there_while_a_crowd_guesses_passwords(serve):
    running = serve()
    post = b"POST /hold HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.%d\r\nContent-Length: 0\r\n\r\n"
    guessing = [running.connect(post % number) for number in range(20)]
    assert answer(running.connect(GET % b"/page"))[0] == 200
    assert len(running.worker._working) <= WRITES_AT_ONCE
    running.app.go.set()
    assert [answer(one)[0] for one in guessing] == [200] * 20


def test_threads_rest_now_and_then_and_take_their_connections_with_them(serve, monkeypatch):
    """The database's caches, and what threads have freed, are not kept until the next start."""
    closed, collected = [], threading.Event()
    monkeypatch.setattr(worker_module, "REST_SECONDS", 0.0)
    monkeypatch.setattr(worker_module.gc, "collect", collected.set)
    monkeypatch.setattr(worker_module.connections, "close_all", lambda: closed.append(threading.current_thread()))
    server = serve()
    sock = server.connect(GET % b"/hold")
    while not server.app.asked:
        time.sleep(0.001)
    # Not while one works.
    assert not collected.wait(0.2)
    server.app.go.set()
    assert answer(sock)[0] == 200
    assert collected.wait(20)
    assert len(closed) == 1 and not closed[0].is_alive()
    sock.sendall(GET % b"/again")
    assert answer(sock) == (200, b"GET /again http")
