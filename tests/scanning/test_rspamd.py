"""The real rspamd, and servers that only pretend to be one."""

import asyncio
import json

import pytest

from mailsuite.scanning.rspamd import Rspamd, read_answer
from mailsuite.scanning.scanner import ScanAction, ScannerError, ScanRequest

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def message(subject: str = "hello", body: bytes = b"Good day\r\n") -> bytes:
    head = (
        f"From: ann@sender.example\r\nTo: bob@example.org\r\nSubject: {subject}\r\nMessage-ID: <1@sender.example>\r\n"
    )
    return head.encode() + b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\n" + body


def request(octets: bytes, **more) -> ScanRequest:
    pieces = [octets[start : start + 100_000] for start in range(0, len(octets), 100_000)]
    return ScanRequest(lambda: iter(pieces), len(octets), **more)


def scan(port: int, octets: bytes, **more):
    return asyncio.run(Rspamd("127.0.0.1", port, hostname="mx.example.org").scan(request(octets, **more)))


def test_ordinary_mail_passes(rspamd_port):
    result = scan(rspamd_port, message())
    assert (result.action, result.score) == (ScanAction.ACCEPT, 0)
    assert "“no action”" in result.reason


def test_the_test_pattern_for_junk_is_refused(rspamd_port):
    result = scan(rspamd_port, message(body=GTUBE + b"\r\n"))
    assert (result.action, result.score) == (ScanAction.REJECT, 15)
    assert "GTUBE (0)" in result.symbols


def test_a_middling_score_is_junk_and_symbols_are_told_heaviest_first(rspamd_port):
    envelope = {
        **{"client_address": "192.0.2.1", "helo": "client.example", "queue_id": "QUEUE1"},
        **{"reverse_path": "ann@sender.example", "recipients": ("bob@example.org", "eve@example.org")},
    }
    result = scan(rspamd_port, message("certainly junk"), **envelope)
    assert (result.action, result.score) == (ScanAction.JUNK, 7.5)
    assert result.symbols[:2] == ("JUNK_SUBJECT (7)", "ENVELOPE (0.5)")


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_large_mail_is_streamed(rspamd_port, is_in_memory):
    result = scan(rspamd_port, message(body=b"line of text\r\n" * 250_000), is_in_memory=is_in_memory)
    assert result.symbols[0] == "LONG (0.25)"


def test_header_values_begin_no_other_field(rspamd_port):
    result = scan(rspamd_port, message(), helo="x\r\nRcpt: eve@example.org\r\nFlags: skip")
    assert result.action is ScanAction.ACCEPT


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("no action", ScanAction.ACCEPT),
        ("greylist", ScanAction.ACCEPT),
        ("add header", ScanAction.JUNK),
        ("rewrite subject", ScanAction.JUNK),
        ("quarantine", ScanAction.JUNK),
        ("discard", ScanAction.JUNK),
        ("soft reject", ScanAction.DEFER),
        ("reject", ScanAction.REJECT),
    ],
)
def test_actions(said, action):
    assert read_answer(json.dumps({"action": said, "score": 1}).encode()).action is action


@pytest.mark.parametrize(
    "octets", [b"", b"[]", b"{}", b'{"action": "dance"}', b'{"action": "reject", "score": "x"}', b"\xff",
               b'{"action": "reject", "symbols": [1]}', b'{"action": ["reject"]}'],
)  # fmt: skip
def test_nonsense_is_an_error(octets):
    with pytest.raises(ScannerError):
        read_answer(octets)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.0 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 2_000_000,
        b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100_000,
        b'HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{"action": "rej',
    ],
)
def test_servers_that_are_no_rspamd(said):
    async def talk():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await Rspamd("127.0.0.1", port, hostname="mx.example.org").scan(request(message()))

    with pytest.raises((ScannerError, ConnectionError)):
        asyncio.run(talk())
