"""The running web service, while others hold all that they can: what mail and people need is served."""

import http.client
import socket
import ssl
from contextlib import ExitStack

import pytest

pytestmark = pytest.mark.interop
SILENT = 300


def ask(connection, path):
    connection.request("GET", path, headers={"Host": "localhost"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_connection_is_kept_for_several_requests_at_both_doors(suite):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    plain = http.client.HTTPConnection("127.0.0.1", suite.port("HTTP"), timeout=30)
    encrypted = http.client.HTTPSConnection("127.0.0.1", suite.port("HTTPS"), context=context, timeout=30)
    for connection in (plain, encrypted):
        connection.connect()
        kept = connection.sock
        assert [ask(connection, "/health") for _ in range(3)] == [200] * 3
        assert connection.sock is kept
        connection.close()


def test_what_strangers_hold_takes_no_page_away(suite):
    """Silent ones, half handshakes and dripping requests, more than there are places; and all of them stay."""
    acme = suite.data / "acme" / ".well-known" / "acme-challenge"
    acme.mkdir(parents=True, exist_ok=True)
    (acme / "token").write_text("the answer")
    # The last ones ask for a domain that nobody hosts: the application says so.
    paths = {
        "/health": 200,
        "/.well-known/acme-challenge/token": 200,
        "/sign-in": 200,
        "/static/mailsuite/owner.css": 200,
        "/mail/config-v1.1.xml?emailaddress=ann@nobody.test": 404,
        "/.well-known/mta-sts.txt": 404,
    }
    with ExitStack() as held:
        for number in range(SILENT):
            dripping = b"GET / HTTP/1.1\r\nHost: x" if number % 2 else b""
            for name, said in (("HTTP", dripping), ("HTTPS", b"\x16\x03\x01")):
                sock = held.enter_context(socket.create_connection(("127.0.0.1", suite.port(name))))
                sock.sendall(said)
        for path, status in paths.items():
            connection = http.client.HTTPConnection("127.0.0.1", suite.port("HTTP"), timeout=30)
            assert ask(connection, path) == status, path
            connection.close()
