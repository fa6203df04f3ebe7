"""Fetching MTA-STS policies from a real HTTPS server with real TLS on loopback (RFC 8461 §3.3)."""

import asyncio
import socket
import ssl
import threading
from ipaddress import ip_network

import pytest
from certificates import client_context, make

from mailsuite.mailauth.mtasts import MAX_POLICY_OCTETS, PATH, Mode
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.transport_security.fetching import FetchError, fetch_policy

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.far.test\r\nmax_age: 604800\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)
AUTHORITY = make(common_name="authority", ca=True)


class Server:
    """Answers each connection with `answer`, octets in clear that travel under TLS; `requests` gathers what came."""

    def __init__(self, context):
        self.context, self.answer, self.requests, self.connections = context, b"", [], 0
        self.hold = threading.Event()

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.hold.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(20)
            try:
                with self.context.wrap_socket(sock, server_side=True) as tls:
                    request = b""
                    while not request.endswith(b"\r\n\r\n") and (more := tls.recv(4096)):
                        request += more
                    self.requests.append(request)
                    tls.sendall(self.answer)
                    if self.answer.endswith(b"HELD"):
                        self.hold.wait(20)
            except OSError:
                sock.close()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(*names, issuer=AUTHORITY, **how):
        pair = make(*(names or ("mta-sts.far.test",)), issuer=issuer, **how)
        servers.append(Server(pair.server_context(tmp_path, f"server{len(servers)}")).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


def answer(body=POLICY, *fields, status="200 OK", content_type="text/plain", length=True):
    lines = [f"HTTP/1.1 {status}".encode(), b"Content-Type: " + content_type.encode(), *fields]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def fetch(server, *, zone=None, allowed=LOOPBACK, seconds=10.0):
    resolver = ZoneResolver({("mta-sts.far.test", "A"): ["127.0.0.1"]} if zone is None else zone)
    return asyncio.run(
        fetch_policy(
            resolver, "far.test", allowed, context=client_context(AUTHORITY), port=server.port, seconds=seconds
        )
    )


@pytest.mark.parametrize(
    "octets",
    [
        answer(),
        answer(content_type="text/plain; charset=utf-8"),
        answer(length=False),
        answer(POLICY + b"x: " + b"y" * (MAX_POLICY_OCTETS - len(POLICY) - 3)),
        answer(b"4\r\nvers\r\n" + b"%x;name=value\r\n" % (len(POLICY) - 4) + POLICY[4:] + b"\r\n0\r\n\r\n",
               b"Transfer-Encoding: chunked", length=False),
        # Who never closes costs nothing where the length is known.
        answer() + b"HELD",
    ],
)  # fmt: skip
def test_a_policy_is_fetched(serve, octets):
    server = serve()
    server.answer = octets
    policy = fetch(server)
    assert (policy.mode, policy.mx, policy.max_age) == (Mode.ENFORCE, ("mx.far.test",), 604800)
    [request] = server.requests
    assert request.startswith(b"GET " + PATH.encode() + b" HTTP/1.1\r\nHost: mta-sts.far.test\r\n")


FETCH, INVALID = ResultType.STS_POLICY_FETCH_ERROR, ResultType.STS_POLICY_INVALID


@pytest.mark.parametrize(
    ("octets", "result", "why"),
    [
        (answer(b"", b"Location: https://mta-sts.far.test/else", status="301 Moved"), FETCH, "301 and sends elsewhere"),
        (answer(b"", b"Location: https://else.test/", status="302 Found"), FETCH, "302 and sends elsewhere"),
        (answer(b"", status="304 Not Modified"), FETCH, "304"),
        (answer(status="404 Not Found"), FETCH, "answers 404"),
        (answer(status="500 Oops"), FETCH, "answers 500"),
        (answer(content_type="text/html"), FETCH, "Content-Type is text/html"),
        (answer(content_type="application/octet-stream"), FETCH, "Content-Type"),
        (answer(b"<html>"), INVALID, "line 1"),
        (answer(b"version: STSv1\nmode: enforce\nmax_age: 1"), INVALID, "names no mx"),
        (answer(POLICY + b"x" * MAX_POLICY_OCTETS), INVALID, "larger than 64 KB"),
        (answer(POLICY + b"x" * MAX_POLICY_OCTETS, length=False), INVALID, "larger than 64 KB"),
        (answer(b"", b"Content-Length: 99999999999999999999", length=False), INVALID, "larger than 64 KB"),
        (answer(b"fffff\r\n" + b"x" * 0xFFFFF, b"Transfer-Encoding: chunked", length=False), INVALID, "larger than 64"),
        (answer(b"-1\r\n", b"Transfer-Encoding: chunked", length=False), FETCH, "no proper answer"),
        (answer(b"x\r\n", b"Transfer-Encoding: chunked", length=False), FETCH, "no proper answer"),
        (answer(b"", b"Content-Length: -1", length=False), FETCH, "no proper answer"),
        (answer(b"short", b"Content-Length: 500", length=False), FETCH, "no proper answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", FETCH, "no proper answer"),
        (b"SSH-2.0-nonsense\r\n\r\n", FETCH, "no proper answer"),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", FETCH, "no proper answer"),
        (b"", FETCH, "no proper answer"),
    ],
)
def test_answers_that_are_no_policy(serve, octets, result, why):
    server = serve()
    server.answer = octets
    with pytest.raises(FetchError, match=why) as caught:
        fetch(server)
    assert caught.value.result is result and server.connections == 1


@pytest.mark.parametrize(
    ("names", "how", "why"),
    [
        (["else.test"], {}, "mismatch"),
        (["far.test"], {}, "mismatch"),
        (["*.mta-sts.far.test"], {}, "mismatch"),
        (["mta-sts.far.test"], {"issuer": None}, "self-signed"),
        (
            ["mta-sts.far.test"],
            {"issuer": make(common_name="else", ca=True)},
            "self-signed certificate in|unable to get",
        ),
        (["mta-sts.far.test"], {"days": (-9, -1)}, "expired"),
        (["mta-sts.far.test"], {"days": (1, 9)}, "not yet valid"),
        # A common name is no name (§3.3 wants a DNS-ID).
        ([], {"common_name": "mta-sts.far.test"}, "mismatch"),
    ],
)
def test_bad_certificates(tmp_path, names, how, why):
    how = {"issuer": AUTHORITY} | how
    pair = make(*names, **how)
    with Server(pair.server_context(tmp_path)) as server:
        server.answer = answer()
        with pytest.raises(FetchError, match=why) as caught:
            fetch(server)
    assert caught.value.result is ResultType.STS_WEBPKI_INVALID and server.requests == []


def test_a_wildcard_certificate_is_good(serve):
    server = serve("*.far.test")
    server.answer = answer()
    assert fetch(server).mode is Mode.ENFORCE


def test_tls_1_2_is_good(tmp_path):
    context = make("mta-sts.far.test", issuer=AUTHORITY).server_context(tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Server(context) as server:
        server.answer = answer()
        assert fetch(server).max_age == 604800


@pytest.mark.parametrize("octets", [b"", answer(b"", b"Content-Length: 10", length=False), b"HTTP/1.1 200 OK\r\nX: "])
def test_a_slow_server_has_one_deadline(serve, octets):
    server = serve()
    server.answer = octets + b"HELD"
    if b"Content-Length" in octets:
        server.answer = octets + b"v" * 4 + b"HELD"
    with pytest.raises(FetchError, match="did not answer within 0.5 seconds"):
        fetch(server, seconds=0.5)


@pytest.mark.parametrize(
    ("zone", "why"),
    [
        ({}, "has no address"),
        ({("mta-sts.far.test", "A"): Answer(Status.TEMPERROR)}, "the DNS gave no address"),
        ({("mta-sts.far.test", "A"): ["10.0.0.1"]}, "at 10.0.0.1, where nothing is fetched from"),
        ({("mta-sts.far.test", "A"): ["169.254.169.254"]}, "where nothing is fetched"),
        ({("mta-sts.far.test", "AAAA"): ["::1"]}, "where nothing is fetched"),
        ({("mta-sts.far.test", "AAAA"): ["::ffff:10.0.0.1"]}, "where nothing is fetched"),
        ({("mta-sts.far.test", "AAAA"): ["fd00::1"]}, "where nothing is fetched"),
    ],
)
def test_addresses_that_are_not_asked(serve, zone, why):
    with pytest.raises(FetchError, match=why) as caught:
        fetch(serve(), zone=zone)
    assert caught.value.result is FETCH


def test_loopback_is_not_asked_unless_allowed(serve):
    server = serve()
    with pytest.raises(FetchError, match="127.0.0.1, where nothing is fetched"):
        fetch(server, allowed=())
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_asked(serve):
    """A second answer of the DNS, with another address, has no say."""
    server = serve()
    server.answer = answer()

    class Rebinding(ZoneResolver):
        async def query(self, name, rdtype):
            first = (name, rdtype) not in self.asked
            await super().query(name, rdtype)
            if rdtype != "A":
                return Answer(Status.NODATA)
            return Answer(Status.OK, ("127.0.0.1",) if first else ("127.0.0.99",))

    resolver = Rebinding({})
    context = client_context(AUTHORITY)
    policy = asyncio.run(fetch_policy(resolver, "far.test", LOOPBACK, context=context, port=server.port))
    assert policy.mode is Mode.ENFORCE
    assert sorted(resolver.asked) == [("mta-sts.far.test", "A"), ("mta-sts.far.test", "AAAA")]


def test_the_next_address_is_tried(serve):
    server = serve()
    server.answer = answer()
    assert fetch(server, zone={("mta-sts.far.test", "A"): ["127.0.0.99", "127.0.0.1"]}).mode is Mode.ENFORCE
    with pytest.raises(FetchError, match="no connection"):
        fetch(server, zone={("mta-sts.far.test", "A"): ["127.0.0.99"]})
